"""What users get of a classifier: the answers to some texts, of whatever kind they are.

Shapes: N texts, K numbers that the head gives for a text.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tightfit.extras import require

LabelFormat = Literal["value", "id", "name"]
"""The label as it stood in the training rows, its position, or its name."""

DIGITS = 6
"""Decimals of a probability that is written down."""

SHOWN = 10
"""Rows that a notebook shows of predictions, and labels that their ``repr`` counts."""


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
        raise AttributeError("these predictions are no labels")

    @property
    def labels(self) -> list[Any]:
        """The answer to each text as people call it."""
        raise AttributeError("these predictions are no labels")

    @property
    def label_names(self) -> tuple[str, ...]:
        """Of the columns of the probabilities."""
        return self.task.names

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
