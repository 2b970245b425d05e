"""What a model of ratings scores on rated rows: errors and correlations, with their intervals.

Shapes: N rows, C cells (rows, each a cell of its own), R resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.errors import DataError
from tightfit.extras import lazy
from tightfit.metrics.interval import Compared, Interval
from tightfit.metrics.intervals import CONFIDENCE, Statistic, bootstrap

if TYPE_CHECKING:
    from scipy import stats
else:
    stats = lazy("scipy.stats", "scoring")

MOST_ROWS = 4_000
"""Rows that are resampled: of more, a sample's interval is as wide times the root of its share."""


@dataclass(frozen=True)
class RatingScores:
    """All scores of one model on ``n`` rows, in the unit of the ratings where they have one.

    Attributes:
        n: rows.
        mae: mean absolute error.
        rmse: root of the mean squared error.
        r2: share of the ratings' variance that is explained; below 0 where their mean does better;
            None where all ratings are alike.
        spearman: rank correlation, -1 to 1; None where all ratings are alike, and 0 where all
            predictions are.
    """

    n: int
    mae: Interval
    rmse: Interval
    r2: Interval | None
    spearman: Interval | None

    def headline(self) -> dict[str, Interval | None]:
        """All of them; the rank correlation, which has no unit, counts."""
        names = ("spearman", "r2", "mae", "rmse")
        return {name: getattr(self, name) for name in names}

    def each_label(self) -> tuple[()]:
        """None: there are no labels."""
        return ()

    def constant_as_good(self) -> str | None:
        """The mean of these ratings, unless an interval of R² lies above 0."""
        if self.r2 is None or self.r2.low > 0:
            return None
        return f"the mean of these {self.n:,} ratings is as near to them"

    def to_json(self) -> dict[str, Any]:
        """Finite numbers, or None, under the names of the attributes."""
        return asdict(self)


@dataclass(frozen=True)
class PairedErrors(Compared):
    """A difference between two models of ratings: in mean absolute error, below 0 is better.

    Attributes:
        spearman: our rank correlation minus theirs, with a paired bootstrap interval.
    """

    spearman: Interval

    @property
    def sentence(self) -> str:
        """The finding in words."""
        if self.p_value >= 1 - CONFIDENCE:
            span = f"{self.difference:+.3g}, {self.low:+.3g} to {self.high:+.3g}"
            return f"no difference that {self.rows:,} rows could show ({span}, {self.p_words})"
        low, high = sorted((abs(self.low), abs(self.high)))
        word = "better" if self.difference < 0 else "worse"
        span = f"{low:.3g} to {high:.3g}"
        return (
            f"{word} by {abs(self.difference):.3g} in mean absolute error ({span}), {self.p_words}"
        )


def score_ratings(targets_N: ArrayLike, predictions_N: ArrayLike) -> RatingScores:
    """Score predicted ratings against the true ones.

    Raises:
        DataError: no rows, lists of two lengths, or numbers that are not finite.
    """
    true_N, said_N = _checked(targets_N, predictions_N)
    errors_N = said_N - true_N

    def interval(statistic: Callable[[NDArray[np.intp]], Statistic]) -> Interval:
        return _interval(statistic, len(true_N))

    def error(statistic: Callable[[NDArray[np.intp]], Statistic], share: float) -> Interval:
        return _with_width(interval(statistic), len(true_N), share)

    alike = np.ptp(true_N) == 0
    correlation = interval(lambda rows: _spearman(true_N[rows], said_N[rows]))
    if np.ptp(said_N) == 0:
        correlation = Interval(0.0, -1.0, 1.0)
    return RatingScores(
        n=len(true_N),
        mae=error(lambda rows: _mean(abs(errors_N[rows])), (2 / np.pi) ** 0.5),
        rmse=error(lambda rows: _root_mean(errors_N[rows] ** 2), 1.0),
        r2=None if alike else interval(lambda rows: _explained(true_N[rows], errors_N[rows])),
        spearman=None if alike else correlation,
    )


def compare_ratings(targets_N: ArrayLike, ours_N: ArrayLike, theirs_N: ArrayLike) -> PairedErrors:
    """Compare two lists of predicted ratings.

    The test is Student's, of the differences of the absolute errors of the same rows. The
    correlations are compared by a bootstrap that scores both on the same resampled rows.

    Raises:
        DataError: no rows, lists that are not of one length, or numbers that are not finite.
    """
    true_N, first_N = _checked(targets_N, ours_N)
    _, second_N = _checked(targets_N, theirs_N)
    paired = mean_difference(abs(first_N - true_N), abs(second_N - true_N))

    def gain(rows: NDArray[np.intp]) -> Statistic:
        ours, theirs = (_spearman(true_N[rows], said_N[rows]) for said_N in (first_N, second_N))
        return lambda counts_RC: ours(counts_RC) - theirs(counts_RC)

    return PairedErrors(
        metric="mae",
        rows=len(true_N),
        difference=paired[0].value,
        low=paired[0].low,
        high=paired[0].high,
        p_value=paired[1],
        test="paired t",
        spearman=_interval(gain, len(true_N)),
    )


def mean_difference(
    ours_N: NDArray[np.float64], theirs_N: NDArray[np.float64]
) -> tuple[Interval, float]:
    """The mean of ours minus theirs, with Student's 95% interval, and the two-sided p-value.

    One row, or rows that all differ by the same, tell nothing of chance: the p-value is 1 where
    there is no difference or a single row, else 0.
    """
    differences_N = ours_N - theirs_N
    value = float(differences_N.mean())
    if len(differences_N) < 2 or np.ptp(differences_N) == 0:
        return Interval(value, value, value), float(len(differences_N) < 2 or value == 0)
    found = stats.ttest_1samp(differences_N, 0.0)
    ends = found.confidence_interval(CONFIDENCE)
    return Interval(value, float(ends.low), float(ends.high)), float(found.pvalue)


def _interval(statistic: Callable[[NDArray[np.intp]], Statistic], count: int) -> Interval:
    """The bootstrap interval of a statistic of some rows."""
    if count <= MOST_ROWS:
        rows = np.arange(count)
        return bootstrap(statistic(rows), np.ones(count, dtype=np.int64))
    sample = np.random.default_rng(0).choice(count, MOST_ROWS, replace=False)
    found = bootstrap(statistic(sample), np.ones(MOST_ROWS, dtype=np.int64))
    value = float(statistic(np.arange(count))(np.ones((1, count)))[0])
    narrower = (MOST_ROWS / count) ** 0.5
    low, high = ((end - found.value) * narrower for end in (found.low, found.high))
    return Interval(value, value + low, value + high)


def _with_width(found: Interval, count: int, share: float) -> Interval:
    """The same interval; of a single row, or errors of one size, that of normal ones around 0.

    Resampling them shows no variation, and would claim to be certain.

    Args:
        found: of a mean of errors of so many rows.
        count: rows.
        share: of the standard deviation of normal errors that this mean is.
    """
    if found.low < found.high:
        return found
    low, high = np.sqrt(count / np.array(stats.chi2.interval(CONFIDENCE, count)[::-1])).tolist()
    ends = (found.value * share * low, found.value * share * high)
    return Interval(found.value, min(found.value, ends[0]), max(found.value, ends[1]))


def _mean(values_C: NDArray[np.float64]) -> Statistic:
    return lambda counts_RC: counts_RC @ values_C / counts_RC.sum(axis=1)


def _root_mean(values_C: NDArray[np.float64]) -> Statistic:
    mean = _mean(values_C)
    return lambda counts_RC: np.sqrt(mean(counts_RC))


def _explained(true_C: NDArray[np.float64], errors_C: NDArray[np.float64]) -> Statistic:
    """R2; of ratings that are all the same 1 where there is no error, else 0, as in scikit-learn.

    Ratings are taken from their middle, so that no digits are lost between two squares.
    """
    centred_C = true_C - true_C.mean()

    def statistic(counts_RC: NDArray[Any]) -> NDArray[np.float64]:
        rows_R = counts_RC.sum(axis=1)
        whole_R = counts_RC @ centred_C**2 - (counts_RC @ centred_C) ** 2 / rows_R
        left_R = counts_RC @ errors_C**2
        same_R = whole_R <= 1e-12 * rows_R * (centred_C**2).mean()
        found_R = 1 - left_R / np.where(same_R, 1.0, whole_R)
        return np.where(same_R, (left_R == 0).astype(float), found_R)

    return statistic


def _spearman(true_C: NDArray[np.float64], said_C: NDArray[np.float64]) -> Statistic:
    """The correlation of ranks, equal values sharing the mean of theirs; 0 where it is none."""
    ranks = [_ranks(values_C) for values_C in (true_C, said_C)]

    def statistic(counts_RC: NDArray[Any]) -> NDArray[np.float64]:
        rows_R1 = counts_RC.sum(axis=1, keepdims=True)
        # The mean rank of n rows is (n + 1) / 2, whatever they tie.
        first_RC, second_RC = (of(counts_RC) - (rows_R1 + 1) / 2 for of in ranks)
        together_R = (counts_RC * first_RC * second_RC).sum(axis=1)
        spread_R = (counts_RC * first_RC**2).sum(axis=1) * (counts_RC * second_RC**2).sum(axis=1)
        found_R = together_R / np.sqrt(np.where(spread_R > 0, spread_R, 1.0))
        return np.where(spread_R > 0, found_R, 0.0)

    return statistic


def _ranks(values_C: NDArray[np.float64]) -> Statistic:
    """The mean rank, from 1, of the rows of each cell among so many rows of every cell."""
    order_C = np.argsort(values_C, kind="stable")
    different_G, group_C = np.unique(values_C, return_inverse=True)
    starts_G = np.searchsorted(values_C[order_C], different_G)

    def statistic(counts_RC: NDArray[Any]) -> NDArray[np.float64]:
        group_RG = np.add.reduceat(counts_RC[:, order_C], starts_G, axis=1)
        below_RG = np.cumsum(group_RG, axis=1) - group_RG
        return (below_RG + (group_RG + 1) / 2)[:, group_C]

    return statistic


def _checked(
    targets_N: ArrayLike, predictions_N: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    true_N = np.asarray(targets_N, dtype=np.float64)
    said_N = np.asarray(predictions_N, dtype=np.float64)
    if not true_N.size or true_N.shape != said_N.shape or true_N.ndim != 1:
        raise DataError(
            "there must be one prediction for each rating",
            seen=f"{true_N.size} ratings and {said_N.size} predictions",
            allowed="as many as ratings, 1 or more",
        )
    odd = np.flatnonzero(~(np.isfinite(true_N) & np.isfinite(said_N)))
    if odd.size:
        raise DataError(
            f"{odd.size} of {true_N.size} rows have a rating or a prediction that is no number",
            seen=f"row {odd[0]}: {true_N[odd[0]]} and {said_N[odd[0]]}",
            allowed="finite numbers",
        )
    return true_N, said_N
