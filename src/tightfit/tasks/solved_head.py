"""A head that is solved: multinomial logistic regression, to where its gradient is zero.

What is minimised over weights W and biases b is::

    mean over the N rows of -log softmax(W x + b)[target]  +  ||W||^2 / (2 C N)

with features x divided by their mean length and C the strength (rows that have weights count with
them, in the means and in N): scikit-learn's objective for
several classes, divided by the rows.

Shapes: N rows, F width of the features, K labels, P labels that have rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax

from tightfit.data.balanced import deal
from tightfit.tasks.linear_probe import ABSENT_MARGIN, LinearMap

MOST_ITERATIONS = 2_000
"""Of L-BFGS; a few hundred suffice."""

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the penalty that are tried where none is given."""

STRENGTH_FOLDS = 4
"""Parts of the rows by which a strength is chosen."""


@dataclass(frozen=True)
class HeadProblem:
    """What is to be solved; a solution from elsewhere can be held against it.

    Labels without a row are no part of it: they get no weights and a low bias.
    """

    features_NF: NDArray[np.float64]
    """Divided by :attr:`length`."""
    targets_N: NDArray[np.int64]
    """Positions in :attr:`present_P`."""
    present_P: NDArray[np.int64]
    """The labels that have rows, P of them."""
    num_labels: int
    strength: float
    length: float
    weights_N: NDArray[np.float64]
    """How much each row counts; a row of weight 2 is two rows."""

    @classmethod
    def of(
        cls,
        features_NF: NDArray[np.float32],
        targets_N: NDArray[np.int64],
        num_labels: int,
        strength: float,
        *,
        weights_N: NDArray[np.float64] | None = None,
    ) -> HeadProblem:
        """The problem that rows set."""
        if weights_N is None:
            weights_N = np.ones(len(targets_N))
        wide_NF = features_NF.astype(np.float64)
        length = float(np.average(np.linalg.norm(wide_NF, axis=1), weights=weights_N)) or 1.0
        present_P, positions_N = np.unique(targets_N, return_inverse=True)
        return cls(
            wide_NF / length, positions_N, present_P, num_labels, strength, length, weights_N
        )

    def solve(self) -> LinearMap:
        """The solution, as a map of the features as they were given."""
        width, present = self.features_NF.shape[1], len(self.present_P)
        start = np.zeros(present * (width + 1))
        if present > 1:
            options = {"maxiter": MOST_ITERATIONS, "maxfun": 2 * MOST_ITERATIONS}
            tight = {"ftol": 0.0, "gtol": 1e-8, "maxcor": 30}
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
        rows_N, count = np.arange(len(self.targets_N)), float(self.weights_N.sum())
        shares_N = self.weights_N / count
        logs_NP = log_softmax(self.features_NF @ weight_PF.T + bias_P, axis=1)
        penalty = float((weight_PF**2).sum()) / (2 * self.strength * count)
        value = penalty - float(logs_NP[rows_N, self.targets_N] @ shares_N)
        errors_NP = np.exp(logs_NP)
        errors_NP[rows_N, self.targets_N] -= 1
        errors_NP *= shares_N[:, None]
        slope_PF = errors_NP.T @ self.features_NF + weight_PF / (self.strength * count)
        return value, np.concatenate([slope_PF.ravel(), errors_NP.sum(0)])

    def _parts(
        self, weights: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        present = len(self.present_P)
        return weights[:-present].reshape(present, -1), weights[-present:]


def choose_strength(
    features_NF: NDArray[np.float32],
    targets_N: NDArray[np.int64],
    num_labels: int,
    seed: int,
    *,
    weights_N: NDArray[np.float64] | None = None,
) -> float:
    """The strength with the least log loss in a cross-validation over the rows themselves."""

    def loss(strength: float) -> float:
        logits_NK = _out_of_fold(
            features_NF, targets_N, num_labels, strength, seed=seed, weights_N=weights_N
        )
        logs_N = log_softmax(logits_NK, axis=1)[np.arange(len(targets_N)), targets_N]
        return -float(np.average(logs_N, weights=weights_N))

    return min(STRENGTHS, key=loss)


def right_out_of_fold(
    features_NF: NDArray[np.float32], targets_N: NDArray[np.int64], num_labels: int, seed: int
) -> int:
    """How many rows are answered rightly by a head that was solved without them."""
    strength = choose_strength(features_NF, targets_N, num_labels, seed)
    logits_NK = _out_of_fold(features_NF, targets_N, num_labels, strength, seed=seed)
    return int((logits_NK.argmax(1) == targets_N).sum())


def _out_of_fold(
    features_NF: NDArray[np.float32],
    targets_N: NDArray[np.int64],
    num_labels: int,
    strength: float,
    *,
    seed: int,
    weights_N: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Logits of each row, by a head that was solved on other parts of the rows."""
    parts_N = deal(targets_N.tolist(), list(range(len(targets_N))), STRENGTH_FOLDS, seed)
    logits_NK = np.empty((len(targets_N), num_labels))
    for part in np.unique(parts_N):
        own_N = parts_N == part
        if own_N.all():
            logits_NK[:] = 0.0
            break
        others = None if weights_N is None else weights_N[~own_N]
        rows = features_NF[~own_N], targets_N[~own_N]
        found = HeadProblem.of(*rows, num_labels, strength, weights_N=others).solve()
        logits_NK[own_N] = features_NF[own_N] @ found.weight_KF.T + found.bias_K
    return logits_NK
