"""What the classifier is worth on rows it did not learn from, where they have several labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.metrics.label_scores import LabelScores
from tightfit.metrics.scores import Confusion
from tightfit.reporting.quality import LISTED
from tightfit.run import Run
from tightfit.tasks.label_set_thresholds import of_each_label

MOST_SIZES = 6
"""Numbers of labels a row that are listed."""


@dataclass(frozen=True)
class LabelSetQuality:
    """The outcome by label, and how labels go together."""

    labels: tuple[tuple[LabelScores, float], ...]
    """Each with the probability from which on it is given."""
    left_out: int
    together: tuple[Confusion, ...]
    """Rows that have one label and are given another in its place, the most frequent first."""
    together_left_out: int
    sizes: tuple[tuple[int, int, int], ...]
    """A number of labels, rows that have so many, and rows that are given so many; the last are
    those of so many or more."""


def label_set_quality(run: Run) -> LabelSetQuality:
    """The outcome by label."""
    from_K = of_each_label(run.thresholds, len(run.labels))
    rows = list(zip(run.metrics.validation.per_label, from_K, strict=True))
    many = len(rows) > 2 * LISTED
    # Of very many labels the weakest are worth the room.
    shown = sorted(rows, key=lambda row: row[0].f1.value)[: 2 * LISTED] if many else rows
    together, sizes = _pictures(run)
    listed = together[: LISTED // 2]
    return LabelSetQuality(
        tuple(shown), len(rows) - len(shown), listed, len(together) - len(listed), sizes
    )


def _pictures(run: Run) -> tuple[tuple[Confusion, ...], tuple[tuple[int, int, int], ...]]:
    rows = run.validation
    if rows is None:
        return (), ()
    said: Any = rows.predictions(run.temperature, run.thresholds)
    given_NK: NDArray[np.bool_] = said.given
    true_NK = rows.targets_N.astype(bool)
    return _confusions(run.labels, true_NK, given_NK), _sizes(true_NK, given_NK)


def _confusions(
    names: tuple[str, ...], true_NK: NDArray[np.bool_], given_NK: NDArray[np.bool_]
) -> tuple[Confusion, ...]:
    missed_NK, wrong_NK = true_NK & ~given_NK, given_NK & ~true_NK
    counts_KK = missed_NK.astype(int).T @ wrong_NK.astype(int)
    own_K = true_NK.sum(axis=0)
    found = [
        Confusion(names[i], names[j], int(counts_KK[i, j]), float(counts_KK[i, j] / own_K[i]))
        for i, j in zip(*np.nonzero(counts_KK), strict=True)
    ]
    return tuple(sorted(found, key=lambda each: -each.count))


def _sizes(
    true_NK: NDArray[np.bool_], given_NK: NDArray[np.bool_]
) -> tuple[tuple[int, int, int], ...]:
    last = min(MOST_SIZES - 1, true_NK.shape[1])
    has_S, given_S = (
        np.bincount(np.minimum(each_NK.sum(axis=1), last), minlength=last + 1).tolist()
        for each_NK in (true_NK, given_NK)
    )
    sizes = range(last + 1)
    return tuple((size, has_S[size], given_S[size]) for size in sizes)
