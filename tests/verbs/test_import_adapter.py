"""``tightfit import``: adapters made with plain PEFT, whatever is in them, become runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from tests.command import Recorder, cli, replace
from tests.exports import toy_run, toy_texts, wide_encoder
from tests.toy_setups import Notes
from tests.toys import SMALL, toy_tokenizer, write_jsonl
from tightfit import Run, evaluate, export, import_adapter, storage
from tightfit.budget.parameter_plan import Plan
from tightfit.errors import ArtefactError, ModelError, SettingsError, UsageError

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning"),
    # PEFT takes the bias of an adapter for a matrix that was cut.
    pytest.mark.filterwarnings("ignore:Adapter 'default':"),
]

TEXTS = toy_texts()

TARGETS = {
    "distilbert": ["q_lin", "v_lin"],
    "mpnet": ["attn.q", "attn.v"],
    "deberta-v2": ["query_proj", "value_proj"],
    "modernbert": ["Wqkv"],
}

HEADS = {"deberta-v2": ["pooler"], "distilbert": ["pre_classifier"], "modernbert": ["head"]}
"""What is new besides the classifier."""

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "bias-all": {"bias": "all"},
    "bias-lora-only": {"bias": "lora_only"},
    "lora-bias": {"lora_bias": True},
    "pooler-too": {"modules_to_save": ["pooler"]},
    "rank-pattern": {"rank_pattern": {"layer.1.attention.self.query": 2}},
    "alpha-pattern": {"alpha_pattern": {"layer.1.attention.self.query": 32}},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "embeddings": {"target_modules": ["word_embeddings", "query"]},
    "every-layer": {"target_modules": "all-linear"},
    "pissa": {"init_lora_weights": "pissa"},
    "some-tokens": {"trainable_token_indices": [3, 4]},
    "a-pattern": {"target_modules": r".*layer\.1.*query"},
    "some-layers": {"layers_to_transform": [1]},
    "all-but": {"target_modules": "all-linear", "exclude_modules": ["key"]},
    "dora-everywhere": {"use_dora": True, "target_modules": "all-linear"},
    "all-at-once": {
        "use_dora": True,
        "use_rslora": True,
        "bias": "all",
        "rank_pattern": {"query": 2},
        "alpha_pattern": {r"layer\.0.*value": 30},
        "modules_to_save": ["pooler"],
    },
    "no-task": {"task_type": None, "modules_to_save": ["classifier"]},
}

Make = Callable[..., Path]


def make_adapter(folder: Path, base: Path, **settings: Any) -> Any:
    """Save an adapter with random weights for three labels; returns PEFT's model."""
    torch.manual_seed(2)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    common = {"task_type": "SEQ_CLS", "r": 3, "target_modules": ["query", "value"]}
    made = get_peft_model(model, LoraConfig(**{**common, **settings}))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    made.save_pretrained(str(folder), save_embedding_layers=False)
    return made


def plain_logits(model: Any) -> Any:
    """One text at a time, by the model alone."""
    encoded = toy_tokenizer()(TEXTS, truncation=True, max_length=64)["input_ids"]
    with torch.no_grad():
        return torch.cat([model.eval()(torch.tensor([ids])).logits for ids in encoded]).numpy()


def bring(folder: Path, base: Path, out: Path, **options: Any) -> Run:
    """Import and load."""
    return Run.load(import_adapter(folder, str(base), out=out, progress=Notes(), **options).run)


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_as_in_peft(kind: str, encoder: Path, tmp_path: Path) -> None:
    """Whatever the adapter holds; and the plan counts every trained number once."""
    made = make_adapter(tmp_path / "adapter", encoder, **KINDS[kind])
    run = bring(tmp_path / "adapter", encoder, tmp_path / "run")
    assert np.abs(run.predictor.logits(TEXTS) - plain_logits(made)).max() < 1e-4
    trained = sum(p.numel() for p in made.parameters() if p.requires_grad)
    assert run.plan.total == trained
    assert Plan.from_json(storage.read_json(storage.RunFolder(run.path).plan)) == run.plan


@pytest.mark.parametrize("family", SMALL)
def test_every_family(family: str, tmp_path: Path) -> None:
    """Adapters by PEFT's own way of naming layers, head included."""
    base = wide_encoder(tmp_path / "base", family)
    targets = TARGETS.get(family, ["query", "value"])
    more = HEADS.get(family)
    made = make_adapter(tmp_path / "a", base, target_modules=targets, modules_to_save=more)
    run = bring(tmp_path / "a", base, tmp_path / "run")
    assert np.abs(run.predictor.logits(TEXTS) - plain_logits(made)).max() < 1e-4


@pytest.mark.parametrize("kind", ["bias-all", "dora", "rank-pattern", "embeddings", "a-pattern"])
def test_it_can_be_exported_and_imported_again(kind: str, encoder: Path, tmp_path: Path) -> None:
    """The round trip: the same tensors, labels and lengths; merged it answers the same."""
    make_adapter(tmp_path / "adapter", encoder, **KINDS[kind])
    first = bring(tmp_path / "adapter", encoder, tmp_path / "one", labels="a,b,c", max_length=20)
    export(first.path, "merged", tmp_path / "merged", progress=Notes())
    export(first.path, "peft", tmp_path / "peft", progress=Notes())
    again = bring(tmp_path / "peft", encoder, tmp_path / "two")
    assert np.array_equal(again.predictor.logits(TEXTS), first.predictor.logits(TEXTS))
    assert (again.task, again.config) == (first.task, first.config)
    weights = "adapter_model.safetensors"
    one, two = (load_file(run.path / "adapter" / weights) for run in (first, again))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_it_evaluates(encoder: Path, tmp_path: Path) -> None:
    """On rows labelled by number or by name."""
    make_adapter(tmp_path / "adapter", encoder)
    run = bring(tmp_path / "adapter", encoder, tmp_path / "run", labels=["a", "b", "c"])
    texts, ids = [text or "the" for text in TEXTS], run.predict([t or "the" for t in TEXTS]).ids
    for labels in (ids, [run.task.names[i] for i in ids]):
        rows = [{"text": t, "label": label} for t, label in zip(texts, labels, strict=True)]
        data = write_jsonl(tmp_path / "rows.jsonl", rows)
        assert evaluate(run.path, data, progress=Notes()).scores.accuracy.value == 1.0


def test_what_is_proven_and_what_is_not(encoder: Path, tmp_path: Path) -> None:
    """Counts and the round trip are; that gradients arrived nobody can tell."""
    make_adapter(tmp_path / "adapter", encoder)
    found = import_adapter(tmp_path / "adapter", str(encoder), out=tmp_path / "r", progress=Notes())
    proofs = json.loads((tmp_path / "r" / "proofs.json").read_text("utf-8"))
    assert {name: proof["ok"] for name, proof in proofs.items()} == {
        "gates": True,
        "gradients": None,
        "no_regression": None,
        "movement": True,
        "round_trip": True,
    }
    assert proofs["gradients"]["unknown"] == "trained elsewhere; nobody watched"
    assert proofs["round_trip"]["rows"] == 64
    assert found.to_json()["proofs"]["gradients"] == {"ok": None}


def test_a_dead_adapter_is_imported_and_told(encoder: Path, tmp_path: Path) -> None:
    """Its head may still be of use."""
    model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=3)
    settings = LoraConfig(task_type="SEQ_CLS", r=3, target_modules=["query"])
    get_peft_model(model, settings).save_pretrained(str(tmp_path / "adapter"))
    progress = Notes()
    found = import_adapter(
        tmp_path / "adapter", str(encoder), out=tmp_path / "r", progress=progress
    )
    assert "never learned" in found.verdict
    assert found.verdict in progress.warned
    assert found.proofs["movement"] is False


# --- labels ----------------------------------------------------------------------------------


def name_labels(folder: Path, *names: str) -> None:
    """Give a folder a config.json with these labels, keeping the rest of it."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**config, "id2label": dict(enumerate(names))}), "utf-8")


def test_labels_beside_the_adapter_come_first(tmp_path: Path) -> None:
    """Then those of the base; then numbers, with a warning; what is asked for beats all."""
    base = wide_encoder(tmp_path / "base")
    make_adapter(tmp_path / "a", base)
    progress, out = Notes(), tmp_path / "run"
    options: dict[str, Any] = {"out": out, "overwrite": True, "progress": progress}
    numbers = import_adapter(tmp_path / "a", str(base), **options)
    assert numbers.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert "nothing says how the 3 labels are called" in progress.warned[0]
    name_labels(base, "x", "y", "z")
    assert import_adapter(tmp_path / "a", str(base), **options).labels == ("x", "y", "z")
    name_labels(tmp_path / "a", "p", "q", "r")
    assert import_adapter(tmp_path / "a", str(base), **options).labels == ("p", "q", "r")
    asked = import_adapter(tmp_path / "a", str(base), labels="a, b,c", **options)
    assert asked.labels == ("a", "b", "c")
    assert len(progress.warned) == 1


def test_labels_that_disagree_with_the_head(encoder: Path, tmp_path: Path) -> None:
    """Two names for three outputs."""
    make_adapter(tmp_path / "a", encoder)
    with pytest.raises(UsageError, match="2 names in --labels, 3 outputs"):
        bring(tmp_path / "a", encoder, tmp_path / "run", labels="a,b")
    name_labels(tmp_path / "a", "a", "b")
    with pytest.raises(ArtefactError, match=r"2 names in .*config\.json, 3 outputs") as caught:
        bring(tmp_path / "a", encoder, tmp_path / "run")
    assert caught.value.exit_code == 8
    assert not (tmp_path / "run").exists()


# --- faults ----------------------------------------------------------------------------------


def edit_tensors(folder: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the tensors of an adapter in place."""
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


def drop(part: str) -> Callable[[dict[str, torch.Tensor]], None]:
    """Remove the tensors with a part in their name."""

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if part in name]:
            del tensors[name]

    return edit


def test_another_base_is_refused(encoder: Path, tmp_path: Path) -> None:
    """Other widths, fewer layers, more layers, another family."""
    make_adapter(tmp_path / "a", encoder)
    others = {
        "wide": wide_encoder(tmp_path / "wide", hidden_size=64),
        "deep": wide_encoder(tmp_path / "deep", num_hidden_layers=3),
        "flat": wide_encoder(tmp_path / "flat", num_hidden_layers=1),
        "roberta": wide_encoder(tmp_path / "roberta", "roberta"),
    }
    for name, base in others.items():
        with pytest.raises(ArtefactError) as caught:
            bring(tmp_path / "a", base, tmp_path / f"run-{name}")
        assert caught.value.exit_code == 8
        assert not (tmp_path / f"run-{name}").exists()


def test_layers_without_tensors_are_named(encoder: Path, tmp_path: Path) -> None:
    """PEFT would leave them random without a word."""
    make_adapter(tmp_path / "a", encoder)
    edit_tensors(tmp_path / "a", drop("layer.1."))
    with pytest.raises(ArtefactError, match=r"no tensor for bert\.encoder\.layer\.1"):
        bring(tmp_path / "a", encoder, tmp_path / "run")


def test_half_an_adapter_is_refused(encoder: Path, tmp_path: Path) -> None:
    """An A without its B."""
    make_adapter(tmp_path / "a", encoder)
    edit_tensors(tmp_path / "a", drop("layer.1.attention.self.query.lora_B"))
    with pytest.raises(ArtefactError, match=r"layer\.1.*query has no"):
        bring(tmp_path / "a", encoder, tmp_path / "run")


def test_a_missing_head_is_refused(encoder: Path, tmp_path: Path) -> None:
    """It would be random; a base with a trained head of its own may lend it."""
    made = make_adapter(tmp_path / "a", encoder)
    edit_tensors(tmp_path / "a", drop("classifier"))
    with pytest.raises(ArtefactError, match="neither the adapter nor the base model has"):
        bring(tmp_path / "a", encoder, tmp_path / "run")
    settings = {"task_type": None, "modules_to_save": None}
    base = tmp_path / "with-head"
    made.merge_and_unload().save_pretrained(base)
    toy_tokenizer().save_pretrained(base)
    made = make_adapter(tmp_path / "b", base, **settings)
    run = bring(tmp_path / "b", base, tmp_path / "run")
    assert np.abs(run.predictor.logits(TEXTS) - plain_logits(made)).max() < 1e-4


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 64, b"version https://git-lfs..."])
def test_a_damaged_file_is_refused(content: bytes, encoder: Path, tmp_path: Path) -> None:
    """Empty, of another kind, or a pointer to the real one."""
    make_adapter(tmp_path / "a", encoder)
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(content)
    with pytest.raises(ArtefactError, match="safetensors file cannot be read"):
        bring(tmp_path / "a", encoder, tmp_path / "run")


def test_other_faults_of_the_folder(encoder: Path, tmp_path: Path) -> None:
    """No folder, no adapter in it, another method, pickled weights."""
    with pytest.raises(ArtefactError, match="there is no adapter in this folder"):
        bring(tmp_path / "none", encoder, tmp_path / "run")
    make_adapter(tmp_path / "a", encoder)
    weights = tmp_path / "a" / "adapter_model.safetensors"
    weights.rename(weights.with_name("adapter_model.bin"))
    with pytest.raises(ArtefactError, match="the adapter is pickled"):
        bring(tmp_path / "a", encoder, tmp_path / "run")
    config = tmp_path / "a" / "adapter_config.json"
    config.write_text(config.read_text("utf-8").replace('"LORA"', '"IA3"'), "utf-8")
    with pytest.raises(ArtefactError, match="this is not a LoRA adapter"):
        bring(tmp_path / "a", encoder, tmp_path / "run")


def test_faults_of_the_base_and_of_options(tmp_path: Path) -> None:
    """No such model, no tokenizer, more tokens than positions."""
    base = wide_encoder(tmp_path / "base")
    make_adapter(tmp_path / "a", base)
    with pytest.raises(SettingsError, match="max_length 999"):
        bring(tmp_path / "a", base, tmp_path / "run", max_length=999)
    with pytest.raises(ModelError, match="no model folder"):
        bring(tmp_path / "a", tmp_path / "nowhere", tmp_path / "run")
    (base / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no usable tokenizer"):
        bring(tmp_path / "a", base, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_adapter_with_a_name_of_its_own(encoder: Path, tmp_path: Path) -> None:
    """PEFT saves it one folder further down, which the message says."""
    make_adapter(tmp_path / "a" / "mine", encoder)
    with pytest.raises(ArtefactError, match="give one of those in it: mine"):
        bring(tmp_path / "a", encoder, tmp_path / "run")


def test_a_run_in_the_way(encoder: Path, tmp_path: Path) -> None:
    """Stays, unless it may be replaced."""
    make_adapter(tmp_path / "a", encoder)
    run = toy_run(encoder, tmp_path / "run")
    with pytest.raises(UsageError, match="exists already"):
        bring(tmp_path / "a", encoder, run)
    assert bring(tmp_path / "a", encoder, run, overwrite=True).config.recipe == "imported"


# --- the command line ------------------------------------------------------------------------


def test_the_verb_passes_everything_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option under the name that the function has for it."""
    recorder = Recorder(ArtefactError("stop here"))
    replace(monkeypatch, "import_adapter", recorder)
    words = "import a --base m --out r --labels x,y --max-length 64 --overwrite"
    assert cli(*words.split()).exit_code == 8
    assert recorder.arguments == (Path("a"), "m")
    wanted = {"out": Path("r"), "labels": "x,y", "max_length": 64, "overwrite": True}
    assert recorder.options == wanted


def test_the_verb_answers(encoder: Path, tmp_path: Path) -> None:
    """One JSON object, or sentences."""
    make_adapter(tmp_path / "a", encoder)
    words = ["import", str(tmp_path / "a"), "--base", str(encoder), "--out", str(tmp_path / "r")]
    found = cli(*words, "--json")
    assert list(json.loads(found.stdout)) == ["run", "total", "labels", "proofs", "verdict"]
    told = cli(*words, "--overwrite")
    assert told.exit_code == 0, told.stderr
    assert "alive: all 4 adapters" in told.stdout
