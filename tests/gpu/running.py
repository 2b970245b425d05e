"""Trains toys through tightfit's public functions, on a device, and reads what they left."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import tightfit
from tests.toy_setups import SHORT
from tightfit.progress import Bar, Progress

STEPS, STOPPED = 12, 5

SETTINGS = [
    *SHORT,
    *("optim.batch=8", f"train.max_steps={STEPS}", "train.eval_every=3", "optim.lr=1e-2"),
    *("optim.epochs=20", "optim.warmup_steps=0", "model.frozen_dropout=false"),
    *("adapters.dropout=0", "data.validation_rows=0.25", "head.start=random"),
]


class Stopping(Progress, Bar):
    """Sends this process SIGTERM after some steps, as whoever stops a training would."""

    def __init__(self, step: int) -> None:
        self.left = step

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """A bar that counts the steps down."""
        yield self if what == "training" else Bar()

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """A step is complete."""
        self.left -= count
        if self.left == 0:
            signal.raise_signal(signal.SIGTERM)


def hide_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on tightfit computes on the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


def train(
    home: Path, run: Path, *settings: str, progress: Progress | None = None, **more: Any
) -> Path:
    """Train the toy; gives the run's folder."""
    tightfit.train(
        home / "rows.jsonl",
        model=str(home / "toy"),
        out=run,
        settings=[*SETTINGS, *settings],
        progress=progress or Progress(),
        **more,
    )
    return run


def losses(run: Path) -> list[float]:
    """Validation and training losses of every evaluation, in order."""
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text("utf-8").splitlines()]
    return [row[key] for row in rows for key in ("eval_loss", "train_loss") if row[key] is not None]


def weights(run: Path) -> bytes:
    """The trained tensors, as saved."""
    return (run / "adapter" / "adapter_model.safetensors").read_bytes()
