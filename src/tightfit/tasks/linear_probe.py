"""Linear probing: a logistic regression on features that stand still, as a layer can hold it.

Shapes: N rows, F width of the features, K labels, P labels that occur among the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tightfit.blas_threads import one_blas_thread
from tightfit.data.balanced import held_first
from tightfit.extras import lazy
from tightfit.tasks.labelled_rows import LabelledRows

if TYPE_CHECKING:
    from sklearn import linear_model, metrics
else:  # which few rows, whose head is solved, do not wait for
    linear_model = lazy("sklearn.linear_model", "a probe")
    metrics = lazy("sklearn.metrics", "a probe")

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


@dataclass(frozen=True)
class Standard:
    """What brings features to mean 0 and variance 1, as scikit-learn's ``StandardScaler`` does."""

    mean_F: NDArray[np.float64]
    scale_F: NDArray[np.float64]
    """Their deviations; 1 of a feature that does not vary."""

    @classmethod
    def of(
        cls, features_NF: NDArray[np.floating], weights_N: NDArray[np.float64] | None = None
    ) -> Standard:
        """Of these rows, each counted by its weight."""
        wide_NF = features_NF.astype(np.float64)
        # As there: in the features' own precision.
        own_N = None if weights_N is None else weights_N.astype(features_NF.dtype)

        def summed(values_NF: NDArray[np.float64]) -> NDArray[np.float64]:
            return values_NF.sum(axis=0) if own_N is None else own_N @ values_NF

        count = len(wide_NF) if own_N is None else own_N.sum(dtype=np.float64)
        mean_F = summed(wide_NF) / count
        wide_NF -= mean_F
        # What rounding left in the mean is taken out (Chan, Golub and LeVeque 1983).
        variance_F = (summed(wide_NF**2) - summed(wide_NF) ** 2 / count) / count
        eps = np.finfo(np.float64).eps
        still_F = variance_F <= count * eps * variance_F + (count * mean_F * eps) ** 2
        return cls(mean_F, np.where(still_F, 1.0, np.sqrt(variance_F.clip(0))))

    def applied(self, features_NF: NDArray[np.floating]) -> NDArray[np.float64]:
        """Standardised features; dead ones are 0."""
        x_NF = features_NF.astype(np.float64)
        x_NF -= self.mean_F
        x_NF /= self.scale_F
        # A dead one says nothing, and to bring it to unit variance would take a weight of 1e34.
        x_NF[:, self.scale_F < STILL * np.median(self.scale_F)] = 0.0
        return x_NF

    def undone(self, weight_KF: NDArray[np.float64], bias_K: NDArray[np.float64]) -> LinearMap:
        """A map of standardised features, as one of the features as they were given."""
        weight_KF = weight_KF / self.scale_F
        return LinearMap(weight_KF, bias_K - weight_KF @ self.mean_F)

    def redone(self, found: LinearMap) -> LinearMap:
        """The other way round."""
        bias_K = found.bias_K + found.weight_KF @ self.mean_F
        return LinearMap(found.weight_KF * self.scale_F, bias_K)


class SolvedProblem(Protocol):
    """What a head minimises that is solved."""

    @property
    def penalty(self) -> float:
        """On the squared weights, beside a mean over the rows."""

    def solve(self) -> LinearMap:
        """The solution, as a map of the features as they were given."""

    def residual(self, found: LinearMap) -> float:
        """The largest entry of the objective's gradient at a map of the features as given."""


@one_blas_thread()
def fit_probe(
    features_NF: NDArray[np.float32],
    rows: LabelledRows,
    *,
    num_labels: int,
    balanced: bool = False,
) -> LinearMap:
    """Multinomial logistic regression on standardised features, as a map of the raw ones.

    Args:
        features_NF: what the layer reads.
        rows: with ids of labels.
        num_labels: K; a label without a row gets no weights and a low bias.
        balanced: whether rows weigh by the inverse frequency of their label, too.
    """
    standard = Standard.of(features_NF, rows.weights_N)
    x_NF = standard.applied(features_NF)
    present_P = np.unique(rows.targets)
    weight_KF, bias_K = np.zeros((num_labels, x_NF.shape[1])), np.zeros(num_labels)
    if len(present_P) > 1:
        penalty = partial(_regression, class_weight="balanced" if balanced else None)
        strength = _best_strength(x_NF, rows, penalty)
        model = penalty(strength).fit(x_NF, rows.targets, rows.weights_N)
        weight_PF, bias_P = model.coef_, model.intercept_
        if len(present_P) == 2:
            # Of two labels scikit-learn keeps only the second's, against a first of zero.
            weight_PF = np.concatenate([-weight_PF, weight_PF]) / 2
            bias_P = np.concatenate([-bias_P, bias_P]) / 2
        weight_KF[present_P], bias_K[present_P] = weight_PF, bias_P
    absent = np.setdiff1d(np.arange(num_labels), present_P)
    bias_K[absent] = bias_K[present_P].min() - ABSENT_MARGIN
    return standard.undone(weight_KF, bias_K)


@dataclass(frozen=True)
class RidgeProblem:
    """Least squares with a penalty; a solution from elsewhere can be held against it.

    What is minimised over weights W and biases b is the mean over the N rows of
    ``||W x + b - wanted||^2``, plus the penalty times ``||W||^2``, with standardised features x.
    """

    x_NF: NDArray[np.float64]
    standard: Standard
    wanted_NK: NDArray[np.float64]
    weight_KF: NDArray[np.float64]
    """The solution, of standardised features."""
    penalty: float
    unseen_NK: NDArray[np.float64]
    """What a solution on all other rows gives for each row, in closed form: a row's residual, over
    what of its own target its prediction leaves open (PRESS, Allen 1974)."""
    alike_N: NDArray[np.int64] | None = None
    """The same number for rows that are left out together, such as those of a text; None is another
    for each."""
    scaled: bool = False
    """Whether features had been scaled already, and are only brought to mean 0."""

    @classmethod
    def of(
        cls,
        features_NF: NDArray[Any],
        wanted_NK: NDArray[np.float64],
        alike_N: NDArray[np.int64] | None = None,
        *,
        scaled: bool = False,
    ) -> RidgeProblem:
        """The problem that rows set; its penalty is that with the least error of unseen rows."""
        standard = Standard.of(features_NF)
        if scaled:
            standard = replace(standard, scale_F=np.ones_like(standard.scale_F))
        x_NF = standard.applied(features_NF)
        weight_KF, unseen_NK, penalty = _ridge(x_NF, wanted_NK, _groups(alike_N))
        penalty /= len(x_NF)
        return cls(x_NF, standard, wanted_NK, weight_KF, penalty, unseen_NK, alike_N, scaled)

    def solve(self) -> LinearMap:
        """The solution, as a map of the features as they were given."""
        return self.standard.undone(self.weight_KF, self.wanted_NK.mean(axis=0))

    def unseen(self, parts_N: NDArray[np.int64] | None) -> NDArray[np.float64]:
        """What solutions on the rows of all other parts give; None is a part for each row, or for
        those that are alike."""
        if parts_N is None:
            return self.unseen_NK
        found_NK = np.empty_like(self.wanted_NK)
        for part in np.unique(parts_N):
            own_N = parts_N == part
            alike_N = None if self.alike_N is None else self.alike_N[~own_N]
            others = self.x_NF[~own_N], self.wanted_NK[~own_N], alike_N
            found = RidgeProblem.of(*others, scaled=self.scaled).solve()
            found_NK[own_N] = self.x_NF[own_N] @ found.weight_KF.T + found.bias_K
        return found_NK

    def residual(self, found: LinearMap) -> float:
        """The largest entry of the objective's gradient at a map of the features as given.

        That of a bias is divided by what is added up to it: no map in fp32 is surer of a mean.
        """
        own = self.standard.redone(found)
        errors_NK = self.x_NF @ own.weight_KF.T + own.bias_K - self.wanted_NK
        slope_KF = errors_NK.T @ self.x_NF + len(self.x_NF) * self.penalty * own.weight_KF
        summed_K = np.abs(found.bias_K) + np.abs(found.weight_KF) @ np.abs(self.standard.mean_F)
        drift_K = np.abs(errors_NK.mean(axis=0)) / np.maximum(1.0, summed_K)
        return 2 * float(max(np.abs(slope_KF).max() / len(errors_NK), drift_K.max()))


def _groups(alike_N: NDArray[np.int64] | None) -> list[NDArray[np.int64]]:
    """The rows of each group of several; none where all are of one."""
    if alike_N is None:
        return []
    _, firsts = np.unique(np.sort(alike_N), return_index=True)
    groups = np.split(np.argsort(alike_N, kind="stable"), firsts[1:])
    return [rows_G for rows_G in groups if 1 < len(rows_G) < len(alike_N)]


def _ridge(
    x_NF: NDArray[np.float64], wanted_NK: NDArray[np.float64], groups: Sequence[NDArray[np.int64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Weights ``(K, F)`` with the best penalty, what fits without each row, or all of its group,
    give for it, and that penalty."""
    left_NR, values_R, right_RF = np.linalg.svd(x_NF, full_matrices=False)
    centre_K = wanted_NK.mean(axis=0)
    along_RK = left_NR.T @ (wanted_NK - centre_K)
    best, best_NK, least = float(PENALTIES[-1] * len(x_NF)), wanted_NK, np.inf
    for penalty in (PENALTIES * len(x_NF)).tolist():
        kept_R = values_R**2 / (values_R**2 + penalty)
        own_N = (left_NR**2) @ kept_R + 1 / len(x_NF)
        errors_NK = wanted_NK - centre_K - (left_NR * kept_R) @ along_RK
        alone_NK = errors_NK / (1 - own_N)[:, None]
        for rows_G in groups:
            left_GR = left_NR[rows_G]
            shared_GG = (left_GR * kept_R) @ left_GR.T + 1 / len(x_NF)
            open_GG = np.eye(len(rows_G)) - shared_GG
            alone_NK[rows_G] = np.linalg.solve(open_GG, errors_NK[rows_G])
        errors_NK = alone_NK
        if (error := float((errors_NK**2).mean())) < least:
            best, best_NK, least = penalty, wanted_NK - errors_NK, error
    weight_KF = (along_RK * (values_R / (values_R**2 + best))[:, None]).T @ right_RF
    return weight_KF, best_NK, best


def _regression(strength: float, class_weight: str | None) -> linear_model.LogisticRegression:
    return linear_model.LogisticRegression(
        C=strength, max_iter=MOST_ITERATIONS, class_weight=class_weight
    )


def held_rows(rows: LabelledRows) -> NDArray[np.bool_]:
    """Which of some rows, in random order, a strength is chosen by, ``held_N``; none that is like
    one that fits."""
    return held_first(rows.groups_N.tolist(), int(len(rows) * HELD_SHARE))


def _best_strength(
    x_NF: NDArray[np.float64],
    rows: LabelledRows,
    regression: Callable[[float], linear_model.LogisticRegression],
) -> float:
    """The strength whose log loss is least on rows held out of the probe's own."""
    held_N = held_rows(rows)
    others = rows.select(np.flatnonzero(~held_N))
    # A label that occurs among the held rows alone says nothing about the strength.
    scored = np.flatnonzero(held_N & np.isin(rows.targets, others.targets))
    own, classes = rows.select(scored), np.unique(others.targets)
    if len(own) == 0 or len(classes) < 2:
        return min(STRENGTHS)

    def loss(strength: float) -> float:
        model = regression(strength).fit(x_NF[~held_N], others.targets, others.weights_N)
        probabilities_NP = model.predict_proba(x_NF[scored])
        told = {"labels": classes, "sample_weight": own.weights_N}
        return float(metrics.log_loss(own.targets, probabilities_NP, **told))

    return min(STRENGTHS, key=loss)
