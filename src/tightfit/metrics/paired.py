"""Is one classifier better than another on the same rows? An answer in numbers and in words.

Shapes: B rows, C cells (of the same true and the same two predicted answers), R resamples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tightfit.errors import DataError
from tightfit.metrics.interval import Compared, Interval
from tightfit.metrics.intervals import CONFIDENCE, RESAMPLES, bootstrap, bootstraps, in_blocks
from tightfit.metrics.label_scores import cells_of, f1_means
from tightfit.metrics.scores import macro_f1

_ALPHA, POWER = 1 - CONFIDENCE, 0.8

SET_METRICS = ("micro_f1", "macro_f1")
"""By which the labels of rows that may have several are compared."""


@dataclass(frozen=True)
class Paired(Compared):
    """A difference between two classifiers.

    Attributes:
        only_ours: rows that only ours has right.
        only_theirs: rows that only theirs has right.
        rows_needed: rows with which a true difference of the observed size would be found with
            80% power; None where there is none to find, or no formula.
    """

    only_ours: int
    only_theirs: int
    rows_needed: int | None

    @property
    def sentence(self) -> str:
        """The finding in words; points are hundredths."""
        shown = self.p_value < _ALPHA
        sign = -1 if shown and self.difference < 0 else 1
        # Many rows can show a difference of less than a tenth of a point.
        digits = 1 if self.rows < 10_000 else 2
        style = f".{digits}f" if shown else f"+.{digits}f"
        # Adding 0.0 turns a rounded -0.0 into 0.0.
        value, *ends = (
            round(100 * sign * one, digits) + 0.0 for one in (self.difference, self.low, self.high)
        )
        points, span = f"{value:{style}} points", f"{min(ends):{style}} to {max(ends):{style}}"
        if shown:
            return f"{'better' if sign > 0 else 'worse'} by {points} ({span}), {self.p_words}"
        rows = "1 row" if self.rows == 1 else f"{self.rows:,} rows"
        sentence = f"no difference that {rows} could show ({points}, {span}, {self.p_words})"
        if self.rows_needed is None:
            return sentence
        return f"{sentence}; about {_rounded(self.rows_needed):,} would be needed"


def compare_accuracy(labels_B: ArrayLike, ours_B: ArrayLike, theirs_B: ArrayLike) -> Paired:
    """Compare the accuracies of two lists of predicted class ids.

    The test is McNemar's in its exact form (McNemar 1947, doi:10.1007/BF02295996): under the
    hypothesis, the rows that only one of the two has right fall to either like tosses of a coin.

    Raises:
        DataError: no rows, or lists that are not of one length.
    """
    true_B, first_B, second_B = _checked(labels_B, ours_B, theirs_B)
    rows, first_right_B, second_right_B = len(true_B), first_B == true_B, second_B == true_B
    only_ours = int((first_right_B & ~second_right_B).sum())
    only_theirs = int((second_right_B & ~first_right_B).sum())
    interval = accuracy_difference(only_ours, only_theirs, rows)
    tosses = only_ours + only_theirs
    return Paired(
        metric="accuracy",
        rows=rows,
        difference=interval.value,
        low=interval.low,
        high=interval.high,
        p_value=float(stats.binomtest(only_ours, tosses).pvalue) if tosses else 1.0,
        test="exact McNemar",
        only_ours=only_ours,
        only_theirs=only_theirs,
        rows_needed=rows_needed(only_ours, only_theirs, rows),
    )


def compare_macro_f1(labels_B: ArrayLike, ours_B: ArrayLike, theirs_B: ArrayLike) -> Paired:
    """Compare the macro-F1 of two lists of predicted class ids.

    The interval is a paired bootstrap: both are scored on the same resampled rows. The p-value is
    that of approximate randomisation (Yeh 2000, arXiv:cs/0008005), which swaps the two answers of
    each row by the toss of a coin, and so stays honest on a handful of rows, where resampling the
    same few differences would be sure of them.

    Raises:
        DataError: no rows, or lists that are not of one length.
    """
    accuracy = compare_accuracy(labels_B, ours_B, theirs_B)
    cells_3C, counts_C = np.unique(
        np.stack(_checked(labels_B, ours_B, theirs_B)), axis=1, return_counts=True
    )
    found = bootstrap(lambda counts_RC: _gain(counts_RC, cells_3C), counts_C)
    both_ways_3C = np.concatenate([cells_3C, cells_3C[[0, 2, 1]]], axis=1)
    p_value = _randomisation_p(
        lambda counts_RC: _gain(counts_RC, both_ways_3C), counts_C, found.value
    )
    low, high = found.low, found.high
    if low == high:
        # The two never differ, or there is one row: resampling knows nothing, accuracy does.
        low, high = min(low, accuracy.low), max(high, accuracy.high)
    return replace(
        accuracy,
        metric="macro_f1",
        difference=found.value,
        low=low,
        high=high,
        p_value=float(p_value),
        test="approximate randomisation",
        rows_needed=None,
    )


def compare_label_sets(
    true_NK: NDArray[np.bool_], ours_NK: NDArray[np.bool_], theirs_NK: NDArray[np.bool_]
) -> tuple[Paired, ...]:
    """Compare the labels that two classifiers give, by micro and by macro F1.

    As :func:`compare_macro_f1`: the intervals are paired bootstraps, the p-values those of
    approximate randomisation.

    Args:
        true_NK: which of K labels each of N rows has.
        ours_NK: which it is given by the one.
        theirs_NK: and by the other.
    """
    (true_CK, ours_CK, theirs_CK), counts_C = cells_of(true_NK, ours_NK, theirs_NK)
    found = bootstraps(partial(_f1_gains, true_CK, ours_CK, theirs_CK), counts_C)
    true_2K, one_2K, other_2K = (
        np.concatenate(pair)
        for pair in ((true_CK, true_CK), (ours_CK, theirs_CK), (theirs_CK, ours_CK))
    )
    observed_2 = np.array([each.value for each in found])
    swapped = partial(_f1_gains, true_2K, one_2K, other_2K)
    p_values = _randomisation_p(swapped, counts_C, observed_2).tolist()
    right_2N = [(given_NK == true_NK).all(axis=1) for given_NK in (ours_NK, theirs_NK)]
    return tuple(
        Paired(
            metric=name,
            rows=len(true_NK),
            difference=interval.value,
            low=interval.low,
            high=interval.high,
            p_value=p_value,
            test="approximate randomisation",
            only_ours=int((right_2N[0] & ~right_2N[1]).sum()),
            only_theirs=int((right_2N[1] & ~right_2N[0]).sum()),
            rows_needed=None,
        )
        for name, interval, p_value in zip(SET_METRICS, found, p_values, strict=True)
    )


def accuracy_difference(only_ours: int, only_theirs: int, rows: int) -> Interval:
    """The 95% Bonett-Price interval of the difference of two accuracies on the same rows.

    A normal interval after one row more has been won by each side (Bonett and Price 2012,
    J. Educ. Behav. Stat. 37:479-488); among the methods that Fagerland et al. 2014
    (doi:10.1002/sim.6148) recommend, the one in closed form. It has a width even where the two
    are right on exactly the same rows.
    """
    ours, theirs = (only_ours + 1) / (rows + 2), (only_theirs + 1) / (rows + 2)
    centre = ours - theirs
    reach = stats.norm.ppf(1 - _ALPHA / 2) * math.sqrt((ours + theirs - centre**2) / (rows + 2))
    low, high = max(-1.0, float(centre - reach)), min(1.0, float(centre + reach))
    return Interval((only_ours - only_theirs) / rows, low, high)


def rows_needed(only_ours: int, only_theirs: int, rows: int) -> int | None:
    """How many rows would show the observed difference in a two-sided test at 0.05.

    The formula is that of Connor 1987 (Biometrics 43:207-211) after Miettinen 1968
    (Biometrics 24:339-352), with the observed shares of discordant rows taken for the true ones: an
    order of magnitude, not a promise. None where the two sides have equally many.
    """
    if only_ours == only_theirs:
        return None
    discordant, difference = (only_ours + only_theirs) / rows, (only_ours - only_theirs) / rows
    level = stats.norm.ppf(1 - _ALPHA / 2) * math.sqrt(discordant)
    strength = stats.norm.ppf(POWER) * math.sqrt(discordant - difference**2)
    needed = ((level + strength) / difference) ** 2
    # Five coins that all fall alike have p = 0.06: below six such rows nothing can be shown.
    return math.ceil(max(float(needed), 6 / discordant))


def _checked(*lists: ArrayLike) -> list[NDArray[Any]]:
    """The lists as arrays of one length above zero."""
    arrays = [np.asarray(ids) for ids in lists]
    lengths = [array.size for array in arrays]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise DataError(
            "a paired comparison needs two predictions for each label",
            seen=f"{lengths[0]} labels, {lengths[1]} and {lengths[2]} predictions",
            allowed="three lists of one length, 1 or more",
            next_step="let both classifiers answer the same rows",
        )
    if any(array.dtype.kind not in "iu" or array.min() < 0 for array in arrays):
        raise DataError(
            "labels and predictions must be ids of classes",
            seen=" / ".join(f"{array.dtype} from {array.min()}" for array in arrays),
            allowed="whole numbers from 0",
        )
    return arrays


def _gain(counts_RC: NDArray[Any], cells_3C: NDArray[Any]) -> NDArray[np.float64]:
    """Macro-F1 of ours minus that of theirs, for R tables of counts."""
    true_C, ours_C, theirs_C = cells_3C
    return macro_f1(counts_RC, true_C, ours_C) - macro_f1(counts_RC, true_C, theirs_C)


def _f1_gains(
    true_CK: NDArray[np.bool_],
    ours_CK: NDArray[np.bool_],
    theirs_CK: NDArray[np.bool_],
    counts_RC: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Micro and macro F1 of ours minus those of theirs, (R, 2), for R tables of counts."""
    ours_R3, theirs_R3 = (f1_means(counts_RC, true_CK, x) for x in (ours_CK, theirs_CK))
    return (ours_R3 - theirs_R3)[:, :2]


def _randomisation_p(
    gains: Callable[[NDArray[Any]], NDArray[np.float64]],
    counts_C: NDArray[Any],
    observed: NDArray[np.float64] | float,
) -> NDArray[np.float64]:
    """The share of coin-toss swaps that differ as much; the observed data count as one of them.

    Args:
        gains: ours minus theirs for R tables of counts, (R, 2C): of the cells as they are, then of
            the same with both answers swapped; one column for each metric.
        counts_C: rows of each cell.
        observed: the gains without a swap.
    """
    random = np.random.default_rng(0)

    def swap(resamples: int) -> NDArray[np.float64]:
        swapped_RC = random.binomial(counts_C, 0.5, size=(resamples, len(counts_C)))
        return gains(np.concatenate([counts_C - swapped_RC, swapped_RC], axis=1))

    gains_R = in_blocks(lambda part: swap(part.stop - part.start), RESAMPLES, 2 * len(counts_C))
    # A hair's breadth below, for swaps that give the same value but for rounding.
    as_far = (np.abs(gains_R) >= np.abs(observed) - 1e-12).sum(axis=0)
    return np.asarray((1 + as_far) / (1 + RESAMPLES))


def _rounded(count: int) -> int:
    """To two significant digits, upwards."""
    unit = int(10 ** max(0, len(str(count)) - 2))
    return -(-count // unit) * unit
