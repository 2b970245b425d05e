"""The word about a busy machine: when it is due, and once."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.toy_setups import Notes
from tightfit import diagnosis
from tightfit.training import callbacks
from tightfit.training.callbacks import BusyMachine, TrainingState
from tightfit.training.checkpoint import Checkpoint
from tightfit.training.parallel import Peers


def told(
    monkeypatch: pytest.MonkeyPatch, *others: float, threads: int = 2, peers: int = 1
) -> list[str]:
    """What is said where others use so many of two cores in each of these stretches, and we one."""
    clock = SimpleNamespace(now=0.0, used=0.0)
    monkeypatch.setattr("time.monotonic", lambda: clock.now)
    monkeypatch.setattr("time.process_time", lambda: clock.now)
    monkeypatch.setattr(callbacks, "used_seconds", lambda: clock.used)
    monkeypatch.setattr(callbacks, "cores", lambda: [0, 1])
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    setup = SimpleNamespace(classifier=SimpleNamespace(device=SimpleNamespace(type="cpu")))
    state: Any = SimpleNamespace(peers=SimpleNamespace(size=peers), setup=setup)
    busy = BusyMachine(notes := Notes())
    for share in others:
        for _ in range(10):
            clock.now, clock.used = clock.now + 1, clock.used + 1 + share
            busy.on_step_end(state)
    return notes.said


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("accuracy", "validation 45.0%"),
        ("r2", "validation R2 0.450"),
        ("quadratic_score", "validation quadratic score 0.450"),
    ],
)
def test_the_line_of_a_training_tells_shares_alone_in_percent(metric: str, words: str) -> None:
    """The R2 of ratings, which may be below 0, is none."""
    task = SimpleNamespace(metric=metric)
    setup: Any = SimpleNamespace(classifier=SimpleNamespace(task=task), chooses=True)
    state = TrainingState(setup, Peers(), lambda: Checkpoint({}, {}))
    state.history.append({"train_loss": 0.5, f"eval_{metric}": 0.45})
    state.counters.rows, state.counters.train_seconds = 30, 2.0
    assert state.note() == f"loss 0.500  {words}  15 rows/s"
    setup.chooses = False
    assert state.note() == "loss 0.500  15 rows/s"


def test_a_busy_machine_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not of a quiet one, of cores that we leave free, or of processes that train together."""
    words = "other programs use 0.7 of 2 cores: training takes longer than on a quiet machine"
    assert told(monkeypatch, 0.0, 0.7, 0.9) == [words]
    assert told(monkeypatch, 0.0, 0.2, 0.1) == []
    assert told(monkeypatch, 0.9, threads=1) == []
    assert told(monkeypatch, 0.9, peers=2) == []


def test_it_is_silent_where_nothing_is_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Other systems have no such file."""
    monkeypatch.setattr(diagnosis, "CPU_USE", tmp_path / "none")
    assert diagnosis.used_seconds() is None
    assert told(monkeypatch, float("nan")) == []


def test_only_our_cores_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Idle time, and waiting for a disk, is nobody's; what guests use is counted already."""
    (tmp_path / "stat").write_text(
        "cpu 9 9 9 9 9 9 9 9 9 9\ncpu0 100 200 300 4 5 6 7 8 9 9\ncpu1 1 1 1 1 1 1 1 1 1 1\n"
    )
    monkeypatch.setattr(diagnosis, "CPU_USE", tmp_path / "stat")
    monkeypatch.setattr(diagnosis, "cores", lambda: [0])
    assert diagnosis.used_seconds() == 621 / os.sysconf("SC_CLK_TCK")
