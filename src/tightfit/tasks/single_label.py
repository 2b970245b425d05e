"""One label a text: its targets are class ids, its answers the most probable class.

An answer must wait for neither torch nor scikit-learn, whose imports take seconds: what trains or
scores imports them where it needs them.

Shapes: N rows, B rows of a batch, K labels, F width of the features that the head reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.data.labels import LabelSet
from tightfit.data.table import Table
from tightfit.errors import UsageError
from tightfit.metrics.thresholds import answers_at
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.predictions import LabelFormat, Predictions
from tightfit.tasks.task import Array, Task, Weights

if TYPE_CHECKING:
    import torch

    from tightfit.metrics.calibration import Scale, Temperature
    from tightfit.metrics.paired import Paired
    from tightfit.metrics.scores import Scores
    from tightfit.tasks.linear_probe import LinearMap


@dataclass(frozen=True)
class SingleLabel(Task):
    """A classifier that gives each text one of K labels."""

    labels: LabelSet

    kind: ClassVar = "single"
    problem_type: ClassVar = "single_label_classification"
    metric: ClassVar = "accuracy"
    one_class: ClassVar = True
    limits: ClassVar = "Every text gets one of these labels, whether any fits or not."

    @classmethod
    def from_table(cls, table: Table, declared: tuple[str, ...] = ()) -> SingleLabel:
        """The task that labelled rows set; see :meth:`LabelSet.from_table`."""
        return cls(LabelSet.from_table(table, declared))

    def extended(self, table: Table) -> SingleLabel:
        """With the labels of other rows after its own; see :meth:`LabelSet.extended`."""
        return SingleLabel(self.labels.extended(table))

    @classmethod
    def from_names(cls, names: Sequence[str]) -> SingleLabel:
        """The task of a head whose outputs have these names, and whose raw labels are its ids.

        Raises:
            UsageError: there is one only, as in a head for ratings.
        """
        if len(names) < 2:
            raise UsageError("a classifier needs at least two labels", seen=len(names))
        return cls(LabelSet(tuple(names), tuple(range(len(names)))))

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> SingleLabel:
        """Read what :meth:`to_json` wrote.

        Raises:
            ArtefactError: it is something else.
        """
        return cls(LabelSet.from_json(saved))

    def to_json(self) -> dict[str, list[Any]]:
        """What ``labels.json`` keeps."""
        return self.labels.to_json()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the head's outputs, in order."""
        return self.labels.names

    # Targets

    def encode(self, table: Table) -> NDArray[np.int64]:
        """The target of each row, ``targets_N``: the id of its label.

        Raises:
            DataError: no labels, or labels that training did not see.
        """
        return np.asarray(self.labels.encode(table), dtype=np.int64)

    def strata(self, targets_N: NDArray[np.int64]) -> list[int]:
        """The ids: rows of the same number are alike."""
        return targets_N.tolist()

    def identities(self, targets_N: NDArray[np.int64]) -> list[int]:
        """The ids."""
        return targets_N.tolist()

    def counts(self, targets_N: NDArray[np.int64]) -> dict[str, int]:
        """Rows of each label, by name."""
        counts_K = np.bincount(targets_N, minlength=self.outputs)
        return dict(zip(self.names, counts_K.tolist(), strict=True))

    def words(self, targets_N: NDArray[np.int64]) -> list[str]:
        """The name of each label."""
        return [self.names[label] for label in targets_N.tolist()]

    # Training

    def row_losses(
        self,
        logits_BK: torch.Tensor,
        targets_B: torch.Tensor,
        label_smoothing: float = 0.0,
        weights_K: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Cross-entropy of each row against its smoothed label (arXiv:1512.00567).

        Weighting rows leaves smoothed targets as they are; weighting the classes inside the
        cross-entropy, as torch does, would bend them.
        """
        from torch.nn.functional import cross_entropy

        losses_B = cross_entropy(
            logits_BK, targets_B, reduction="none", label_smoothing=label_smoothing
        )
        return losses_B if weights_K is None else losses_B * weights_K[targets_B]

    def class_weights(self, rows: LabelledRows) -> NDArray[np.float32]:
        """The weight of a row by its own label, one number a label, 1 on average over rows."""
        counts_K = np.bincount(rows.targets, rows.weights_N, minlength=self.outputs)
        weights_K = counts_K.sum() / (self.outputs * np.where(counts_K > 0, counts_K, 1))
        return weights_K.astype(np.float32)

    @property
    def chance_loss(self) -> float:
        """The loss, in nats, of who takes all labels to be as likely."""
        return math.log(self.outputs)

    def constant_loss(self, trained_N: NDArray[np.int64], targets_N: NDArray[np.int64]) -> float:
        """The loss on ``targets_N``, in nats, of who gives each text the label frequencies of the
        training rows; a label without a row counts as if it had one."""
        counts_K = np.bincount(trained_N, minlength=self.outputs) + 1
        return float(-np.log(counts_K / counts_K.sum())[targets_N].mean())

    def fit_probe(
        self,
        features_NF: NDArray[np.float32],
        rows: LabelledRows,
        *,
        balanced: bool,
    ) -> LinearMap:
        """The head that a linear probe starts from; ``balanced`` gives labels the same weight."""
        from tightfit.tasks.linear_probe import fit_probe

        return fit_probe(features_NF, rows, num_labels=self.outputs, balanced=balanced)

    def row_scores(self, logits_NK: Array, targets_N: Array) -> Array:
        """As :meth:`right`: the mean is the accuracy."""
        return self.right(logits_NK, targets_N)

    def wanted(self, targets_N: NDArray[np.int64]) -> NDArray[np.float64]:
        """1 for a row's own label, 0 for every other."""
        return np.eye(self.outputs)[targets_N]

    # Answers

    def probabilities(self, logits_NK: ArrayLike, temperature: Scale = 1.0) -> NDArray[np.float64]:
        """``probabilities_NK`` of logits divided by a temperature above 0.

        Raises:
            UsageError: the temperature is not above 0, or not finite.
        """
        if not (isinstance(temperature, float | int) and 0 < temperature < np.inf):
            what = "a temperature must be above 0 and finite"
            raise UsageError(what, seen=temperature, allowed="0.5, 1, 2.3, …")
        scaled_NK = np.asarray(logits_NK, dtype=np.float64) / temperature
        powers_NK = np.exp(scaled_NK - scaled_NK.max(axis=1, keepdims=True))
        return powers_NK / powers_NK.sum(axis=1, keepdims=True)

    def answers(self, values_NK: Array) -> Array:
        """The answer to each row, the id of its label, from logits or from probabilities."""
        return values_NK.argmax(1)

    def right(self, values_NK: Array, targets_N: Array) -> Array:
        """Whether each row's answer is right; the mean is the accuracy."""
        return self.answers(values_NK) == targets_N

    def confidence(self, probabilities_NK: NDArray[np.float64]) -> NDArray[np.float64]:
        """How probable it is that each row's answer is right."""
        return self.chances(probabilities_NK, self.answers(probabilities_NK))

    def chances(
        self, probabilities_NK: NDArray[np.float64], answers_N: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """How probable it is that some answers, one a row, are right."""
        return np.take_along_axis(probabilities_NK, answers_N[:, None], axis=1)[:, 0]

    def predictions(self, probabilities_NK: NDArray[np.float64], **more: Any) -> LabelPredictions:
        """What users get; ``more`` are the other fields of :class:`Predictions`."""
        return LabelPredictions(self, probabilities_NK, **more)

    def spelt(self, label_format: LabelFormat | None) -> tuple[int | str, ...]:
        """The classes in one of the ways to write them; None is what people call them."""
        return self.labels.spelt(label_format)

    def answer_columns(self, label_format: LabelFormat) -> dict[str, Any]:
        """The label, as its values are, and the confidence."""
        return {"label": type(self.spelt(label_format)[0]), "confidence": float}

    # Scores

    def score(
        self,
        targets_N: ArrayLike,
        probabilities_NK: ArrayLike,
        thresholds: Mapping[int, float] | None = None,
        weights_N: Weights = None,
    ) -> Scores:
        """All scores, with intervals; see :func:`tightfit.metrics.scores.score`.

        They are those of the most probable label, whatever thresholds are kept.
        """
        from tightfit.metrics.scores import score

        return score(targets_N, probabilities_NK, self.names, weights_B=weights_N)

    def macro_f1(
        self,
        values_NK: NDArray[Any],
        targets_N: NDArray[np.int64],
        weights_N: Weights = None,
    ) -> float:
        """The mean F1 of the classes that occur, from logits or probabilities."""
        from sklearn.metrics import f1_score

        answers_N = self.answers(values_NK)
        return float(f1_score(targets_N, answers_N, average="macro", sample_weight=weights_N))

    def scores_type(self) -> type[Scores]:
        """Of :meth:`score`."""
        from tightfit.metrics.scores import Scores

        return Scores

    def compare(
        self, targets_N: NDArray[np.int64], ours: Predictions, theirs: Predictions
    ) -> tuple[Paired, ...]:
        """By accuracy and by macro F1, of the most probable labels."""
        from tightfit.metrics.paired import compare_accuracy, compare_macro_f1

        rows = targets_N, *(self.answers(each.probabilities) for each in (ours, theirs))
        return compare_accuracy(*rows), compare_macro_f1(*rows)

    def agreement(self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any]) -> float:
        """The share of rows with the same most probable label."""
        return float(self.right(theirs_NK, self.answers(ours_NK)).mean())

    def expected_loss(
        self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any], temperature: Scale
    ) -> float:
        """Of accuracy. A label that flips between two that are equally likely costs nothing, as it
        does on average."""
        likely_NK = self.probabilities(ours_NK, temperature)
        lost_N = self.confidence(likely_NK) - self.chances(likely_NK, self.answers(theirs_NK))
        return float(lost_N.mean())

    def fit_temperature(
        self, logits_NK: ArrayLike, targets_N: ArrayLike, weights_N: Weights = None
    ) -> Temperature[float]:
        """The temperature that these rows make the likeliest."""
        from tightfit.metrics.calibration import likely_temperature

        return likely_temperature(logits_NK, targets_N, weights_B=weights_N)

    def calibration_error(
        self,
        targets_N: NDArray[np.int64],
        probabilities_NK: NDArray[Any],
        weights_N: Weights = None,
    ) -> float:
        """Expected calibration error of the confidence in the most probable label."""
        from tightfit.metrics.calibration import expected_calibration_error

        right_N = self.right(probabilities_NK, targets_N)
        return expected_calibration_error(self.confidence(probabilities_NK), right_N, weights_N)

    def calibration_error_by_chance(
        self, probabilities_NK: NDArray[Any], weights_N: Weights = None
    ) -> float:
        """What a perfectly calibrated classifier would show on so many rows."""
        from tightfit.metrics.calibration import calibration_error_by_chance

        return calibration_error_by_chance(self.confidence(probabilities_NK), weights_N)


@dataclass(frozen=True, repr=False)
class LabelPredictions(Predictions):
    """The label of each text, with the probability of every label."""

    @property
    def _answers(self) -> NDArray[np.int64]:
        if self.thresholds:
            return answers_at(self.probabilities, self.thresholds)
        return self.task.answers(self.probabilities)

    @property
    def ids(self) -> list[int]:
        """The label of each text, as its position in ``label_names``.

        It is the most likely one, unless labels have thresholds of their own.
        """
        return self._answers.tolist()

    @property
    def labels(self) -> list[int | str]:
        """The label of each text: its name, or the bare value that stood for it."""
        spelt = self.task.spelt(None)
        return [spelt[i] for i in self.ids]

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of each text's label."""
        return self.task.chances(self.probabilities, self._answers)

    def right(self, targets_N: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each label is the true one."""
        return self._answers == targets_N

    def words(self) -> list[str]:
        """The name of each label."""
        return [self.label_names[i] for i in self.ids]

    def told(self, label_format: LabelFormat | None = None) -> list[str | int | None]:
        """The label of each text, None where the classifier is not sure enough.

        ``label_format`` says how it is written; None is as in :attr:`labels`.
        """
        spelt = self.task.spelt(label_format)
        pairs = zip(self.ids, self.answered, strict=True)
        return [spelt[i] if answered else None for i, answered in pairs]

    def answers(self, label_format: LabelFormat | None = None) -> list[dict[str, Any]]:
        """Label and confidence of each text."""
        pairs = zip(self.told(label_format), self.confidence.tolist(), strict=True)
        return [{"label": label, "confidence": sure} for label, sure in pairs]
