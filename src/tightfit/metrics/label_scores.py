"""What a classifier scores on rows that may have several labels, each number with its interval.

Shapes: N rows, K labels, C cells (rows of the same true and given labels), R resamples, S scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.errors import DataError
from tightfit.extras import lazy
from tightfit.metrics.calibration import expected_calibration_error
from tightfit.metrics.interval import Interval
from tightfit.metrics.intervals import bootstraps, wilson
from tightfit.metrics.scores import ClassScores, scores_of
from tightfit.metrics.thresholds import ranked

if TYPE_CHECKING:
    from scipy import special
else:
    special = lazy("scipy.special", "scoring")

LEAST = 2.2e-16
"""Probabilities are clipped there, as those of one label a row are."""

RESAMPLES = (50, 200)
"""Least and most draws of the rows, from which an average precision's standard error is taken."""
DRAWN = 600_000
"""Rows that are drawn in all for one label, between those limits: some hundredths of a second."""
REACH = 1.959964
"""Standard errors to either side of a 95% interval."""


@dataclass(frozen=True)
class LabelScores(ClassScores):
    """The same of a label, and its average precision, which asks no threshold."""

    average_precision: Interval


@dataclass(frozen=True)
class LabelSetScores:
    """All scores of one classifier on ``n`` rows, as scikit-learn defines them.

    Attributes:
        n: rows.
        micro_f1: F1 of all labels of all rows together.
        macro_f1: mean F1 of the labels; one that no row has and none is given counts 0.
        sample_f1: mean F1 of the rows; one that has no label and is given none counts 0.
        exact_match: share of rows that are given just the labels that they have.
        per_label: one entry a label, in label order.
        log_loss: mean over rows and labels of the binary log loss, in nats.
        brier: mean squared distance of the probabilities from 0 and 1.
        ece: mean over labels of the expected calibration error of their probabilities, 15 bins.
        labels: their names, in order.
    """

    n: int
    micro_f1: Interval
    macro_f1: Interval
    sample_f1: Interval
    exact_match: Interval
    per_label: tuple[LabelScores, ...]
    log_loss: float
    brier: float
    ece: float
    labels: tuple[str, ...]

    def headline(self) -> dict[str, Interval]:
        """Micro, macro and sample F1, and exact matches."""
        names = ("micro_f1", "macro_f1", "sample_f1", "exact_match")
        return {name: getattr(self, name) for name in names}

    def each_label(self) -> Sequence[LabelScores]:
        """The scores of each label."""
        return self.per_label

    def constant_as_good(self) -> str | None:
        """The most frequent labels, unless an interval of micro F1 lies above theirs."""
        supports_K = -np.sort([-each.support for each in self.per_label])
        given_K = self.n * np.arange(1, len(supports_K) + 1)
        f1_K = 2 * supports_K.cumsum() / (given_K + supports_K.sum())
        count = int(f1_K.argmax()) + 1
        if self.micro_f1.low > f1_K[count - 1]:
            return None
        labels = "label" if count == 1 else f"{count:,} labels"
        has = f"a micro F1 of {f1_K[count - 1]:.1%} on these {self.n:,} rows"
        return f"always the most frequent {labels} has {has}"

    def to_json(self) -> dict[str, Any]:
        """Plain lists and finite numbers under the names of the attributes."""
        plain = asdict(self)
        return {**plain, "per_label": list(plain["per_label"]), "labels": list(self.labels)}


def score_label_sets(
    targets_NK: ArrayLike,
    probabilities_NK: ArrayLike,
    given_NK: NDArray[np.bool_],
    names: Sequence[str],
) -> LabelSetScores:
    """Score probabilities, and the labels that were given by them.

    Intervals of precision, recall and exact matches are Wilson's, that of a label's F1 goes by way
    of them, those of the means over labels or rows are bootstrapped; see :mod:`intervals`.

    Args:
        targets_NK: 1 where a row has a label.
        probabilities_NK: of each label.
        given_NK: which labels each row is given.
        names: of the labels, in order.

    Raises:
        DataError: no rows, shapes that do not fit together, or values that are no probabilities.
    """
    true_NK, shares_NK = _checked(targets_NK, probabilities_NK, names)
    hits_K, given_K = (true_NK & given_NK).sum(axis=0), given_NK.sum(axis=0)
    support_K = true_NK.sum(axis=0)
    averages = average_precisions(true_NK, shares_NK)
    means = bootstraps(*_cells(true_NK, given_NK))
    exact = int((true_NK == given_NK).all(axis=1).sum())
    clipped_NK = np.clip(shares_NK, LEAST, 1 - LEAST)
    losses_NK = -special.xlogy(true_NK, clipped_NK) - special.xlog1py(~true_NK, -clipped_NK)
    return LabelSetScores(
        n=len(true_NK),
        micro_f1=means[0],
        macro_f1=means[1],
        sample_f1=means[2],
        exact_match=wilson(exact, len(true_NK)),
        per_label=tuple(
            LabelScores(
                **vars(scores_of(name, hits, given, support, support=support)),
                average_precision=average,
            )
            for name, hits, given, support, average in zip(
                names, hits_K.tolist(), given_K.tolist(), support_K.tolist(), averages, strict=True
            )
        ),
        log_loss=float(losses_NK.mean()),
        brier=float(((shares_NK - true_NK) ** 2).mean()),
        ece=label_calibration_error(true_NK, shares_NK),
        labels=tuple(names),
    )


def label_calibration_error(true_NK: NDArray[np.bool_], shares_NK: NDArray[np.float64]) -> float:
    """Mean over labels of how far their probabilities are from the share of rows that have them."""
    columns = zip(shares_NK.T, true_NK.T, strict=True)
    return float(
        np.mean([expected_calibration_error(share_N, true_N) for share_N, true_N in columns])
    )


def f1_means(
    counts_RC: NDArray[Any], true_CK: NDArray[Any], given_CK: NDArray[Any]
) -> NDArray[np.float64]:
    """Micro, macro and sample F1, (R, 3), of R tables of counts of cells."""
    counts_RC, true_CK, given_CK = (x.astype(np.float64) for x in (counts_RC, true_CK, given_CK))
    both_CK = true_CK * given_CK
    hits_RK, both_RK = counts_RC @ both_CK, counts_RC @ (true_CK + given_CK)
    rows_C = _f1(both_CK.sum(axis=1), (true_CK + given_CK).sum(axis=1))
    return np.stack(
        [
            _f1(hits_RK.sum(axis=1), both_RK.sum(axis=1)),
            _f1(hits_RK, both_RK).mean(axis=1),
            counts_RC @ rows_C / counts_RC.sum(axis=1),
        ],
        axis=1,
    )


def _f1(hits: NDArray[np.float64], both: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of hits, and of true and given ones together; 0 where there are neither."""
    return np.divide(2 * hits, both, out=np.zeros(both.shape), where=both > 0)


def cells_of(*parts_NK: NDArray[np.bool_]) -> tuple[list[NDArray[np.bool_]], NDArray[np.int64]]:
    """Rows that are alike in all parts as one cell: each part with one row a cell, and counts."""
    whole_NM = np.concatenate(parts_NK, axis=1)
    packed_N = np.ascontiguousarray(np.packbits(whole_NM, axis=1))
    keys_N = packed_N.view([("", packed_N.dtype)] * packed_N.shape[1]).ravel()
    _, first_C, counts_C = np.unique(keys_N, return_index=True, return_counts=True)
    return [part_NK[first_C] for part_NK in parts_NK], counts_C


def _cells(true_NK: NDArray[np.bool_], given_NK: NDArray[np.bool_]) -> tuple[Any, NDArray[Any]]:
    """The statistic of a bootstrap, and the counts that it is of."""
    (true_CK, given_CK), counts_C = cells_of(true_NK, given_NK)
    return lambda counts_RC: f1_means(counts_RC, true_CK, given_CK), counts_C


def _checked(
    targets_NK: ArrayLike, probabilities_NK: ArrayLike, names: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    true_NK, shares_NK = np.asarray(targets_NK), np.asarray(probabilities_NK, dtype=np.float64)
    if not true_NK.size:
        raise DataError("there are no rows to measure", seen="0 rows", allowed="1 or more")
    if true_NK.shape != shares_NK.shape or shares_NK.shape[1] != len(names):
        raise DataError(
            "there must be a target and a probability of each label for each row",
            seen=f"targets of shape {true_NK.shape}, probabilities of {shares_NK.shape}",
            allowed=f"{len(names)} columns in both",
        )
    if not ((shares_NK >= 0) & (shares_NK <= 1)).all():
        raise DataError("probabilities must lie between 0 and 1")
    return true_NK.astype(bool), shares_NK


def average_precisions(
    true_NK: NDArray[np.bool_], shares_NK: NDArray[np.float64]
) -> list[Interval]:
    """The average precision of each label: mean precision over its rows, in falling order of their
    probability; those of one probability come together, as in scikit-learn.

    The interval is normal, with the bootstrap's standard error, and no narrower than that of a
    share of the label's rows (Boyd, Eng and Page 2013): to draw a single row again tells nothing.
    A label that no row has is 0, with the interval 0 to 1.
    """
    rows = len(true_NK)
    draws = int(np.clip(DRAWN // max(rows, 1), *RESAMPLES))
    random = np.random.default_rng(0)
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
    least = wilson(value * true_N.sum(), true_N.sum())
    return Interval(
        value, max(0.0, min(value - reach, least.low)), min(1.0, max(value + reach, least.high))
    )


def weighted_average_precisions(
    true_N: NDArray[np.bool_], share_N: NDArray[np.float64], weights_RN: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of one label for R weightings of the rows; not a number where no row with it has weight."""
    falling_N, ends_E = ranked(share_N)
    weights_RN = weights_RN[:, falling_N]
    hits_RE = np.cumsum(weights_RN * true_N[falling_N], axis=1)[:, ends_E]
    given_RE = np.cumsum(weights_RN, axis=1)[:, ends_E]
    precision_RE = np.divide(hits_RE, given_RE, out=np.zeros(hits_RE.shape), where=given_RE > 0)
    steps_RE = np.diff(hits_RE, axis=1, prepend=0.0)
    whole_R = hits_RE[:, -1]
    return np.divide(
        (steps_RE * precision_RE).sum(axis=1),
        whole_R,
        out=np.full(len(whole_R), np.nan),
        where=whole_R > 0,
    )
