"""What a classifier scores on labelled rows, each number with its interval where one is known.

Shapes: B rows, K classes, C cells (pairs of true and predicted class), R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.errors import DataError
from tightfit.extras import lazy
from tightfit.metrics.arguments import class_rows, refuse_rows
from tightfit.metrics.calibration import expected_calibration_error
from tightfit.metrics.interval import Interval
from tightfit.metrics.intervals import bootstrap, wilson

if TYPE_CHECKING:
    from scipy import sparse, special
else:
    sparse = lazy("scipy.sparse", "scoring")
    special = lazy("scipy.special", "scoring")

# Softmax in half precision misses a sum of 1 by less than this, logits by far more.
_SUM_TOLERANCE = 0.02

SIGNIFICANT = 0.05
"""Above it, chance explains that a classifier is right more often than a constant answer."""


@dataclass(frozen=True)
class ClassScores:
    """One class: its true rows (support), precision, recall and F1 with their intervals.

    A ratio without rows (precision of a class that is never predicted) is 0, as in scikit-learn,
    with the interval 0 to 1.
    """

    name: str
    support: int
    precision: Interval
    recall: Interval
    f1: Interval


@dataclass(frozen=True)
class Confusion:
    """Rows of one true label that got another."""

    true: str
    predicted: str
    count: int
    share: float
    """Of the true label's rows."""


@dataclass(frozen=True)
class Scores:
    """All scores of one classifier on ``n`` rows.

    Attributes:
        n: rows.
        accuracy: share of rows that are right, with its Wilson interval.
        macro_f1: mean F1 of the classes that occur as a label or as a prediction.
        per_class: one entry a class, in label order.
        log_loss: mean negative log-likelihood, in nats; probabilities are clipped at 2.2e-16.
        brier: mean squared distance to the true class's one-hot row, 0 to 2 (Brier 1950).
        ece: expected calibration error, 15 bins of equal width (arXiv:1706.04599).
        confusion: rows of each true class (outer) by predicted class (inner).
        labels: class names, in label order.
    """

    n: int
    accuracy: Interval
    macro_f1: Interval
    per_class: tuple[ClassScores, ...]
    log_loss: float
    brier: float
    ece: float
    confusion: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...]

    def headline(self) -> dict[str, Interval]:
        """Accuracy, and macro F1."""
        return {"accuracy": self.accuracy, "macro_f1": self.macro_f1}

    def each_label(self) -> Sequence[ClassScores]:
        """The scores of each class."""
        return self.per_class

    def confusions(self) -> list[Confusion]:
        """Every pair of labels that was confused, the most frequent first."""
        found = [
            Confusion(self.labels[true], self.labels[predicted], count, count / sum(counts))
            for true, counts in enumerate(self.confusion)
            for predicted, count in enumerate(counts)
            if count and true != predicted
        ]
        return sorted(found, key=lambda each: -each.count)

    @property
    def majority(self) -> int:
        """The id of the most frequent class among these rows, the first of equals."""
        return int(np.argmax([each.support for each in self.per_class]))

    def constant_as_good(self) -> str | None:
        """The most frequent class, unless more rows are right against it than for it, by a
        one-sided sign test."""
        right = [row[label] for label, row in enumerate(self.confusion)]
        often, found = self.per_class[self.majority], right[self.majority]
        gained, lost = sum(right) - found, often.support - found
        if special.bdtrc(gained - 1, gained + lost, 0.5) < SIGNIFICANT:
            return None
        share = often.support / self.n
        return f"always '{often.name}' is right in {share:.1%} of these {self.n:,} rows"

    def to_json(self) -> dict[str, Any]:
        """Plain lists and finite numbers under the names of the attributes."""
        plain = asdict(self)
        plain["per_class"] = list(plain["per_class"])
        plain["confusion"] = [list(row) for row in self.confusion]
        plain["labels"] = list(self.labels)
        return plain


def score(
    labels_B: ArrayLike,
    probabilities_BK: ArrayLike,
    names: Sequence[str],
    *,
    weights_B: NDArray[np.float64] | None = None,
) -> Scores:
    """Score the probabilities of every class against the true class ids.

    The prediction is the most probable class, the first of equals. Each row is divided by its sum,
    since single precision does not sum to 1 exactly.
    Rows that have weights count as much in every score; ``n``, ``support`` and ``confusion`` count
    rows all the same, and intervals are those of the effective number of rows (Kish 1965).

    Raises:
        DataError: no rows, shapes or names that do not fit together, an id that is no class, or
            rows that are not probabilities.
    """
    true_B, shares_BK = _checked(labels_B, probabilities_BK, names)
    ids_K = np.arange(len(names))
    predicted_B = shares_BK.argmax(axis=1)
    right_B = predicted_B == true_B
    confusion_KK = rows_KK = confusion_counts(true_B, predicted_B, len(names))
    if weights_B is not None:
        weights_B = weights_B * weights_B.sum() / (weights_B**2).sum()
        confusion_KK = confusion_counts(true_B, predicted_B, len(names), weights_B)
    counts = (
        (float(confusion_KK[k, k]), float(confusion_KK[:, k].sum()), float(confusion_KK[k].sum()))
        for k in ids_K
    )
    per_class = tuple(
        scores_of(name, *of_class, support=int(rows.sum()))
        for name, of_class, rows in zip(names, counts, rows_KK, strict=True)
    )
    squares_B = ((shares_BK - np.eye(len(names))[true_B]) ** 2).sum(axis=1)
    return Scores(
        n=len(true_B),
        accuracy=wilson(float(np.trace(confusion_KK)), float(confusion_KK.sum())),
        macro_f1=_macro_f1_interval(confusion_KK, per_class),
        per_class=per_class,
        log_loss=float(np.average(_losses(true_B, shares_BK), weights=weights_B)),
        brier=float(np.average(squares_B, weights=weights_B)),
        ece=expected_calibration_error(shares_BK.max(axis=1), right_B, weights_B),
        confusion=tuple(tuple(int(count) for count in row) for row in rows_KK),
        labels=tuple(names),
    )


def confusion_counts(
    true_B: NDArray[Any],
    predicted_B: NDArray[Any],
    classes: int,
    weights_B: NDArray[np.float64] | None = None,
) -> NDArray[Any]:
    """Rows, or what they weigh, by true class (first axis) and predicted class."""
    cells_B = true_B.astype(np.intp) * classes + predicted_B
    return np.bincount(cells_B, weights_B, classes**2).reshape(classes, classes)


def _losses(true_B: NDArray[Any], shares_BK: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each row, in nats."""
    least = np.finfo(np.float64).eps
    own_B = shares_BK[np.arange(len(true_B)), true_B].clip(least, 1 - least)
    return np.asarray(-special.xlogy(1.0, own_B))


def macro_f1(
    counts_RC: NDArray[Any], labels_C: NDArray[Any], predictions_C: NDArray[Any]
) -> NDArray[np.float64]:
    """The macro-F1 of R tables of counts; cell c holds rows of one true and one predicted class.

    The mean is over the classes that occur in a table as a label or as a prediction, as
    scikit-learn does it when it is not told the classes. Those are all the classes for which F1 is
    defined: a class that is wrongly predicted counts as 0, one that is absent from both is left
    out, since 0 would punish and 1 flatter for rows that are not there.
    """
    shape = (len(labels_C), 1 + max(labels_C.max(), predictions_C.max()))
    # Sparse, because a thousand classes make hundreds of thousands of cells.
    cells_C, ones_C = np.arange(shape[0]), np.ones(shape[0])
    true_CK = sparse.csr_array((ones_C, (cells_C, labels_C)), shape=shape)
    predicted_CK = sparse.csr_array((ones_C, (cells_C, predictions_C)), shape=shape)
    right_RK = (counts_RC * (labels_C == predictions_C)) @ true_CK
    both_RK = counts_RC @ true_CK + counts_RC @ predicted_CK
    f1_RK = np.divide(2 * right_RK, both_RK, out=np.zeros(both_RK.shape), where=both_RK > 0)
    return np.asarray(f1_RK.sum(axis=1) / (both_RK > 0).sum(axis=1))


def scores_of(
    name: str, right: float, predicted: float, own: float, *, support: int
) -> ClassScores:
    """Of one class: what it is rightly called, what it is called, and what is it, each by its
    weight, and its rows."""
    # F1 = 2J / (1 + J) for J = right / (rows that are or are called this class), a plain
    # proportion: its Wilson ends carry over (arXiv:2309.14621, the indirect method).
    overlap = wilson(right, own + predicted - right)
    return ClassScores(
        name=name,
        support=support,
        precision=wilson(right, predicted),
        recall=wilson(right, own),
        f1=Interval(*(2 * end / (1 + end) for end in (overlap.value, overlap.low, overlap.high))),
    )


def _macro_f1_interval(confusion_KK: NDArray[Any], per_class: tuple[ClassScores, ...]) -> Interval:
    true_C, predicted_C = np.nonzero(confusion_KK)
    interval = bootstrap(
        lambda counts_RC: macro_f1(counts_RC, true_C, predicted_C),
        confusion_KK[true_C, predicted_C],
    )
    if interval.low < interval.high:
        return interval
    # Resampling rows that are all right, or all wrong, shows no variation, and would claim to be
    # certain. The mean of the classes' own ends is what they give if they err together, and
    # too wide rather than too narrow if they do not.
    ends = [per_class[k].f1 for k in np.union1d(true_C, predicted_C)]
    low, high = np.mean([(f1.low, f1.high) for f1 in ends], axis=0)
    return Interval(interval.value, float(low), float(high))


def _checked(
    labels_B: ArrayLike, probabilities_BK: ArrayLike, names: Sequence[str]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """The ids and the probabilities, in double precision with rows that sum to 1."""
    true_B, given_BK = class_rows(labels_B, probabilities_BK)
    if given_BK.shape[1] != len(names):
        raise DataError(
            "there must be one column of probabilities for each class",
            seen=f"{given_BK.shape[1]} columns",
            allowed=f"{len(names)}, for {', '.join(names)}",
        )
    sums_B1 = given_BK.sum(axis=1, keepdims=True)
    odd_B1 = (given_BK.min(axis=1, keepdims=True) < 0) | (abs(sums_B1 - 1) > _SUM_TOLERANCE)
    refuse_rows(given_BK, odd_B1[:, 0], allowed="probabilities: 0 or more, with a sum of 1")
    return true_B, given_BK / sums_B1
