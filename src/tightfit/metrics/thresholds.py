"""From which probability on a label is answered, where the most probable one is not what matters.

The rule, with a threshold for some labels: of the labels whose probability reaches their threshold
the most probable is the answer; where none does, the most probable of the labels without one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEVER = 1.0
"""The threshold of a label that is best answered only where it is certain."""


def answers_at(
    probabilities_BK: NDArray[np.float64], thresholds: Mapping[int, float]
) -> NDArray[np.int64]:
    """The answer to each row, by the rule above.

    Args:
        probabilities_BK: of each class.
        thresholds: by the id of the class; at least one class has none.
    """
    thresholded = sorted(thresholds)
    shares_BT = probabilities_BK[:, thresholded]
    reached_BT = shares_BT >= np.array([thresholds[k] for k in thresholded])
    best_B = np.array(thresholded)[np.where(reached_BT, shares_BT, -1.0).argmax(axis=1)]
    return np.where(reached_BT.any(axis=1), best_B, others_best(probabilities_BK, thresholded))


def others_best(probabilities_BK: NDArray[np.float64], without: list[int]) -> NDArray[np.int64]:
    """The most probable class of each row, some classes left out."""
    rest_BK = probabilities_BK.copy()
    rest_BK[:, without] = -1.0
    return rest_BK.argmax(axis=1)


def ranked(values_B: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows from the highest value to the lowest, and the places in that order where a threshold can
    stand: after the last of equal values, which are answered together."""
    falling = np.argsort(-values_B, kind="stable")
    return falling, np.append(np.flatnonzero(np.diff(values_B[falling])), len(values_B) - 1)


@dataclass(frozen=True)
class Recall:
    """Find at least this share of the rows of a class."""

    label: int
    least: float

    def choose(
        self, probabilities_BK: NDArray[np.float64], labels_B: NDArray[np.int64]
    ) -> float | None:
        """The highest threshold that does, which is the most precise; None without such a row."""
        values, _, hits = _falling(probabilities_BK, labels_B == self.label, self.label)
        # A share such as 0.95 of 20 is 19, whatever its last binary digit.
        needed = max(math.ceil(self.least * hits[-1] - 1e-9), 1)
        return _middle(values, int((hits < needed).sum())) if hits[-1] else None


@dataclass(frozen=True)
class Precision:
    """Let at least this share of the answers of a class be right."""

    label: int
    least: float

    def choose(
        self, probabilities_BK: NDArray[np.float64], labels_B: NDArray[np.int64]
    ) -> float | None:
        """The lowest threshold that does, which finds the most rows; None where none does."""
        values, answered, hits = _falling(probabilities_BK, labels_B == self.label, self.label)
        holds = np.flatnonzero(hits >= self.least * answered - 1e-9)
        return _middle(values, int(holds[-1])) if len(holds) else None


@dataclass(frozen=True)
class Cost:
    """Keep down the cost of mistakes, of which some are dearer than others."""

    label: int
    """The class that gets a threshold."""
    costs_KK: NDArray[np.float64]
    """Of answering the class of the column to a row of the class of the line."""

    def choose(
        self, probabilities_BK: NDArray[np.float64], labels_B: NDArray[np.int64]
    ) -> float | None:
        """The threshold of least cost, None where no row has the class."""
        if not (labels_B == self.label).any():
            return None
        shares_B = probabilities_BK[:, self.label]
        falling, ends = ranked(shares_B)
        values, true_B = shares_B[falling], labels_B[falling]
        else_B = others_best(probabilities_BK, [self.label])[falling]
        # What it costs more, or less, to answer the class to the first rows than not to.
        more = np.cumsum(self.costs_KK[true_B, self.label] - self.costs_KK[true_B, else_B])
        best = int(more[ends].argmin())
        if more[ends[best]] >= 0:
            return NEVER
        return _middle(values[ends], best)

    def mean(self, labels_B: NDArray[np.int64], answers_B: NDArray[np.int64]) -> float:
        """Of these answers, a row."""
        return float(self.costs_KK[labels_B, answers_B].mean())


@dataclass(frozen=True)
class F1:
    """Balance recall and precision of a class."""

    label: int
    expected: float = 0.0
    """So many rows of the class say what the probabilities themselves expect, beside those that are
    of it: few rows alone make a threshold that suits them and no others."""
    most: float = math.inf
    """Rows answered, to one of the class, at most: where probabilities tell little, F1 by itself is
    highest where every row is answered."""

    def choose(
        self, probabilities_BK: NDArray[np.float64], labels_B: NDArray[np.int64]
    ) -> float | None:
        """The threshold of the highest F1; None without a row of the class, or where rows of the
        same probability are too many."""
        own_B = labels_B == self.label
        own = int(own_B.sum())
        if not own:
            return None
        share = own / (own + self.expected)
        weights_B = share * own_B + (1 - share) * probabilities_BK[:, self.label]
        values, answered, hits = _falling(probabilities_BK, weights_B, self.label)
        few = answered <= max(1.0, self.most * weights_B.sum())
        if not few[0]:
            return None
        best = int(np.where(few, 2 * hits / (answered + weights_B.sum()), 0.0).argmax())
        return _middle(values, best)


Goal = Recall | Precision | Cost


def halves(labels_B: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Two halves drawn at random, with as many rows of each class in both as can be."""
    order = np.random.default_rng(0).permutation(len(labels_B))
    order = order[np.argsort(labels_B[order], kind="stable")]
    half_B = np.empty(len(labels_B), dtype=bool)
    half_B[order] = np.arange(len(order)) % 2 == 0
    return half_B


def cross_fitted(
    probabilities_BK: NDArray[np.float64], labels_B: NDArray[np.int64], goals: list[Goal]
) -> NDArray[np.int64] | None:
    """The answers to each half with the thresholds that are chosen on the other.

    No row has a say in the threshold that it is answered by, so that counts over all rows tell
    what thresholds which are chosen so are worth on other rows; None where one half offers none.
    """
    half_B = halves(labels_B)
    answers_B = np.empty(len(labels_B), dtype=np.int64)
    for here_B in (half_B, ~half_B):
        chosen = {
            goal.label: goal.choose(probabilities_BK[~here_B], labels_B[~here_B]) for goal in goals
        }
        thresholds = {label: value for label, value in chosen.items() if value is not None}
        if len(thresholds) < len(chosen):
            return None
        answers_B[here_B] = answers_at(probabilities_BK[here_B], thresholds)
    return answers_B


def best_precision(
    probabilities_BK: NDArray[np.float64], labels_B: NDArray[np.int64], label: int
) -> float:
    """The largest share of right answers that any threshold of a class brings."""
    _, answered, hits = _falling(probabilities_BK, labels_B == label, label)
    return float((hits / answered).max())


def _falling(
    probabilities_BK: NDArray[np.float64], right_B: NDArray[Any], label: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[Any]]:
    """Every threshold from high to low, with the rows it answers and those of them that are right.

    Rows of one probability are answered together.
    """
    shares_B = probabilities_BK[:, label]
    falling, ends = ranked(shares_B)
    hits = np.cumsum(right_B[falling])[ends]
    return shares_B[falling][ends], ends + 1, hits


def _middle(falling: NDArray[np.float64], place: int) -> float:
    """The threshold that is reached from one of different probabilities on: half-way down to the
    next.

    Any between the two answers the same rows. The middle is the furthest from mistakes on others,
    and no rounding, such as another engine's, takes these rows across it.
    """
    below = falling[place + 1] if place + 1 < len(falling) else 0.0
    return float(falling[place] + below) / 2
