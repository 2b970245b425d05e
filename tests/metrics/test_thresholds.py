"""Thresholds of single labels: each rule against an obvious loop over rows and thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tightfit.metrics.thresholds import (
    NEVER,
    Cost,
    Goal,
    Precision,
    Recall,
    answers_at,
    best_precision,
    cross_fitted,
    halves,
)

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]


def drawn(seed: int, rows: int, classes: int = 3) -> tuple[Probabilities, Labels]:
    """Probabilities with many ties, and labels that they say something about."""
    chance = np.random.default_rng(seed)
    labels_B = chance.integers(0, classes, rows)
    scores_BK = chance.integers(0, 4, (rows, classes)) + 2.0 * np.eye(classes)[labels_B]
    powers_BK = np.exp(scores_BK / 2)
    return powers_BK / powers_BK.sum(axis=1, keepdims=True), labels_B


def answer(row: Sequence[float], thresholds: Mapping[int, float]) -> int:
    """The rule, as its words say it."""
    reached = [k for k, least in sorted(thresholds.items()) if row[k] >= least]
    left = [k for k in range(len(row)) if k not in thresholds]
    return max(reached or left, key=lambda k: row[k])


rows_of = st.tuples(st.integers(0, 10_000), st.integers(1, 40))


@settings(max_examples=60, deadline=None)
@given(rows=rows_of, thresholds=st.dictionaries(st.integers(0, 2), st.floats(0, 1), max_size=2))
def test_answers_follow_the_rule(rows: tuple[int, int], thresholds: dict[int, float]) -> None:
    """Row by row; the first of equals, as everywhere."""
    if not thresholds:
        thresholds = {1: 0.5}
    probabilities_BK, _ = drawn(*rows)
    wanted = [answer(row, thresholds) for row in probabilities_BK.tolist()]
    assert answers_at(probabilities_BK, thresholds).tolist() == wanted


def test_a_row_on_the_threshold_is_answered() -> None:
    """And one below it gets the best of the others, however sure the classifier is."""
    shares_BK = np.array([[0.31, 0.6, 0.09], [0.3, 0.6, 0.1], [0.2, 0.4, 0.4]])
    assert answers_at(shares_BK, {0: 0.31}).tolist() == [0, 1, 1]
    assert answers_at(np.array([[0.85, 0.1, 0.05]]), {0: 0.9}).tolist() == [1]


def middle_below(probabilities_BK: Probabilities, reached: float) -> float:
    """Between a probability of class 0 and the next lower one: there no rounding moves a row."""
    lower = max((x for x in probabilities_BK[:, 0].tolist() if x < reached), default=0.0)
    return (reached + lower) / 2


def counted(
    probabilities_BK: Probabilities, labels_B: Labels, threshold: float
) -> tuple[int, int, int]:
    """Rows of class 0, answers of class 0, and those of them that are right."""
    told = [answer(row, {0: threshold}) == 0 for row in probabilities_BK.tolist()]
    own = (labels_B == 0).tolist()
    return sum(own), sum(told), sum(a and b for a, b in zip(own, told, strict=True))


@settings(max_examples=60, deadline=None)
@given(rows=rows_of, least=st.sampled_from([0.05, 0.5, 0.8, 0.95, 1.0]))
def test_recall_takes_the_highest_threshold_that_reaches_it(
    rows: tuple[int, int], least: float
) -> None:
    """Among all probabilities that occur; then the middle below it."""
    probabilities_BK, labels_B = drawn(*rows)
    good = []
    for threshold in sorted(set(probabilities_BK[:, 0].tolist())):
        own, _, hits = counted(probabilities_BK, labels_B, threshold)
        good += [threshold] if own and hits >= least * own - 1e-9 else []
    wanted = middle_below(probabilities_BK, max(good)) if good else None
    assert Recall(0, least).choose(probabilities_BK, labels_B) == wanted


@settings(max_examples=60, deadline=None)
@given(rows=rows_of, least=st.sampled_from([0.05, 0.5, 0.8, 0.95, 1.0]))
def test_precision_takes_the_lowest_threshold_that_reaches_it(
    rows: tuple[int, int], least: float
) -> None:
    """It need not rise with the threshold: every one is tried."""
    probabilities_BK, labels_B = drawn(*rows)
    found = {}
    for threshold in set(probabilities_BK[:, 0].tolist()):
        _, told, hits = counted(probabilities_BK, labels_B, threshold)
        found[threshold] = hits / told
    good = [threshold for threshold, share in found.items() if share >= least - 1e-9]
    wanted = middle_below(probabilities_BK, min(good)) if good else None
    assert Precision(0, least).choose(probabilities_BK, labels_B) == wanted
    assert best_precision(probabilities_BK, labels_B, 0) == max(found.values())


@settings(max_examples=60, deadline=None)
@given(rows=rows_of, dear=st.sampled_from([0.25, 1.0, 5.0, 50.0]))
def test_cost_takes_the_threshold_of_least_cost(rows: tuple[int, int], dear: float) -> None:
    """Never to answer is one of the choices; of equally good ones the middle below the highest."""
    probabilities_BK, labels_B = drawn(*rows)
    costs_KK = 1.0 - np.eye(3)
    costs_KK[0, 1] = dear
    goal, found = Cost(0, costs_KK), {}
    for threshold in {*probabilities_BK[:, 0].tolist(), NEVER}:
        told = [answer(row, {0: threshold}) for row in probabilities_BK.tolist()]
        found[threshold] = goal.mean(labels_B, np.array(told))
    chosen = goal.choose(probabilities_BK, labels_B)
    if not (labels_B == 0).any():
        assert chosen is None
    else:
        best = max(x for x, cost in found.items() if cost == min(found.values()))
        assert chosen == (NEVER if best == NEVER else middle_below(probabilities_BK, best))


def test_a_share_is_not_missed_by_its_last_digit() -> None:
    """95% of 20 rows are 19, though 0.95 * 20 may be a little more."""
    shares_B = np.linspace(0.1, 0.9, 20)
    shares_BK = np.stack([shares_B, 1 - shares_B], axis=1)
    labels_B = np.zeros(20, dtype=np.int64)
    for least, row in ((0.95, 1), (0.3, 14)):
        chosen = Recall(0, least).choose(shares_BK, labels_B)
        assert chosen is not None
        assert shares_B[row - 1] < chosen < shares_B[row]


def test_halves_share_every_class() -> None:
    """As evenly as can be, and by chance."""
    labels_B = np.array([0] * 7 + [1] * 20 + [2] * 3)
    half_B = halves(labels_B)
    counts = np.bincount(labels_B[half_B], minlength=3)
    assert counts.sum() == 15
    assert (np.abs(counts - np.array([3.5, 10, 1.5])) <= 0.5).all()


def test_no_row_chooses_the_threshold_that_it_is_answered_by() -> None:
    """Each half is answered with what the other half chooses, as done here by hand."""
    probabilities_BK, labels_B = drawn(3, 40)
    goals: list[Goal] = [Recall(0, 0.9)]
    half_B, answers_B = halves(labels_B), cross_fitted(probabilities_BK, labels_B, goals)
    assert answers_B is not None
    for here_B in (half_B, ~half_B):
        threshold = goals[0].choose(probabilities_BK[~here_B], labels_B[~here_B])
        assert threshold is not None
        wanted = [answer(row, {0: threshold}) for row in probabilities_BK[here_B].tolist()]
        assert answers_B[here_B].tolist() == wanted


def test_one_row_of_a_class_is_too_few() -> None:
    """One half has none to choose by."""
    probabilities_BK, labels_B = drawn(3, 40)
    labels_B[:] = 1
    labels_B[0] = 0
    assert cross_fitted(probabilities_BK, labels_B, [Recall(0, 0.9)]) is None


def test_recall_of_the_cross_fit_is_honest() -> None:
    """Over 500 draws its mean is that of new rows: their difference spreads by 0.007."""
    told, true, goal = [], [], Recall(0, 0.8)
    for seed in range(500):
        probabilities_BK, labels_B = drawn(seed, 60)
        new_BK, new_B = drawn(seed + 10_000, 500)
        found, half_B = cross_fitted(probabilities_BK, labels_B, [goal]), halves(labels_B)
        assert found is not None
        told.append(np.mean(found[labels_B == 0] == 0))
        for part_B in (half_B, ~half_B):
            threshold = goal.choose(probabilities_BK[part_B], labels_B[part_B])
            assert threshold is not None
            true.append(np.mean(answers_at(new_BK, {0: threshold})[new_B == 0] == 0))
    assert abs(np.mean(told) - np.mean(true)) < 0.02
