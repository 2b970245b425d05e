"""The side head, solved on training rows by logistic regression or a ridge, and the proof of it.

Shapes: N rows, F features, R directions of a sample, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from tightfit.budget.parts import SidePlan
from tightfit.model.pair_reader import PairReader
from tightfit.model.proofs import Proof, solved
from tightfit.model.side_head import MOST_CHARACTERS, Counted, Ngrams, SideHead, counted
from tightfit.progress import Progress
from tightfit.tasks import Task
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.tasks.linear_probe import STILL, LinearMap, RidgeProblem
from tightfit.tasks.solved_head import HeadProblem, choose_strength, out_of_fold

MOST_ROWS = 20_000
"""That a side head is solved on: more sharpen it by little, and each takes time."""

SAMPLE_ROWS = 1_000
"""Of which a strength is chosen: they are told apart in as many directions, not in all n-grams."""

STRENGTHS = (1.0, 10.0, 100.0, 1_000.0)
"""Inverse strengths of the penalty that are tried: of so many features a weak one is best."""

ROUGH, FINE = 1e-4, 1e-6
"""Largest entry of the gradient in a cross-validation, and at the solution that is kept."""


@dataclass(frozen=True)
class Stretch:
    """A change of features before a problem is solved: what is stretched, its penalty spares."""

    scale_F: NDArray[np.float64]
    """What each is multiplied by."""
    along_F: NDArray[np.float64]
    """A direction of length 1, of features that are scaled already; zeros for none."""
    factor: float = 1.0
    """What they are multiplied by along it."""

    @classmethod
    def to_one_deviation(cls, given_NF: NDArray[np.float64]) -> Stretch:
        """Scales that bring all of them to a deviation of 1, but for those that hardly vary."""
        deviation_F = given_NF.std(axis=0)
        varies_F = deviation_F > STILL * np.median(deviation_F)
        scale_F = 1 / np.where(varies_F, deviation_F, 1.0)
        return cls(scale_F, np.zeros_like(scale_F))

    def along(self, sum_F: NDArray[np.float64], given_NF: NDArray[np.float64]) -> Stretch:
        """The same, and a sum of features counts as much as its parts do together.

        As one more feature of that deviation would, whose weight is shared out to them.
        """
        scaled_F, deviation = sum_F / self.scale_F, float((given_NF @ sum_F).std())
        length = float(np.linalg.norm(scaled_F))
        if deviation <= STILL * length:
            return self
        factor = np.hypot(1.0, length * float(np.linalg.norm(sum_F)) / deviation)
        return Stretch(self.scale_F, scaled_F / length, float(factor))

    def features(self, given_NF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Those that the problem has."""
        return self._along(given_NF * self.scale_F, self.factor)

    def as_given(self, weight_KF: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights of the features as given, from those of the problem's."""
        return self._along(weight_KF, self.factor) * self.scale_F

    def as_solved(self, weight_KF: NDArray[np.float64]) -> NDArray[np.float64]:
        """The other way round."""
        return self._along(weight_KF / self.scale_F, 1 / self.factor)

    def _along(self, rows_NF: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
        return rows_NF + (factor - 1) * np.outer(rows_NF @ self.along_F, self.along_F)


class SideSolver:
    """The problem that the training rows set a side head; a pure function of them."""

    def __init__(
        self,
        plan: SidePlan,
        task: Task,
        rows: LabelledTexts,
        *,
        seed: int,
        longest: int = MOST_CHARACTERS,
        pairs: PairReader | None = None,
        progress: Progress = Progress(),
    ) -> None:
        """Take the rows; nothing is computed yet.

        Args:
            plan: its size.
            task: classes, or ratings.
            rows: texts, and what they are to be answered with.
            seed: of the parts of a cross-validation, where rows are in none.
            longest: characters of an n-gram, at most.
            pairs: what reads them, where they are pairs.
            progress: shows a bar while it does.
        """
        self.plan, self._task, self._rows, self._seed = plan, task, rows, seed
        self._longest, self._pairs, self._progress = longest, pairs, progress

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        plan: SidePlan,
        seed: int,
        *,
        pairs: PairReader | None = None,
        progress: Progress = Progress(),
    ) -> SideSolver:
        """That of a training; of very many rows it takes a sample."""
        rows_N = np.random.default_rng(seed).permutation(len(dataset.train))
        # Where all rows are scored, by solutions without them, none may be missing.
        rows_N = np.sort(rows_N if dataset.folds else rows_N[:MOST_ROWS])
        return cls(
            plan,
            dataset.task,
            dataset.train.select(rows_N),
            seed=seed,
            pairs=pairs,
            progress=progress,
        )

    @cached_property
    def features(self) -> csr_array | NDArray[np.float64]:
        """``features_NF``, as the problem has them."""
        if self._stretch is not None:
            return self._stretch.features(self._apart_NF)
        ngrams, counted_N = self._ngrams
        found = [ngrams.features(each) for each in counted_N]
        ends = np.cumsum([0, *(len(places_T) for places_T, _ in found)])
        places, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return csr_array((values, places, ends), shape=(len(found), ngrams.width))

    @cached_property
    def _apart_NF(self) -> NDArray[np.float64]:
        """Of pairs, the features as they are read."""
        assert self._pairs is not None
        return self._pairs.features(self._rows.texts, self._progress).astype(np.float64)

    @cached_property
    def _stretch(self) -> Stretch | None:
        """Of pairs. How alike both texts are is a sum over as many features as a state has numbers:
        a few ratings do not find it among them, though it tells most. Of classes they need not."""
        if self._pairs is None:
            return None
        found = Stretch.to_one_deviation(self._apart_NF)
        return found if self._task.one_class else found.along(self._pairs.cosine_F, self._apart_NF)

    @cached_property
    def _ngrams(self) -> tuple[Ngrams, list[Counted]]:
        """What it knows of characters; and what each row has of them."""
        counted_N = [counted(text, self._longest) for text in self._rows.texts]
        return Ngrams.of(counted_N, self.plan.width, self._longest), counted_N

    @cached_property
    def _strength(self) -> float:
        few_N = np.random.default_rng(self._seed).permutation(len(self._rows))[:SAMPLE_ROWS]
        return choose_strength(
            _directions(self.features[few_N]),
            self._rows.select(few_N),
            self.plan.labels,
            self._seed,
            tolerance=ROUGH,
            strengths=STRENGTHS,
        )

    @cached_property
    def _ridge(self) -> RidgeProblem | None:
        """Of ratings."""
        if self._task.one_class:
            return None
        rows = self.features, self._task.wanted(self._rows.targets), self._rows.alike_N
        return RidgeProblem.of(*rows, scaled=self._stretch is not None)

    @cached_property
    def _problem(self) -> HeadProblem:
        return HeadProblem.of(self.features, self._rows, self.plan.labels, self._strength)

    @cached_property
    def head(self) -> SideHead:
        """The solution."""
        found = self._problem.solve(FINE) if self._ridge is None else self._ridge.solve()
        weight_KF = self._stretch.as_given(found.weight_KF) if self._stretch else found.weight_KF
        weight_FK = weight_KF.T.astype(np.float32)
        return SideHead(weight_FK, found.bias_K.astype(np.float32), self._pairs or self._ngrams[0])

    def unseen(self) -> NDArray[np.float64]:
        """``logits_NK`` of the rows, each by a solution without it and the others of its part."""
        features_NF = self.features
        if self._ridge is not None:
            return self._ridge.unseen(self._rows.parts_N)
        few = features_NF.shape[0] <= SAMPLE_ROWS
        return out_of_fold(
            _directions(features_NF) if few else features_NF,
            self._rows,
            self.plan.labels,
            self._strength,
            seed=self._seed,
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
        weight_KF = self._stretch.as_solved(weight_FK.T) if self._stretch else weight_FK.T
        return solved(
            self._ridge or self._problem,
            LinearMap(weight_KF, bias_K),
            layer="side head",
            next_step="report it, or set head.side=off",
            factor=factor,
            rows=len(self._rows),
            parameters=kept.plan.parameters,
        )


def _directions(features_NF: csr_array | NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows turned into as many directions as there are of them: no product of two changes."""
    products_NN = features_NF @ features_NF.T
    values_R, vectors_NR = np.linalg.eigh(
        products_NN if isinstance(products_NN, np.ndarray) else products_NN.toarray()
    )
    return vectors_NR * np.sqrt(np.maximum(values_R, 0.0))
