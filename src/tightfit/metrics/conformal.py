"""How far off a predicted number may be: split-conformal intervals.

From rows that the model did not learn from, whatever its errors are like: a new row of the same
source lies within the interval with at least the promised probability (Vovk, Gammerman and Shafer
2005; Lei et al. 2018, arXiv:1604.04173).

Shapes: N rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from tightfit.metrics.interval import Interval
from tightfit.metrics.intervals import wilson

LEVEL = 0.9
"""Share of new rows that an interval is to cover."""


@dataclass(frozen=True)
class Reach:
    """How far an interval reaches to either side of a prediction.

    Attributes:
        value: in the unit of the errors; None where rows are too few to promise anything.
        rows: that it was taken from.
        coverage: of intervals that were taken from one half of these rows, on the other; None
            where a half is too small.
    """

    value: float | None
    rows: int
    coverage: Interval | None


def conformal_reach(errors_N: ArrayLike) -> float | None:
    """The ``ceil((n + 1) LEVEL)``-th smallest absolute error of n rows; None of too few rows.

    With n + 1 in place of n the new row counts as one of those it is compared with, which makes
    the promise hold for any n: 9 rows are the fewest for 90%.
    """
    sizes_N = np.sort(np.abs(np.asarray(errors_N, dtype=np.float64)))
    # A product such as 10 * 0.9 is 9, whatever its last binary digit.
    place = math.ceil((len(sizes_N) + 1) * LEVEL - 1e-9)
    return float(sizes_N[place - 1]) if place <= len(sizes_N) else None


def fit_reach(errors_N: ArrayLike) -> Reach:
    """The reach of intervals, and what share of other rows such intervals cover."""
    found_N = np.asarray(errors_N, dtype=np.float64)
    count = len(found_N)
    half_N = np.random.default_rng(0).permutation(count) < count // 2
    covered = 0
    for here_N in (half_N, ~half_N):
        reach = conformal_reach(found_N[~here_N])
        if reach is None:
            return Reach(conformal_reach(found_N), count, None)
        covered += int((np.abs(found_N[here_N]) <= reach).sum())
    return Reach(conformal_reach(found_N), count, wilson(covered, count))
