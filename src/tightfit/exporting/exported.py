"""What an export is compared on, and the figures of the comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from numpy.typing import NDArray

from tightfit.engines.parity import ACCURACY_LOSS, Loss, Parity
from tightfit.exporting.vocabulary import Vocabulary


@dataclass(frozen=True)
class ComparedRows:
    """Texts on which run and export are compared, besides random tokens."""

    texts: Sequence[str]
    targets_N: NDArray[Any] | None
    name: str
    """Where they come from, for the record."""
    trained: Sequence[str] = ()
    """Those that the run was trained on, where they are at hand."""


@dataclass(frozen=True)
class Int8(Loss):
    """The variant of int8 that was taken, and what it costs."""

    variant: str
    allowed: float = ACCURACY_LOSS


@dataclass(frozen=True)
class Exported:
    """The figures of an export."""

    parity: Parity
    examples_per_second: float
    """Rows of the comparison, tokens to logits, in one process."""
    int8: Int8 | None
    without_side: Loss | None
    """What programs lose that leave out the run's side head, if it has one."""
    heads_alone: Loss | None
    """What they lose by reading heads of long texts, if the run reads more."""
    vocabulary: Vocabulary | None
    """What is kept of it, if it was cut."""
    caveats: Mapping[str, str] = field(default_factory=dict)
    """What users should know, by what it is about."""

    def to_json(self) -> dict[str, Any]:
        """As ``export.json`` and ``tightfit export --json`` have them."""
        found = {"parity": asdict(self.parity), "examples_per_second": self.examples_per_second}
        measured = {
            "int8": self.int8,
            "without_side": self.without_side,
            "heads_alone": self.heads_alone,
            "vocabulary": self.vocabulary,
        }
        return found | {name: asdict(each) for name, each in measured.items() if each is not None}
