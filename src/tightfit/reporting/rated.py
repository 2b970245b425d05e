"""What a model of ratings is worth: predicted against given, and how far off it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightfit.display import percent
from tightfit.metrics.conformal import LEVEL, Reach
from tightfit.reporting.drawing import (
    Axis,
    Chart,
    Dot,
    Line,
    Point,
    histogram,
    nice_range,
    x_axis,
    y_axis,
)
from tightfit.run import Run
from tightfit.tasks.rating import Rating

MOST_DOTS = 400
"""Rows that are drawn; of more, a sample drawn at random looks the same."""
RADIUS = 2.2
BINS = 24
"""Bars of the errors."""


@dataclass(frozen=True)
class Rated:
    """Pictures of the validation rows, and what the intervals are worth."""

    mean_error: float
    """Mean absolute error of who answers the mean to each text."""
    words: str
    charts: tuple[Chart, ...]


def rated(run: Run) -> Rated:
    """What the page shows of ratings."""
    task, rows, found = run.task, run.validation, run.intervals
    assert isinstance(task, Rating)
    if rows is None or found is None:
        return Rated(math.nan, "The validation rows are not on record.", ())
    values_N, targets_N = task.values(rows.logits_NK), rows.targets_N
    return Rated(
        float(np.abs(targets_N - task.mean).mean()),
        _words(found),
        (_scatter(targets_N, values_N, found.value), _errors(values_N - targets_N, found.value)),
    )


def _words(found: Reach) -> str:
    if found.value is None:
        return (
            f"{found.rows:,} validation rows are too few for intervals: 9 are the fewest for "
            f"{percent(LEVEL, 0)}."
        )
    words = (
        f"Every prediction comes with an interval of ±{found.value:.3g}, which holds the true "
        f"rating of {percent(LEVEL, 0)} of texts like these (split conformal, arXiv:1604.04173)."
    )
    if found.coverage is None:
        return words
    ends = f"{percent(found.coverage.low)} to {percent(found.coverage.high)}"
    return (
        f"{words} Taken from one half of the {found.rows:,} validation rows, such intervals hold "
        f"{percent(found.coverage.value)} ({ends}) of the other."
    )


def _scatter(
    targets_N: NDArray[np.float64], values_N: NDArray[np.float64], reach: float | None
) -> Chart:
    rows = np.arange(len(targets_N))
    if len(rows) > MOST_DOTS:
        rows = np.random.default_rng(0).choice(rows, MOST_DOTS, replace=False)
    both = np.concatenate([targets_N, values_N])
    places = nice_range([float(both.min()), float(both.max())])
    across, up = x_axis("given", places), y_axis("predicted", places)
    dots = tuple(
        Dot(across(given), up(said), RADIUS, up(said), f"given {given:.4g}, predicted {said:.4g}")
        for given, said in zip(targets_N[rows].tolist(), values_N[rows].tolist(), strict=True)
    )
    shifts = [0.0] if reach is None else [0.0, -reach, reach]
    lines = tuple(
        Line("", "quiet" if shift else "guide", _diagonal(across, up, shift), False)
        for shift in shifts
    )
    sample = f"; {len(rows)} rows of {len(targets_N):,}" if len(rows) < len(targets_N) else ""
    return Chart(
        title="Predicted by given",
        about=f"predicted rating by given rating of {len(rows)} rows; perfect is the diagonal",
        x=across,
        y=up,
        lines=lines,
        dots=dots,
        note=f"A perfect prediction is on the diagonal{sample}."
        + (f" Between the outer lines are {percent(LEVEL, 0)}." if reach else ""),
    )


def _diagonal(across: Axis, up: Axis, shift: float) -> tuple[Point, Point]:
    """The part inside the picture of the line on which predictions are off by ``shift``."""
    low, high = across.low, across.high
    start, end = max(low, low - shift), min(high, high - shift)
    return (across(start), up(start + shift)), (across(end), up(end + shift))


def _errors(errors_N: NDArray[np.float64], reach: float | None) -> Chart:
    counts, edges = np.histogram(errors_N, bins=BINS)
    across = x_axis("predicted less given", nice_range([float(edges[0]), float(edges[-1])]))
    up = y_axis("rows", nice_range([0, max(int(counts.max()), 1)], floor=0))
    limit = np.inf if reach is None else reach
    bars = histogram(
        across,
        up,
        edges.tolist(),
        counts.tolist(),
        tone=lambda start, end: "accent" if abs(start + end) / 2 <= limit else "alert",
        hint=lambda count, start, end: f"{count:,} rows off by {start:+.3g} to {end:+.3g}",
    )
    return Chart(
        title="How far off",
        about=f"rows by error; {(abs(errors_N) <= limit).mean():.0%} within the interval",
        x=across,
        y=up,
        bars=bars,
        note="Errors outside the interval are in another colour." if reach else "",
    )
