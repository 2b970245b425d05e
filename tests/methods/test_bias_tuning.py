"""Bias tuning (BitFit): priced exactly, trained by the model's own path, saved beside the head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.command import cli
from tests.methods.conftest import BIAS, EVERYWHERE
from tests.toy_setups import (
    SHORT,
    TEXTS,
    toy_plan,
    toy_predictor,
)
from tightfit import Run, TrainResult, audit, export, train
from tightfit.budget.gates import check_count
from tightfit.budget.parameter_plan import Plan
from tightfit.errors import BudgetError, ProofError, SettingsError
from tightfit.model.artefact import load_artefact
from tightfit.model.locate import locate
from tightfit.progress import Progress
from tightfit.storage import RunFolder


@pytest.fixture(scope="module")
def run(trained: Callable[[str], TrainResult]) -> TrainResult:
    """A short training of biases on all layers."""
    return trained("bias")


def test_the_table_of_the_plan() -> None:
    """Five biases in each of the embedded encoder's six blocks: 4 x 384 + 1,536 wide."""
    lines = cli("plan", "--set", BIAS).stdout.splitlines()
    assert any(line.split()[:6] == ["30", "x", "bias", "width", "out", "18,432"] for line in lines)


def test_the_plan_survives_its_file(bert: Path) -> None:
    """And one with an edited bias does not; a plan without biases does not mention them."""
    plan = toy_plan(bert, BIAS)
    assert Plan.from_json(plan.to_json()) == plan
    spoilt = plan.to_json()
    spoilt["vectors"][0]["parameters"] += 1
    with pytest.raises(ValueError, match="damaged"):
        Plan.from_json(spoilt)
    assert "vectors" not in toy_plan(bert).to_json()


def test_the_cap_holds(bert: Path) -> None:
    """One parameter less is refused, with the sum."""
    total = toy_plan(bert, BIAS).total
    assert toy_plan(bert, BIAS, f"budget.cap={total}").headroom == 0
    with pytest.raises(BudgetError, match="1 more than the cap allows") as caught:
        toy_plan(bert, BIAS, f"budget.cap={total - 1}")
    assert f"biases of the encoder: {total - 66}" in str(caught.value)


@pytest.mark.parametrize(("family", "targets"), [("modernbert", "query"), ("bert", "key")])
def test_where_there_is_no_bias(family: str, targets: str, encoders: Callable[[str], Path]) -> None:
    """Of a key it adds the same to every score, and softmax does not see it."""
    with pytest.raises(SettingsError, match="does not go with 0 vectors"):
        toy_plan(encoders(family), BIAS, f"adapters.targets={targets}")


def test_saved_and_loaded_biases_answer_alike(run: TrainResult, bert: Path) -> None:
    """The folder alone, on the base model; without its biases the answers are others."""
    loaded = Run.load(run.run)
    plan = loaded.plan
    anew = load_artefact(RunFolder(run.run).adapter, locate(str(bert)), plan, loaded.task)
    with torch.no_grad():
        before = loaded.predictor.logits(TEXTS)
        for bias in plan.vectors:
            anew.module.get_parameter(bias.name).add_(1.0)
    assert loaded.predictor.logits(TEXTS).tolist() == before.tolist()
    changed = toy_predictor(anew, loaded.predictor.max_length).logits(TEXTS)
    assert abs(changed - before).max() > 1e-3


def test_the_audit_tells_what_trained(run: TrainResult) -> None:
    """Ten biases in two blocks."""
    found = audit(run.run)
    assert found.verdict == "no adapters: 10 biases of the encoder and the head"
    assert (found.trainable, found.dead) == (run.total, 0)


def test_a_linear_head_is_no_bias(roberta: Path, rows_file: Path, tmp_path: Path) -> None:
    """Its frozen layers lie in the same file, and are not counted among the encoder's."""
    settings = [*SHORT, BIAS, "head.kind=linear", "optim.lr=1e-2"]
    out = tmp_path / "run"
    train(
        rows_file, model=str(roberta), out=out, settings=settings, max_steps=3, progress=Progress()
    )
    assert audit(out).verdict == "no adapters: 4 biases of the encoder and the head"


def test_the_report_and_the_card_name_them(run: TrainResult) -> None:
    """Where each parameter went."""
    page = (run.run / "report.html").read_text()
    assert "10 biases of the encoder" in page
    card = (RunFolder(run.run).adapter / "README.md").read_text()
    assert "384 in biases of the encoder" in card
    assert "head.safetensors" in card


def test_peft_has_no_form_for_it(run: TrainResult, tmp_path: Path) -> None:
    """It is refused at once."""
    with pytest.raises(ProofError, match="without adapters"):
        export(run.run, "peft", out=tmp_path / "peft", progress=Progress())


def test_a_gate_names_the_bias_that_is_missing(bert: Path) -> None:
    """And none of those that are there."""
    plan = toy_plan(bert, BIAS, EVERYWHERE)
    counted = {bias.name: bias.parameters for bias in plan.vectors}
    counted |= {f"{layer.name}.weight": layer.parameters for layer in plan.head_layers}
    missing = plan.vectors[0].name
    del counted[missing]
    with pytest.raises(BudgetError) as caught:
        check_count(plan, counted, "the file")
    assert f"{missing}: 0 instead of 32" in str(caught.value)
    assert plan.vectors[1].name not in str(caught.value)
