"""One label a text: its targets are class ids, its answers the most probable class.

An answer must wait for neither torch nor scikit-learn, whose imports take seconds: what trains or
scores imports them where it needs them.

Shapes: N rows, B rows of a batch, K labels, F width of the features that the head reads.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.data.labels import LabelSet, class_counts
from tightfit.data.table import Table
from tightfit.errors import UsageError
from tightfit.extras import require
from tightfit.metrics.thresholds import answers_at

if TYPE_CHECKING:
    import torch

    from tightfit.metrics.calibration import Temperature
    from tightfit.metrics.scores import Scores
    from tightfit.tasks.linear_probe import LinearMap

LabelFormat = Literal["value", "id", "name"]
"""The label as it stood in the training rows, its position, or its name."""

Array = TypeVar("Array", NDArray[Any], "torch.Tensor")

DIGITS = 6
"""Decimals of a probability that is written down."""

SHOWN = 10
"""Rows that a notebook shows of predictions, and labels that their ``repr`` counts."""


@dataclass(frozen=True)
class SingleLabel:
    """A classifier that gives each text one of K labels."""

    labels: LabelSet

    kind: ClassVar = "single"
    problem_type: ClassVar = "single_label_classification"
    """What ``transformers`` calls it."""

    @classmethod
    def from_table(cls, table: Table, declared: tuple[str, ...] = ()) -> SingleLabel:
        """The task that labelled rows set; see :meth:`LabelSet.from_table`."""
        return cls(LabelSet.from_table(table, declared))

    def extended(self, table: Table) -> SingleLabel:
        """With the labels of other rows after its own; see :meth:`LabelSet.extended`."""
        return SingleLabel(self.labels.extended(table))

    @classmethod
    def from_names(cls, names: Sequence[str]) -> SingleLabel:
        """The task of a head whose outputs have these names, and whose raw labels are its ids."""
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

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for a text: K."""
        return len(self.labels)

    # Targets

    def encode(self, table: Table) -> NDArray[np.int64]:
        """The target of each row, ``targets_N``: the id of its label.

        Raises:
            DataError: no labels, or labels that training did not see.
        """
        return np.asarray(self.labels.encode(table), dtype=np.int64)

    def strata(self, targets_N: NDArray[np.int64]) -> list[int]:
        """What a stratified split keeps in proportion: rows of the same number are alike."""
        return targets_N.tolist()

    def counts(self, targets_N: NDArray[np.int64]) -> dict[str, int]:
        """Rows of each label, by name."""
        return dict(zip(self.names, class_counts(targets_N.tolist(), self.outputs), strict=True))

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

    def class_weights(
        self,
        targets_N: NDArray[np.int64],
        kind: str,
        weights_N: NDArray[np.float64] | None = None,
    ) -> NDArray[np.float32]:
        """The weight of a row by its own label, one number a label, 1 on average over rows.

        ``kind`` is the setting ``optim.class_weights``; a row of weight 2 is two rows.
        """
        if kind == "none":
            return np.ones(self.outputs, dtype=np.float32)
        counts_K = np.bincount(targets_N, weights_N, minlength=self.outputs)
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
        targets_N: NDArray[np.int64],
        *,
        balanced: bool,
        weights_N: NDArray[np.float64] | None = None,
    ) -> LinearMap:
        """The head that a linear probe starts from; ``balanced`` gives labels the same weight."""
        from tightfit.tasks.linear_probe import fit_probe

        return fit_probe(
            features_NF,
            targets_N,
            num_labels=self.outputs,
            balanced=balanced,
            weights_N=weights_N,
        )

    def right_unseen(
        self, features_NF: NDArray[np.float32], targets_N: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether each row is answered rightly by a linear probe of all the others."""
        from tightfit.tasks.linear_probe import leave_one_out

        wanted_NK = np.eye(self.outputs)[targets_N]
        return self.right(leave_one_out(features_NF, wanted_NK), targets_N)

    # Answers

    def probabilities(self, logits_NK: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
        """``probabilities_NK`` of logits divided by a temperature above 0.

        Raises:
            UsageError: the temperature is not above 0, or not finite.
        """
        if not 0 < temperature < np.inf:
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

    def predictions(self, probabilities_NK: NDArray[np.float64], **more: Any) -> Predictions:
        """What users get; ``more`` are the other fields of :class:`Predictions`."""
        return Predictions(self, probabilities_NK, **more)

    def spelt(self, label_format: LabelFormat | None) -> tuple[int | str, ...]:
        """The classes in one of the ways to write them; None is what people call them."""
        if label_format == "id":
            return tuple(range(self.outputs))
        if label_format is None:
            return self.labels.shown
        spelt = self.labels.values if label_format == "value" else self.names
        # Labels that only ``data.labels`` declares may be names among integers.
        return spelt if len({*map(type, spelt)}) == 1 else tuple(map(str, spelt))

    def columns(self, label_format: LabelFormat, *, probabilities: bool) -> dict[str, type]:
        """Names and types of what :meth:`Predictions.rows` tells: label, confidence, shares."""
        spelt = self.spelt(label_format)
        shares = dict.fromkeys(self.share_columns(label_format) if probabilities else (), float)
        return {"label": type(spelt[0]), "confidence": float, **shares}

    def share_columns(self, label_format: LabelFormat | None) -> list[str]:
        """A column for the probability of each label, which bears its name if that is free."""
        taken = {"id", "label", "confidence"}
        names = map(str, self.spelt(label_format))
        return [f"probability_{name}" if name in taken else name for name in names]

    # Scores

    def score(
        self,
        targets_N: ArrayLike,
        probabilities_NK: ArrayLike,
        weights_N: NDArray[np.float64] | None = None,
    ) -> Scores:
        """All scores, with intervals; see :func:`tightfit.metrics.scores.score`."""
        from tightfit.metrics.scores import score

        return score(targets_N, probabilities_NK, self.names, weights_B=weights_N)

    def macro_f1(
        self,
        values_NK: NDArray[Any],
        targets_N: NDArray[np.int64],
        weights_N: NDArray[np.float64] | None = None,
    ) -> float:
        """The mean F1 of the classes that occur, from logits or probabilities."""
        from sklearn.metrics import f1_score

        answers_N = self.answers(values_NK)
        return float(f1_score(targets_N, answers_N, average="macro", sample_weight=weights_N))

    def fit_temperature(self, logits_NK: ArrayLike, targets_N: ArrayLike) -> Temperature:
        """The temperature with the least log loss on these rows."""
        from tightfit.metrics.calibration import fit_temperature

        return fit_temperature(logits_NK, targets_N)

    def carries_over(self, logits_NK: ArrayLike, targets_N: ArrayLike) -> bool:
        """Whether a temperature that is fitted on some of the rows serves the others."""
        from tightfit.metrics.calibration import carries_over

        return carries_over(logits_NK, targets_N)


@dataclass(frozen=True, repr=False)
class Predictions:
    """What the classifier says of each text, in the order of the texts."""

    task: SingleLabel
    probabilities: NDArray[np.float64]
    """One row a text, one column a label."""
    truncated: int = 0
    """Texts that were longer than the classifier reads."""
    threshold: float = 0.0
    """The confidence from which on an answer is to be relied upon."""
    by_linear: int = 0
    """Texts that the linear model of a cascade answered."""
    thresholds: Mapping[int, float] = field(default_factory=dict)
    """From which probability on a label is answered, by its id; see ``metrics.thresholds``."""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Of the columns of the probabilities."""
        return self.task.names

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

    @property
    def answered(self) -> list[bool]:
        """Whether each text's confidence reaches the threshold."""
        return (self.confidence >= self.threshold).tolist()

    def __len__(self) -> int:
        return len(self.probabilities)

    def select(self, rows: Sequence[int]) -> Predictions:
        """Those of some texts; counts over all texts are not known of them."""
        return replace(self, probabilities=self.probabilities[rows], truncated=0, by_linear=0)

    def told(self, label_format: LabelFormat | None = None) -> list[str | int | None]:
        """The label of each text, None where the classifier is not sure enough.

        ``label_format`` says how it is written; None is as in :attr:`labels`.
        """
        spelt = self.task.spelt(label_format)
        pairs = zip(self.ids, self.answered, strict=True)
        return [spelt[i] if answered else None for i, answered in pairs]

    def rows(
        self, label_format: LabelFormat, *, probabilities: bool
    ) -> list[dict[str, str | int | float | None]]:
        """One dictionary a text, with the keys of :meth:`SingleLabel.columns`."""
        names = list(self.task.columns(label_format, probabilities=probabilities))
        told, sure = self.told(label_format), self.confidence.round(DIGITS).tolist()
        values = self.probabilities.round(DIGITS).tolist() if probabilities else [[]] * len(told)
        return [
            dict(zip(names, [*row[:2], *row[2]], strict=True))
            for row in zip(told, sure, values, strict=True)
        ]

    def to_frame(self) -> Any:
        """A ``pandas.DataFrame``: label, confidence, and the probability of each label.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        columns = {"label": self.told(), "confidence": self.confidence}
        shares = zip(self.task.share_columns(None), self.probabilities.T, strict=True)
        frame = require("pandas", "a data frame of predictions").DataFrame
        return frame({**columns, **dict(shares)})

    def __repr__(self) -> str:
        common = Counter(self.labels).most_common(SHOWN)
        return f"Predictions({len(self):,} texts: {', '.join(f'{n} {c:,}' for n, c in common)})"

    def _repr_html_(self) -> str:
        """The first rows, for a notebook."""
        shown = list(zip(self.told(), self.confidence, strict=True))[:SHOWN]
        rows = [
            f"<tr><td>{'' if label is None else escape(str(label))}</td><td>{sure:.1%}</td></tr>"
            for label, sure in shown
        ]
        more = f"<p>and {len(self) - SHOWN:,} more</p>" if len(self) > SHOWN else ""
        head = "<tr><th>label</th><th>confidence</th></tr>"
        return f"<table>{head}{''.join(rows)}</table>{more}"
