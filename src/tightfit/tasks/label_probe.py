"""Linear probes for several labels a row: a logistic regression each, all solved together.

Shapes: N rows, F width of the features, K labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, xlog1py, xlogy

from tightfit.blas_threads import one_blas_thread
from tightfit.tasks.linear_probe import (
    MOST_ITERATIONS,
    STRENGTHS,
    LinearMap,
    Standard,
    held_rows,
)

LEAST = 1e-12
"""Probabilities are clipped there."""


@one_blas_thread()
def fit_label_probe(
    features_NF: NDArray[np.float32],
    targets_NK: NDArray[np.int8],
    *,
    balanced: bool = False,
    alike_N: NDArray[np.int64] | None = None,
) -> LinearMap:
    """Logistic regressions on standardised features, as one map of the raw ones.

    Their sum is minimised at once, which is the same, since no weight is in two of them. The
    strength of the penalty is chosen for all together, on rows held out of the probe's own.

    Args:
        features_NF: what the layer reads.
        targets_NK: 1 where a row has the label; one that all rows have, or none, gets no weights.
        balanced: whether rows that have a label weigh as much as all that have it not.
        alike_N: as :func:`tightfit.tasks.linear_probe.fit_probe` takes it.
    """
    standard = Standard.of(features_NF)
    x_NF, y_NK = standard.applied(features_NF), targets_NK.astype(np.float64)
    held_N = held_rows(len(x_NF), alike_N)

    def loss(strength: float) -> float:
        found = _solved(x_NF[~held_N], y_NK[~held_N], strength, balanced=balanced)
        likely_NK = expit(x_NF[held_N] @ found.weight_KF.T + found.bias_K).clip(LEAST, 1 - LEAST)
        own_NK = y_NK[held_N]
        return -float((xlogy(own_NK, likely_NK) + xlog1py(1 - own_NK, -likely_NK)).sum())

    strength = min(STRENGTHS, key=loss) if held_N.any() else min(STRENGTHS)
    found = _solved(x_NF, y_NK, strength, balanced=balanced)
    return standard.undone(found.weight_KF, found.bias_K)


def _solved(
    x_NF: NDArray[np.float64], y_NK: NDArray[np.float64], strength: float, *, balanced: bool
) -> LinearMap:
    """scikit-learn's objective for each label: strength times the losses, and half the weights'
    square."""
    count, width = x_NF.shape
    labels, own_K = y_NK.shape[1], y_NK.sum(axis=0)
    both_K = (own_K > 0) & (own_K < count)
    weights_NK = np.ones_like(y_NK)
    if balanced:
        shares_K = own_K.clip(1, count - 1) / count
        weights_NK = np.where(y_NK == 1, 0.5 / shares_K, 0.5 / (1 - shares_K))
    start_KX = np.zeros((labels, width + 1))
    start_KX[:, -1] = np.log((own_K + 1) / (count - own_K + 1))

    def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight_KF, bias_K = flat.reshape(labels, -1)[:, :-1], flat.reshape(labels, -1)[:, -1]
        logits_NK = x_NF @ weight_KF.T + bias_K
        losses_NK = np.logaddexp(0, logits_NK) - y_NK * logits_NK
        errors_NK = weights_NK * (expit(logits_NK) - y_NK) * both_K
        slope_KX = np.empty((labels, width + 1))
        slope_KX[:, :-1] = strength * errors_NK.T @ x_NF + weight_KF
        slope_KX[:, -1] = strength * errors_NK.sum(axis=0)
        penalty = float((weight_KF**2).sum()) / 2
        return strength * float((weights_NK * losses_NK * both_K).sum()) + penalty, slope_KX.ravel()

    options = {"maxiter": MOST_ITERATIONS}
    flat = minimize(value, start_KX.ravel(), jac=True, method="L-BFGS-B", options=options).x
    found_KX = flat.reshape(labels, -1)
    return LinearMap(found_KX[:, :-1], found_KX[:, -1])
