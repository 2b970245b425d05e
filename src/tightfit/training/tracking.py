"""Metrics to a tracker, through accelerate's own; the run's history is kept either way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator
from accelerate.state import is_initialized

from tightfit.config import Config
from tightfit.training.callbacks import Callback, TrainingState

PROJECT = "tightfit"


@contextmanager
def open_tracker(config: Config, folder: Path) -> Iterator[Callback]:
    """Sends history rows, for as long as this lasts, to the tracker that ``tracking.to`` names.

    Args:
        config: the run's settings, logged with the metrics.
        folder: where trackers that write files put them.
    """
    if config.tracking.to == "none":
        yield Callback()
        return
    accelerator = _accelerator(config, folder)
    try:
        yield _Tracker(accelerator)
    finally:
        accelerator.end_training()


class _Tracker(Callback):
    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator

    def on_evaluation(self, state: TrainingState) -> None:
        """Log the new row under its optimiser step; empty cells are left out."""
        row = state.history[-1]
        values = {name: value for name, value in row.items() if value is not None}
        self._accelerator.log(values, step=values.pop("step"))


def _accelerator(config: Config, folder: Path) -> Accelerator:
    """Precision is not its business: it would fall back without a word."""
    tracker = config.tracking.to
    # Whoever shares this process may have made one of another precision, and there is only one.
    precision = None if is_initialized() else "no"
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(mixed_precision=precision, log_with=tracker, project_dir=str(folder))
    # Trackers take flat tables of plain values.
    settings = {
        name: value if isinstance(value, int | float | str) else json.dumps(value)
        for name, value in config.by_name().items()
        if "." in name
    }
    init = {"wandb": {"dir": str(folder)}} if tracker == "wandb" else {}
    accelerator.init_trackers(PROJECT, config=settings, init_kwargs=init)
    return accelerator
