"""An estimate and how sure it is, apart from what computes it, which needs SciPy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
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


@dataclass(frozen=True)
class Compared(ABC):
    """What came of a comparison of two models on the same rows: ours minus theirs.

    Attributes:
        metric: what is compared.
        rows: how many rows both have answered.
        difference: ours minus theirs, in the unit of the metric: of shares 0.013 is 1.3 points.
        low: lower end of its 95% confidence interval.
        high: upper end.
        p_value: two-sided, of the hypothesis that the two are equally good.
        test: the name of the test.
    """

    metric: str
    rows: int
    difference: float
    low: float
    high: float
    p_value: float
    test: str

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The finding in words."""

    @property
    def p_words(self) -> str:
        """The p-value in words."""
        return "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}"

    def to_json(self) -> dict[str, Any]:
        """Finite numbers under the names of the attributes, and the sentence."""
        return {**asdict(self), "sentence": self.sentence}


class TaskScores(Protocol):
    """What the scores of every kind of target have."""

    @property
    def n(self) -> int:
        """Rows."""

    def headline(self) -> Mapping[str, Interval | None]:
        """The scores that are told first, by name; the first is the one that counts. None where one
        is not defined on these rows."""

    def each_label(self) -> Sequence[Any]:
        """The scores of each label, with ``name``, ``support`` and ``f1``; none where there are no
        labels."""

    def constant_as_good(self) -> str | None:
        """The constant answer that these rows do not show to be worse, in words; None where they
        do."""

    def to_json(self) -> dict[str, Any]:
        """Plain lists and finite numbers."""
