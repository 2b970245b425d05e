"""Audits: adapters from anywhere, alive, dead, odd and damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from tests.toys import toy_config
from tightfit import audit, storage
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import HeadLayer
from tightfit.data.labels import LabelSet
from tightfit.errors import ArtefactError
from tightfit.model.adapter_audit import Audit, audit_folder

PREFIX = "base_model.model."
QUERY, VALUE = "encoder.layer.0.query", "encoder.layer.0.value"
HEAD = {f"{PREFIX}classifier.weight": torch.ones(2, 8), f"{PREFIX}classifier.bias": torch.ones(2)}

Tensors = dict[str, torch.Tensor]


def pair(
    layer: str, b: float = 1.0, *, rank: int = 4, dtype: torch.dtype = torch.float32
) -> Tensors:
    """An adapter of a layer 8 x 6, with B full of one value."""
    return {
        f"{PREFIX}{layer}.lora_A.weight": torch.full((rank, 8), 0.5, dtype=dtype),
        f"{PREFIX}{layer}.lora_B.weight": torch.full((6, rank), b, dtype=dtype),
    }


def save(folder: Path, tensors: Tensors, **config: Any) -> Path:
    """Write an adapter folder as PEFT does."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"peft_type": "LORA", "task_type": "SEQ_CLS", **config}
    (folder / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("lacking", ["vera_lambda_b", "vera_lambda_d"])
def test_half_of_two_vectors_is_damage(lacking: str, tmp_path: Path) -> None:
    """As half of two matrices is."""
    vectors = {"vera_lambda_b": torch.ones(6), "vera_lambda_d": torch.ones(4)}
    tensors = {f"{PREFIX}{QUERY}.{name}": tensor for name, tensor in vectors.items()}
    tensors.pop(f"{PREFIX}{QUERY}.{lacking}")
    with pytest.raises(ArtefactError, match=f"{QUERY} has no {lacking}"):
        audit_folder(save(tmp_path, {**tensors, **HEAD}, peft_type="VERA"))


# --- alive and dead ----------------------------------------------------------------------------


def test_an_adapter_that_learned(tmp_path: Path) -> None:
    """Names, ranks, norms (against numbers worked out by hand), the count, and the verdict."""
    found = audit_folder(save(tmp_path, {**pair(QUERY), **pair(VALUE, rank=2), **HEAD}))
    query, value = found.adapters
    assert (query.name, query.rank, query.dead) == (QUERY, 4, False)
    assert (value.name, value.rank, value.dead) == (VALUE, 2, False)
    # 32 times 0.5 squared, and 24 times 1.
    assert query.norm_a == pytest.approx(8**0.5)
    assert query.norm_b == pytest.approx(24**0.5)
    assert found.trainable == 4 * (8 + 6) + 2 * (8 + 6) + 18
    assert found.head_saved
    assert found.verdict == "alive: all 2 adapters changed their layer"


def test_adapters_that_never_learned(tmp_path: Path) -> None:
    """The published failure: every B still zero."""
    found = audit_folder(save(tmp_path, {**pair(QUERY, 0.0), **pair(VALUE, 0.0), **HEAD}))
    assert found.dead == 2
    assert found.verdict == (
        "dead: 2 of 2 adapters never learned (lora_B is zero): only the head could have"
    )


def test_some_dead_adapters(tmp_path: Path) -> None:
    """One is enough to be called dead, and says which."""
    found = audit_folder(save(tmp_path, {**pair(QUERY, 0.0), **pair(VALUE), **HEAD}))
    assert [adapter.dead for adapter in found.adapters] == [True, False]
    assert found.verdict == "dead: 1 of 2 adapters never learned (lora_B is zero)"


def test_a_missing_head_is_told(tmp_path: Path) -> None:
    """PEFT gives such a classifier a random head in silence; another task needs none."""
    classifier = audit_folder(save(tmp_path / "a", pair(QUERY)))
    assert not classifier.head_saved
    assert classifier.verdict.endswith(
        "; the head is not in the file, and will be random when loaded"
    )
    other = audit_folder(save(tmp_path / "b", pair(QUERY, 0.0), task_type="CAUSAL_LM"))
    assert other.verdict == "dead: 1 of 1 adapters never learned (lora_B is zero): nothing did"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite(tmp_path: Path, value: float) -> None:
    """They are dead, and JSON has null for their norm."""
    found = audit_folder(save(tmp_path, {**pair(QUERY, value), **pair(VALUE), **HEAD}))
    assert found.verdict == "dead: 1 of 2 adapters hold values that are not finite"
    [broken, _] = json.loads(json.dumps(found.to_json(), allow_nan=False))["adapters"]
    assert broken == {
        "name": QUERY,
        "rank": 4,
        "norm_a": pytest.approx(8**0.5),
        "norm_b": None,
        "dead": True,
    }


def test_the_json_object(tmp_path: Path) -> None:
    """The keys that others rely on, in their order."""
    found = audit_folder(save(tmp_path, {**pair(QUERY, 0.0), **HEAD})).to_json()
    assert list(found) == ["trainable", "adapters", "dead", "head_saved", "labels", "verdict"]
    assert found["dead"] == 1
    assert found["labels"] is None


# --- forms of adapters -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(tmp_path: Path, dtype: torch.dtype) -> None:
    """Norms are taken in double precision: 200 squared is beyond fp16."""
    [adapter] = audit_folder(save(tmp_path, pair(QUERY, 200.0, dtype=dtype))).adapters
    assert adapter.norm_b == pytest.approx(200 * 24**0.5)


def test_the_adapters_name_within_tensor_names(tmp_path: Path) -> None:
    """Files made from a bare state_dict carry it."""
    tensors = {
        name.replace(".weight", ".default.weight"): tensor for name, tensor in pair(QUERY).items()
    }
    [adapter] = audit_folder(save(tmp_path, tensors)).adapters
    assert (adapter.name, adapter.dead) == (QUERY, False)


@pytest.mark.parametrize(("a", "dead"), [(0.0, True), (0.5, False)])
def test_embeddings_begin_with_a_at_zero(tmp_path: Path, a: float, dead: bool) -> None:
    """There B is random from the start, so that B alone would say nothing."""
    name = f"{PREFIX}embeddings.word.lora_embedding_"
    tensors = {f"{name}A": torch.full((4, 30), a), f"{name}B": torch.ones(8, 4)}
    found = audit_folder(save(tmp_path, {**tensors, **HEAD}))
    [adapter] = found.adapters
    assert (adapter.name, adapter.rank, adapter.dead) == ("embeddings.word", 4, dead)
    assert ("(B A is zero)" in found.verdict) == dead


def test_convolutions(tmp_path: Path) -> None:
    """Four dimensions; the rank is still the first of A."""
    name = f"{PREFIX}conv.lora_"
    tensors = {f"{name}A.weight": torch.ones(4, 3, 3, 3), f"{name}B.weight": torch.ones(8, 4, 1, 1)}
    [adapter] = audit_folder(save(tmp_path, tensors)).adapters
    assert adapter.rank == 4
    assert adapter.norm_b == pytest.approx(32**0.5)


def test_a_bias_of_its_own_counts_as_b(tmp_path: Path) -> None:
    """With lora_bias the layer changes by B's bias even where B is zero."""
    tensors = {**pair(QUERY, 0.0), f"{PREFIX}{QUERY}.lora_B.bias": torch.ones(6)}
    [adapter] = audit_folder(save(tmp_path, tensors)).adapters
    assert adapter.norm_b == pytest.approx(6**0.5)
    assert not adapter.dead


def test_a_start_away_from_zero_proves_nothing(tmp_path: Path) -> None:
    """PiSSA and its kin: B is not zero before the first step either."""
    found = audit_folder(save(tmp_path, {**pair(QUERY), **HEAD}, init_lora_weights="pissa"))
    assert found.verdict.startswith("unproven: none of the 1 adapters is zero, but with")
    assert "init_lora_weights=pissa" in found.verdict


@pytest.mark.parametrize(
    ("name", "saved", "is_head"),
    [
        ("classifier.dense.weight", [], True),
        ("score.weight", None, True),
        ("bert.pooler.dense.weight", ["bert.pooler"], True),
        ("bert.pooler.dense.weight", [], False),
        ("classifier.bias", [], False),
        ("encoder.my_classifier_gate.weight", [], False),
    ],
)
def test_what_counts_as_a_head(tmp_path: Path, name: str, saved: Any, is_head: bool) -> None:
    """Modules that are saved whole; not a bias alone (bias="all"), nor a name that is alike."""
    tensors = {**pair(QUERY), PREFIX + name: torch.ones(2)}
    assert audit_folder(save(tmp_path, tensors, modules_to_save=saved)).head_saved == is_head


@pytest.mark.parametrize(
    "settings",
    [
        {"rank_pattern": {"query": 2}},
        {"use_rslora": True, "bias": "all"},
        {"use_dora": True, "bias": "lora_only"},
        {"lora_bias": True, "modules_to_save": ["pooler"]},
        {"target_modules": ["word_embeddings", "dense"]},
        {"use_dora": True, "use_rslora": True, "bias": "all", "modules_to_save": ["pooler"]},
        {"trainable_token_indices": [3, 4]},
    ],
)
@pytest.mark.filterwarnings("ignore")  # PEFT's own, about these settings
def test_what_peft_saves(tmp_path: Path, settings: dict[str, Any]) -> None:
    """A fresh adapter is dead in every layer, and all that PEFT saved is counted."""
    model = AutoModelForSequenceClassification.from_config(toy_config("bert"))
    config = LoraConfig(**{"task_type": "SEQ_CLS", "r": 4, "target_modules": ["query"]} | settings)
    adapted = get_peft_model(model, config)
    adapted.save_pretrained(str(tmp_path), save_embedding_layers=False)
    found = audit_folder(tmp_path)
    assert found.dead == len(found.adapters) >= 2
    assert {a.name for a in found.adapters} <= {name for name, _ in model.named_modules()}
    assert found.trainable == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert found.head_saved


# --- faults ------------------------------------------------------------------------------------


def pickled(folder: Path) -> None:
    """An adapter of old: its weights are a pickle."""
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def cut_short(folder: Path) -> None:
    """A copy that stopped half-way."""
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def lfs_pointer(folder: Path) -> None:
    """A clone without Git LFS."""
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (folder / "adapter_model.safetensors").write_text(text, "utf-8")


def without_b(folder: Path) -> None:
    """Half of an adapter."""
    tensors = {name: tensor for name, tensor in pair(QUERY).items() if "lora_A" in name}
    save(folder, tensors)


def head_alone(folder: Path) -> None:
    """No adapter in the adapter's file."""
    save(folder, HEAD)


def other_method(folder: Path) -> None:
    """An adapter of another kind."""
    save(folder, pair(QUERY), peft_type="LOHA")


def other_tensors(folder: Path) -> None:
    """Matrices under the name of vectors."""
    save(folder, pair(QUERY), peft_type="IA3")


def no_object(folder: Path) -> None:
    """A list where settings belong."""
    (folder / "adapter_config.json").write_text("[]", "utf-8")


def no_json(folder: Path) -> None:
    """Settings cut short."""
    (folder / "adapter_config.json").write_text('{"peft', "utf-8")


def no_config(folder: Path) -> None:
    """Weights alone."""
    (folder / "adapter_config.json").unlink()


def no_weights(folder: Path) -> None:
    """Settings alone."""
    (folder / "adapter_model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (pickled, "pickled.*\n.*\n.*\n.*save_pretrained"),
        (cut_short, "cannot be read"),
        (lfs_pointer, "a Git LFS pointer, not the file itself\n.*git lfs pull"),
        (without_b, f"only one half.*\n.*{QUERY} has no lora_B"),
        (head_alone, "holds no LoRA tensors.*\n.*2 other tensors"),
        (other_method, "of this kind are not read.*\n.*'LOHA'(.|\n)*'LORA', 'VERA', 'IA3'\n"),
        (other_tensors, "holds no IA3 tensors"),
        (no_object, "of this kind are not read.*\n.*peft_type None"),
        (no_json, "is damaged"),
        (no_config, "neither a run nor an adapter"),
        (no_weights, "weights are missing"),
    ],
)
def test_faulty_folders(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    """Each fault has its own words, and the code 8."""
    spoil(save(tmp_path, pair(QUERY)))
    with pytest.raises(ArtefactError, match=words):
        audit_folder(tmp_path)


def test_the_wrong_path(tmp_path: Path) -> None:
    """Nothing there, a file, or the folder above, which names the adapter below it."""
    with pytest.raises(ArtefactError, match="neither a run nor an adapter"):
        audit_folder(tmp_path / "nothing")
    inner = save(tmp_path / "checkpoint-9", pair(QUERY))
    with pytest.raises(ArtefactError, match="neither a run nor an adapter"):
        audit_folder(inner / "adapter_config.json")
    with pytest.raises(ArtefactError, match=f"next: .* give {inner}"):
        audit_folder(tmp_path)


# --- labels, runs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"1": "sport", "0": "money"}}, ("money", "sport")),
        ({"id2label": {"0": "money", "2": "sport"}}, None),
        ({}, None),
        ([], None),
    ],
)
def test_labels_beside_the_weights(tmp_path: Path, config: Any, labels: Any) -> None:
    """A model's settings may name them; what makes no sense is no label."""
    save(tmp_path, pair(QUERY))
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    assert audit_folder(tmp_path).labels == labels


def sealed_run(
    root: Path, fill: Callable[[storage.RunFolder], object], method: str = "none"
) -> Path:
    """A run with two labels and whatever else ``fill`` puts there."""
    folder = storage.create(root)
    storage.write_text(folder.config, "seed = 42\n")
    plan = Plan("toy", 2, None, method, (), (HeadLayer("head", 18),), ("head",))
    storage.write_json(folder.plan, plan.to_json())
    storage.write_json(folder.labels, LabelSet(("money", "sport"), (0, 1)).to_json())
    folder.adapter.mkdir()
    fill(folder)
    storage.seal(folder, {}, {"name": "toy"})
    return root


def test_a_run(tmp_path: Path) -> None:
    """Its adapter is audited, with the run's own labels."""
    run = sealed_run(tmp_path / "r", lambda folder: save(folder.adapter, {**pair(QUERY), **HEAD}))
    found = audit(run)
    assert found.labels == ("money", "sport")
    assert found.verdict == "alive: all 1 adapters changed their layer"


def test_runs_without_adapters(tmp_path: Path) -> None:
    """A head alone, also by its own folder, and a whole model: nothing can be dead."""
    head = nn.Linear(8, 2).state_dict()
    run = sealed_run(
        tmp_path / "h", lambda folder: save_file(head, folder.adapter / "head.safetensors")
    )
    expected = Audit(18, (), True, ("money", "sport"), "no adapters: a head-only classifier")
    assert audit(run) == expected
    assert audit_folder(run / "adapter").trainable == 18

    def whole(folder: storage.RunFolder) -> None:
        folder.model.mkdir()
        save_file(head, folder.model / "model.safetensors")

    full = audit(sealed_run(tmp_path / "f", whole, "full"))
    assert (full.trainable, full.verdict) == (18, "no adapters: every weight of the model trained")


def test_a_run_that_was_changed(tmp_path: Path) -> None:
    """The seal is checked before anything is believed."""
    run = sealed_run(tmp_path / "r", lambda folder: save(folder.adapter, pair(QUERY)))
    save(run / "adapter", pair(QUERY, 2.0))
    with pytest.raises(ArtefactError, match=r"changed: adapter/adapter_model\.safetensors"):
        audit(run)
