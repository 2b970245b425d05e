"""A cleaned copy: what was asked for is gone, nothing else is, and everything is counted."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planted import edited, sample
from tightfit.data.checks.cleaning import FIXES, MENDS, Cleaned, Fix, cleaned
from tightfit.data.checks.examine import check_table
from tightfit.data.checks.findings import KINDS
from tightfit.data.table import Table
from tightfit.errors import DataError

ITEM = sample().texts[0]

TEXTS = [
    "one",
    "one ",
    "two",
    "two",
    "in the test",
    ITEM,
    ITEM + " Yes.",
    "",
    "so <b>bold</b>",
    "so bold",
    "R &amp; D",
]
LABELS: list[int | str] = ["x", "x", "x", "y", "x", "y", "y", "x", "y", "y", "x"]
TEST = Table(["in the test"])


def clean(*fixes: Fix) -> Cleaned:
    """The table above with these fixes."""
    table = Table(TEXTS, LABELS, source="rows.csv")
    found = check_table(table, test=TEST, label_errors=False)
    return cleaned(table, found, fixes)


@pytest.mark.parametrize(
    ("fix", "gone"),
    [
        ("duplicates", [1]),
        ("contradictory", [2, 3]),
        ("shared", [4]),
        ("near", [6, 9]),
        ("empty", [7]),
        ("suspects", []),
    ],
)
def test_each_fix_removes_its_own_rows(fix: Fix, gone: list[int]) -> None:
    """And leaves the others as they are, in their order, with their labels."""
    left = [row for row in range(len(TEXTS)) if row not in gone]
    copy = clean(fix)
    assert copy.table.texts == [TEXTS[row] for row in left]
    assert copy.table.labels == [LABELS[row] for row in left]
    assert (copy.removed, copy.decoded) == ({fix: len(gone)}, None)


def test_markup_alone_removes_nothing() -> None:
    """It decodes, also where that makes two rows the same."""
    copy = clean("markup")
    assert copy.table.texts == [*TEXTS[:8], "so bold", "so bold", "R & D"]
    assert (copy.removed, copy.decoded) == ({}, 2)


def test_repeats_that_decoding_makes_are_removed_too() -> None:
    """Where duplicates are to go, the copy has none; they are counted."""
    copy = clean("markup", "duplicates")
    assert copy.table.texts.count("so bold") == 1
    assert copy.removed == {"duplicates": 2}


def test_a_row_with_two_faults_is_counted_once() -> None:
    """Under the first fix that takes it: contradictory copies are no duplicates as well."""
    table = Table(["a", "a", "a", "b"], ["x", "x", "y", "x"])
    found = check_table(table, label_errors=False)
    copy = cleaned(table, found, ["duplicates", "contradictory"])
    assert copy.removed == {"contradictory": 3, "duplicates": 0}
    assert copy.table.texts == ["b"]


def test_the_rows_themselves_are_not_touched() -> None:
    """A copy is a copy."""
    before = list(TEXTS), list(LABELS)
    clean(*FIXES)
    assert before == (TEXTS, LABELS)


def test_names_and_source_are_kept() -> None:
    """Class names of the source, so that the order of labels stays."""
    table = Table(["a", "a", "<p>b</p>"], [1, 1, 0], ("x", "y"), "here")
    copy = cleaned(table, check_table(table, label_errors=False), ["duplicates", "markup"]).table
    assert copy == Table(["a", "b"], [1, 0], ("x", "y"), "here")


def test_suspects_are_removed_on_request() -> None:
    """All of those that were found, whichever came first."""
    texts = [f"goal match team {i}" if i % 2 else f"stock market bank {i}" for i in range(200)]
    labels: list[int | str] = [(i + (i < 8)) % 2 for i in range(200)]
    table = Table(texts, labels)
    copy = cleaned(table, check_table(table), ["suspects"])
    assert copy.removed == {"suspects": 8}
    assert copy.table.texts == texts[8:]


def test_nothing_left() -> None:
    """An empty copy would be of no use."""
    table = Table(["", " "])
    with pytest.raises(DataError, match=r"no rows\n  seen:    empty removes 2\n.*fewer fixes"):
        cleaned(table, check_table(table, label_errors=False), ["empty"])


def test_findings_of_other_rows() -> None:
    """A mistake of the caller's, not of the user's."""
    with pytest.raises(AssertionError, match="other rows"):
        cleaned(Table(["a"]), check_table(Table(["a", "b"])), ["empty"])


def test_every_fix_has_a_finding() -> None:
    """And no finding two fixes; what is cut or garbled, or a label's name, is not mended."""
    assert set(MENDS) == set(FIXES) == set(get_args(Fix))
    assert set(KINDS) - set(MENDS.values()) == {
        "truncated",
        "undecodable",
        "label_spelling",
        "unicode_form",
    }


SOME = st.sampled_from(["a", "a ", "b", "&amp;", "<br>", "", *sample().texts[:2]])


@given(st.lists(st.tuples(SOME, SOME, st.integers(0, 1)), max_size=10), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_a_cleaned_copy_is_clean(rows: list[tuple[str, str, int]], edit: int) -> None:
    """Checked again, it has none of the faults that were to be removed."""
    texts = ["a last word", *(one + two for one, two, _ in rows), edited(ITEM, edit)]
    table = Table(texts, [0, *(label for *_, label in rows), 1])
    test = Table([ITEM, "b"])
    fixes: list[Fix] = [fix for fix in FIXES if fix != "suspects"]
    copy = cleaned(table, check_table(table, test=test, label_errors=False), fixes)
    again = check_table(copy.table, test=test, label_errors=False)
    assert {kind: again.found[kind].rows for kind in KINDS} == dict.fromkeys(KINDS, ())
    assert len(copy.table) + sum(copy.removed.values()) == len(table)
