"""A head that is solved: multinomial logistic regression, to where its gradient is zero.

What is minimised over weights W and biases b is::

    mean over the N rows of -log softmax(W x + b)[target]  +  ||W||^2 / (2 C N)

with features x divided by their mean length and C the strength (rows that have weights count with
them, in the means and in N): scikit-learn's objective for
several classes, divided by the rows.

Shapes: N rows, F width of the features, K labels, P labels that have rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax

from tightfit.blas_threads import one_blas_thread
from tightfit.data.balanced import deal, even_parts
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.linear_probe import ABSENT_MARGIN, LinearMap

MOST_ITERATIONS = 2_000
"""Of L-BFGS; a few hundred suffice."""

FEW_WEIGHTS = 100_000
"""Up to so many weights L-BFGS remembers 30 steps, beyond them 10: each is two vectors of them."""

EXACT = 1e-8
"""Largest entry of the gradient at a solution."""

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the penalty that are tried where none is given."""

POOL_SHARPNESS, POOL_ROUNDS = 20.0, 10
"""What cosines with centres are multiplied by, and how often centres are moved; half and double of
the first were worse on rows of training files."""

STRENGTH_FOLDS = 4
"""Parts of the rows by which a strength is chosen."""


@dataclass(frozen=True)
class HeadProblem:
    """What is to be solved; a solution from elsewhere can be held against it.

    Labels without a row are no part of it: they get no weights and a low bias.
    """

    features_NF: NDArray[np.float64] | csr_array
    """Divided by :attr:`length`."""
    shares_NP: NDArray[np.float64]
    """How much of each row is of each label: 0 or 1, where its label is known."""
    weights_N: NDArray[np.float64]
    """Of the rows, 1 in sum."""
    present_P: NDArray[np.int64]
    """The labels that have rows, P of them."""
    num_labels: int
    penalty: float
    length: float
    intercept: bool = True

    @classmethod
    def of(
        cls,
        features_NF: NDArray[Any] | csr_array,
        rows: LabelledRows,
        num_labels: int,
        strength: float,
        *,
        intercept: bool = True,
        pool_MF: NDArray[np.float32] | None = None,
    ) -> HeadProblem:
        """The problem that rows set.

        Args:
            features_NF: of rows whose label is known.
            rows: with ids of labels.
            num_labels: K.
            strength: inverse strength of the penalty.
            intercept: whether each label has one: of a single row a label it would say more of the
                sentence than of the label.
            pool_MF: of rows whose label is not known, which weigh as much together as the others.
        """
        wide_NF = features_NF.astype(np.float64)
        length = float(np.average(row_lengths(wide_NF), weights=rows.weights_N)) or 1.0
        present_P, positions_N = np.unique(rows.targets, return_inverse=True)
        weights_N = np.ones(len(rows)) if rows.weights_N is None else rows.weights_N
        count, shares_NP = float(weights_N.sum()), np.eye(len(present_P))[positions_N]
        weights_N, penalty = weights_N / count, 1 / (strength * count)
        if pool_MF is not None and len(pool_MF):
            pool = pool_MF.astype(np.float64)
            shares_NP = np.concatenate([shares_NP, soft_targets(pool, wide_NF, shares_NP)])
            weights_N = np.concatenate([weights_N, np.full(len(pool), 1 / len(pool))]) / 2
            wide_NF, penalty = np.concatenate([wide_NF, pool]), penalty / 2
        found = (wide_NF / length, shares_NP, weights_N, present_P, num_labels, penalty, length)
        return cls(*found, intercept)

    @one_blas_thread()
    def solve(self, tolerance: float = EXACT) -> LinearMap:
        """The solution, as a map of the features as they were given.

        ``tolerance`` is the largest entry that the gradient may have there.
        """
        width, present = self.features_NF.shape[1], len(self.present_P)
        start = np.zeros(present * (width + 1))
        if present > 1:
            options = {"maxiter": MOST_ITERATIONS, "maxfun": 2 * MOST_ITERATIONS}
            memory = 30 if len(start) <= FEW_WEIGHTS else 10
            tight = {"ftol": 0.0, "gtol": tolerance, "maxcor": memory}
            start = minimize(
                self._value, start, jac=True, method="L-BFGS-B", options={**options, **tight}
            ).x
        weight_PF, bias_P = self._parts(start)
        weight_KF, bias_K = np.zeros((self.num_labels, width)), np.zeros(self.num_labels)
        bias_K[:] = bias_P.min() - ABSENT_MARGIN
        weight_KF[self.present_P], bias_K[self.present_P] = weight_PF / self.length, bias_P
        return LinearMap(weight_KF, bias_K)

    def residual(self, found: LinearMap) -> float:
        """The largest entry of the objective's gradient at a map of the features as given."""
        weight_PF, bias_P = found.weight_KF[self.present_P], found.bias_K[self.present_P]
        if len(self.present_P) < 2:
            return 0.0
        weights = np.concatenate([(weight_PF * self.length).ravel(), bias_P])
        return float(np.abs(self._value(weights)[1]).max())

    def _value(self, weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """The objective and its gradient."""
        weight_PF, bias_P = self._parts(weights)
        logs_NP = log_softmax(self.features_NF @ weight_PF.T + bias_P, axis=1)
        losses_N = -(self.shares_NP * logs_NP).sum(1)
        value = float(self.weights_N @ losses_N + self.penalty * (weight_PF**2).sum() / 2)
        errors_NP = (np.exp(logs_NP) - self.shares_NP) * self.weights_N[:, None]
        slope_PF = errors_NP.T @ self.features_NF + self.penalty * weight_PF
        slope_P = errors_NP.sum(0) * self.intercept
        return value, np.concatenate([slope_PF.ravel(), slope_P])

    def _parts(
        self, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        present = len(self.present_P)
        return weights[:-present].reshape(present, -1), weights[-present:]


def row_lengths(features_NF: NDArray[np.float64] | csr_array) -> NDArray[np.float64]:
    """The Euclidean length of each row."""
    if isinstance(features_NF, csr_array):
        squares_N: NDArray[np.float64] = features_NF.multiply(features_NF).sum(axis=1)
        return np.sqrt(squares_N)
    return np.linalg.norm(features_NF, axis=1)


def soft_targets(
    pool_MF: NDArray[np.float64], features_NF: NDArray[np.float64], shares_NP: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much each row of a pool is of each label: a soft spherical k-means (Dhillon and Modha
    2001) whose centres are held half-way to those of the rows whose label is known.

    Args:
        pool_MF: features of rows whose label is not known.
        features_NF: of those whose label is.
        shares_NP: 1 for the label of each, else 0.
    """
    unit_MF = _unit(pool_MF)
    known_PF = _unit(shares_NP.T @ _unit(features_NF))
    centres_PF = known_PF
    for _ in range(POOL_ROUNDS):
        found_MP = softmax(POOL_SHARPNESS * unit_MF @ centres_PF.T, axis=1)
        centres_PF = _unit(known_PF + _unit(found_MP.T @ unit_MF))
    return softmax(POOL_SHARPNESS * unit_MF @ centres_PF.T, axis=1)


def _unit(features_NF: NDArray[np.float64]) -> NDArray[np.float64]:
    return features_NF / np.maximum(np.linalg.norm(features_NF, axis=1, keepdims=True), 1e-12)


def choose_strength(
    features_NF: NDArray[Any],
    rows: LabelledRows,
    num_labels: int,
    seed: int,
    *,
    tolerance: float = EXACT,
    strengths: Sequence[float] = STRENGTHS,
) -> float:
    """The one of some strengths with the least log loss in a cross-validation over the rows
    themselves, whose parts are dealt out here.

    Other arguments are those of :func:`out_of_fold`.
    """
    rows = replace(rows, parts_N=None)

    def loss(strength: float) -> float:
        given = (features_NF, rows, num_labels, strength)
        logits_NK = out_of_fold(*given, seed=seed, tolerance=tolerance)
        logs_N = log_softmax(logits_NK, axis=1)[np.arange(len(rows)), rows.targets]
        return -float(np.average(logs_N, weights=rows.weights_N))

    return min(strengths, key=loss)


def out_of_fold(
    features_NF: NDArray[Any] | csr_array,
    rows: LabelledRows,
    num_labels: int,
    strength: float,
    *,
    seed: int,
    unscored: int = 0,
    tolerance: float = EXACT,
) -> NDArray[np.float64]:
    """Logits of each row, by a head that was solved on other parts of the rows.

    Args:
        features_NF: of the rows.
        rows: with ids of labels; where they are in no parts, these are dealt out.
        num_labels: K.
        strength: inverse strength of the penalty.
        seed: of the parts.
        unscored: so many rows at the end are in every solution, and get no logits.
        tolerance: largest entry of the gradient at each solution.
    """
    count, parts_N = len(rows) - unscored, rows.parts_N
    if parts_N is None:
        strata, alike = rows.targets[:count].tolist(), rows.groups_N[:count].tolist()
        parts_N = deal(strata, alike, even_parts(strata, alike, STRENGTH_FOLDS), seed)
        parts_N = np.pad(parts_N, (0, unscored), constant_values=-1)
    logits_NK = np.empty((count, num_labels))
    for part in np.unique(parts_N[:count]):
        own_N = parts_N == part
        if own_N.all():
            logits_NK[:] = 0.0
            break
        others = features_NF[~own_N], rows.select(np.flatnonzero(~own_N))
        found = HeadProblem.of(*others, num_labels, strength).solve(tolerance)
        logits_NK[own_N[:count]] = features_NF[own_N] @ found.weight_KF.T + found.bias_K
    return logits_NK
