"""How much a cheap classifier may answer before accuracy is lost, proven on labelled rows.

Shapes: N rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from tightfit.errors import UsageError
from tightfit.metrics.arguments import confidence_rows

SHARES = tuple(percent / 100 for percent in range(5, 101, 5))
"""Shares of the rows that are tried, the most confident first.

Few of them: each step is a chance to end the search by bad luck, as 0.1% steps did on AG News.
"""


@dataclass(frozen=True)
class Handover:
    """The confidence from which on the cheap classifier answers, and what that costs.

    Attributes:
        threshold: rows of at least this confidence are answered by it.
        rows: rows it was chosen on.
        answered: how many of them it answers.
        lost: rows that it gets wrong and the other gets right.
        won: rows that it gets right and the other gets wrong.
        loss: share of rows lost, less those won.
        loss_bound: upper confidence bound of that share for rows not seen yet.
    """

    threshold: float
    rows: int
    answered: int
    lost: int
    won: int
    loss: float
    loss_bound: float


def hand_over(
    confidences_N: ArrayLike,
    cheap_right_N: ArrayLike,
    other_right_N: ArrayLike,
    *,
    max_loss: float,
    confidence: float = 0.95,
) -> Handover | None:
    """The lowest confidence from which on the cheap classifier may answer, or None.

    With probability ``confidence`` over the choice of these rows, the accuracy of both together is
    at most ``max_loss`` below that of the other alone, on rows from the same source. A threshold
    for each of :data:`SHARES`, set without a look at what is right, is tested, from strict to
    lenient, until the first that fails: fixed-sequence testing, which needs no correction for the
    number of tests (Learn then Test, Angelopoulos et al. 2021, arXiv:2110.01052). The test is
    :func:`loss_p_value`.

    Args:
        confidences_N: of the cheap classifier's answers, 0 to 1; from rows it did not learn from.
        cheap_right_N: whether its answers are right.
        other_right_N: whether those of the other are.
        max_loss: share of all rows, such as 0.003.
        confidence: of the whole statement.

    Raises:
        UsageError: a level or confidence that does not lie between 0 and 1.
        DataError: no rows, or confidences that are none.
    """
    if not 0 < max_loss < 1 or not 0 < confidence < 1:
        raise UsageError(
            "max_loss and confidence must lie between 0 and 1",
            seen=f"max_loss={max_loss}, confidence={confidence}",
        )
    sure_N, cheap_N = confidence_rows(confidences_N, cheap_right_N)
    other_N: NDArray[np.bool_] = np.asarray(other_right_N, dtype=bool)
    rows, chosen = len(sure_N), None
    for threshold in np.quantile(sure_N, 1 - np.array(SHARES), method="lower").tolist():
        answered_N = sure_N >= threshold
        lost = int((answered_N & ~cheap_N & other_N).sum())
        won = int((answered_N & cheap_N & ~other_N).sum())
        if loss_p_value(lost, won, rows, max_loss) > 1 - confidence:
            break
        bound = loss_bound(lost, won, rows, confidence)
        answered = int(answered_N.sum())
        chosen = Handover(threshold, rows, answered, lost, won, (lost - won) / rows, bound)
    return chosen


def loss_p_value(lost: int, won: int, rows: int, allowed: float) -> float:
    """How likely so small a loss is by chance, where the true one is ``allowed`` or more.

    Tango's score test for paired proportions (Tango 1998, Stat. Med. 17:891-908): the variance is
    that under the hypothesis, so that a handful of differing rows, or none, is judged soberly.
    """
    root = 2 * rows - lost + won
    slope = root * allowed - lost - won
    product = won * allowed * (1 - allowed)
    won_share = (math.sqrt(slope**2 + 8 * rows * product) - slope) / (4 * rows)
    variance = rows * (2 * won_share + allowed * (1 - allowed))
    return float(ndtr((lost - won - rows * allowed) / math.sqrt(variance)))


def loss_bound(lost: int, won: int, rows: int, confidence: float) -> float:
    """The least share that :func:`loss_p_value` rejects: the upper bound of the loss."""
    start = max((lost - won) / rows, 0.0) + 1e-12
    if loss_p_value(lost, won, rows, 1 - 1e-12) > 1 - confidence:
        return 1.0

    def excess(allowed: float) -> float:
        return loss_p_value(lost, won, rows, allowed) - (1 - confidence)

    # Where far more is won than lost, the bound is below zero, which is no loss at all.
    return 0.0 if excess(start) <= 0 else float(brentq(excess, start, 1 - 1e-12))
