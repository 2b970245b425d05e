"""What a kind of target is asked by the rest of the house: :class:`Task` and :class:`Predictions`.

A kind is a file beside this one with a subclass of each. What has no answer for it, such as a
contrastive loss for rows that may have several labels, says so by :attr:`Task.one_class`, and
:func:`need_one_class` has the words.

Shapes: N rows, B rows of a batch, K numbers that the head gives for a text, F width of the features
that the head reads. Targets have one row a text: class ids (N), or 0 and 1 for each label (N, K).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.data.label_strata import Strata
from tightfit.data.table import Table
from tightfit.errors import UsageError
from tightfit.extras import require

if TYPE_CHECKING:
    import torch

    from tightfit.metrics.calibration import Temperature
    from tightfit.metrics.interval import Compared, TaskScores
    from tightfit.tasks.linear_probe import LinearMap, SolvedProblem

LabelFormat = Literal["value", "id", "name"]
"""The label as it stood in the training rows, its position, or its name."""

Array = TypeVar("Array", NDArray[Any], "torch.Tensor")

DIGITS = 6
"""Decimals of a probability that is written down."""

SHOWN = 10
"""Rows that a notebook shows of predictions, and labels that their ``repr`` counts."""


@dataclass(frozen=True)
class Task(ABC):
    """What a target is, and what an answer is."""

    kind: ClassVar[Literal["single", "multi", "rating"]]
    """The name under which ``labels.json`` and the setting ``data.task`` have it."""
    problem_type: ClassVar[str]
    """What ``transformers`` calls it."""
    metric: ClassVar[str]
    """What the mean of :meth:`row_scores` is called: the best step is that with the highest."""
    one_class: ClassVar[bool] = False
    """Whether each row has exactly one of K classes. A contrastive loss, sentences of label names,
    solved heads, cascades, levels of error and explanations rest on that."""
    limits: ClassVar[str]
    """What a model card says that an answer does not tell."""
    solvable: ClassVar[bool] = False
    """Whether a head can be solved, without steps: see :meth:`head_problem`."""
    calibrates: ClassVar[bool] = True
    """Whether answers have probabilities, which a temperature can mend."""

    @classmethod
    @abstractmethod
    def from_table(cls, table: Table, declared: tuple[str, ...] = ()) -> Self:
        """The task that labelled rows set.

        Args:
            table: the training rows.
            declared: names of the head's outputs in order (setting ``data.labels``).

        Raises:
            DataError: there is nothing to learn in these rows.
        """

    @classmethod
    @abstractmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote.

        Raises:
            ArtefactError: it is something else.
        """

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """What ``labels.json`` keeps; every kind but the first has its own name under ``task``."""

    def extended(self, table: Table) -> Task:
        """With the labels of other rows after its own, for a training that goes on from a run.

        Raises:
            UsageError: this kind of target cannot be gone on from.
        """
        raise UsageError(
            "going on from a run is offered for one label a text",
            seen=f"a run of data.task={self.kind}",
            next_step="leave out --from, and train on all rows anew",
        )

    @property
    def unit(self) -> tuple[float, float]:
        """What an output of the head is multiplied by, and what is then added, for others to read
        it."""
        return 1.0, 0.0

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """Of the head's outputs, in order."""

    @property
    def outputs(self) -> int:
        """Numbers that the head gives for a text: K."""
        return len(self.names)

    # Targets

    @abstractmethod
    def encode(self, table: Table) -> NDArray[Any]:
        """The target of each row.

        Raises:
            DataError: no labels, or labels that training did not see.
        """

    @abstractmethod
    def strata(self, targets: NDArray[Any]) -> Strata:
        """What a stratified split keeps in proportion."""

    @abstractmethod
    def identities(self, targets: NDArray[Any]) -> list[int]:
        """The same number for rows of the same target."""

    @abstractmethod
    def counts(self, targets: NDArray[Any]) -> dict[str, int]:
        """Rows of each label, by name."""

    @abstractmethod
    def words(self, targets: NDArray[Any]) -> list[str]:
        """Each target as people read it."""

    # Training

    @abstractmethod
    def row_losses(
        self,
        logits_BK: torch.Tensor,
        targets: torch.Tensor,
        label_smoothing: float = 0.0,
        weights_K: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The loss of each row, ``losses_B``."""

    @abstractmethod
    def class_weights(self, targets: NDArray[Any], kind: str) -> NDArray[np.float32]:
        """What :meth:`row_losses` weighs by; ``kind`` is the setting ``optim.class_weights``."""

    @property
    @abstractmethod
    def chance_loss(self) -> float:
        """The loss of who knows nothing."""

    @abstractmethod
    def constant_loss(self, trained: NDArray[Any], targets: NDArray[Any]) -> float:
        """The loss on ``targets`` of who answers the same to each text: what suits the training
        rows."""

    @abstractmethod
    def fit_probe(
        self, features_NF: NDArray[np.float32], targets: NDArray[Any], *, balanced: bool
    ) -> LinearMap:
        """The head that a linear probe starts from; ``balanced`` weighs rare labels up."""

    def head_problem(
        self,
        features_NF: NDArray[np.float32],
        targets: NDArray[Any],
        *,
        strength: float | None,
        seed: int,
    ) -> SolvedProblem | None:
        """What a head that is solved minimises; None where heads of this kind take steps alone.

        Args:
            features_NF: what the output layer reads.
            targets: of the same rows.
            strength: of the penalty, inverse; None chooses it by these rows.
            seed: of that choice.
        """
        return None

    @abstractmethod
    def row_scores(self, values_NK: Array, targets: Array) -> Array:
        """How well each row is answered by logits or by probabilities: the most is 1, and the mean
        is what :attr:`metric` names."""

    @abstractmethod
    def unseen_scores(
        self, features_NF: NDArray[np.float32], targets: NDArray[Any]
    ) -> NDArray[Any]:
        """The same by a linear probe of all the other rows."""

    # Answers

    @abstractmethod
    def probabilities(self, logits_NK: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
        """``probabilities_NK`` of logits divided by a temperature above 0.

        Raises:
            UsageError: the temperature is not above 0, or not finite.
        """

    @abstractmethod
    def predictions(self, probabilities_NK: NDArray[np.float64], **more: Any) -> Predictions:
        """What users get; ``more`` are the other fields of :class:`Predictions`."""

    def columns(self, label_format: LabelFormat, *, probabilities: bool) -> dict[str, type]:
        """Names and types of what :meth:`Predictions.rows` tells: the answer, then shares."""
        shares = dict.fromkeys(self.share_columns(label_format) if probabilities else (), float)
        return {**self.answer_columns(label_format), **shares}

    @abstractmethod
    def answer_columns(self, label_format: LabelFormat) -> dict[str, type]:
        """Names and types of the answer itself."""

    @abstractmethod
    def spelt(self, label_format: LabelFormat | None) -> tuple[int | str, ...]:
        """The labels in one of the ways to write them; None is what people call them."""

    def share_columns(self, label_format: LabelFormat | None) -> list[str]:
        """A column for the probability of each label, which bears its name if that is free."""
        taken = {"id", *self.answer_columns("value")}
        names = map(str, self.spelt(label_format))
        return [f"probability_{name}" if name in taken else name for name in names]

    # Scores

    @abstractmethod
    def score(
        self,
        targets: ArrayLike,
        probabilities_NK: ArrayLike,
        thresholds: Mapping[int, float] | None = None,
    ) -> TaskScores:
        """All scores, with intervals; ``thresholds`` are those of labels by which a row gets them,
        where that is how it gets them."""

    @abstractmethod
    def scores_type(self) -> type[TaskScores]:
        """Of :meth:`score`, to read them back."""

    @abstractmethod
    def compare(
        self,
        targets: NDArray[Any],
        ours: Predictions,
        theirs: Predictions,
    ) -> tuple[Compared, ...]:
        """Whether one classifier is better than another on the same rows, by the score that counts
        and, where there is one, by macro F1."""

    @abstractmethod
    def agreement(self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any]) -> float:
        """The share of rows to which two sets of logits give the same answer."""

    @abstractmethod
    def expected_loss(
        self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any], temperature: float
    ) -> float:
        """By how much other logits are to be expected to lower :attr:`metric` where no targets are
        known: each is taken to be as likely as our probabilities say."""

    @abstractmethod
    def fit_temperature(self, logits_NK: ArrayLike, targets: ArrayLike) -> Temperature:
        """The temperature with the least loss on these rows."""

    @abstractmethod
    def carries_over(self, logits_NK: ArrayLike, targets: ArrayLike) -> bool:
        """Whether a temperature that is fitted on some of the rows serves the others."""

    @abstractmethod
    def calibration_error(self, targets: NDArray[Any], probabilities_NK: NDArray[Any]) -> float:
        """How far confidence is from the truth, 0 to 1."""

    @abstractmethod
    def calibration_error_by_chance(self, probabilities_NK: NDArray[Any]) -> float:
        """What a perfectly calibrated classifier would show on so many rows."""


@dataclass(frozen=True, repr=False)
class Predictions(ABC):
    """What the classifier says of each text, in the order of the texts."""

    task: Any
    """Of its kind."""
    probabilities: NDArray[np.float64]
    """One row a text, one column an output of the head."""
    truncated: int = 0
    """Texts that were longer than the classifier reads."""
    threshold: float = 0.0
    """The confidence from which on an answer is to be relied upon."""
    by_linear: int = 0
    """Texts that the linear model of a cascade answered."""
    thresholds: Mapping[int, float] = field(default_factory=dict)
    """From which probability on a label is answered, by its id."""
    reach: float | None = None
    """Of ratings: how far their intervals reach to either side, where that is known."""

    @abstractmethod
    def told(self, label_format: LabelFormat | None = None) -> list[Any]:
        """The answer to each text, None where the classifier is not sure enough.

        ``label_format`` says how labels are written; None is as people call them.
        """

    @abstractmethod
    def words(self) -> list[str]:
        """Each answer as :meth:`Task.words` has targets, sure or not."""

    @abstractmethod
    def answers(self, label_format: LabelFormat | None = None) -> list[dict[str, Any]]:
        """One dictionary a text, with the keys of :meth:`Task.answer_columns`."""

    @abstractmethod
    def right(self, targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each answer is what the target says."""

    @property
    @abstractmethod
    def confidence(self) -> NDArray[np.float64]:
        """How sure the classifier is of each answer."""

    @property
    def ids(self) -> list[Any]:
        """The answer to each text by positions in ``label_names``."""
        raise AttributeError("these answers are no labels")

    @property
    def labels(self) -> list[Any]:
        """The answer to each text as people call it."""
        raise AttributeError("these answers are no labels")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Of the columns of the probabilities."""
        names: tuple[str, ...] = self.task.names
        return names

    @property
    def answered(self) -> list[bool]:
        """Whether each text's confidence reaches the threshold."""
        return (self.confidence >= self.threshold).tolist()

    def __len__(self) -> int:
        return len(self.probabilities)

    def select(self, rows: Sequence[int]) -> Self:
        """Those of some texts; counts over all texts are not known of them."""
        return replace(self, probabilities=self.probabilities[rows], truncated=0, by_linear=0)

    def rows(
        self, label_format: LabelFormat | None, *, probabilities: bool
    ) -> list[dict[str, Any]]:
        """One dictionary a text, with the keys of :meth:`Task.columns`; numbers are rounded."""
        names = self.task.share_columns(label_format) if probabilities else ()
        shares = self.probabilities.round(DIGITS).tolist() if probabilities else [[]] * len(self)
        return [
            {**_rounded(answer), **dict(zip(names, row, strict=True))}
            for answer, row in zip(self.answers(label_format), shares, strict=True)
        ]

    def lines(self, label_format: LabelFormat | None = None) -> list[list[str]]:
        """The cells of each answer on standard output."""
        return [
            [f"{cell:.{DIGITS}f}" if isinstance(cell, float) else _shown(cell) for cell in row]
            for row in (answer.values() for answer in self.answers(label_format))
        ]

    def to_frame(self) -> Any:
        """A ``pandas.DataFrame``: the answer, and the probability of each label.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        names, rows = self.task.share_columns(None), self.probabilities.tolist()
        shares = [dict(zip(names, row, strict=True)) for row in rows] if names else [{}] * len(rows)
        frame = require("pandas", "a data frame of predictions").DataFrame
        told = [{**own, **of} for own, of in zip(self.answers(), shares, strict=True)]
        return frame(told, columns=[*self.task.answer_columns("value"), *names])

    def __repr__(self) -> str:
        common = Counter(map(str, self.told())).most_common(SHOWN)
        return f"Predictions({len(self):,} texts: {', '.join(f'{n} {c:,}' for n, c in common)})"

    def _repr_html_(self) -> str:
        """The first rows, for a notebook."""
        head = "".join(f"<th>{name}</th>" for name in self.task.answer_columns("value"))
        rows = (
            "".join(f"<td>{escape(_shown(cell))}</td>" for cell in answer.values())
            for answer in self.answers()[:SHOWN]
        )
        more = f"<p>and {len(self) - SHOWN:,} more</p>" if len(self) > SHOWN else ""
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table><tr>{head}</tr>{body}</table>{more}"


def _rounded(answer: dict[str, Any]) -> dict[str, Any]:
    return {k: round(x, DIGITS) if isinstance(x, float) else x for k, x in answer.items()}


def _shown(cell: object) -> str:
    """A cell as people read it."""
    if isinstance(cell, float):
        return f"{cell:.3g}"
    if isinstance(cell, list | tuple):
        return ", ".join(map(str, cell))
    return "" if cell is None else str(cell)
