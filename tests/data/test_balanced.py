"""Batches in which classes are equal, and parts of a cross-validation."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tightfit.data.balanced import balanced_batch, deal, even_parts, held_first

TARGETS_N = np.repeat([0, 1, 2, 3, 4, 5], [8, 8, 1, 8, 8, 2])


def test_a_step_shows_each_of_its_classes_as_often() -> None:
    """Four classes of four rows; one that has fewer rows shows those that it has."""
    sizes = Counter[int]()
    for step in range(30):
        rows = balanced_batch(TARGETS_N, classes=4, class_rows=4, seed=1, step=step)
        assert len(set(rows)) == len(rows)
        counts = Counter(TARGETS_N[rows].tolist())
        assert len(counts) == 4
        assert all(count == min(4, (one == TARGETS_N).sum()) for one, count in counts.items())
        sizes += counts
    assert set(sizes) == set(range(6)), "over the steps no class is left out"


def test_few_classes_make_a_small_batch() -> None:
    """No more rows of each."""
    rows = balanced_batch(np.arange(40) % 2, classes=4, class_rows=4, seed=1, step=3)
    assert Counter((np.arange(40) % 2)[rows].tolist()) == {0: 4, 1: 4}


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    """A resumed training sees the rows that it would have seen."""

    def batch(seed: int, step: int) -> list[int]:
        return balanced_batch(TARGETS_N, classes=4, class_rows=4, seed=seed, step=step)

    assert batch(1, 2) == batch(1, 2)
    assert batch(1, 2) != batch(1, 3)
    assert batch(1, 2) != batch(2, 2)


@pytest.mark.parametrize("folds", [2, 4, 5])
def test_parts_have_as_many_rows_of_each_stratum(folds: int) -> None:
    """To within one row, and in all to within one row as well."""
    parts_N = deal(TARGETS_N.tolist(), list(range(len(TARGETS_N))), folds, seed=0)
    for stratum in np.unique(TARGETS_N):
        counts = np.bincount(parts_N[stratum == TARGETS_N], minlength=folds)
        assert counts.max() - counts.min() <= 1
    assert np.ptp(np.bincount(parts_N, minlength=folds)) <= 1


def test_rows_that_are_alike_come_into_the_same_part() -> None:
    """Else one of them would be scored by a training on the other."""
    texts = ["a", "b", "c", "d", "a", "e", "f", "a"]
    parts_N = deal([0, 0, 0, 0, 0, 1, 1, 1], texts, 4, seed=0)
    assert len({int(parts_N[row]) for row, text in enumerate(texts) if text == "a"}) == 1


@pytest.mark.parametrize(
    ("rows", "parts"),
    [([2, 2], 2), ([3, 3, 3], 3), ([9, 9], 4), ([1, 9, 9], 4), ([1, 1, 2], 2), ([1, 3], 3)],
)
def test_a_cross_validation_has_no_more_parts_than_a_class_has_rows(
    rows: list[int], parts: int
) -> None:
    """Than half of the classes have, those with a single row aside."""
    strata = [label for label, count in enumerate(rows) for _ in range(count)]
    assert even_parts(strata, list(range(len(strata))), 4) == parts


def test_rows_that_are_alike_are_one_row_to_a_cross_validation() -> None:
    """Of two texts, twice each, there are two parts; in four a class would be missing from most."""
    assert even_parts([0, 0, 0, 0, 1, 1, 1, 1], [*"aabbccdd"], 4) == 2


def test_the_first_rows_are_held_out_and_none_without_those_alike() -> None:
    """As many as were asked for at most; a group that is too large stays."""
    assert held_first(range(6), 2).tolist() == [True, True, False, False, False, False]
    assert held_first("abacbd", 3).tolist() == [True, False, True, True, False, False]


def test_labels_of_two_rows_each_are_missed_in_equal_measure() -> None:
    """Else a row is scored by a classifier that has seen less of its class than of the others."""
    strata = [0, 0, 1, 1, 2, 2]
    parts_N = deal(strata, list(range(6)), even_parts(strata, list(range(6)), 4), seed=0)
    for part in range(2):
        assert sorted(np.array(strata)[parts_N == part]) == [0, 1, 2]
