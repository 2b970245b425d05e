"""IA3: a factor on each output, priced exactly, never decayed, and PEFT's own folder at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.methods.conftest import EVERYWHERE
from tests.toy_setups import (
    toy_job,
    toy_plan,
)
from tightfit import Run, TrainResult, audit, export
from tightfit.errors import BudgetError
from tightfit.methods import METHODS
from tightfit.model.adapter_audit import _audit_vectors
from tightfit.progress import Progress
from tightfit.storage import RunFolder, read_json
from tightfit.training.optim import make_optimizer

IA3 = "adapters.method=ia3"


@pytest.fixture(scope="module")
def run(trained: Callable[[str], TrainResult]) -> TrainResult:
    """A short training of factors on all layers."""
    return trained("ia3")


def test_the_sum_by_hand_and_the_cap(bert: Path) -> None:
    """Two blocks of five outputs 32 wide and one of 64; one parameter less is refused."""
    plan = toy_plan(bert, IA3, EVERYWHERE)
    assert plan.adapters == 2 * (5 * 32 + 64)
    with pytest.raises(BudgetError, match="1 more than the cap allows"):
        toy_plan(bert, IA3, EVERYWHERE, f"budget.cap={plan.total - 1}")


def test_factors_are_not_decayed(bert: Path) -> None:
    """Decay would pull them to 0, where a layer is cut off; the head's matrix is decayed."""
    setup = toy_job(bert, IA3)
    plan, trained = setup.classifier.plan, setup.classifier.trainable()
    optimizer = make_optimizer(trained, setup.config.optim, plan)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert {decay[id(trained[v.name])] for v in plan.vectors} == {0.0}
    assert decay[id(trained["classifier.weight"])] > 0


def test_every_factor_is_watched_and_moved(run: TrainResult) -> None:
    """None is exempt from the proofs, and none is 1 in the file."""
    assert all(proof["ok"] for proof in run.proofs.values())
    proofs = read_json(RunFolder(run.run).proofs)
    plan = Run.load(run.run).plan
    assert {v.name for v in plan.vectors} <= proofs["movement"]["tensors"].keys()
    saved = load_file(RunFolder(run.run).adapter / "adapter_model.safetensors")
    factors = [t for name, t in saved.items() if name.endswith("ia3_l")]
    assert len(factors) == len(plan.vectors) == 12
    assert not any(bool((t == 1).all()) for t in factors)


def test_the_audit_tells_alive_from_dead(run: TrainResult, tmp_path: Path) -> None:
    """A factor that is 1 everywhere is named."""
    found = audit(run.run)
    assert found.verdict == "alive: all 12 factors changed their layer"
    assert found.trainable == run.total
    saved = load_file(RunFolder(run.run).adapter / "adapter_model.safetensors")
    name = next(name for name in saved if name.endswith("ia3_l"))
    save_file({**saved, name: torch.ones_like(saved[name])}, tmp_path / "adapter_model.safetensors")
    dead = _audit_vectors(tmp_path, None, METHODS["ia3"])
    assert dead.verdict.startswith("dead: 1 of 12 factors")
    assert [state.name for state in dead.adapters if state.dead] == [
        name.removeprefix("base_model.model.").removesuffix(".ia3_l")
    ]


def test_the_report_and_the_card_name_them(run: TrainResult) -> None:
    """Where each parameter went, and PEFT's lines."""
    assert "12 factors of the encoder" in (run.run / "report.html").read_text()
    card = (RunFolder(run.run).adapter / "README.md").read_text()
    assert "448 in factors on outputs of the encoder's layers" in card
    assert "PeftModel.from_pretrained" in card


def test_the_export_for_peft_answers_alike(run: TrainResult, tmp_path: Path) -> None:
    """The factors stay in PEFT's folder."""
    exported = export(run.run, "peft", out=tmp_path / "peft", progress=Progress())
    assert exported.to_json()["parity"]["max_abs_difference"] < 1e-4
