"""Which raw label is which class, in training and wherever the classifier is used later."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.labels import LabelSet, own_classes
from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table
from tightfit.errors import ArtefactError, DataError

AG_NAMES = ("World", "Sports", "Business", "Sci/Tech")
DIGITS = LabelSet(("0", "1", "2", "3"), (0, 1, 2, 3))
NAMED = LabelSet(AG_NAMES, (0, 1, 2, 3))
WORDS = LabelSet(tuple(sorted(AG_NAMES)), tuple(sorted(AG_NAMES)))


def table(labels: list[Any], names: tuple[str, ...] | None = None) -> Table:
    """Rows with these labels; the texts do not matter."""
    return Table([f"text {i}" for i in range(len(labels))], labels, names, "toy")


# Order


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([1, 0, 1], ("spam", "ham"), LabelSet(("spam", "ham"), (0, 1))),
        ([2, 0], ("c", "b", "a"), LabelSet(("c", "b", "a"), (0, 1, 2))),
        ([10, 9, -1], None, LabelSet(("-1", "9", "10"), (-1, 9, 10))),
        (["b", "B", "a"], None, LabelSet(("B", "a", "b"), ("B", "a", "b"))),
    ],
    ids=["ClassLabel", "a class without rows", "ascending integers", "sorted names"],
)
def test_order_without_being_told(
    labels: list[Any], names: tuple[str, ...] | None, expected: LabelSet
) -> None:
    """The source's own order, else integers as numbers, else names as Python sorts them."""
    assert LabelSet.from_table(table(labels, names)) == expected


@pytest.mark.parametrize(
    ("labels", "names", "declared", "values"),
    [
        (["b", "a"], None, ("b", "a"), ("b", "a")),
        (["b", "a"], None, ("c", "b", "a"), ("c", "b", "a")),
        ([0, 1], None, ("ham", "spam"), (0, 1)),
        ([0, 2], None, ("ham", "spam", "eggs"), (0, 1, 2)),
        ([1, 2], None, ("ham", "spam"), (1, 2)),
        ([1, -1], None, ("down", "up"), (-1, 1)),
        ([0, 1], None, ("1", "0"), (1, 0)),
        ([0, 1], ("ham", "spam"), ("spam", "ham"), (1, 0)),
        ([0, 1], ("ham", "spam"), ("Schinken", "Müll"), (0, 1)),
    ],
    ids=[
        "orders strings",
        "may name an absent string",
        "names integers",
        "names an absent integer",
        "names integers that start at 1",
        "names integers below 0",
        "orders integers",
        "orders a ClassLabel",
        "renames a ClassLabel",
    ],
)
def test_declared_names(
    labels: list[Any],
    names: tuple[str, ...] | None,
    declared: tuple[str, ...],
    values: tuple[int | str, ...],
) -> None:
    """They are the names, in their order; what they stand for depends on the rows."""
    assert LabelSet.from_table(table(labels, names), declared) == LabelSet(declared, values)


@pytest.mark.parametrize(
    ("labels", "names", "declared"),
    [
        (["a", "b", "c"], None, ("a", "b")),
        ([0, 1, 2], None, ("ham", "spam")),
        ([5, 7, 9], None, ("ham", "spam")),
        ([0, 1], ("ham", "spam"), ("spam", "eggs")),
    ],
    ids=["a string more", "an integer more", "integers out of range", "half of a ClassLabel"],
)
def test_declared_names_must_cover_the_rows(
    labels: list[Any], names: tuple[str, ...] | None, declared: tuple[str, ...]
) -> None:
    """A name that is both kept and replaced would swap classes."""
    with pytest.raises(DataError, match=r"data\.labels does not cover(.|\n)*seen: +\S") as caught:
        LabelSet.from_table(table(labels, names), declared)
    assert caught.value.allowed == ", ".join(declared)


# Rows that no classifier can learn from


@pytest.mark.parametrize("labels", [["x"], ["x", "x"], [3, 3]])
def test_one_class_is_not_enough(labels: list[Any]) -> None:
    """Also where the source knows of more."""
    with pytest.raises(DataError, match=r"at least 2 classes\n.*(x|3) alone, in \d rows?"):
        LabelSet.from_table(table(labels))
    with pytest.raises(DataError, match="at least 2 classes"):
        LabelSet.from_table(table([0, 0], ("ham", "spam")))


def test_a_class_for_every_row_is_the_wrong_column() -> None:
    """Such as identifiers; few rows may well be all different."""
    with pytest.raises(DataError, match=r"label of its own\n.*19 labels in 20 rows\n.*label_col"):
        LabelSet.from_table(table([*range(19), 0]))
    assert len(LabelSet.from_table(table([*range(18), 0, 0]))) == 18
    assert len(LabelSet.from_table(table([*range(151), *range(49)]))) == 151
    assert len(LabelSet.from_table(table(["a", "b", "c"]))) == 3


def test_the_classes_of_rows_whatever_their_number() -> None:
    """To look at rows before anyone can learn from them: the order is the same."""
    assert own_classes(table([3, 3])) == LabelSet(("3",), (3,))
    assert own_classes(table([0], ("ham", "spam"))) == LabelSet(("ham", "spam"), (0, 1))
    assert own_classes(table([*range(30)])).values == tuple(range(30))


@pytest.mark.parametrize("labels", [None, []])
def test_labels_are_needed(labels: list[Any] | None) -> None:
    """To learn the classes, and to use them."""
    bare = Table([] if labels == [] else ["a"], labels, source="toy")
    for use in (LabelSet.from_table, own_classes, NAMED.encode):
        with pytest.raises(DataError, match=r"toy has no labels\n.*label_column"):
            use(bare)


def test_two_classes_cannot_have_one_name() -> None:
    """Predictions by name could not tell them apart."""
    with pytest.raises(DataError, match=r"the same name\n.*ham, ham"):
        LabelSet.from_table(table([0, 1], ("ham", "ham")))
    with pytest.raises(DataError, match=r"the same name\n.*1, 1"):
        LabelSet(("a", "b"), (1, 1))


# Ids


@given(st.lists(st.sampled_from(["b", "a", "d", "c"]), min_size=1).map(lambda x: [*x, "a", "b"]))
def test_ids_are_positions_of_the_sorted_names(labels: list[str]) -> None:
    """The obvious way to write it."""
    found = LabelSet.from_table(table(labels))
    assert found.encode(table(labels)) == [sorted(set(labels)).index(label) for label in labels]


@pytest.mark.parametrize(
    ("known", "labels", "names", "ids"),
    [
        (DIGITS, [2, 0], AG_NAMES, [2, 0]),
        (NAMED, [2, 0], None, [2, 0]),
        (NAMED, [2, 0], ("0", "1", "2", "3"), [2, 0]),
        (NAMED, [2, 0], AG_NAMES[::-1], [1, 3]),
        (NAMED, ["Business", "World"], None, [2, 0]),
        (DIGITS, ["2", "0"], None, [2, 0]),
        (WORDS, [2, 0], AG_NAMES, [0, 3]),
        (WORDS, ["World", "Business"], None, [3, 0]),
        (LabelSet(("0", "1"), ("0", "1")), [1, 0], None, [1, 0]),
        (LabelSet(("2", "1"), (1, 2)), [1, 2], None, [0, 1]),
        (LabelSet(("ham", "spam"), (1, 2)), [2, 1], None, [1, 0]),
    ],
    ids=[
        "digits meet the AG News form",
        "names meet bare integers",
        "names meet a ClassLabel of digits",
        "names meet a ClassLabel in another order",
        "names of integers meet strings",
        "digits meet digits as strings",
        "strings meet a ClassLabel in another order",
        "strings meet strings in another order",
        "digits as strings meet integers",
        "bare integers are values, whatever the names say",
        "values need not start at 0",
    ],
)
def test_rows_of_another_form(
    known: LabelSet, labels: list[Any], names: tuple[str, ...] | None, ids: list[int]
) -> None:
    """By name where there are names, else by value."""
    assert known.encode(table(labels, names)) == ids


@pytest.mark.parametrize(
    ("known", "labels", "names", "told"),
    [
        (NAMED, [0, 4, 1, 7, 4], None, "4, 7 in rows 1, 3, 4 (counted from 0); 3 of 5 rows"),
        (WORDS, ["World", "world"], None, "world in row 1 (counted from 0); 1 of 2 rows"),
        (WORDS, [0, 1], ("neg", "pos"), "neg, pos in rows 0, 1 (counted from 0); 2 of 2 rows"),
        (NAMED, [1, 0], ("World", "Local"), "Local in row 0 (counted from 0); 1 of 2 rows"),
    ],
    ids=["value", "string", "ClassLabel", "half of a ClassLabel"],
)
def test_unseen_labels_are_counted(
    known: LabelSet, labels: list[Any], names: tuple[str, ...] | None, told: str
) -> None:
    """With their rows and what is known; half-known names never fall back to values."""
    with pytest.raises(DataError, match=r"toy has labels that the classifier does not know") as e:
        known.encode(table(labels, names))
    assert e.value.seen == told
    assert e.value.allowed == ", ".join(known.names)


def test_unseen_labels_are_found_in_the_file(tmp_path: Path) -> None:
    """By the numbers of its lines."""
    (tmp_path / "rows.csv").write_text("text,label\na,World\n\nb,Local\n")
    with pytest.raises(DataError, match="Local in line 4; 1 of 2 rows"):
        NAMED.encode(read_table(tmp_path / "rows.csv", Columns(), labelled=True))


def test_many_unseen_labels_are_cut_short() -> None:
    """An error is for reading."""
    with pytest.raises(DataError, match=r"100, 101, .*119 and 180 more in rows 0, .* 195 more"):
        NAMED.encode(table(list(range(100, 300))))


def test_a_label_as_long_as_a_text_is_cut_short() -> None:
    """Ten megabytes of it do not go to the terminal."""
    with pytest.raises(DataError, match="at least 2 classes") as caught:
        LabelSet.from_table(Table(["a"], ["goal " * 2_000_000]))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("known", [DIGITS, NAMED, WORDS])
def test_every_classifier_reads_the_ag_news_file(known: LabelSet, tmp_path: Path) -> None:
    """Its headless CSV, whatever the form of the rows that the classifier was trained on."""
    path = tmp_path / "test.csv"
    path.write_text('"3","Stocks","fall"\n"1","Talks","go on"\n"4","Mars","is red"\n"2","A","b"\n')
    rows = read_table(path, Columns(), labelled=True)
    by_name = (
        [known.names.index(name) for name in ("Business", "World", "Sci/Tech", "Sports")]
        if (known is not DIGITS)
        else [2, 0, 3, 1]
    )
    assert known.encode(rows) == by_name


# Saved and counted


@pytest.mark.parametrize("known", [DIGITS, NAMED, WORDS, LabelSet(("ä", "1"), ("ä", 1))])
def test_saved_labels_come_back(known: LabelSet) -> None:
    """Through JSON, integers staying integers."""
    assert LabelSet.from_json(json.loads(json.dumps(known.to_json()))) == known


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"names": ["a", "b"]},
        {"names": ["a", "b"], "values": [0]},
        {"names": ["a", 1], "values": [0, 1]},
        {"names": ["a", "b"], "values": [0, 1.5]},
        {"names": ["a", "b"], "values": [0, [1]]},
        {"names": ["a", "a"], "values": [0, 1]},
        {"names": "ab", "values": [0, 1]},
    ],
)
def test_damaged_labels_are_refused(saved: dict[str, Any]) -> None:
    """An artefact's fault, not the data's."""
    with pytest.raises(ArtefactError, match=r"saved labels are damaged\n.*seen: +\{"):
        LabelSet.from_json(saved)
