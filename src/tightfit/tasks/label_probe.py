"""Linear probes for several labels a row: a logistic regression each, all solved together.

Shapes: N rows, F width of the features, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit, xlog1py, xlogy

from tightfit.blas_threads import one_blas_thread
from tightfit.tasks import linear_probe, solved_head
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.linear_probe import STRENGTHS, LinearMap, Standard, held_rows

LEAST = 1e-12
"""Probabilities are clipped there."""

ROUGH = {"maxiter": linear_probe.MOST_ITERATIONS}
"""How far L-BFGS goes where steps follow; ftol is its own."""

EXACT = {"maxiter": solved_head.MOST_ITERATIONS, "ftol": 0.0, "gtol": solved_head.EXACT}
"""How far where the solution is what answers."""


@dataclass(frozen=True)
class LabelProblem:
    """Logistic regressions on standardised features, solved at once.

    What is minimised over weights W and biases b is the mean over the N rows of the labels' losses
    in sum, plus ``||W||^2 / (2 C N)``: scikit-learn's objective for each label at strength C,
    divided by the rows. No weight is in two of them, so that the sum has the same solution.
    """

    x_NF: NDArray[np.float64]
    standard: Standard
    targets_NK: NDArray[np.float64]
    balanced: bool
    strength: float

    @classmethod
    @one_blas_thread()
    def of(
        cls,
        features_NF: NDArray[np.floating],
        rows: LabelledRows,
        *,
        balanced: bool = False,
    ) -> LabelProblem:
        """The problem that rows set. The strength of the penalty is chosen for all labels together,
        on rows held out of them.

        Args:
            features_NF: what the layer reads.
            rows: with 1 for each label that they have; they count alike.
            balanced: whether rows that have a label weigh as much as all that have it not.
        """
        standard = Standard.of(features_NF)
        x_NF, own_NK = standard.applied(features_NF), rows.targets.astype(np.float64)
        every = cls(x_NF, standard, own_NK, balanced, min(STRENGTHS))
        held_N = held_rows(rows)
        if not held_N.any():
            return every
        fewer = replace(every, x_NF=x_NF[~held_N], targets_NK=own_NK[~held_N])

        def loss(strength: float) -> float:
            found = replace(fewer, strength=strength)._solved(ROUGH)
            likely_NK = expit(x_NF[held_N] @ found.weight_KF.T + found.bias_K)
            likely_NK = likely_NK.clip(LEAST, 1 - LEAST)
            logs_NK = xlogy(own_NK[held_N], likely_NK) + xlog1py(1 - own_NK[held_N], -likely_NK)
            return -float(logs_NK.sum())

        return replace(every, strength=min(STRENGTHS, key=loss))

    @property
    def penalty(self) -> float:
        """On half the squared weights, beside a mean over the rows."""
        return 1 / (self.strength * len(self.x_NF))

    @cached_property
    def weights_NK(self) -> NDArray[np.float64]:
        """Of the losses; 0 for a label that all rows have, or none, which gets no weights."""
        count, own_K = len(self.x_NF), self.targets_NK.sum(axis=0)
        weights_NK = np.ones_like(self.targets_NK)
        if self.balanced:
            shares_K = own_K.clip(1, count - 1) / count
            weights_NK = np.where(self.targets_NK == 1, 0.5 / shares_K, 0.5 / (1 - shares_K))
        return weights_NK * ((own_K > 0) & (own_K < count))

    @one_blas_thread()
    def solve(self, options: Mapping[str, float] = EXACT) -> LinearMap:
        """The solution, as a map of the features as they were given."""
        found = self._solved(options)
        return self.standard.undone(found.weight_KF, found.bias_K)

    def residual(self, found: LinearMap) -> float:
        """The largest entry of the objective's gradient at a map of the features as given."""
        own = self.standard.redone(found)
        return float(np.abs(self._slope(own.weight_KF, own.bias_K)[1]).max())

    def _solved(self, options: Mapping[str, float]) -> LinearMap:
        """The solution, as a map of standardised features."""
        labels, count = self.targets_NK.shape[1], len(self.x_NF)
        own_K = self.targets_NK.sum(axis=0)
        start_KX = np.zeros((labels, self.x_NF.shape[1] + 1))
        start_KX[:, -1] = np.log((own_K + 1) / (count - own_K + 1))

        def value(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            both_KX = flat.reshape(labels, -1)
            loss, slope_KX = self._slope(both_KX[:, :-1], both_KX[:, -1])
            return loss, slope_KX.ravel()

        how = {"jac": True, "method": "L-BFGS-B", "options": dict(options)}
        flat = minimize(value, start_KX.ravel(), **how).x
        found_KX = flat.reshape(labels, -1)
        return LinearMap(found_KX[:, :-1], found_KX[:, -1])

    def _slope(
        self, weight_KF: NDArray[np.float64], bias_K: NDArray[np.float64]
    ) -> tuple[float, NDArray[np.float64]]:
        """The objective and its gradient, by label that of the weights and that of the bias."""
        count = len(self.x_NF)
        logits_NK = self.x_NF @ weight_KF.T + bias_K
        losses_NK = np.logaddexp(0, logits_NK) - self.targets_NK * logits_NK
        errors_NK = self.weights_NK * (expit(logits_NK) - self.targets_NK) / count
        slope_KX = np.empty((len(bias_K), self.x_NF.shape[1] + 1))
        slope_KX[:, :-1] = errors_NK.T @ self.x_NF + self.penalty * weight_KF
        slope_KX[:, -1] = errors_NK.sum(axis=0)
        penalty = self.penalty * float((weight_KF**2).sum()) / 2
        return float((self.weights_NK * losses_NK).sum()) / count + penalty, slope_KX
