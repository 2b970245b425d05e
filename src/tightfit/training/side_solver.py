"""The side head, solved on training rows by logistic regression, and the proof that it is.

Shapes: N rows, F buckets, R directions of a sample, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from tightfit.budget.parts import SidePlan
from tightfit.model.proofs import Proof
from tightfit.model.side_head import SideHead, hashed
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.linear_probe import LinearMap
from tightfit.tasks.solved_head import SOLVED_TOLERANCE, HeadProblem, choose_strength, out_of_fold

MOST_ROWS = 20_000
"""That a side head is solved on: more sharpen it by little, and each takes time."""

SAMPLE_ROWS = 1_000
"""Of which a strength is chosen: they are told apart in as many directions, not in all buckets."""

ROUGH, FINE = 1e-4, 1e-6
"""Largest entry of the gradient in a cross-validation, and at the solution that is kept."""


class SideSolver:
    """The problem that the training rows set a side head; a pure function of them."""

    def __init__(
        self,
        plan: SidePlan,
        seed: int,
        texts: Sequence[str],
        targets_N: NDArray[np.int64],
        *,
        weights_N: NDArray[np.float64] | None = None,
    ) -> None:
        """Take the rows; nothing is computed yet."""
        self.plan, self._seed, self._texts = plan, seed, texts
        self._targets_N, self._weights_N = targets_N, weights_N

    @classmethod
    def of(cls, dataset: Dataset, plan: SidePlan, seed: int) -> SideSolver:
        """That of a training; of very many rows it takes a sample."""
        rows_N = np.random.default_rng(seed).permutation(len(dataset.train_texts))
        # Where all rows are scored, by solutions without them, none may be missing.
        rows_N = np.sort(rows_N if dataset.folds else rows_N[:MOST_ROWS])
        weights_N = dataset.train_weights
        texts = [dataset.train_texts[row] for row in rows_N.tolist()]
        own_N = None if weights_N is None else weights_N[rows_N]
        return cls(plan, seed, texts, dataset.train_targets[rows_N], weights_N=own_N)

    @cached_property
    def _features(self) -> tuple[csr_array, NDArray[np.float64]]:
        """``features_NF``, each bucket weighted by how rare it is; and the weights."""
        found = [hashed(text, self.plan.buckets) for text in self._texts]
        ends = np.cumsum([0, *(len(filled_T) for filled_T, _ in found)])
        filled, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
        features_NF = csr_array((values, filled, ends), shape=(len(found), self.plan.buckets))
        rows_F = np.bincount(filled, minlength=self.plan.buckets)
        rarity_F = np.log((1 + len(found)) / (1 + rows_F)) + 1
        return (features_NF @ diags_array(rarity_F)).tocsr(), rarity_F

    @cached_property
    def _strength(self) -> float:
        few_N = np.random.default_rng(self._seed).permutation(len(self._texts))[:SAMPLE_ROWS]
        weights_N = None if self._weights_N is None else self._weights_N[few_N]
        rows = _directions(self._features[0][few_N]), self._targets_N[few_N]
        return choose_strength(
            *rows, self.plan.labels, self._seed, weights_N=weights_N, tolerance=ROUGH
        )

    @cached_property
    def _problem(self) -> HeadProblem:
        rows = self._features[0], self._targets_N
        return HeadProblem.of(*rows, self.plan.labels, self._strength, weights_N=self._weights_N)

    @cached_property
    def head(self) -> SideHead:
        """The solution."""
        found, rarity_F = self._problem.solve(FINE), self._features[1]
        weight_FK = (found.weight_KF * rarity_F).T
        return SideHead(weight_FK.astype(np.float32), found.bias_K.astype(np.float32))

    def unseen(self) -> NDArray[np.float64]:
        """``logits_NK`` of the rows, each by a solution without it."""
        features_NF = self._features[0]
        few = features_NF.shape[0] <= SAMPLE_ROWS
        return out_of_fold(
            _directions(features_NF) if few else features_NF,
            self._targets_N,
            self.plan.labels,
            self._strength,
            seed=self._seed,
            weights_N=self._weights_N,
            tolerance=ROUGH,
        )

    def is_solved(self, kept: SideHead, factor: float) -> Proof:
        """Whether the gradient of its objective is zero at what is kept, over the factor.

        Raises:
            ProofError: it is not.
        """
        weight_FK, bias_K = (
            each.astype(np.float64) / factor for each in (kept.weight_FK, kept.bias_K)
        )
        rarity_F = self._features[1]
        residual = self._problem.residual(LinearMap(weight_FK.T / rarity_F, bias_K))
        numbers = {
            "largest_gradient": residual,
            "tolerance": SOLVED_TOLERANCE,
            "penalty": self._problem.penalty,
            "factor": factor,
            "rows": len(self._targets_N),
            "parameters": kept.plan.parameters,
        }
        return Proof("side_solved", residual <= SOLVED_TOLERANCE, numbers).enforce(
            "the side head is not where its objective is least",
            f"its gradient has an entry of {residual:.2g}",
            "nothing was sealed; report it, or set head.side=off",
        )


def _directions(features_NF: csr_array) -> NDArray[np.float64]:
    """The rows turned into as many directions as there are of them: no product of two changes."""
    values_R, vectors_NR = np.linalg.eigh((features_NF @ features_NF.T).toarray())
    return vectors_NR * np.sqrt(np.maximum(values_R, 0.0))
