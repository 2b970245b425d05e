"""What a kind of target is asked by the rest of the house.

A kind is a file beside this one with a subclass of :class:`Task` and one of
:class:`~tightfit.tasks.predictions.Predictions`. What has no answer for it, such as a
contrastive loss for rows that may have several labels, says so by :attr:`Task.one_class`, and
:func:`need_one_class` has the words.

Shapes: N rows, B rows of a batch, K numbers that the head gives for a text, F width of the features
that the head reads. Targets have one row a text: class ids (N), or 0 and 1 for each label (N, K).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.data.label_strata import Strata
from tightfit.data.table import Table
from tightfit.errors import UsageError
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.predictions import LabelFormat, Predictions

if TYPE_CHECKING:
    import torch

    from tightfit.metrics.calibration import Scale, Temperature
    from tightfit.metrics.interval import Compared, TaskScores
    from tightfit.tasks.linear_probe import LinearMap, SolvedProblem

Array = TypeVar("Array", NDArray[Any], "torch.Tensor")

Weights: TypeAlias = "NDArray[np.float64] | None"
"""How much each row counts; None is as much as every other."""


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
    cascades, levels of error and explanations rest on that."""
    limits: ClassVar[str]
    """What a model card says that an answer does not tell."""
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

    @property
    def separator(self) -> str:
        """Between several labels in one cell of a text file."""
        return ""

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

    def class_weights(self, rows: LabelledRows) -> NDArray[np.float32]:
        """What :meth:`row_losses` weighs by where rare labels are to count as much as others
        (``optim.class_weights``): nothing, where there are no classes."""
        return np.ones(self.outputs, dtype=np.float32)

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
        self,
        features_NF: NDArray[np.float32],
        rows: LabelledRows,
        *,
        balanced: bool,
    ) -> LinearMap:
        """The head that a linear probe starts from; ``balanced`` weighs rare labels up. Only rows
        with one class have weights: others are refused when they are read, so that other kinds of
        target never get any."""

    def head_problem(
        self,
        features_NF: NDArray[Any],
        rows: LabelledRows,
        *,
        balanced: bool = False,
    ) -> SolvedProblem | None:
        """What a head of this kind minimises that is solved on these features of rows; None where
        it is the logistic regression of :mod:`tightfit.tasks.solved_head`. ``balanced`` is as for
        :meth:`fit_probe`."""
        return None

    @abstractmethod
    def row_scores(self, logits_NK: Array, targets: Array) -> Array:
        """How well each row is answered: the most is 1, and the mean gives :attr:`metric`."""

    def metric_of(self, mean_score: float, targets: NDArray[Any]) -> float:
        """:attr:`metric` of rows of which :meth:`row_scores` has this mean."""
        return mean_score

    @abstractmethod
    def wanted(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        """What outputs, ``(N, K)``, least squares is to come close to."""

    def unseen(self, features_NF: NDArray[np.float32], rows: LabelledRows) -> NDArray[Any]:
        """Outputs of each row, ``(N, K)``, by a linear probe of the rows of all other parts; where
        there are none, of all that are not like it. Rows count alike."""
        from tightfit.tasks.linear_probe import RidgeProblem

        problem = RidgeProblem.of(features_NF, self.wanted(rows.targets), rows.alike_N)
        return problem.unseen(rows.parts_N)

    def unseen_scores(self, features_NF: NDArray[np.float32], rows: LabelledRows) -> NDArray[Any]:
        """:meth:`row_scores` of these outputs."""
        return self.row_scores(self.unseen(features_NF, rows), rows.targets)

    # Answers

    @abstractmethod
    def probabilities(self, logits_NK: ArrayLike, temperature: Scale = 1.0) -> NDArray[np.float64]:
        """``probabilities_NK`` of logits divided by a temperature above 0, or each label's by its
        own.

        Raises:
            UsageError: a temperature is not above 0, or not finite.
        """

    @abstractmethod
    def predictions(self, probabilities_NK: NDArray[np.float64], **more: Any) -> Predictions:
        """What users get; ``more`` are the other fields of :class:`Predictions`."""

    def columns(self, label_format: LabelFormat, *, probabilities: bool) -> dict[str, Any]:
        """Names and types of what :meth:`Predictions.rows` tells: the answer, then shares."""
        shares = dict.fromkeys(self.share_columns(label_format) if probabilities else (), float)
        return {**self.answer_columns(label_format), **shares}

    @abstractmethod
    def answer_columns(self, label_format: LabelFormat) -> dict[str, Any]:
        """Names and types of the answer itself, such as ``str`` or ``list[str]``."""

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
        weights_N: Weights = None,
    ) -> TaskScores:
        """All scores, with intervals; ``thresholds`` are those of labels by which a row gets them,
        where that is how it gets them. Rows count by their weights, where they have some."""

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
        self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any], temperature: Scale
    ) -> float:
        """By how much other logits are to be expected to lower :attr:`metric` where no targets are
        known: each is taken to be as likely as our probabilities say."""

    @abstractmethod
    def fit_temperature(
        self, logits_NK: ArrayLike, targets: ArrayLike, weights_N: Weights = None
    ) -> Temperature[Scale]:
        """The temperature that these rows make the likeliest; a row of weight 2 is two to it."""

    @abstractmethod
    def calibration_error(
        self, targets: NDArray[Any], probabilities_NK: NDArray[Any], weights_N: Weights = None
    ) -> float:
        """How far confidence is from the truth, 0 to 1."""

    @abstractmethod
    def calibration_error_by_chance(
        self, probabilities_NK: NDArray[Any], weights_N: Weights = None
    ) -> float:
        """What a perfectly calibrated classifier would show on so many rows."""
