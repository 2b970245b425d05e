"""What a finished training is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tightfit import storage


@dataclass(frozen=True)
class TrainResult:
    """What a finished training is worth, and where it lies.

    Attributes:
        run: the run folder.
        task: what a target is.
        total: trainable parameters.
        accuracy: on the validation rows, as is ``macro_f1``.
        macro_f1: the mean over classes of their F1.
        start_accuracy: before the first step, on the rows that evaluations while training score.
        best_step: the step whose weights were kept.
        steps: optimiser steps that were taken.
        epochs: passes over the training rows.
        examples: rows that were trained on, each time counted.
        seconds: of training, evaluations included.
        examples_per_second: in steps alone.
        tokens_per_second: likewise.
        proofs: by name, whether each holds, and whether a failure was declared (``expected``).
    """

    run: Path
    task: str
    total: int
    accuracy: float
    macro_f1: float
    start_accuracy: float
    best_step: int
    steps: int
    epochs: float
    examples: int
    seconds: float
    examples_per_second: float
    tokens_per_second: float
    proofs: Mapping[str, Mapping[str, bool]]

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit train --json`` prints."""
        return {**asdict(self), "run": str(self.run)}


def read_result(path: Path) -> TrainResult:
    """The result of a finished run.

    Raises:
        ArtefactError: the run is incomplete or damaged.
    """
    folder = storage.open_run(path)
    first = storage.read_json_lines(folder.history)[0]
    # Of runs of format 1 some of it is known without having been written.
    known = {"task": "single", "start_accuracy": first["eval_accuracy"]}
    return TrainResult(run=path, **{**known, **storage.read_json(folder.metrics)["train"]})
