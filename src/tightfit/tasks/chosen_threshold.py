"""A threshold of a label that was chosen on rows, with what it is worth on others."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from tightfit.metrics.interval import Interval


@dataclass(frozen=True)
class ChosenThreshold:
    """One label's threshold, and what thresholds that are chosen so bring on other rows."""

    label: str
    goal: str
    """What was asked for: ``recall``, ``precision`` or ``cost``."""
    least: float | None
    """The share that was asked for."""
    threshold: float
    """Chosen on all rows."""
    rows: int
    """Of the label."""
    recall: Interval
    """On rows kept apart from the choice, as is precision: chosen on one half, measured on the
    other."""
    precision: Interval
    mean_cost: Interval | None = None
    """A row."""
    usual_cost: float | None = None
    """Where the most probable label is answered."""
    reason: str | None = None
    """Why it is what it is, where nobody asked."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return asdict(self)

    def verdict(self) -> str | None:
        """Whether the share that was asked for is reached on rows kept apart; None of a cost."""
        if self.least is None:
            return None
        share = self.recall if self.goal == "recall" else self.precision
        if share.value >= self.least:
            said = "met" if share.low >= self.least else "met, though the interval reaches below it"
        elif share.high >= self.least:
            said = "missed by less than chance explains; ask for more to be safe"
        else:
            said = "not met; ask for more, or train on more rows"
        return f"{self.goal} {self.least:g} of {self.label}: {said}"
