"""Intervals against reference libraries, against the obvious way, and against the truth."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.stats.proportion import proportion_confint

from tightfit.errors import DataError
from tightfit.metrics import intervals
from tightfit.metrics.interval import Interval
from tightfit.metrics.intervals import bootstrap, over_seeds, wilson
from tightfit.metrics.scores import macro_f1

Ints = NDArray[np.int64]


def sure_table(accuracy: float, classes: int = 4) -> NDArray[np.float64]:
    """True shares of a confusion table with equal classes and evenly spread errors."""
    table_KK = np.full((classes, classes), (1 - accuracy) / (classes - 1))
    np.fill_diagonal(table_KK, accuracy)
    return table_KK / classes


def f1_interval(confusion_KK: Ints, **options: Any) -> Interval:
    """The interval of macro-F1 from a confusion table."""
    true_C, predicted_C = np.nonzero(confusion_KK)
    counts_C = confusion_KK[true_C, predicted_C]
    return bootstrap(lambda c_RC: macro_f1(c_RC, true_C, predicted_C), counts_C, **options)


def drawn_table(rows: int, accuracy: float, seed: int = 0) -> Ints:
    """A confusion table of so many rows."""
    shares_KK = sure_table(accuracy)
    drawn = np.random.default_rng(seed).multinomial(rows, shares_KK.ravel())
    return np.asarray(drawn.reshape(shares_KK.shape))


def test_an_interval_is_three_numbers_in_json() -> None:
    """The names are those of the contract."""
    assert Interval(0.5, 0.4, 0.6).to_json() == {"value": 0.5, "low": 0.4, "high": 0.6}


@pytest.mark.parametrize("n", [1, 7, 640, 7600])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.88125, 1.0])
def test_wilson_agrees_with_statsmodels(n: int, share: float) -> None:
    """The same ends to 1e-9."""
    successes = round(share * n)
    found = wilson(successes, n)
    assert (found.low, found.high) == pytest.approx(
        proportion_confint(successes, n, 0.05, "wilson"), abs=1e-9
    )
    assert found.value == successes / n


def test_wilson_keeps_inside_and_has_a_width_at_the_ends() -> None:
    """All right is not certainty, and no rows leave everything open."""
    assert wilson(640, 640).high == 1.0
    assert 0.99 < wilson(640, 640).low < 1.0
    assert wilson(0, 10).low == 0.0
    assert wilson(0, 10).high > 0.2
    assert wilson(0, 0) == Interval(0.0, 0.0, 1.0)


@pytest.mark.parametrize("n", [50, 200, 640])
def test_wilson_covers_the_truth_in_95_percent(n: int) -> None:
    """Exact coverage, averaged over true accuracies: no chance in this test."""
    found = [wilson(k, n) for k in range(n + 1)]
    low, high = np.array([(one.low, one.high) for one in found]).T
    truths = np.linspace(0.5, 0.99, 200)
    covered = [
        stats.binom.pmf(np.arange(n + 1), n, p)[(low <= p) & (p <= high)].sum() for p in truths
    ]
    assert 0.93 < np.mean(covered) < 0.97


def test_seeds_are_combined_by_students_t() -> None:
    """Mean and ends are scipy's."""
    values = [0.941, 0.946, 0.9385]
    expected = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    found = over_seeds(values)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert found.value == pytest.approx(np.mean(values), abs=1e-12)


def test_two_seeds_leave_open_what_the_measure_allows() -> None:
    """And no more than that."""
    accuracy, loss = over_seeds([0.9, 0.95]), over_seeds([0.1, 0.3], within=(0.0, np.inf))
    assert [accuracy.low, accuracy.high] == pytest.approx([0.6073, 1.0], abs=1e-4)
    assert [loss.low, loss.high] == pytest.approx([0.0, 1.4706], abs=1e-4)


def test_one_seed_has_no_interval() -> None:
    """The error says what to do."""
    with pytest.raises(DataError, match=r"needs at least two runs[\s\S]*1 values[\s\S]*more seed"):
        over_seeds([0.94])


def test_the_interval_over_three_seeds_covers_the_truth() -> None:
    """Of 2,000 true intervals 95% cover, give or take 0.5 points of chance."""
    runs = np.random.default_rng(0).normal(0.94, 0.004, size=(2000, 3))
    found = [over_seeds(run.tolist()) for run in runs]
    assert 0.93 < np.mean([one.low <= 0.94 <= one.high for one in found]) < 0.97


def test_cells_give_the_same_interval_as_rows() -> None:
    """Multinomial draws over the cells against scipy's bootstrap over the rows themselves.

    Both are random; a tenth of the width is four times what 4,000 resamples leave to chance.
    """
    confusion_KK = drawn_table(150, 0.9)
    cells = np.repeat(np.arange(16), confusion_KK.ravel())

    def obvious(rows: Ints, axis: int = -1) -> Any:
        return np.apply_along_axis(
            lambda one: f1_of_rows(one // 4, one % 4), axis, np.atleast_1d(rows)
        )

    expected = stats.bootstrap(
        (cells,), obvious, n_resamples=4000, method="BCa", rng=np.random.default_rng(1)
    ).confidence_interval
    found = f1_interval(confusion_KK, resamples=4000)
    slack = (expected.high - expected.low) / 10
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=slack)


def f1_of_rows(true_B: Ints, predicted_B: Ints) -> float:
    """Macro-F1 in plain words."""
    scores = []
    for k in np.union1d(true_B, predicted_B):
        right = ((true_B == k) & (predicted_B == k)).sum()
        scores.append(2 * right / ((true_B == k).sum() + (predicted_B == k).sum()))
    return float(np.mean(scores))


def test_a_draw_of_cells_scores_like_its_rows() -> None:
    """Macro-F1 of many tables at once is scikit-learn's of the rows of each."""
    counts_RC = np.random.default_rng(0).multinomial(9, np.full(16, 1 / 16), size=50)
    true_C, predicted_C = np.divmod(np.arange(16), 4)
    found = macro_f1(counts_RC, true_C, predicted_C)
    for counts_C, value in zip(counts_RC, found, strict=True):
        rows = np.repeat(true_C, counts_C), np.repeat(predicted_C, counts_C)
        assert value == pytest.approx(f1_score(*rows, average="macro"), abs=1e-9)
        assert value == pytest.approx(f1_of_rows(*rows), abs=1e-9)


def test_rows_can_be_their_own_cells() -> None:
    """The mean of numbers, with one cell a row, against scipy's BCa interval."""
    values = np.random.default_rng(0).exponential(size=80)
    found = bootstrap(lambda counts_RC: counts_RC @ values / 80, np.ones(80, int), resamples=4000)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, rng=np.random.default_rng(1)
    ).confidence_interval
    slack = (expected.high - expected.low) / 10
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=slack)


def test_the_seed_decides_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed gives the same ends, also where the draws are made in many small parts."""
    confusion_KK = drawn_table(300, 0.9)
    first = f1_interval(confusion_KK, seed=3)
    assert f1_interval(confusion_KK, seed=4) != first
    monkeypatch.setattr(intervals, "_BLOCK", 100)
    assert f1_interval(confusion_KK, seed=3) == first


def test_one_row_or_one_kind_of_row_has_no_width() -> None:
    """What the docstring says the caller has to deal with."""
    assert f1_interval(np.array([[0, 1], [0, 0]])) == Interval(0.0, 0.0, 0.0)
    assert f1_interval(np.array([[20, 0], [0, 30]])) == Interval(1.0, 1.0, 1.0)


def test_a_bootstrap_of_a_test_set_is_fast() -> None:
    """7,600 rows and 1,000 resamples take a few hundredths of a second; a second is allowed."""
    confusion_KK = drawn_table(7600, 0.94)
    start = time.perf_counter()
    found = f1_interval(confusion_KK)
    assert time.perf_counter() - start < 1
    assert 0.008 < found.high - found.low < 0.014


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "accuracy"), [(60, 0.88), (200, 0.6), (640, 0.88), (640, 0.95)])
def test_the_bootstrap_covers_the_truth(rows: int, accuracy: float) -> None:
    """95% of 500 intervals: chance moves that by 1 point (one standard deviation)."""
    tables = [drawn_table(rows, accuracy, seed) for seed in range(500)]
    found = [f1_interval(table, seed=seed, resamples=500) for seed, table in enumerate(tables)]
    assert 0.92 < np.mean([one.low <= accuracy <= one.high for one in found]) < 0.98
