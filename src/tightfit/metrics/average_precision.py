"""Average precision of labels, with intervals, for many labels at once.

Shapes: N rows, K labels, R resamples, E ends of runs of equal probabilities.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tightfit.metrics.interval import Interval

RESAMPLES = (50, 200)
"""Least and most draws of the rows, from which a standard error is taken."""
DRAWN = 600_000
"""Rows that are drawn in all for one label, between those limits: some hundredths of a second."""
REACH = 1.959964
"""Standard errors to either side of a 95% interval."""


def average_precisions(
    true_NK: NDArray[np.bool_], shares_NK: NDArray[np.float64], *, seed: int = 0
) -> list[Interval]:
    """The average precision of each label: mean precision over its rows, in falling order of their
    probability; those of one probability come together, as in scikit-learn.

    The interval is normal, with the bootstrap's standard error. A label that no row has is 0, with
    the interval 0 to 1.
    """
    rows = len(true_NK)
    draws = int(np.clip(DRAWN // max(rows, 1), *RESAMPLES))
    random = np.random.default_rng(seed)
    counts_RN = random.multinomial(rows, np.full(rows, 1 / rows), size=draws).astype(np.float64)
    weights_RN = np.concatenate([np.ones((1, rows)), counts_RN])
    return [
        _interval(true_N, share_N, weights_RN)
        for true_N, share_N in zip(true_NK.T, shares_NK.T, strict=True)
    ]


def _interval(
    true_N: NDArray[np.bool_], share_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> Interval:
    if not true_N.any():
        return Interval(0.0, 0.0, 1.0)
    value, *drawn = weighted_average_precisions(true_N, share_N, weights_RN).tolist()
    reach = REACH * float(np.nanstd(drawn, ddof=1)) if len(true_N) > 1 else 1.0
    return Interval(value, max(0.0, value - reach), min(1.0, value + reach))


def weighted_average_precisions(
    true_N: NDArray[np.bool_], share_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of one label for R weightings of the rows; not a number where no row with it has weight."""
    falling_N = np.argsort(-share_N, kind="stable")
    ends_E = np.append(np.flatnonzero(np.diff(share_N[falling_N])), len(share_N) - 1)
    weights_RN = weights_RN[:, falling_N]
    hits_RE = np.cumsum(weights_RN * true_N[falling_N], axis=1)[:, ends_E]
    given_RE = np.cumsum(weights_RN, axis=1)[:, ends_E]
    precision_RE = np.divide(hits_RE, given_RE, out=np.zeros(hits_RE.shape), where=given_RE > 0)
    steps_RE = np.diff(hits_RE, axis=1, prepend=0.0)
    whole_R = hits_RE[:, -1]
    found_R: NDArray[np.float64] = np.divide(
        (steps_RE * precision_RE).sum(axis=1),
        whole_R,
        out=np.full(len(whole_R), np.nan),
        where=whole_R > 0,
    )
    return found_R
