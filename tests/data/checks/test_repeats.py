"""Repeats and contradictions: against a look at every pair of rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.checks.repeats import (
    alike_rows,
    contradictory_rows,
    first_rows,
    repeated_rows,
    text_key,
)

ROWS = st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.integers(0, 2)), max_size=12)


@given(ROWS)
def test_repeats_as_every_pair_tells(rows: list[tuple[str, int]]) -> None:
    """The first row with the same text and label; empty texts repeat nothing."""
    keys, labels = [key for key, _ in rows], [label for _, label in rows]
    expected = {i: rows.index(row) for i, row in enumerate(rows) if row[0] and rows.index(row) < i}
    assert repeated_rows(keys, labels) == expected


@given(ROWS)
def test_contradictions_as_every_pair_tells(rows: list[tuple[str, int]]) -> None:
    """Both sides of each, with the first row of another label."""
    keys, labels = [key for key, _ in rows], [label for _, label in rows]
    expected = {
        i: next(j for j, (other, theirs) in enumerate(rows) if other == key and theirs != label)
        for i, (key, label) in enumerate(rows)
        if key and any(other == key and theirs != label for other, theirs in rows)
    }
    assert contradictory_rows(keys, labels) == expected


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a  b\n", " a b", True),
        ("a\u00a0b", "a b", True),
        ("A b", "a b", False),
        ("a b.", "a b", False),
        ("\u200b", "", True),
    ],
)
def test_the_same_text(one: str, other: str, same: bool) -> None:
    """Spacing is no difference; case and punctuation are; all empty texts are one."""
    assert (text_key(one) == text_key(other)) is same


def test_first_rows_keep_their_order() -> None:
    """Without the empty ones."""
    assert first_rows(["b", "", "a", "b", "c"]) == {"b": 0, "a": 2, "c": 4}
    assert list(first_rows(["b", "", "a", "b", "c"])) == ["b", "a", "c"]


LONG = "the quick brown fox jumps over the lazy dog by the river bank at dawn"


def test_alike_rows_are_rows_not_texts() -> None:
    """Copies of a near duplicate count each, and point to the first row of the original."""
    keys = [LONG, "other things", LONG, LONG + " today", "", LONG + " today"]
    alike = alike_rows(keys, ["no", LONG + " today", LONG + " today", ""])
    assert {row: match.other for row, match in alike.near.items()} == {3: 0, 5: 0}
    assert {row: match.other for row, match in alike.shared.items()} == {0: 1, 2: 1, 3: 1, 5: 1}
    assert [match.likeness == 1 for match in alike.shared.values()] == [False, False, True, True]


def test_nothing_to_compare() -> None:
    """No rows, or none with a text."""
    for keys in ([], ["", ""]):
        alike = alike_rows(keys, ["", "a"])
        assert alike.near == alike.shared == {}
