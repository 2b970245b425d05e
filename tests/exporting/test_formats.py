"""Adapter folders and merged models: what plain peft and transformers make of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline

from tests import warm
from tests.exports import LENGTH, NAMES, toy_run, toy_texts, wide_encoder
from tests.toys import SMALL, toy_tokenizer
from tests.warm import Around
from tightfit import Run
from tightfit.errors import ProofError, UsageError
from tightfit.exporting.exported import ComparedRows
from tightfit.exporting.exporter import export
from tightfit.exporting.format_names import FORMATS, check_format
from tightfit.exporting.formats import merged_model, write_form
from tightfit.model.adapter_folder import tensor_shapes

TEXTS = toy_texts()
WRITTEN = ("model.safetensors", "config.json", "tokenizer.json")
ROWS = ComparedRows(TEXTS, None, "toys")

Runs = Callable[..., Run]

LOADING = """
import json, sys
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

base, adapter, merged = sys.argv[1:]
texts = json.load(sys.stdin)
config = AutoConfig.from_pretrained(adapter)
plain = AutoModelForSequenceClassification.from_pretrained(base, config=config)
peft = PeftModel.from_pretrained(plain, adapter).eval()
tokens = AutoTokenizer.from_pretrained(adapter)(
    texts, truncation=True, max_length=48, padding=True, return_tensors="pt"
)
answers = peft(tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits.argmax(1)
labels = [config.id2label[i] for i in answers.tolist()]
served = pipeline("text-classification", merged)(texts, truncation=True)
assert not any(name.startswith("tightfit") for name, module in sys.modules.items() if module)
print(json.dumps([labels, [answer["label"] for answer in served]]))
"""


@pytest.fixture(scope="module")
def runs_of(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """A loaded run of a family and a recipe, each made once."""
    root = tmp_path_factory.mktemp("runs")
    encoder = cache(lambda family: wide_encoder(root / family, family))

    @cache
    def make(family: str, recipe: str) -> Run:
        return Run.load(toy_run(encoder(family), root / f"{family}-{recipe}", recipe=recipe))

    return lambda family, recipe="tight": make(family, recipe)


def plain_logits(model: Any) -> Any:
    """Logits of a transformers model, one text at a time: no batch, no padding, no mask."""
    tokenizer = toy_tokenizer()
    encoded = tokenizer(TEXTS, truncation=True, max_length=LENGTH)["input_ids"]
    with torch.no_grad():
        return torch.cat([model.eval()(torch.tensor([ids])).logits for ids in encoded]).numpy()


def softmax(logits_NK: Any) -> Any:
    """Probabilities of each row."""
    return torch.tensor(logits_NK, dtype=torch.float64).softmax(1).numpy()


def assert_same(logits_NK: Any, run: Run) -> None:
    """Logits to 1e-4, probabilities to 1e-5, labels one by one."""
    wanted = run.predict(TEXTS)
    assert np.abs(logits_NK - run.predictor.logits(TEXTS)).max() < 1e-4
    assert np.abs(softmax(logits_NK) - wanted.probabilities).max() < 1e-5
    assert [NAMES[i] for i in logits_NK.argmax(1)] == wanted.labels
    # Else one answer for all texts would do.
    assert np.ptp(wanted.probabilities, axis=0).max() > 0.05


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("family", SMALL)
def test_peft_folder_in_plain_peft(family: str, runs_of: Runs, tmp_path: Path) -> None:
    """The base model's own folder and the exported one are all that it takes."""
    run = runs_of(family)
    export(run, "peft", tmp_path, ROWS)
    config = AutoConfig.from_pretrained(tmp_path)
    assert [config.id2label[i] for i in range(3)] == list(NAMES)
    base = AutoModelForSequenceClassification.from_pretrained(run.plan.model, config=config)
    assert_same(plain_logits(PeftModel.from_pretrained(base, str(tmp_path))), run)


@pytest.mark.parametrize("recipe", ["tight", "head-only", "full"])
@pytest.mark.parametrize("family", SMALL)
def test_merged_folder_in_plain_transformers(
    family: str, recipe: str, runs_of: Runs, tmp_path: Path
) -> None:
    """One model without adapters, whatever trained."""
    run = runs_of(family, recipe)
    export(run, "merged", tmp_path, ROWS)
    assert not any("lora" in name for name in tensor_shapes(tmp_path / "model.safetensors"))
    assert_same(plain_logits(AutoModelForSequenceClassification.from_pretrained(tmp_path)), run)
    # A service that runs as somebody else needs the weights as well.
    assert len({(tmp_path / name).stat().st_mode for name in WRITTEN}) == 1


@pytest.mark.parametrize("method", ["ia3", "vera"])
@pytest.mark.parametrize("family", ["roberta", "mpnet", "deberta-v2", "modernbert"])
def test_vectors_beside_a_head_of_several_layers_are_merged(
    family: str, method: str, tmp_path: Path
) -> None:
    """PEFT's own merge takes such a head for one layer, and fails."""
    encoder = wide_encoder(tmp_path / "encoder", family)
    made = toy_run(encoder, tmp_path / "run", f"adapters.method={method}", "head.kind=stock")
    run = Run.load(made)
    assert_same(plain_logits(merged_model(run.classifier)), run)


def test_a_pipeline_serves_the_merged_folder(runs_of: Runs, tmp_path: Path) -> None:
    """Label names, probabilities and order; long texts are cut where the run cuts them."""
    run = runs_of("roberta")
    export(run, "merged", tmp_path, ROWS)
    serve = pipeline("text-classification", str(tmp_path))
    assert serve.tokenizer.model_max_length == LENGTH
    answers = serve(TEXTS, truncation=True, batch_size=7)
    wanted = run.predict(TEXTS)
    assert [answer["label"] for answer in answers] == wanted.labels
    scores = np.array([answer["score"] for answer in answers])
    assert np.abs(scores - wanted.probabilities.max(1)).max() < 1e-5


@pytest.mark.slow
def test_other_programs_give_the_same_labels(runs_of: Runs, tmp_path: Path) -> None:
    """A process that never imports tightfit, over both folders."""
    run = runs_of("bert")
    for form in FORMATS[:2]:
        (tmp_path / form).mkdir()
        export(run, form, tmp_path / form, ROWS)
    folders = [run.plan.model, str(tmp_path / "peft"), str(tmp_path / "merged")]
    around = Around(given=json.dumps(TEXTS), hidden=["tightfit"])
    found = warm.run([sys.executable, "-c", LOADING, *folders], around)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == [run.predict(TEXTS).labels] * 2


def test_the_run_itself_is_not_merged(runs_of: Runs) -> None:
    """Merging works on a copy: the loaded run answers as before, adapters and all."""
    run = runs_of("bert")
    before = run.predictor.logits(TEXTS)
    state = run.classifier.state()
    merged_model(run.classifier)
    assert np.array_equal(run.predictor.logits(TEXTS), before)
    assert all(torch.equal(state[n], p) for n, p in run.classifier.trainable().items())


def test_the_facts_beside_it(runs_of: Runs, tmp_path: Path) -> None:
    """What a server must know, and what was measured."""
    run = runs_of("bert")
    found = export(run, "merged", tmp_path, ROWS)
    facts = json.loads((tmp_path / "export.json").read_text("utf-8"))
    assert (facts["format"], facts["base_model"]) == ("merged", run.plan.model)
    assert [facts[key] for key in ("max_length", "pad_id", "temperature")] == [LENGTH, 0, 1.0]
    assert (facts["parity"], facts["compared_on"]) == (asdict(found.parity), "toys")
    assert found.parity.rows == len(TEXTS) + 10
    assert found.examples_per_second > 0
    assert json.loads((tmp_path / "labels.json").read_text("utf-8"))["names"] == list(NAMES)


def test_weights_that_differ_are_refused(
    runs_of: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge that forgets the scale of the adapters, for instance."""
    run = runs_of("bert")
    wrong = merged_model(run.classifier)
    with torch.no_grad():
        wrong.get_submodule(run.plan.layers[0].name).weight.mul_(1.01)
    monkeypatch.setattr("tightfit.exporting.formats.merged_model", lambda _: wrong)
    with pytest.raises(
        ProofError, match=r"(?s)predictions differ from the run's.*maximum-length"
    ) as e:
        export(run, "merged", tmp_path, ROWS)
    assert e.value.exit_code == 7


def test_a_tokenizer_that_differs_is_refused(
    runs_of: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The random batches would not notice: they are tokens already."""

    def write(subject: Any, form: Any, folder: Path) -> None:
        write_form(subject, form, folder)
        path = folder / "tokenizer.json"
        path.write_text(path.read_text("utf-8").replace('"goal"', '"gaol"'), "utf-8")

    monkeypatch.setattr("tightfit.exporting.exporter.write_form", write)
    with pytest.raises(ProofError, match="gives other tokens than the run's"):
        export(runs_of("bert"), "merged", tmp_path, ROWS)


@pytest.mark.parametrize("recipe", ["head-only", "full"])
def test_no_peft_folder_without_adapters(recipe: str, runs_of: Runs) -> None:
    """And the words say which form there is."""
    plan = runs_of("bert", recipe).plan
    assert check_format("merged", plan) == "merged"
    with pytest.raises(ProofError, match=r"(?s)PEFT has no form.*format='merged'") as caught:
        check_format("peft", plan)
    assert caught.value.exit_code == 7


def test_an_unknown_format_is_named() -> None:
    """With those that there are."""
    with pytest.raises(UsageError, match="unknown format") as caught:
        check_format("onnx8")
    assert "peft, merged, onnx, onnx-int8" in str(caught.value)
