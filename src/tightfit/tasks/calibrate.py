"""Confidence that can be believed: the temperature of a run, and from where it may keep silent.

Both come from the validation rows that the run has on record. A temperature changes probabilities
and never a label (Guo et al. 2017, arXiv:1706.04599). Who only reads one waits for no scipy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from tightfit.errors import UsageError
from tightfit.metrics.conformal import Reach, fit_reach
from tightfit.storage import RunFolder, find_derived, write_derived
from tightfit.tasks.task import Task

if TYPE_CHECKING:
    from tightfit.metrics.calibration import Scale, Temperature, Threshold
    from tightfit.tasks.validation_logits import ValidationLogits

DERIVED_NAME = "calibration"
"""The file in the run's ``derived/``."""

INTERVALS_NAME = "intervals"
"""That of how far the intervals of ratings reach."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

LEVELS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of wrong answers that are offered where the one asked for cannot be kept."""


@dataclass(frozen=True)
class Calibration:
    """One temperature, with log loss (nats) and expected calibration error without and with it.

    Both are measured on the rows that it was fitted on; one number can hardly overfit them.
    """

    temperature: Positive | tuple[Positive, ...]
    """One, or one of each label."""
    rows: int
    log_loss_before: float
    log_loss_after: float
    ece_before: float
    ece_after: float
    reason: str | None = None
    """Why the temperature is 1, where none could be fitted; of runs of earlier versions, too."""


def scale_words(scale: Scale) -> str:
    """A temperature, or the least and the greatest of those of all labels."""
    if isinstance(scale, tuple):
        return f"{min(scale):.3g} to {max(scale):.3g}, one a label"
    return f"{scale:.3g}"


def calibrate(validation_logits: ValidationLogits, *, mixed: bool = False) -> Calibration:
    """Fit the temperature on rows that the classifier did not learn from.

    Args:
        validation_logits: what it says of them.
        mixed: a side head adds to these logits, so many times as these rows chose. They chose that
            at the best temperature of the sum, which without one is many times too sharp: where
            that flattens it is kept, however far it is from 1.
    """
    rows = validation_logits
    fitted = _temperature(rows, mixed=mixed)
    return Calibration(
        temperature=fitted.value,
        rows=len(rows),
        log_loss_before=fitted.log_loss_before,
        log_loss_after=fitted.log_loss_after,
        ece_before=rows.calibration_error(1.0),
        ece_after=rows.calibration_error(fitted.value),
        reason=fitted.reason,
    )


def _temperature(rows: ValidationLogits, *, mixed: bool) -> Temperature[Scale]:
    from tightfit.metrics.calibration import fit_temperature

    if mixed:
        chosen = fit_temperature(rows.logits_NK, rows.targets_N, weights_B=rows.weights_N)
        if chosen.value > 1:
            return chosen
    return rows.task.fit_temperature(rows.logits_NK, rows.targets_N, rows.weights_N)


def fit_intervals(validation_logits: ValidationLogits) -> Reach:
    """How far the intervals of ratings reach, by rows that the model did not learn from."""
    said = validation_logits.predictions(1.0)
    return fit_reach(np.array(said.told()) - validation_logits.targets_N)


Kept = Callable[[], "ValidationLogits | None"]
"""Reads what a run said of its validation rows, which many a question does not need."""


def keep_calibration(
    folder: RunFolder, validation_logits: ValidationLogits, *, mixed: bool
) -> None:
    """Put the temperature of a run on record, or how far the intervals of its ratings reach.

    Raises:
        MachineError: it cannot be written.
    """
    if validation_logits.task.calibrates:
        found = calibrate(validation_logits, mixed=mixed)
        write_derived(folder, DERIVED_NAME, asdict(found))
    else:
        write_derived(folder, INTERVALS_NAME, asdict(fit_intervals(validation_logits)))


def calibration_of(folder: RunFolder, task: Task, rows: Kept, *, mixed: bool) -> Calibration | None:
    """That of a run; fitted anew where it is not on record, None where it cannot be.

    ``mixed`` is as for :func:`calibrate`.

    Raises:
        ArtefactError: what is on record is damaged.
    """
    kept = find_derived(folder, DERIVED_NAME, Calibration)
    if kept is not None or not task.calibrates:
        return kept
    found = rows()
    return None if found is None else calibrate(found, mixed=mixed)


def intervals_of(folder: RunFolder, task: Task, rows: Kept) -> Reach | None:
    """How far the intervals of a run's ratings reach, likewise; None of other answers.

    Raises:
        ArtefactError: what is on record is damaged.
    """
    if task.calibrates:
        return None
    kept = find_derived(folder, INTERVALS_NAME, Reach)
    if kept is not None:
        return kept
    found = rows()
    return None if found is None else fit_intervals(found)


def choose_threshold(
    validation_logits: ValidationLogits | None,
    temperature: Scale,
    max_error: float,
    thresholds: Mapping[int, float] | None = None,
) -> Threshold:
    """The confidence from which on at most ``max_error`` of the answers are wrong.

    That holds with 95% confidence for texts like the validation rows, answered with these
    thresholds of single labels;
    :func:`tightfit.metrics.calibration.abstain_threshold` says how.

    Raises:
        UsageError: these rows are too few, or too often wrong, to show so small an error.
    """
    from tightfit.metrics.calibration import abstain_threshold

    if validation_logits is None:
        raise UsageError(
            "the run has no validation rows on record, so no level of error can be guaranteed",
            next_step="train again, or leave out the level",
        )
    confidences_N, right_N = validation_logits.confidences(temperature, thresholds)
    found = abstain_threshold(confidences_N, right_N, max_error=max_error)
    if found is not None:
        return found
    offered = (level for level in LEVELS if level > max_error)
    possible = (
        level for level in offered if abstain_threshold(confidences_N, right_N, max_error=level)
    )
    least = next(possible, None)
    raise UsageError(
        f"{len(validation_logits):,} validation rows cannot show that at most {max_error:.2%} of "
        "the answers would be wrong",
        seen=f"{int((~right_N).sum()):,} of them are answered wrongly",
        allowed="no level" if least is None else f"{least:g} or more",
        next_step="allow more errors, or train with more validation rows",
    )
