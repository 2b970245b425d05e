"""Metrics to a tracker, through accelerate's own; the run's history is kept either way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.state import is_initialized

from tightfit.config import Config
from tightfit.extras import ensure

PROJECT = "tightfit"


def check_tracker(config: Config) -> None:
    """Refuse early what :func:`make_accelerator` would refuse when the run has begun.

    Raises:
        MissingExtraError: the tracker's package is not installed.
    """
    if config.tracking.to != "none":
        ensure(config.tracking.to, f"tracking.to={config.tracking.to}")


def make_accelerator(config: Config, folder: Path) -> Accelerator:
    """An accelerator with the tracker that ``tracking.to`` names, if any.

    Precision is not its business: it would fall back without a word.

    Args:
        config: the run's settings, logged with the metrics.
        folder: where trackers that write files put them.

    Raises:
        MissingExtraError: the tracker's package is not installed.
    """
    check_tracker(config)
    tracker = config.tracking.to
    # Whoever shares this process may have made one of another precision, and there is only one.
    precision = None if is_initialized() else "no"
    if tracker == "none":
        return Accelerator(mixed_precision=precision)
    folder.mkdir(parents=True, exist_ok=True)
    accelerator = Accelerator(mixed_precision=precision, log_with=tracker, project_dir=str(folder))
    # Trackers take flat tables of plain values.
    settings = {
        f"{section}.{key}": value if isinstance(value, int | float | str) else json.dumps(value)
        for section, values in config.model_dump(mode="json").items()
        if isinstance(values, dict)
        for key, value in values.items()
    }
    init = {"wandb": {"dir": str(folder)}} if tracker == "wandb" else {}
    accelerator.init_trackers(PROJECT, config=settings, init_kwargs=init)
    return accelerator


def log_row(accelerator: Accelerator, row: Mapping[str, Any]) -> None:
    """Log one history row under its optimiser step; empty cells are left out."""
    values = {key: value for key, value in row.items() if value is not None and key != "step"}
    accelerator.log(values, step=row["step"])
