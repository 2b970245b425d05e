"""Whole groups on one side: never torn, near what was wanted, stratified where groups allow."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tightfit.data.group_splits import group_note, split_groups
from tightfit.errors import DataError

TRIALS = 1_000


def some_rows(chance: random.Random) -> tuple[list[int], list[int]]:
    """Groups and labels of up to 80 rows, in groups of any sizes."""
    count = chance.randint(2, 80)
    groups = [chance.randrange(chance.randint(1, count)) for _ in range(count - 1)]
    return [*groups, count], [chance.randrange(chance.randint(1, 6)) for _ in range(count)]


def test_no_group_is_on_both_sides_in_1000_random_trials() -> None:
    """Each row is on one side, neither side is empty, and no group is on both."""
    for seed in range(TRIALS):
        chance = random.Random(seed)
        groups, labels = some_rows(chance)
        wanted = chance.randint(1, max(1, len(groups) // 2))
        found = split_groups(groups, labels, held_out=wanted, seed=seed)
        assert sorted(found.train + found.validation) == list(range(len(groups)))
        sides = [{groups[row] for row in rows} for rows in (found.train, found.validation)]
        assert not sides[0] & sides[1]
        assert [len(side) for side in sides] == [found.train_groups, found.validation_groups]
        assert all(sides)


def test_rows_that_are_groups_of_their_own_are_stratified_to_the_row() -> None:
    """The shares of four classes, and the very count."""
    labels = [0] * 500 + [1] * 300 + [2] * 150 + [3] * 50
    found = split_groups(range(1000), labels, held_out=100, seed=3)
    assert Counter(labels[row] for row in found.validation) == {0: 50, 1: 30, 2: 15, 3: 5}


@pytest.mark.parametrize("classes", [2, 77])
def test_the_rows_held_out_are_about_as_many_as_wanted(classes: int) -> None:
    """Threads of up to 12 rows and any labels: a group is at most half out of place."""
    chance = random.Random(0)
    groups = [thread for thread in range(300) for _ in range(chance.randint(1, 12))]
    labels = [chance.randrange(classes) for _ in groups]
    wanted = len(groups) // 10
    found = split_groups(groups, labels, held_out=wanted, seed=0)
    assert abs(len(found.validation) - wanted) <= 12


def test_every_class_keeps_a_row_to_train_on() -> None:
    """The groups that hold all rows of a class train."""
    for seed in range(50):
        found = split_groups([0, 0, 1, 1, 2, 2], [0, 0, 1, 2, 1, 2], held_out=2, seed=seed)
        assert 0 in found.train


def test_two_large_groups_are_split_one_to_one_and_it_is_said() -> None:
    """Half of the rows for a tenth: better than no score, but not in silence."""
    found = split_groups("aaaaabbbbb", [0, 1] * 5, held_out=1, seed=0)
    assert (len(found.train), len(found.validation)) == (5, 5)
    assert group_note(found, 1, "column author") == (
        "whole groups are held out, by column author: 5 rows of 1 groups validate, 5 of 1 train; "
        "1 rows were wanted, and the groups do not divide so"
    )


def test_one_group_cannot_be_split() -> None:
    """All rows of one author: there is no other to be tested on."""
    with pytest.raises(DataError, match=r"all rows are of one group.*\n.*group 'a' in 3 rows"):
        split_groups("aaa", [0, 1, 0], held_out=1, seed=0)


def test_the_same_seed_gives_the_same_split_and_another_another() -> None:
    """Groups are drawn, not taken in their order."""
    groups, labels = [i // 3 for i in range(300)], [i % 2 for i in range(300)]
    first, again, other = (split_groups(groups, labels, held_out=30, seed=s) for s in (1, 1, 2))
    assert first == again
    assert first.validation != other.validation
