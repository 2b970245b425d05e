"""A threshold of a label that was chosen on rows, with what it is worth on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.errors import DataError, UsageError
from tightfit.metrics.interval import Interval
from tightfit.metrics.thresholds import Goal, Precision, best_precision


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

    @classmethod
    def measured(
        cls, label: str, own_N: NDArray[np.bool_], given_N: NDArray[np.bool_], **more: Any
    ) -> ChosenThreshold:
        """With its recall and precision on rows that have the label, and that are given it."""
        from tightfit.metrics.intervals import wilson

        hits, own = int((own_N & given_N).sum()), int(own_N.sum())
        precision = wilson(hits, int(given_N.sum()))
        return cls(label, rows=own, recall=wilson(hits, own), precision=precision, **more)

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


def unreachable(
    name: str, goal: Goal, probabilities_NK: NDArray[np.float64], targets_N: NDArray[np.int64]
) -> DataError | UsageError:
    """Why these rows offer no threshold for a goal."""
    if isinstance(goal, Precision) and (targets_N == goal.label).any():
        best = best_precision(probabilities_NK, targets_N, goal.label)
        return UsageError(
            f"no threshold makes answers of {name!r} so precise",
            seen=f"{goal.least:g}",
            allowed=f"up to {best:.3f} on these rows",
        )
    return DataError(
        f"no row is labelled {name!r}, so that no threshold can be chosen for it",
        next_step="evaluate on rows that have this label",
    )
