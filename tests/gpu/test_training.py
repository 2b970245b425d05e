"""Training on a device: number formats, both forward passes, caches, and resuming."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tightfit
from tests.gpu.conftest import Make
from tests.gpu.running import SETTINGS, STOPPED, Stopping, hide_gpu, losses, train, weights
from tightfit.errors import Interrupted

pytestmark = pytest.mark.gpu

CLOSE = 2e-4
"""Rounding in fp32 over twelve steps, in sums of another order."""


def assert_close(one: Path, other: Path, atol: float = CLOSE) -> None:
    """All losses of two runs."""
    np.testing.assert_allclose(losses(one), losses(other), rtol=0, atol=atol)


@pytest.mark.parametrize("form", ["bf16", "fp16"])
def test_half_precision_learns_the_same(form: str, device: str, make: Make) -> None:
    """Losses follow those of fp32; with fp16 a scaler sees to small gradients."""
    if (form, device) == ("fp16", "cpu"):
        pytest.skip("a CPU takes fp32 where fp16 is asked for")
    half = make("half", f"train.precision={form}")
    decided = tightfit.Run.open(half).decisions.precision
    assert decided is not None
    assert decided.value == form
    assert_close(make("full"), half, atol=0.05)


def test_the_lean_pass_trains_as_the_own_pass(make: Make) -> None:
    """Every loss."""
    assert_close(make("lean"), make("own", "train.forward=own"))


def test_kept_states_change_nothing(make: Make) -> None:
    """Of the layer below the adapters."""
    upper = "adapters.layers=1"
    assert_close(make("kept", upper), make("anew", upper, "train.prefix_cache=off"))


def test_checkpointing_changes_nothing(make: Make) -> None:
    """It computes twice what it does not keep."""
    assert_close(make("on", "train.checkpointing=on"), make("off", "train.forward=own"))


def test_a_stopped_run_is_the_same_to_the_bit(make: Make) -> None:
    """On one device."""
    whole = make("whole")
    with pytest.raises(Interrupted):
        make("stopped", progress=Stopping(STOPPED))
    resumed = make("stopped", resume=True)
    assert weights(resumed) == weights(whole)
    assert losses(resumed) == losses(whole)


@pytest.mark.parametrize("begun", ["cuda", "cpu"])
def test_a_run_goes_on_where_there_is_another_device(
    begun: str, gpu: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun on the GPU and resumed on the CPU, and the other way round."""
    whole, run = train(home, tmp_path / "whole"), tmp_path / "run"
    with monkeypatch.context() as patch:
        if begun == "cpu":
            hide_gpu(patch)
        with pytest.raises(Interrupted):
            train(home, run, progress=Stopping(STOPPED))
    with monkeypatch.context() as patch:
        if begun == "cuda":
            hide_gpu(patch)
        assert_close(train(home, run, resume=True), whole, atol=1e-3)


def test_torchrun_on_one_device(gpu: str, home: Path, make: Make, tmp_path: Path) -> None:
    """One process that torchrun started trains as one that nobody did."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "1", "-m", "tightfit", "train", "--json"]
    command += ["--data", str(home / "rows.jsonl"), "--model", str(home / "toy")]
    command += ["--out", str(tmp_path / "torchrun")]
    command += [word for setting in SETTINGS for word in ("--set", setting)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] > 0
    assert_close(make("alone"), tmp_path / "torchrun")
