"""IA3: a factor on each output, priced exactly, never decayed, and PEFT's own folder at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tightfit import TrainResult, audit, export
from tightfit.methods import METHODS
from tightfit.model.adapter_audit import _audit_vectors
from tightfit.progress import Progress
from tightfit.storage import RunFolder


@pytest.fixture(scope="module")
def run(trained: Callable[[str], TrainResult]) -> TrainResult:
    """A short training of factors on all layers."""
    return trained("ia3")


def test_the_audit_tells_alive_from_dead(run: TrainResult, tmp_path: Path) -> None:
    """A factor that is 1 everywhere is named."""
    found = audit(run.run)
    assert found.verdict == "alive: all 12 factors changed their layer"
    assert found.trainable == run.total
    assert replace(audit(RunFolder(run.run).adapter), labels=found.labels) == found
    saved = load_file(RunFolder(run.run).adapter / "adapter_model.safetensors")
    name = next(name for name in saved if name.endswith("ia3_l"))
    save_file({**saved, name: torch.ones_like(saved[name])}, tmp_path / "adapter_model.safetensors")
    dead = _audit_vectors(tmp_path, None, METHODS["ia3"])
    assert dead.verdict.startswith("dead: 1 of 12 factors")
    assert [state.name for state in dead.adapters if state.dead] == [
        name.removeprefix("base_model.model.").removesuffix(".ia3_l")
    ]


def test_the_export_for_peft_answers_alike(run: TrainResult, tmp_path: Path) -> None:
    """The factors stay in PEFT's folder."""
    exported = export(run.run, "peft", out=tmp_path / "peft", progress=Progress())
    assert exported.to_json()["parity"]["max_abs_difference"] < 1e-4
