"""Linear probing: a logistic regression on features that stand still, as a layer can hold it.

Shapes: N rows, F width of the features, K labels, P labels that occur among the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
"""Inverse strengths of the L2 penalty that are tried, on features of unit variance."""

PENALTIES = np.logspace(-2, 2, 13)
"""The same for least squares, for each row."""

MOST_ITERATIONS = 300
"""Of L-BFGS; on standardised features some dozens suffice."""

HELD_SHARE = 0.2
"""Of the probe's own rows, held out to choose the strength by."""

STILL = 1e-4
"""A feature is dead whose deviation is less than this share of the median one."""

ABSENT_MARGIN = 2.0
"""A label without a row starts this far, in logits, below the rarest that has one."""


@dataclass(frozen=True)
class LinearMap:
    """``logits = W x + b``."""

    weight_KF: NDArray[np.float64]
    bias_K: NDArray[np.float64]


def fit_probe(
    features_NF: NDArray[np.float32],
    labels_N: NDArray[np.int64],
    *,
    num_labels: int,
    balanced: bool = False,
) -> LinearMap:
    """Multinomial logistic regression on standardised features, as a map of the raw ones.

    Args:
        features_NF: what the layer reads.
        labels_N: label ids.
        num_labels: K; a label without a row gets no weights and a low bias.
        balanced: whether rows weigh by the inverse frequency of their label.
    """
    scaler = StandardScaler().fit(features_NF)
    x_NF = standardised(features_NF, scaler)
    present_P = np.unique(labels_N)
    weight_KF, bias_K = np.zeros((num_labels, x_NF.shape[1])), np.zeros(num_labels)
    if len(present_P) > 1:
        penalty = partial(_regression, class_weight="balanced" if balanced else None)
        model = penalty(_best_strength(x_NF, labels_N, penalty)).fit(x_NF, labels_N)
        weight_PF, bias_P = model.coef_, model.intercept_
        if len(present_P) == 2:
            # Of two labels scikit-learn keeps only the second's, against a first of zero.
            weight_PF = np.concatenate([-weight_PF, weight_PF]) / 2
            bias_P = np.concatenate([-bias_P, bias_P]) / 2
        weight_KF[present_P], bias_K[present_P] = weight_PF, bias_P
    absent = np.setdiff1d(np.arange(num_labels), present_P)
    bias_K[absent] = bias_K[present_P].min() - ABSENT_MARGIN
    weight_KF /= scaler.scale_
    return LinearMap(weight_KF, bias_K - weight_KF @ scaler.mean_)


def leave_one_out(
    features_NF: NDArray[np.float32], wanted_NK: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What a linear map fitted on all other rows gives for each row, (N, K), by least squares.

    In closed form: a row's residual, over what of its own target its prediction leaves open, is
    that of a fit without it (PRESS, Allen 1974). The penalty is that with the least such error.
    """
    x_NF = standardised(features_NF, StandardScaler().fit(features_NF))
    left_NR, values_R, _ = np.linalg.svd(x_NF, full_matrices=False)
    centre_K = wanted_NK.mean(axis=0)
    along_RK = left_NR.T @ (wanted_NK - centre_K)
    best_NK, least = wanted_NK, np.inf
    for penalty in PENALTIES * len(x_NF):
        kept_R = values_R**2 / (values_R**2 + penalty)
        own_N = (left_NR**2) @ kept_R + 1 / len(x_NF)
        errors_NK = wanted_NK - centre_K - (left_NR * kept_R) @ along_RK
        errors_NK /= (1 - own_N)[:, None]
        if (error := float((errors_NK**2).mean())) < least:
            best_NK, least = wanted_NK - errors_NK, error
    return best_NK


def standardised(features_NF: NDArray[np.float32], scaler: StandardScaler) -> NDArray[np.float64]:
    """Features of mean 0 and variance 1; dead ones are 0."""
    x_NF: NDArray[np.float64] = scaler.transform(features_NF.astype(np.float64))
    # A dead feature says nothing, and bringing it to unit variance would take a weight of 1e34.
    x_NF[:, scaler.scale_ < STILL * np.median(scaler.scale_)] = 0.0
    return x_NF


def _regression(strength: float, class_weight: str | None) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=MOST_ITERATIONS, class_weight=class_weight)


def _best_strength(
    x_NF: NDArray[np.float64],
    labels_N: NDArray[np.int64],
    regression: Callable[[float], LogisticRegression],
) -> float:
    """The strength whose log loss is least on rows held out of the probe's own."""
    held = int(len(labels_N) * HELD_SHARE)
    fit_labels_N = labels_N[held:]
    # A label that occurs among the held rows alone says nothing about the strength.
    scored = np.flatnonzero(np.isin(labels_N[:held], fit_labels_N))
    classes = np.unique(fit_labels_N)
    if len(scored) == 0 or len(classes) < 2:
        return min(STRENGTHS)

    def loss(strength: float) -> float:
        model = regression(strength).fit(x_NF[held:], fit_labels_N)
        probabilities_NP = model.predict_proba(x_NF[scored])
        return float(log_loss(labels_N[scored], probabilities_NP, labels=classes))

    return min(STRENGTHS, key=loss)
