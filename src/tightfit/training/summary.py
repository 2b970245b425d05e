"""The outcome of a training in a few numbers, as ``metrics.json`` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tightfit.metrics.scores import Scores

ScoreSource = Literal["validation", "cross_validation"]
"""What scores were measured on: rows held out or given, or each row by trainings without it."""


@dataclass(frozen=True)
class Continued:
    """What became of what another run knew.

    Attributes:
        run: that was gone on from.
        kept_apart: whether the rows are that run's own validation rows; otherwise they are new
            validation rows with labels that it knows.
        rows: that both were scored on, and neither trained on.
        before: accuracy of that run on them; None where there are no such rows.
        after: accuracy of this one.
        new_labels: that it did not know.
        labels_gone: that no new row has; they are kept.
    """

    run: str
    kept_apart: bool
    rows: int
    before: float | None
    after: float | None
    new_labels: tuple[str, ...] = ()
    labels_gone: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainSummary:
    """What training took, and what came of it.

    Attributes:
        task: what a target is.
        total: trainable parameters.
        accuracy: on the validation rows, as is ``macro_f1``; None where no row had a label.
        macro_f1: the mean over classes of their F1.
        start_accuracy: before the first step, on the rows that evaluations while training score;
            None where there are none.
        best_step: the step whose weights were kept.
        steps: optimiser steps that were taken.
        epochs: passes over the training rows.
        examples: rows that were trained on, each time counted.
        seconds: of training, evaluations included.
        examples_per_second: in steps alone.
        tokens_per_second: likewise.
        proofs: by name, whether each holds, and whether a failure was declared (``expected``), and
            whether the start was kept (``kept_start``).
        source: of accuracy and macro F1, where there are any.
        continued: of a training that went on from a run, what became of what that knew.
    """

    task: str
    total: int
    accuracy: float | None
    macro_f1: float | None
    start_accuracy: float | None
    best_step: int
    steps: int
    epochs: float
    examples: int
    seconds: float
    examples_per_second: float
    tokens_per_second: float
    proofs: Mapping[str, Mapping[str, bool]]
    source: ScoreSource | None = "validation"
    continued: Continued | None = None

    @property
    def kept_start(self) -> bool:
        """Whether no step did better than the start, so that the adapters change nothing."""
        return self.proofs.get("no_regression", {}).get("kept_start", False)


@dataclass(frozen=True)
class Metrics:
    """The outcome of a training."""

    train: TrainSummary
    validation: Scores | None
    """On the validation rows; None where no row had a label."""


@dataclass(frozen=True)
class Evaluated:
    """The outcome on other rows, since the run was sealed."""

    data: str
    """Where the rows came from."""
    scores: Scores
