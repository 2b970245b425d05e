"""Whether a classifier's confidence can be believed, and what to do where it cannot.

Shapes: B rows, K classes. A confidence is the probability of the predicted class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.errors import UsageError
from tightfit.extras import lazy
from tightfit.metrics.arguments import class_rows, confidence_rows
from tightfit.metrics.intervals import CONFIDENCE
from tightfit.metrics.thresholds import ranked

if TYPE_CHECKING:
    import scipy
else:
    scipy = lazy("scipy", "calibrating")

Scale: TypeAlias = "float | tuple[float, ...]"
"""What all logits are divided by, or those of each label."""

BINS = 15
# Standard deviation of a temperature's natural logarithm before any row is seen: of 35 runs of few
# rows 0.3 and 0.7 left more log loss on other rows.
PRIOR = 0.5
# The logarithm of 1 / temperature is looked for between these; a minimum outside is no minimum but
# a trend.
_FLATTEST, _SHARPEST = np.log(1e-3), np.log(1e3)
# A search for a threshold starts from each of these shares of the rows, most confident first.
_STARTS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class ReliabilityBin:
    """The rows with a confidence above ``low`` and up to ``high``; at least one row."""

    low: float
    high: float
    rows: int
    confidence: float
    accuracy: float


Value = TypeVar("Value", bound=Scale, covariant=True)


@dataclass(frozen=True)
class Temperature(Generic[Value]):
    """What the logits are to be divided by; 1 with a reason where nothing could be fitted.

    The log losses, in nats, are those of the rows it was fitted on, without and with it; means over
    the labels where a row may have several, and each label a temperature of its own.
    """

    value: Value
    log_loss_before: float
    log_loss_after: float
    reason: str | None = None


@dataclass(frozen=True)
class Threshold:
    """A confidence from which on answers are right often enough.

    Attributes:
        value: rows with at least this confidence are answered, the others are left to people.
        rows: rows it was chosen on.
        answered: how many of them it answers.
        error: share of the answered ones that are wrong.
        error_bound: upper confidence bound of that share for rows not seen yet.
    """

    value: float
    rows: int
    answered: int
    error: float
    error_bound: float


def reliability_bins(
    confidences_B: ArrayLike,
    correct_B: ArrayLike,
    *,
    weights_B: NDArray[np.float64] | None = None,
) -> tuple[ReliabilityBin, ...]:
    """The points of a reliability diagram: mean confidence and accuracy of each bin that has rows.

    The bins have equal widths and include their upper edge, as in Guo et al. 2017
    (arXiv:1706.04599), so that the numbers compare with published ones. Means are by the rows'
    weights, where they have some.
    """
    confidence_B, right_B = confidence_rows(confidences_B, correct_B)
    bin_B = _bins(confidence_B)
    weights_B = np.ones(len(bin_B)) if weights_B is None else weights_B

    def mean(values_B: NDArray[Any], k: int) -> float:
        return float(np.average(values_B[bin_B == k], weights=weights_B[bin_B == k]))

    return tuple(
        ReliabilityBin(
            low=float(k / BINS),
            high=float((k + 1) / BINS),
            rows=int((bin_B == k).sum()),
            confidence=mean(confidence_B, k),
            accuracy=mean(right_B, k),
        )
        for k in np.unique(bin_B)
    )


def _bins(confidence_B: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.ceil(confidence_B * BINS).astype(int) - 1, 0, BINS - 1)


def expected_calibration_error(
    confidences_B: ArrayLike, correct_B: ArrayLike, weights_B: NDArray[np.float64] | None = None
) -> float:
    """Mean distance between confidence and accuracy over the rows' bins, 0 to 1.

    After Guo et al. 2017 (arXiv:1706.04599), with bins of equal width. On few rows it is biased
    upwards: accuracy in a bin of few rows differs from confidence by chance alone.
    """
    confidence_B, right_B = confidence_rows(confidences_B, correct_B)
    bin_B = _bins(confidence_B)
    weights_B = np.ones(len(bin_B)) if weights_B is None else weights_B
    gaps_K = np.bincount(bin_B, weights_B * (right_B - confidence_B))
    return float(np.abs(gaps_K).sum() / weights_B.sum())


def calibration_error_by_chance(
    confidences_B: ArrayLike, weights_B: NDArray[np.float64] | None = None
) -> float:
    """The error that a perfectly calibrated classifier would show on rows of these confidences.

    The right answers of a bin then have variance ``v = sum(p (1 - p))`` about the sum of its
    confidences; their mean distance is ``sqrt(2 v / pi)`` where they are near a normal law. Rows
    of weight w add ``w ** 2`` times as much to the variance.
    """
    confidence_B, _ = confidence_rows(confidences_B, np.ones(np.shape(confidences_B), dtype=bool))
    weights_B = np.ones(len(confidence_B)) if weights_B is None else weights_B
    own_B = weights_B**2 * confidence_B * (1 - confidence_B)
    variance_K = np.bincount(_bins(confidence_B), weights=own_B)
    return float(np.sqrt(2 * variance_K / np.pi).sum() / weights_B.sum())


def fit_temperature(
    logits_BK: ArrayLike, labels_B: ArrayLike, *, weights_B: NDArray[np.float64] | None = None
) -> Temperature[float]:
    """The temperature with the least log loss on held-out rows (Guo et al. 2017, arXiv:1706.04599).

    The loss is convex in 1 / temperature, so its slope has at most one zero, which bracketing
    finds to the last digits. The predicted classes do not change. A row of weight 2 is two rows to
    the loss.

    Raises:
        DataError: logits that are not finite, or no id of a class for each row.
    """
    true_B, scores_BK = class_rows(labels_B, logits_BK)
    slope = _slope(scores_BK, true_B, weights_B)
    reason = _nothing_to_fit(true_B, slope)
    if reason is not None:
        before = _log_loss(scores_BK, true_B, weights_B)
        return Temperature(1.0, before, before, reason)
    return _at_zero(slope, scores_BK, true_B, weights_B)


def likely_temperature(
    logits_BK: ArrayLike, labels_B: ArrayLike, *, weights_B: NDArray[np.float64] | None = None
) -> Temperature[float]:
    """The temperature that these rows make the likeliest, for rows like them.

    Its logarithm is taken to be normal about 0 beforehand, with a deviation of ``PRIOR`` (a maximum
    a posteriori estimate). So many rows have the temperature of :func:`fit_temperature`, a few are
    halfway to it, and none, however many are right, ask for certainty. Other words are as there.
    """
    true_B, scores_BK = class_rows(labels_B, logits_BK)
    slope = _slope(scores_BK, true_B, weights_B)
    count = len(true_B) if weights_B is None else float(np.sum(weights_B))

    def posterior_slope(log_inverse: float) -> float:
        return count * slope(log_inverse) + log_inverse / PRIOR**2

    return _at_zero(posterior_slope, scores_BK, true_B, weights_B)


def _slope(
    scores_BK: NDArray[np.float64],
    true_B: NDArray[np.int64],
    weights_B: NDArray[np.float64] | None,
) -> Callable[[float], float]:
    """The derivative of the mean log loss by the logarithm of 1 / temperature, at one of those."""

    def slope(log_inverse: float) -> float:
        inverse = np.exp(log_inverse)
        expected_B = (scipy.special.softmax(inverse * scores_BK, axis=1) * scores_BK).sum(axis=1)
        slopes_B = expected_B - scores_BK[np.arange(len(true_B)), true_B]
        return float(inverse * np.average(slopes_B, weights=weights_B))

    return slope


def _at_zero(
    slope: Callable[[float], float],
    scores_BK: NDArray[np.float64],
    true_B: NDArray[np.int64],
    weights_B: NDArray[np.float64] | None,
) -> Temperature[float]:
    """The temperature at which a slope is zero, or the end of those that are looked at."""
    low, high = _FLATTEST, _SHARPEST
    if slope(low) >= 0 or slope(high) <= 0:
        found = low if slope(low) >= 0 else high
    else:
        found = scipy.optimize.root_scalar(slope, bracket=(low, high), xtol=1e-12).root
    inverse = float(np.exp(found))
    return Temperature(
        1 / inverse,
        _log_loss(scores_BK, true_B, weights_B),
        _log_loss(inverse * scores_BK, true_B, weights_B),
    )


def fitted_log_losses(
    logits_BK: ArrayLike, labels_B: ArrayLike, weights_B: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """The log loss of each row, at the temperature with the least of all, however few rows.

    Raises:
        DataError: logits that are not finite, or no id of a class for each row.
    """
    true_B, scores_BK = class_rows(labels_B, logits_BK)
    temperature = fit_temperature(scores_BK, true_B, weights_B=weights_B).value
    return _row_log_losses(scores_BK / temperature, true_B)


def fit_label_temperatures(
    logits_NK: NDArray[np.float32], targets_NK: NDArray[np.int8]
) -> Temperature[Scale]:
    """Of each label the temperature that the rows make the likeliest."""
    scaled = []
    for label in range(targets_NK.shape[1]):
        # Of two classes, one at a logit of 0, the second has the sigmoid's probability.
        logit_N = logits_NK[:, label].astype(np.float64)
        two_N2 = np.stack([np.zeros(len(logit_N)), logit_N], axis=1)
        scaled.append(likely_temperature(two_N2, targets_NK[:, label]).value)
    before, after = (
        _binary_log_loss(each_NK, targets_NK) for each_NK in (logits_NK, logits_NK / scaled)
    )
    return Temperature(tuple(scaled), before, after)


def abstain_threshold(
    confidences_B: ArrayLike, correct_B: ArrayLike, *, max_error: float
) -> Threshold | None:
    """The lowest threshold that keeps the error of answered rows under a level, or None.

    With a probability of 95% over the choice of these rows, at most ``max_error`` of the
    rows that will be answered are wrong, provided that they come from the same source and that
    error does not rise with confidence. Thresholds are tested from strict to lenient until the
    Clopper-Pearson bound of one exceeds the level: fixed-sequence testing, which needs no
    correction for the number of tests, here with four starts that share the risk equally (Learn
    then Test, Angelopoulos et al. 2021, arXiv:2110.01052). One start alone would end at the first
    chance error among the few most confident rows.

    Raises:
        UsageError: a level that does not lie between 0 and 1.
        DataError: no rows, or confidences that are none.
    """
    if not 0 < max_error < 1:
        raise UsageError("max_error must lie between 0 and 1", seen=f"max_error={max_error}")
    confidence_B, right_B = confidence_rows(confidences_B, correct_B)
    falling, ends = ranked(confidence_B)
    answered, wrong = ends + 1, np.cumsum(~right_B[falling], dtype=np.int64)[ends]
    bounds = _error_bounds(wrong, answered, 1 - (1 - CONFIDENCE) / len(_STARTS))
    starts = np.searchsorted(answered, np.multiply(_STARTS, len(falling)))
    reached = _last_in_sequence(bounds <= max_error, starts)
    if reached is None:
        return None
    return Threshold(
        value=float(confidence_B[falling[ends[reached]]]),
        rows=len(falling),
        answered=int(answered[reached]),
        error=float(wrong[reached] / answered[reached]),
        error_bound=float(bounds[reached]),
    )


def _nothing_to_fit(labels_B: NDArray[Any], slope: Callable[[float], float]) -> str | None:
    """Why no temperature has a least loss worth having, or None where one has."""
    if len(np.unique(labels_B)) < 2:
        return f"all {len(labels_B)} rows are of one class"
    if slope(_FLATTEST) >= 0:
        return "the logits say nothing about these labels, at any temperature"
    if slope(_SHARPEST) <= 0:
        return "the loss only falls as the temperature nears 0, as where every row is right"
    return None


def _error_bounds(
    wrong: NDArray[np.int64], answered: NDArray[np.int64], level: float
) -> NDArray[np.float64]:
    """Upper Clopper-Pearson bounds (1934, doi:10.2307/2331986), one for each pair of counts."""
    # All rows wrong leaves no room: the beta distribution below is then not defined.
    return np.where(
        wrong < answered,
        scipy.special.betaincinv(wrong + 1, np.maximum(answered - wrong, 1), level),
        1.0,
    )


def _last_in_sequence(holds: NDArray[np.bool_], starts: NDArray[np.intp]) -> int | None:
    """The furthest place that some start reaches without passing one that does not hold."""
    fails = np.append(np.flatnonzero(~holds), len(holds))
    last = fails[np.searchsorted(fails, starts)] - 1
    reached = last[last >= starts]
    return int(reached.max()) if reached.size else None


def _log_loss(
    logits_BK: NDArray[np.float64],
    labels_B: NDArray[np.int64],
    weights_B: NDArray[np.float64] | None,
) -> float:
    return float(np.average(_row_log_losses(logits_BK, labels_B), weights=weights_B))


def _row_log_losses(
    logits_BK: NDArray[np.float64], labels_B: NDArray[np.int64]
) -> NDArray[np.float64]:
    log_shares_BK = scipy.special.log_softmax(logits_BK, axis=1)
    losses_B: NDArray[np.float64] = -log_shares_BK[np.arange(len(labels_B)), labels_B]
    return losses_B


def _binary_log_loss(logits_NK: NDArray[np.floating], targets_NK: NDArray[np.int8]) -> float:
    wide_NK = logits_NK.astype(np.float64)
    return float((np.logaddexp(0, wide_NK) - targets_NK * wide_NK).mean())
