"""Calibration of several labels a row: a temperature for each, where its rows show that it helps.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightfit.metrics.calibration import MIN_ROWS, Scale, carries_over, fit_temperature


@dataclass(frozen=True)
class LabelTemperatures:
    """What the logits of each label are to be divided by; 1 with a reason where nothing is.

    The log losses are means over rows and labels, in nats, of the rows that they were fitted on.
    """

    value: Scale
    log_loss_before: float
    log_loss_after: float
    reason: str | None = None


def fit_label_temperatures(
    logits_NK: NDArray[np.float32], targets_NK: NDArray[np.int8], few: int
) -> LabelTemperatures:
    """Of each label the temperature with the least log loss; 1 where fewer than ``few`` rows have
    it or have it not, and where it would not serve rows that it is not fitted on.
    """
    scaled_K = np.ones(targets_NK.shape[1])
    for label in range(len(scaled_K)):
        own = int(targets_NK[:, label].sum())
        if len(targets_NK) < MIN_ROWS or min(own, len(targets_NK) - own) < few:
            continue
        # Of two classes, one at a logit of 0, the second has the sigmoid's probability.
        logit_N = logits_NK[:, label].astype(np.float64)
        rows = np.stack([np.zeros(len(logit_N)), logit_N], axis=1), targets_NK[:, label]
        found = fit_temperature(*rows)
        if found.reason is None and carries_over(*rows):
            scaled_K[label] = found.value
    before = _log_loss(logits_NK, targets_NK)
    if (scaled_K == 1).all():
        return LabelTemperatures(
            1.0, before, before, "no label has rows that show one to be better"
        )
    after = _log_loss(logits_NK / scaled_K, targets_NK)
    return LabelTemperatures(tuple(scaled_K.tolist()), before, after)


def _log_loss(logits_NK: NDArray[np.floating], targets_NK: NDArray[np.int8]) -> float:
    wide_NK = logits_NK.astype(np.float64)
    return float((np.logaddexp(0, wide_NK) - targets_NK * wide_NK).mean())
