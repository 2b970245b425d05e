"""Scores of ratings: equal to scikit-learn's and scipy's, intervals like those of plain resampling.

Why bounds cannot fail by chance: every draw has a fixed seed.
"""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sklearn

from tightfit.errors import DataError
from tightfit.metrics import ratings
from tightfit.metrics.ratings import compare_ratings, mean_difference, score_ratings

Numbers = NDArray[np.float64]

NEAR = 1e-9


def rated(count: int = 200, *, ties: bool = False, seed: int = 1) -> tuple[Numbers, Numbers]:
    """Ratings from 1 to 5, and predictions that are somewhat off."""
    random = np.random.default_rng(seed)
    true_N = random.uniform(1, 5, count)
    said_N = true_N + random.normal(0, 0.7, count)
    return (true_N.round(), said_N.round(1)) if ties else (true_N, said_N)


@pytest.mark.parametrize("ties", [False, True])
def test_scores_are_those_of_scikit_learn_and_scipy(ties: bool) -> None:
    """Scores are those of scikit learn and scipy."""
    true_N, said_N = rated(ties=ties)
    found = score_ratings(true_N, said_N)
    assert found.n == 200
    assert found.mae.value == pytest.approx(
        sklearn.mean_absolute_error(true_N, said_N), abs=NEAR, rel=0
    )
    rmse = sklearn.root_mean_squared_error(true_N, said_N)
    assert found.rmse.value == pytest.approx(rmse, abs=NEAR, rel=0)
    assert found.r2
    assert found.spearman
    assert found.r2.value == pytest.approx(sklearn.r2_score(true_N, said_N), abs=NEAR, rel=0)
    assert found.spearman.value == pytest.approx(
        stats.spearmanr(true_N, said_N)[0], abs=NEAR, rel=0
    )


def test_a_large_common_part_costs_no_digits() -> None:
    """A large common part costs no digits."""
    true_N, said_N = rated()
    far = score_ratings(true_N + 1e6, said_N + 1e6)
    assert far.r2
    assert far.r2.value == pytest.approx(sklearn.r2_score(true_N, said_N), abs=1e-7)


@pytest.mark.parametrize("name", ["mae", "r2", "rmse", "spearman"])
def test_intervals_are_those_of_rows_drawn_one_by_one(name: str) -> None:
    """Intervals are those of rows drawn one by one."""
    # BCa differs from percentiles by far less than an interval's width on 200 rows.
    plain = {
        "mae": sklearn.mean_absolute_error,
        "r2": sklearn.r2_score,
        "rmse": sklearn.root_mean_squared_error,
        "spearman": lambda true_N, said_N: stats.spearmanr(true_N, said_N)[0],
    }[name]
    true_N, said_N = rated(ties=True)
    random = np.random.default_rng(3)
    drawn = (random.integers(0, 200, 200) for _ in range(1000))
    low, high = np.quantile([plain(true_N[rows], said_N[rows]) for rows in drawn], [0.025, 0.975])
    found = getattr(score_ratings(true_N, said_N), name)
    assert found.low < found.value < found.high
    assert abs(found.low - low) + abs(found.high - high) < 0.25 * (high - low)


def test_of_many_rows_a_sample_tells_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many rows a sample tells the width."""
    true_N, said_N = rated(1200)
    whole = score_ratings(true_N, said_N)
    monkeypatch.setattr(ratings, "MOST_ROWS", 300)
    quick = score_ratings(true_N, said_N)
    assert quick.mae.value == pytest.approx(whole.mae.value, abs=1e-12)
    widths = [each.mae.high - each.mae.low for each in (quick, whole)]
    assert widths[0] == pytest.approx(widths[1], rel=0.2)


def test_of_ratings_that_are_all_alike_only_errors_are_known() -> None:
    """Nothing varies that could be explained or put in order."""
    found = score_ratings([3.0, 3.0, 3.0], [2.0, 3.0, 4.0])
    assert (found.r2, found.spearman) == (None, None)
    assert found.mae.value == pytest.approx(2 / 3)


def test_one_prediction_for_all_has_no_correlation() -> None:
    """And explains nothing, as the mean of the ratings does."""
    found = score_ratings([2.0, 3.0, 4.0], [3.0, 3.0, 3.0])
    assert found.r2
    assert found.spearman
    assert (found.spearman.value, found.spearman.low, found.spearman.high) == (0.0, -1.0, 1.0)
    assert found.r2.value == 0


@pytest.mark.parametrize("rows", [1, 3])
def test_errors_of_one_size_have_an_interval(rows: int) -> None:
    """As wide as chance makes the scale of normal errors; a single row says next to nothing."""
    found = score_ratings([3.0] * rows, [2.5] * rows)
    random = np.random.default_rng(0)
    drawn_R = np.sqrt((random.normal(0, 1, (100_000, rows)) ** 2).mean(axis=1))
    low, high = 0.5 / np.quantile(drawn_R, [0.975, 0.025])
    assert (found.rmse.value, found.mae.value) == (0.5, 0.5)
    assert (found.rmse.low, found.rmse.high) == pytest.approx((low, high), rel=0.05)
    assert found.mae.high == pytest.approx(high * (2 / np.pi) ** 0.5, rel=0.05)


def test_a_comparison_is_a_paired_t_test() -> None:
    """A comparison is a paired t test."""
    true_N, ours_N = rated(seed=1)
    theirs_N = true_N + np.random.default_rng(2).normal(0, 1.0, len(true_N))
    found = compare_ratings(true_N, ours_N, theirs_N)
    test = stats.ttest_rel(abs(ours_N - true_N), abs(theirs_N - true_N))
    ends = test.confidence_interval()
    assert found.p_value == pytest.approx(test.pvalue, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((ends.low, ends.high), abs=1e-9)
    gain = stats.spearmanr(true_N, ours_N)[0] - stats.spearmanr(true_N, theirs_N)[0]
    assert found.spearman.value == pytest.approx(gain, abs=1e-9)
    assert found.sentence.startswith("better by ")


def test_a_difference_that_is_none_is_called_none() -> None:
    """A difference that is none is called none."""
    true_N, said_N = rated()
    assert compare_ratings(true_N, said_N, said_N).sentence == (
        "no difference that 200 rows could show (+0, +0 to +0, p = 1.000)"
    )


def test_the_sign_of_a_difference_is_ours_minus_theirs() -> None:
    """The sign of a difference is ours minus theirs."""
    true_N, said_N = rated()
    worse = compare_ratings(true_N, said_N + 1, said_N)
    assert worse.difference > 0
    assert worse.sentence.startswith("worse by ")


def test_rows_that_all_differ_alike_leave_nothing_to_chance() -> None:
    """Rows that all differ alike leave nothing to chance."""
    assert mean_difference(np.ones(5), np.zeros(5))[1] == 0.0
    assert mean_difference(np.ones(1), np.zeros(1))[1] == 1.0


@pytest.mark.parametrize(
    ("true", "said", "words"),
    [
        ([], [], "there must be one prediction for each rating"),
        ([1.0], [1.0, 2.0], "1 ratings and 2 predictions"),
        ([1.0, 2.0], [1.0, np.nan], "row 1: 2.0 and nan"),
    ],
)
def test_numbers_that_cannot_be_scored_are_refused(
    true: list[float], said: list[float], words: str
) -> None:
    """Numbers that cannot be scored are refused."""
    with pytest.raises(DataError, match=words):
        score_ratings(true, said)


def test_the_mean_is_as_near_unless_r2_is_above_zero() -> None:
    """Of ratings that are all alike nothing can be shown."""
    true_N, said_N = rated()
    assert score_ratings(true_N, said_N).constant_as_good() is None
    shuffled_N = np.random.default_rng(0).permutation(said_N)
    mean = "the mean of these 200 ratings is as near to them"
    assert score_ratings(true_N, shuffled_N).constant_as_good() == mean
    assert score_ratings(np.ones(5), said_N[:5]).constant_as_good() is None
