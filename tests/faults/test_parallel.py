"""Several processes train as one would, end together, and resume."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.faults.kinds import KINDS, train_kinds, write_kinds
from tests.faults.programs import make_home, step_of, together, wait_for
from tests.toy_setups import SHORT
from tests.warm import Program
from tightfit import Run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STEPS = 50
SETTINGS = [
    *SHORT,
    *("optim.batch=7", "optim.accumulate=2", f"train.max_steps={STEPS}", "train.eval_every=1"),
    *(
        "optim.lr=2e-2",
        "optim.warmup_steps=0",
        "optim.epochs=20",
        "adapters.dropout=0",
        "model.frozen_dropout=false",
    ),
]
"""Ragged batches, no dropouts, and each step's loss on record."""


TIGHTFIT = ["-m", "tightfit"]

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *TIGHTFIT]

AGENT = """
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from tightfit.cli import main
place = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": "toy"}
elastic_launch(LaunchConfig(1, 1, 2, max_restarts=0, start_method="fork", **place), main)()
"""
"""What ``torchrun`` does to its workers, but that they are forked."""


def words(home: Path, run: Path, *more: str) -> list[str]:
    """Train the toy."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    data = ["--data", str(home / "rows.jsonl"), "--model", str(home / "toy"), "--out", str(run)]
    return ["train", "--json", *data, *settings, *more]


def finish(*programs: Program) -> str:
    """What these wrote to standard output, once all have ended well."""
    said = [program.communicate() for program in programs]
    assert not any(program.returncode for program in programs), said
    return "".join(out for out, _ in said)


def history(run: Path) -> list[dict[str, Any]]:
    """Its rows."""
    return [json.loads(line) for line in (run / "history.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training by one process and by two."""
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    home = make_home(tmp_path_factory.mktemp("home"), **no_dropout)
    alone = finish(Program([sys.executable, *TIGHTFIT, *words(home, home / "one")]))
    # As users start it, which is a cold start of three programs.
    cold = [sys.executable, *TORCHRUN, *words(home, home / "two")]
    done = subprocess.run(cold, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for said in (alone, done.stdout):
        # One answer, whoever has trained.
        assert all(proof["ok"] for proof in json.loads(said)["proofs"].values())
    return home


def test_two_processes_are_one(home: Path) -> None:
    """Losses of 50 steps and weights to 1e-5; rows and tokens exactly."""
    one, two = history(home / "one"), history(home / "two")
    assert len(one) == len(two) == STEPS + 1
    for key in ("step", "rows", "tokens", "lr", "train_accuracy", "eval_accuracy"):
        assert [row[key] for row in one] == [row[key] for row in two], key
    for key in ("train_loss", "eval_loss"):
        losses = np.array([[row[key] for row in rows[1:]] for rows in (one, two)])
        np.testing.assert_allclose(losses[0], losses[1], atol=1e-5, rtol=0)
    file = "adapter/adapter_model.safetensors"
    weights = [load_file(home / name / file) for name in ("one", "two")]
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(tensor, weights[1][name], atol=1e-5)


ALONE = ("train.patience=1", "train.folds=2")
"""What the first process decides: when to stop, and scores of trainings of its own."""


@pytest.mark.parametrize("setting", ALONE)
def test_both_end_together(home: Path, tmp_path: Path, setting: str) -> None:
    """Where one alone knew of it, the other waited for ever."""
    said = words(home, tmp_path / "run", "--set", setting, "--set", "optim.lr=1e-6")
    for program in together([sys.executable, *TIGHTFIT, *said], 2):
        program.communicate(timeout=120)
        assert program.returncode == 0


def children(process: Program) -> list[int]:
    """The workers that a launcher has started."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("utf-8")
    return [int(pid) for pid in found.split()]


def reached(run: Path, step: int) -> bool:
    """Whether there is a checkpoint of this step or a later one."""
    return step_of(run) >= step


VICTIMS = [(0, 10, ()), (1, 25, ("--resume",))] if "TIGHTFIT_KILLS" in os.environ else [(1, 10, ())]
"""Ranks to kill, one after the other, at which step; ``make test-faults`` kills either."""


def test_a_killed_worker_ends_the_job(home: Path, tmp_path: Path) -> None:
    """Within a minute, whichever it is; and the last checkpoint resumes to the same bits."""
    run = tmp_path / "run"
    for victim, step, more in VICTIMS:
        process = Program([sys.executable, "-c", AGENT, *words(home, run, *more)])
        wait_for(partial(reached, run, step), process)
        killed = time.monotonic()
        os.kill(children(process)[victim], signal.SIGKILL)
        process.communicate(timeout=60)
        assert process.returncode != 0
        assert time.monotonic() - killed < 60
    finish(*together([sys.executable, *TIGHTFIT, *words(home, run, "--resume")], 2))
    for rows in zip(history(run), history(home / "two"), strict=True):
        assert {**rows[0], "seconds": 0} == {**rows[1], "seconds": 0}
    names = [path / "adapter" / "adapter_model.safetensors" for path in (run, home / "two")]
    assert names[0].read_bytes() == names[1].read_bytes()


@pytest.fixture(scope="module")
def kinds(home: Path) -> Path:
    """Trainings of each kind of target by one process and by two."""
    write_kinds(home)
    train_kinds(home, home / "alone")
    both = [sys.executable, "-m", "tests.faults.kinds", str(home), str(home / "both")]
    finish(*together(both, 2))
    return home


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_two_processes_are_one_of_each_kind(kinds: Path, kind: str) -> None:
    """Every number on record to 1e-5, and so the answers."""
    alone, both = kinds / "alone" / kind, kinds / "both" / kind
    for one, two in zip(history(alone), history(both), strict=True):
        clocks = ("seconds", "examples_per_second", "tokens_per_second")
        numbers = [[row[key] for key in one if key not in clocks] for row in (one, two)]
        assert numbers[0] == pytest.approx(numbers[1], abs=1e-5, nan_ok=True)
    text = ("goal match", "stock bank") if kind == "pair" else "goal match stock"
    one_NK, two_NK = (Run.load(run).predict([text]).probabilities for run in (alone, both))
    np.testing.assert_allclose(one_NK, two_NK, atol=1e-5)
