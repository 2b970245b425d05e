"""What classifiers answer to the same rows, and whether one is as good as another.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from tightfit.tasks import Task

SIGNIFICANT = 0.05
"""Largest p-value at which what trained counts as worse than its start."""


@dataclass(frozen=True)
class Answers:
    """What a classifier says of rows that it did not see."""

    task: Task
    logits_NK: NDArray[np.float32]
    targets_N: NDArray[Any]
    weights_N: NDArray[np.float64] | None = None

    @cached_property
    def right(self) -> float:
        """Rows that are answered rightly; of what can be half right, the sum of the scores."""
        return float(self.task.row_scores(self.logits_NK, self.targets_N).sum())

    @cached_property
    def scores(self) -> tuple[float, float]:
        """Mean loss in nats, at the temperature that suits it best, and the task's metric.

        How sharp a solved head is depends on its strength, which is no merit of it.
        """
        rows = (self.logits_NK, self.targets_N, self.weights_N)
        loss = self.task.fit_temperature(*rows).log_loss_after
        scores_N = self.task.row_scores(self.logits_NK, self.targets_N)
        mean = float(np.average(scores_N, weights=self.weights_N))
        return loss, self.task.metric_of(mean, self.targets_N)

    def as_good_as(self, other: Answers) -> bool:
        """Worse is what has a higher loss, and more rows scored lower than the other has them than
        the other way round, by more than chance explains: a one-sided sign test (McNemar 1947) at
        :data:`SIGNIFICANT`. Of ratings, of which no trial has shown such luck, without one."""
        own_N, other_N = (
            self.task.row_scores(each.logits_NK, each.targets_N) for each in (self, other)
        )
        lost, won = int((other_N > own_N).sum()), int((own_N > other_N).sum())
        if lost <= won or self.scores[0] < other.scores[0]:
            return True
        # That so many of all that differ are lost, or more, where each is as likely as not.
        significant = SIGNIFICANT if self.task.calibrates else 1.0
        return bool(betainc(lost, won + 1, 0.5) >= significant)


@dataclass(frozen=True)
class OutOfFold:
    """What trainings that did not see a row say of it, for every validation row."""

    trained: Answers
    start: Answers
    """Of what they started from."""
