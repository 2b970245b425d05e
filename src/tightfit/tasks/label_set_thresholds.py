"""Thresholds where a row may have several labels: each label is given from its own on.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tightfit.data.label_strata import shared_out
from tightfit.errors import DataError
from tightfit.extras import lazy
from tightfit.metrics.thresholds import F1, Cost, Goal
from tightfit.tasks.chosen_threshold import ChosenThreshold, unreachable

if TYPE_CHECKING:
    from scipy import special
else:
    special = lazy("scipy.special", "scoring")

USUAL = 0.5
"""The threshold of a label of which nothing better is known."""

LEAST_ROWS = 20
"""From fewer rows none is chosen."""

EXPECTED, MOST = 10.0, 1.5
"""What :class:`F1` takes: up to 4 points of micro F1 and 9 of macro F1 more than F1 alone with 0.5
for rare labels (docs/experiments, "Thresholds of several labels")."""

BALANCE = F1(1, EXPECTED, MOST)

SHARED_ROWS = 50
"""A label's own threshold counts as many rows as there are, and the one that all share so many:
on 50 rows 4.1 points of micro F1 and 1.3 of macro F1 more (the same page)."""

MOST_DECISIONS = 1_000_000
"""Of rows on labels, by which the shared one is chosen."""

LEAST = 1e-6
"""Thresholds are as far from 0 and 1, where they are drawn towards each other as log-odds."""


def of_each_label(thresholds: Mapping[int, float], labels: int) -> list[float]:
    """From which probability on each label is given, in their order."""
    return [thresholds.get(label, USUAL) for label in range(labels)]


def f1_thresholds(
    names: Sequence[str], probabilities_NK: NDArray[np.float64], targets_NK: NDArray[np.int8]
) -> list[ChosenThreshold]:
    """The threshold of each label with the highest F1 on these rows, or the usual one and why.

    Recall and precision are of thresholds chosen so on one half of the rows and measured on the
    other.
    """
    true_NK = targets_NK.astype(bool)
    chosen_K = best_f1(probabilities_NK, true_NK)
    given_NK = probabilities_NK >= cross_fitted_thresholds(probabilities_NK, true_NK)
    found = []
    for label, name in enumerate(names):
        own = int(true_NK[:, label].sum())
        chosen = f"the highest F1 on {len(true_NK):,} rows, {own:,} of which have it"
        reason = f"{chosen}; drawn towards the one that all labels share"
        if len(true_NK) < LEAST_ROWS:
            reason = f"{len(true_NK):,} rows are too few to choose another by"
        elif not own:
            reason = f"none of {len(true_NK):,} rows has it: the one that all labels share"
        found.append(
            ChosenThreshold.measured(
                name,
                true_NK[:, label],
                given_NK[:, label],
                goal="f1",
                least=None,
                threshold=float(chosen_K[label]),
                reason=reason,
            )
        )
    return found


def best_f1(
    probabilities_NK: NDArray[np.float64], true_NK: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Of each label the threshold with the highest F1, drawn towards the one that all share.

    That one has the highest F1 of all decisions together. It is what a label gets that no row has;
    where rows in all are too few, all get the usual one.
    """
    labels = true_NK.shape[1]
    if len(true_NK) < LEAST_ROWS:
        return np.full(labels, USUAL)
    shared = shared_threshold(probabilities_NK, true_NK)
    own = [BALANCE.choose(*_alone(probabilities_NK, true_NK, k)) for k in range(labels)]
    found_K = np.array([shared if value is None else value for value in own])
    share = len(true_NK) / (len(true_NK) + SHARED_ROWS)
    inside_K = found_K.clip(LEAST, 1 - LEAST)
    return np.asarray(
        special.expit(share * special.logit(inside_K) + (1 - share) * special.logit(shared))
    )


def shared_threshold(probabilities_NK: NDArray[np.float64], true_NK: NDArray[np.bool_]) -> float:
    """That with the highest F1 of the decisions on all labels, or on a sample of the rows."""
    some = slice(None, None, 1 + true_NK.size // MOST_DECISIONS)
    decisions = probabilities_NK[some].reshape(-1, 1), true_NK[some].reshape(-1, 1)
    value = BALANCE.choose(*_alone(*decisions, 0))
    return USUAL if value is None else float(np.clip(value, LEAST, 1 - LEAST))


def cross_fitted_thresholds(
    probabilities_NK: NDArray[np.float64], true_NK: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """For each row the thresholds that are chosen on the half which it is not in, (N, K).

    No row has a say in the thresholds that it is scored by.
    """
    if len(true_NK) < 2:
        return np.full(true_NK.shape, USUAL)
    half_N = _halves(true_NK)
    thresholds_NK = np.empty(true_NK.shape)
    for here_N in (half_N, ~half_N):
        others = probabilities_NK[~here_N], true_NK[~here_N]
        thresholds_NK[here_N] = best_f1(*others)
    return thresholds_NK


def thresholds_for(
    names: Sequence[str],
    probabilities_NK: NDArray[np.float64],
    targets_NK: NDArray[np.int8],
    goals: Sequence[Goal],
) -> list[ChosenThreshold]:
    """The threshold of each goal, a share of recall or of precision, and what it is worth.

    Raises:
        DataError: too few rows have a label.
        UsageError: no threshold is so precise.
    """
    true_NK = targets_NK.astype(bool)
    half_N = _halves(true_NK)
    found = []
    for goal in goals:
        assert not isinstance(goal, Cost)  # which is refused where it is asked for
        alone = replace(goal, label=1)
        rows = _alone(probabilities_NK, true_NK, goal.label)
        value = alone.choose(*rows)
        if value is None:
            raise unreachable(names[goal.label], alone, *rows)
        given_N = np.empty(len(true_NK), dtype=bool)
        for here_N in (half_N, ~half_N):
            other = alone.choose(rows[0][~here_N], rows[1][~here_N])
            if other is None:
                raise DataError(
                    "the rows are too few to choose a threshold on one half and measure it on "
                    "the other",
                    seen=f"{names[goal.label]}: {int(rows[1].sum())} rows",
                    next_step="evaluate on more rows, or ask for less",
                )
            given_N[here_N] = probabilities_NK[here_N, goal.label] >= other
        found.append(
            ChosenThreshold.measured(
                names[goal.label],
                true_NK[:, goal.label],
                given_N,
                goal=type(goal).__name__.lower(),
                least=goal.least,
                threshold=value,
            )
        )
    return found


def _alone(
    probabilities_NK: NDArray[np.float64], true_NK: NDArray[np.bool_], label: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One label as a problem of two classes, of which it is the second."""
    share_N = probabilities_NK[:, label]
    return np.stack([1 - share_N, share_N], axis=1), true_NK[:, label].astype(np.int64)


def _halves(true_NK: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows = len(true_NK)
    return shared_out(true_NK, [rows - rows // 2, rows // 2], seed=0) == 0
