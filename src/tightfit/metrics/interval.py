"""An estimate and how sure it is, apart from what computes it, which needs SciPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its confidence interval, all in the unit of the estimate."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """The three numbers under their own names."""
        return asdict(self)


class Compared(Protocol):
    """What came of a comparison of two models on the same rows."""

    @property
    def sentence(self) -> str:
        """The finding in words."""

    def to_json(self) -> dict[str, Any]:
        """Finite numbers, and the sentence."""


class TaskScores(Protocol):
    """What the scores of every kind of target have."""

    @property
    def n(self) -> int:
        """Rows."""

    def headline(self) -> dict[str, Interval]:
        """The scores that are told first, by name; the first is the one that counts."""

    def each_label(self) -> Sequence[Any]:
        """The scores of each label, with ``name``, ``support`` and ``f1``; none where there are no
        labels."""

    def to_json(self) -> dict[str, Any]:
        """Plain lists and finite numbers."""
