"""Whether the classifier's confidence can be believed: before and after calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tightfit.display import percent
from tightfit.metrics.calibration import ReliabilityBin, Scale, abstain_threshold, reliability_bins
from tightfit.reporting.drawing import (
    Chart,
    Dot,
    Line,
    nice_range,
    percent_tick,
    x_axis,
    y_axis,
)
from tightfit.run import Run
from tightfit.tasks.calibrate import Calibration
from tightfit.tasks.chosen_threshold import ChosenThreshold
from tightfit.tasks.validation_logits import ValidationLogits

LEVELS = (0.01, 0.02, 0.05, 0.1)
"""Shares of wrong answers for which the page tells how many texts would be answered."""
SMALLEST, LARGEST = 3.0, 11.0
"""Radius of a bin with hardly a row, and of one with all of them."""


@dataclass(frozen=True)
class Abstention:
    """How much is answered if at most ``level`` of the answers may be wrong."""

    level: float
    threshold: float | None
    """Least confidence of an answer; None where these rows cannot show so small an error."""
    answered: float
    """Share of the rows."""


@dataclass(frozen=True)
class Confidence:
    """Reliability diagrams, the numbers with them, and what keeping silent would bring."""

    words: str
    charts: tuple[Chart, ...]
    note: str
    """What a disc is."""
    abstentions: tuple[Abstention, ...]
    """Empty where a row has several labels, each of which is given or not."""
    thresholds: tuple[ChosenThreshold, ...]
    """From which probability on labels are answered, as ``evaluate`` chose it."""


def confidence(run: Run) -> Confidence | None:
    """The confidence of a run on its validation rows; None where they are not on record, or ratings
    have none."""
    if run.validation is None or run.calibration is None:
        return None
    temperature, one_class = run.calibration.temperature, run.task.one_class
    named: list[tuple[str, Scale]] = [("As trained", 1.0)]
    if run.calibration.reason is None:
        how = f"temperature {temperature:.2f}" if isinstance(temperature, float) else "by label"
        named.append((f"Calibrated, {how}", temperature))
    weights_B = run.validation.weights_N if one_class else None
    bins = [
        reliability_bins(*_told(run.validation, value), weights_B=weights_B) for _, value in named
    ]
    lowest = min(min(point.confidence, point.accuracy) for points in bins for point in points)
    # Both diagrams share their scale, or else they could not be compared.
    places = nice_range([min(lowest, 0.9), 1.0], floor=0.0, ceiling=1.0)
    what = ("rows", "sure", "right") if one_class else ("labels of rows", "probable", "true")
    charts = [
        _chart(title, points, places, what) for (title, _), points in zip(named, bins, strict=True)
    ]
    disc = "the rows of about one confidence" if one_class else "labels, of about one probability"
    levels = LEVELS if one_class else ()
    return Confidence(
        words=_words(run.calibration),
        charts=tuple(charts),
        note=f"A disc is {disc}",
        abstentions=tuple(_abstention(run.validation, temperature, level) for level in levels),
        thresholds=run.chosen_thresholds if one_class else (),
    )


def _told(rows: ValidationLogits, temperature: Scale) -> tuple[NDArray[Any], NDArray[Any]]:
    """Confidences, and whether they are right; where rows have several labels, the probability of
    each, and whether the row has it."""
    if rows.task.one_class:
        return rows.confidences(temperature)
    return rows.task.probabilities(rows.logits_NK, temperature).ravel(), rows.targets_N.ravel()


def _words(calibration: Calibration) -> str:
    temperature = calibration.temperature
    if calibration.reason is not None:
        return f"Probabilities are left as trained: {calibration.reason}."
    if isinstance(temperature, tuple):
        own = sum(each != 1 for each in temperature)
        return (
            f"{own} of {len(temperature)} labels have a temperature of their own, fitted on these "
            f"{calibration.rows:,} rows, by which their probabilities are calibrated."
        )
    change = "less" if temperature > 1 else "more"
    return (
        f"A temperature of {temperature:.2f}, fitted on these "
        f"{calibration.rows:,} rows, makes the classifier {change} sure of itself; "
        "no label changes by it. Every probability that this run gives is calibrated so."
    )


def _chart(
    title: str,
    points: tuple[ReliabilityBin, ...],
    places: list[float],
    what: tuple[str, str, str],
) -> Chart:
    """A reliability diagram; ``what`` is counted, how probable it is said to be, and that it is."""
    start = places[0]
    across = x_axis("confidence" if what[1] == "sure" else "probability", places, percent_tick)
    up = y_axis(f"share {what[2]}", places, percent_tick)
    rows = sum(point.rows for point in points)
    dots = tuple(
        Dot(
            x=across(point.confidence),
            y=up(point.accuracy),
            radius=round(SMALLEST + (LARGEST - SMALLEST) * math.sqrt(point.rows / rows), 1),
            stem_from=up(point.confidence),
            hint=f"{point.rows:,} {what[0]}: {percent(point.confidence)} {what[1]}, "
            f"{percent(point.accuracy)} {what[2]}",
        )
        for point in points
    )
    return Chart(
        title=title,
        about=f"share {what[2]} by share {what[1]} in {len(points)} bins; perfect is the diagonal",
        x=across,
        y=up,
        lines=(Line("", "guide", ((across(start), up(start)), (across(1.0), up(1.0))), False),),
        dots=dots,
    )


def _abstention(
    validation_logits: ValidationLogits, temperature: Scale, level: float
) -> Abstention:
    found = abstain_threshold(*validation_logits.confidences(temperature), max_error=level)
    if found is None:
        return Abstention(level, None, 0.0)
    return Abstention(level, found.value, found.answered / found.rows)
