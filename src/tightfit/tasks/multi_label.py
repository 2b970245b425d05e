"""Several labels a text: its targets are 0 and 1 for each label, its answers all labels from whose
threshold on they are given, which may be none.

As in :mod:`single_label`, what trains or scores is imported where it is needed.

Shapes: N rows, B rows of a batch, K labels, F width of the features that the head reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.data.cell_label_sets import sign_apart
from tightfit.data.labels import LabelSet, check_different
from tightfit.data.table import Table
from tightfit.errors import ArtefactError, DataError, UsageError
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.predictions import DIGITS, LabelFormat, Predictions
from tightfit.tasks.task import Array, Task, Weights

if TYPE_CHECKING:
    import torch

    from tightfit.metrics.calibration import Scale, Temperature
    from tightfit.metrics.label_scores import LabelSetScores
    from tightfit.metrics.paired import Paired
    from tightfit.tasks.label_probe import LabelProblem
    from tightfit.tasks.linear_probe import LinearMap

NONE = "(none)"
"""How people read that a text has no label."""

MOST_WEIGHT = 100.0
"""Of a label that is to weigh as much where a row has it as where it has not."""


@dataclass(frozen=True)
class MultiLabel(Task):
    """A classifier that gives each text any of K labels, several or none."""

    labels: LabelSet
    separator: str = "|"
    """Between labels in one cell of a text file."""

    kind: ClassVar = "multi"
    problem_type: ClassVar = "multi_label_classification"
    metric: ClassVar = "quadratic_score"
    limits: ClassVar = (
        "A text gets each label whose probability reaches its threshold, and perhaps none."
    )

    @classmethod
    def from_table(cls, table: Table, declared: tuple[str, ...] = ()) -> MultiLabel:
        """The task that labelled rows set; see :meth:`LabelSet.from_table` for the order.

        Raises:
            DataError: no row has a label, or all that is there is one label.
        """
        flat = table.flat()
        if not flat.labels:
            raise DataError(
                "no row has a label, so that nothing can be learned",
                seen=f"{len(table):,} rows of {table.source}",
                next_step="choose the column of labels with --label-column",
            )
        check_different(table)
        labels = LabelSet.from_table(flat, declared)
        return cls(labels, sign_apart(labels.names, table.separator))

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> MultiLabel:
        """Read what :meth:`to_json` wrote.

        Raises:
            ArtefactError: it is something else.
        """
        separator = saved.get("separator")
        if not isinstance(separator, str) or not separator:
            raise ArtefactError("the saved labels are damaged", seen=saved)
        return cls(LabelSet.from_json(saved), separator)

    def to_json(self) -> dict[str, Any]:
        """What ``labels.json`` keeps."""
        return {"task": self.kind, **self.labels.to_json(), "separator": self.separator}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the labels, in order."""
        return self.labels.names

    # Targets

    def encode(self, table: Table) -> NDArray[np.int8]:
        """``targets_NK``: 1 where a row has the label.

        Raises:
            DataError: rows have not several labels, or some that training did not see.
        """
        targets_NK = np.zeros((len(table), self.outputs), dtype=np.int8)
        for row, own in enumerate(self.labels.encode_sets(table)):
            targets_NK[row, own] = 1
        return targets_NK

    def strata(self, targets_NK: NDArray[np.int8]) -> NDArray[np.bool_]:
        """The labels of each row, each of which is kept in proportion."""
        return targets_NK.astype(bool)

    def identities(self, targets_NK: NDArray[np.int8]) -> list[int]:
        """The same number for rows of the same labels."""
        _, numbers_N = np.unique(targets_NK, axis=0, return_inverse=True)
        return numbers_N.reshape(-1).tolist()

    def counts(self, targets_NK: NDArray[np.int8]) -> dict[str, int]:
        """Rows that have each label, by name."""
        return dict(zip(self.names, targets_NK.sum(axis=0, dtype=int).tolist(), strict=True))

    def words(self, targets_NK: NDArray[np.int8]) -> list[str]:
        """The names of each row's labels."""
        return [", ".join(self._named(row, self.names)) or NONE for row in targets_NK]

    def _named(self, given_K: NDArray[Any], spelt: Sequence[Any]) -> list[Any]:
        return [spelt[label] for label in np.flatnonzero(given_K).tolist()]

    # Training

    def row_losses(
        self,
        logits_BK: torch.Tensor,
        targets_BK: torch.Tensor,
        label_smoothing: float = 0.0,
        weights_K: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Binary cross-entropy of each row, a mean over labels; ``weights_K`` are those of having
        the label. Smoothing moves targets towards a half.

        As of one label a row, what a row has is weighed, and not its smoothed target: torch's own
        ``pos_weight`` would have rows without a rare label taken for some that have it.
        """
        from torch.nn.functional import binary_cross_entropy_with_logits

        has_BK = targets_BK.to(logits_BK.dtype)
        wanted_BK = has_BK * (1 - label_smoothing) + label_smoothing / 2
        losses_BK = binary_cross_entropy_with_logits(logits_BK, wanted_BK, reduction="none")
        if weights_K is not None:
            losses_BK = losses_BK * (1 + has_BK * (weights_K - 1))
        return losses_BK.mean(dim=1)

    def class_weights(self, rows: LabelledRows) -> NDArray[np.float32]:
        """Of having each label, so that rows that have it weigh as much as those that have not."""
        own_K = rows.targets.sum(axis=0, dtype=int).clip(1)
        return ((len(rows) - own_K) / own_K).clip(1, MOST_WEIGHT).astype(np.float32)

    @property
    def chance_loss(self) -> float:
        """The loss, in nats a label, of who takes having it to be as likely as not."""
        return math.log(2)

    def constant_loss(self, trained_NK: NDArray[np.int8], targets_NK: NDArray[np.int8]) -> float:
        """The loss on ``targets_NK`` of who gives each text the labels' shares of the training
        rows."""
        shares_K = (trained_NK.sum(axis=0, dtype=int) + 1) / (len(trained_NK) + 2)
        losses_NK = np.where(targets_NK == 1, -np.log(shares_K), -np.log1p(-shares_K))
        return float(losses_NK.mean())

    def fit_probe(
        self,
        features_NF: NDArray[np.float32],
        rows: LabelledRows,
        *,
        balanced: bool,
    ) -> LinearMap:
        """A logistic regression for each label."""
        from tightfit.tasks.label_probe import ROUGH

        return self.head_problem(features_NF, rows, balanced=balanced).solve(ROUGH)

    def head_problem(
        self,
        features_NF: NDArray[Any],
        rows: LabelledRows,
        *,
        balanced: bool = False,
    ) -> LabelProblem:
        """Logistic regressions, as of the probe."""
        from tightfit.tasks.label_probe import LabelProblem

        return LabelProblem.of(features_NF, rows, balanced=balanced)

    def row_scores(self, logits_NK: Array, targets_NK: Array) -> Array:
        """The quadratic score of each row (Brier 1950): 1 less the mean squared distance of its
        probabilities from its labels. It asks no threshold, which steps would only chase, and
        unlike a ranking of labels it sees each label by itself."""
        if isinstance(logits_NK, np.ndarray):
            shares_NK = self.probabilities(logits_NK)
        else:
            shares_NK = logits_NK.double().sigmoid()
        return 1 - ((shares_NK - targets_NK) ** 2).mean(1)

    def wanted(self, targets_NK: NDArray[np.int8]) -> NDArray[np.float64]:
        """1 for a label that a row has, 0 for every other."""
        return targets_NK.astype(np.float64)

    def unseen_scores(
        self, features_NF: NDArray[np.float32], rows: LabelledRows
    ) -> NDArray[np.float64]:
        """The same by a linear probe of other rows, whose values are taken as they are."""
        shares_NK = self.unseen(features_NF, rows).clip(0, 1)
        return 1 - ((shares_NK - rows.targets) ** 2).mean(1)

    # Answers

    def probabilities(self, logits_NK: ArrayLike, temperature: Scale = 1.0) -> NDArray[np.float64]:
        """``probabilities_NK``, each label's own, of logits divided by temperatures above 0.

        Raises:
            UsageError: a temperature is not above 0, or not finite.
        """
        scale_K = np.asarray(temperature, dtype=np.float64)
        if not ((scale_K > 0) & (scale_K < np.inf)).all():
            what = "a temperature must be above 0 and finite"
            raise UsageError(what, seen=temperature, allowed="0.5, 1, 2.3, …")
        scaled_NK = np.asarray(logits_NK, dtype=np.float64) / scale_K
        return np.exp(-np.logaddexp(0.0, -scaled_NK))

    def predictions(
        self, probabilities_NK: NDArray[np.float64], **more: Any
    ) -> LabelSetPredictions:
        """What users get; ``more`` are the other fields of :class:`Predictions`."""
        return LabelSetPredictions(self, probabilities_NK, **more)

    def given(
        self, probabilities_NK: NDArray[np.float64], thresholds: Mapping[int, float]
    ) -> NDArray[np.bool_]:
        """Which labels each row is given, (N, K): those that reach their threshold, or a half."""
        from tightfit.tasks.label_set_thresholds import of_each_label

        return probabilities_NK >= np.array(of_each_label(thresholds, self.outputs))

    def spelt(self, label_format: LabelFormat | None) -> tuple[int | str, ...]:
        """The labels in one of the ways to write them; None is what people call them."""
        return self.labels.spelt(label_format)

    def answer_columns(self, label_format: LabelFormat) -> dict[str, Any]:
        """The labels, as a list."""
        return {"labels": list[type(self.spelt(label_format)[0])]}  # type: ignore[misc]  # a type made here

    # Scores

    def score(
        self,
        targets_NK: ArrayLike,
        probabilities_NK: ArrayLike,
        thresholds: Mapping[int, float] | None = None,
        weights_N: Weights = None,
    ) -> LabelSetScores:
        """All scores, with intervals. Without thresholds, each half of the rows is scored by those
        that are best for F1 on the other half."""
        from tightfit.metrics.label_scores import score_label_sets
        from tightfit.tasks.label_set_thresholds import cross_fitted_thresholds

        shares_NK, true_NK = np.asarray(probabilities_NK), np.asarray(targets_NK).astype(bool)
        if thresholds is None:
            given_NK = shares_NK >= cross_fitted_thresholds(shares_NK, true_NK)
        else:
            given_NK = self.given(shares_NK, thresholds)
        return score_label_sets(true_NK, shares_NK, given_NK, self.names)

    def scores_type(self) -> type[LabelSetScores]:
        """Of :meth:`score`."""
        from tightfit.metrics.label_scores import LabelSetScores

        return LabelSetScores

    def compare(
        self, targets_NK: NDArray[np.int8], ours: Predictions, theirs: Predictions
    ) -> tuple[Paired, ...]:
        """By micro and by macro F1."""
        from tightfit.metrics.paired import compare_label_sets

        given = (self.given(each.probabilities, each.thresholds) for each in (ours, theirs))
        return compare_label_sets(targets_NK.astype(bool), *given)

    def agreement(self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any]) -> float:
        """The share of rows of which the same labels are more likely than not."""
        return float(((ours_NK > 0) == (theirs_NK > 0)).all(axis=1).mean())

    def expected_loss(
        self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any], temperature: Scale
    ) -> float:
        """Of the share of labels that are rightly given or not."""
        likely_NK = self.probabilities(ours_NK, temperature)
        right_NK = np.where(ours_NK > 0, likely_NK, 1 - likely_NK)
        theirs_right_NK = np.where(theirs_NK > 0, likely_NK, 1 - likely_NK)
        return float((right_NK - theirs_right_NK).mean())

    def fit_temperature(
        self, logits_NK: ArrayLike, targets_NK: ArrayLike, weights_N: Weights = None
    ) -> Temperature[Scale]:
        """The temperature of each label that these rows make the likeliest."""
        from tightfit.metrics.calibration import fit_label_temperatures

        return fit_label_temperatures(np.asarray(logits_NK), np.asarray(targets_NK))

    def calibration_error(
        self,
        targets_NK: NDArray[np.int8],
        probabilities_NK: NDArray[Any],
        weights_N: Weights = None,
    ) -> float:
        """The mean over labels of how far their probabilities are from the truth."""
        from tightfit.metrics.label_scores import label_calibration_error

        return label_calibration_error(targets_NK.astype(bool), probabilities_NK)

    def calibration_error_by_chance(
        self, probabilities_NK: NDArray[Any], weights_N: Weights = None
    ) -> float:
        """What perfectly calibrated probabilities would show on so many rows."""
        from tightfit.metrics.calibration import calibration_error_by_chance

        return float(np.mean([calibration_error_by_chance(x_N) for x_N in probabilities_NK.T]))


@dataclass(frozen=True, repr=False)
class LabelSetPredictions(Predictions):
    """The labels of each text, with the probability of every label."""

    @property
    def given(self) -> NDArray[np.bool_]:
        """Which labels each text is given, one column a label."""
        return self.task.given(self.probabilities, self.thresholds)

    @property
    def ids(self) -> list[list[int]]:
        """The labels of each text, as positions in ``label_names``."""
        return [np.flatnonzero(row).tolist() for row in self.given]

    @property
    def labels(self) -> list[list[int | str]]:
        """The labels of each text: names, or the bare values that stood for them."""
        return self.told()

    @property
    def confidence(self) -> NDArray[np.float64]:
        """How probable the least sure decision on a label is to be right."""
        if not len(self):
            return np.zeros(0)
        return np.where(self.given, self.probabilities, 1 - self.probabilities).min(axis=1)

    def right(self, targets_NK: NDArray[np.int8]) -> NDArray[np.bool_]:
        """Whether each text is given just its labels."""
        return (self.given == targets_NK.astype(bool)).all(axis=1)

    def words(self) -> list[str]:
        """The names of each text's labels."""
        return self.task.words(self.given)

    def told(self, label_format: LabelFormat | None = None) -> list[list[int | str]]:
        """The labels of each text."""
        spelt = self.task.spelt(label_format)
        return [[spelt[label] for label in own] for own in self.ids]

    def answers(self, label_format: LabelFormat | None = None) -> list[dict[str, Any]]:
        """The labels of each text."""
        return [{"labels": own} for own in self.told(label_format)]

    def lines(self, label_format: LabelFormat | None = None) -> list[list[str]]:
        """The labels, then their probabilities, each joined by the task's separator."""
        sign, rows = self.task.separator, zip(self.told(label_format), self.ids, strict=True)
        return [
            [
                sign.join(map(str, told)),
                sign.join(f"{self.probabilities[row, label]:.{DIGITS}f}" for label in ids),
            ]
            for row, (told, ids) in enumerate(rows)
        ]
