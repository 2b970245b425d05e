"""The proof that a cheap classifier may answer: its test, its bound, its search."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import poisson

from tightfit.errors import DataError, UsageError
from tightfit.metrics.allowed_loss import hand_over, loss_bound, loss_p_value

ROWS = 5000


def test_the_p_value_is_that_of_the_maximum_likelihood() -> None:
    """The share of wins under the hypothesis, found by a search instead of the closed form."""
    lost, won, allowed = 14, 6, 0.003
    wins = np.linspace(1e-6, 0.02, 200_001)
    likelihood = lost * np.log(wins + allowed) + won * np.log(wins)
    likelihood += (ROWS - lost - won) * np.log(1 - 2 * wins - allowed)
    best = wins[likelihood.argmax()]
    variance = ROWS * (2 * best + allowed - allowed**2)
    z = (lost - won - ROWS * allowed) / math.sqrt(variance)
    wanted = 0.5 * math.erfc(-z / math.sqrt(2))
    assert loss_p_value(lost, won, ROWS, allowed) == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("allowed", [0.003, 0.01])
@pytest.mark.parametrize("rows", [1000, 5000])
@pytest.mark.parametrize("won_share", [0.0, 0.0005, 0.002])
def test_it_is_fooled_no_more_often_than_stated(
    allowed: float, rows: int, won_share: float
) -> None:
    """The chance of passing although the loss is the allowed one, summed over all counts."""
    mean_lost, mean_won = rows * (won_share + allowed), rows * won_share
    lost = np.arange(int(mean_lost + 8 * math.sqrt(mean_lost) + 15))
    won = np.arange(int(mean_won + 8 * math.sqrt(mean_won) + 15))
    chances = np.outer(poisson.pmf(lost, mean_lost), poisson.pmf(won, mean_won))
    likely = np.argwhere(chances > 1e-7)
    passed = [
        chances[i, j] for i, j in likely if loss_p_value(int(i), int(j), rows, allowed) <= 0.05
    ]
    assert sum(passed) <= 0.056


def test_the_bound_is_where_the_test_turns() -> None:
    """Just below it the test does not pass, just above it does; no difference at all has a bound
    too."""
    for lost, won in ((0, 0), (12, 5), (40, 44), (5, 60)):
        bound = loss_bound(lost, won, ROWS, 0.95)
        assert loss_p_value(lost, won, ROWS, bound + 1e-6) < 0.05
        assert bound == 0 or loss_p_value(lost, won, ROWS, bound - 1e-6) > 0.05
    assert loss_bound(0, 0, ROWS, 0.95) == pytest.approx(2.71 / ROWS, rel=0.01)
    assert loss_bound(20, 0, 20, 0.95) == 1.0


def answers(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidences; a cheap classifier that errs the more, the less sure it is; one that rarely
    errs."""
    random = np.random.default_rng(seed)
    sure_N = random.uniform(0.25, 1.0, ROWS)
    cheap_N = random.uniform(size=ROWS) < 0.6 + 0.4 * np.minimum(sure_N / 0.7, 1)
    return sure_N, cheap_N, random.uniform(size=ROWS) < 0.98


def test_the_lowest_threshold_that_passes() -> None:
    """Counted again by hand; one step further does not pass."""
    sure_N, cheap_N, other_N = answers()
    found = hand_over(sure_N, cheap_N, other_N, max_loss=0.01)
    assert found is not None
    assert 0.3 < found.answered / ROWS < 0.8
    taken_N = sure_N >= found.threshold
    both_N = np.where(taken_N, cheap_N, other_N)
    assert found.answered == taken_N.sum()
    assert found.loss == pytest.approx(other_N.mean() - both_N.mean())
    assert found.loss <= found.loss_bound <= 0.01
    further_N = sure_N >= np.sort(sure_N)[::-1][found.answered + ROWS // 20 - 1]
    lost = int((further_N & ~cheap_N & other_N).sum())
    won = int((further_N & cheap_N & ~other_N).sum())
    assert loss_p_value(lost, won, ROWS, 0.01) > 0.05


def test_equal_confidences_stay_together() -> None:
    """Of rows that nothing tells apart, all are answered or none."""
    right_N = np.ones(2000, dtype=bool)
    found = hand_over(np.full(2000, 0.5), right_N, right_N, max_loss=0.01)
    assert found is not None
    assert (found.answered, found.threshold) == (2000, 0.5)


def test_nothing_is_found_where_nothing_can_be_shown() -> None:
    """Too few rows, even where both are always right; or a cheap one that is always wrong."""
    few, many = np.ones(200, dtype=bool), np.ones(ROWS, dtype=bool)
    assert hand_over(np.ones(200), few, few, max_loss=0.003) is None
    assert hand_over(np.ones(ROWS), ~many, many, max_loss=0.003) is None


def test_faults_are_refused() -> None:
    """Levels and confidences out of range."""
    right_N = np.ones(3, dtype=bool)
    with pytest.raises(UsageError, match="between 0 and 1"):
        hand_over(np.ones(3), right_N, right_N, max_loss=0.0)
    with pytest.raises(DataError, match="cannot be used"):
        hand_over([0.5, np.nan, 0.5], right_N, right_N, max_loss=0.01)
