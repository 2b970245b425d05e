"""The three ways to hold rows out, from a table and from files, with the words and the errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import cli
from tightfit.config import Config, load_config
from tightfit.data.facts import NearCopies
from tightfit.data.holding_out import HeldOut, group_rows, hold_out
from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table
from tightfit.errors import DataError, SettingsError
from tightfit.progress import Progress
from tightfit.tasks.dataset import read_dataset

AUTHORS = [f"author {i // 4}" for i in range(40)]
TEMPLATES = [
    "red apples were sold at the market this morning, says report {}",
    "nobody knows how many green trains have left the old station by {}",
]
TEXTS = [TEMPLATES[i % 2].format(i) for i in range(40)]
LABELS = ["a", "b"] * 20
STRATA = [0, 1] * 20


def settings(*more: str) -> Config:
    """The default recipe with more settings."""
    return load_config("tight", ["data.validation_rows=0.2", *more])


def split_of(config: Config, table: Table, strata: list[int]) -> HeldOut:
    """Rows held out as reading a data set does it."""
    by_groups = config.data.split == "group"
    grouping = group_rows(config, table, Progress()) if by_groups else None
    return hold_out(config, table, strata, grouping)


def held(*more: str, groups: list[Any] | None = None, strata: list[int] = STRATA) -> HeldOut:
    """What these settings hold out of the forty rows."""
    table = Table(TEXTS, list(LABELS), source="rows", groups=groups)
    return split_of(settings(*more), table, strata)


def written(path: Path, authors: list[Any]) -> Path:
    """The forty rows as JSON lines."""
    rows = zip(TEXTS, LABELS, authors, strict=True)
    lines = [json.dumps({"text": t, "label": y, "author": a}) for t, y, a in rows]
    path.write_text("\n".join(lines))
    return path


def test_the_column_of_groups_decides(tmp_path: Path) -> None:
    """Two of ten authors are held out, read from a file."""
    config = settings("data.split=group", "data.group_column=author")
    path = written(tmp_path / "rows.jsonl", AUTHORS)
    table = read_table(path, Columns.of(config.data), labelled=True)
    found = split_of(config, table, STRATA)
    assert len({AUTHORS[row] for row in found.split.validation}) == 2
    assert found.facts.validation_groups == 2
    assert found.split.note == (
        "whole groups are held out, by column author: 8 rows of 2 groups validate, 32 of 8 train"
    )


def test_rows_without_a_group_stand_alone_and_are_counted(tmp_path: Path) -> None:
    """None, blanks and missing values are no group that would bind such rows together."""
    authors = [None, " ", "", *AUTHORS[3:]]
    config = settings("data.split=group", "data.group_column=author")
    path = written(tmp_path / "rows.jsonl", authors)
    table = read_table(path, Columns.of(config.data), labelled=True)
    assert table.groups is not None
    assert table.groups[:4] == [None, None, None, "author 0"]
    found = split_of(config, table, STRATA)
    assert str(found.split.note).endswith("3 rows with no author are each a group of their own")
    assert found.facts.train_groups + found.facts.validation_groups == 13


def test_an_empty_column_of_groups_is_refused(tmp_path: Path) -> None:
    """It would be a random split under another name."""
    path = written(tmp_path / "rows.jsonl", [None] * 40)
    columns = Columns.of(settings("data.split=group", "data.group_column=author").data)
    with pytest.raises(DataError, match="the column of groups is empty"):
        read_table(path, columns, labelled=True)


def test_groups_of_a_selection_go_with_their_rows() -> None:
    """As texts and labels do."""
    table = Table(TEXTS, list(LABELS), groups=list(AUTHORS)).select([39, 0])
    assert table.groups == ["author 9", "author 0"]


def test_a_table_without_groups_is_refused() -> None:
    """Made in memory, it has no columns to choose from."""
    with pytest.raises(DataError, match="rows has no column 'author'"):
        held("data.split=group", "data.group_column=author")


def test_near_duplicates_are_groups_without_a_column() -> None:
    """Two templates, filled in: one of them is held out."""
    found = held("data.split=group")
    assert len({TEXTS[row].split()[0] for row in found.split.train}) == 1
    assert len(found.split.train) == 20
    assert found.facts.by == "group"
    assert "by likeness of texts" in str(found.split.note)


def test_the_last_rows_validate_in_their_order() -> None:
    """A fifth of forty, from the end; a class that only they have is told."""
    found = held("data.split=last", strata=[0] * 36 + [1] * 4)
    assert found.split.train == list(range(32))
    assert found.split.validation == list(range(32, 40))
    assert found.split.note == (
        "the last 8 rows validate; 4 of them are of 1 classes that no row before them has, and "
        "cannot be answered rightly"
    )


def test_a_random_split_says_what_it_tore_apart() -> None:
    """Nearly every row has a near copy on the other side."""
    found = held()
    assert found.facts.near_copies == NearCopies(8, 8, 32)
    assert "8 of 8 validation rows looked at have a near copy among 32 of 32" in found.warnings[0]


def test_a_cross_validation_says_what_it_tore_apart() -> None:
    """Its parts are drawn at random as well: every row has a near copy in another."""
    config, table = load_config("tight", []), Table(TEXTS, list(LABELS), source="rows")
    found = read_dataset(config, table, None, None)
    assert found.folds is not None
    assert found.facts.split is not None
    assert found.facts.split.near_copies == NearCopies(10, 10, 30)
    assert any("10 of 10 validation rows looked at" in said for said in found.facts.warnings)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["data.group_column=author"], "set data.split=group"),
        (["data.split=last", "data.group_column=author"], "does nothing with data.split=last"),
        (["data.split=group", "data.group_column=label"], "is the column of labels"),
        (["data.split=groups"], "'random', 'group' or 'last'"),
    ],
)
def test_contradictions_are_refused(values: list[str], words: str) -> None:
    """With what to set instead."""
    with pytest.raises(SettingsError, match=words):
        settings(*values)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--set", "data.group_column=authro"], 4, "did you mean 'author'?"),
        (["--set", "data.group_column=author", "--validation", "{}"], 3, "no split is made"),
    ],
)
def test_the_command_refuses_at_once(
    tmp_path: Path, options: list[str], code: int, words: str
) -> None:
    """A mistyped column, and rows to validate on beside a way to split."""
    path = str(written(tmp_path / "rows.jsonl", AUTHORS))
    more = [option.format(path) for option in options]
    found = cli("train", "--data", path, "--set", "data.split=group", *more)
    assert found.exit_code == code
    assert words in " ".join(found.stderr.split())


def test_groups_stay_in_one_part_of_a_cross_validation() -> None:
    """Where rows are few none are held out, and an author's rows are scored by the others'."""
    config = load_config("tight", ["data.split=group", "data.group_column=author"])
    table = Table(TEXTS[:24], list(LABELS[:24]), source="rows", groups=[*AUTHORS[:24]])
    parts_N = read_dataset(config, table, None, None).train.parts_N
    assert parts_N is not None
    assert len({(AUTHORS[row], part) for row, part in enumerate(parts_N)}) == 6


def test_a_cross_validation_cannot_be_of_the_last_rows() -> None:
    """Asked for both, it is refused; where rows are few and nobody asked, the last validate."""
    table = Table(TEXTS[:24], list(LABELS[:24]), source="rows")
    dataset = read_dataset(settings("data.split=last"), table, None, None)
    assert dataset.folds is None
    assert dataset.validation.texts == TEXTS[19:24]
    with pytest.raises(SettingsError, match=r"(?s)needs no validation rows.*data.split=last"):
        read_dataset(settings("data.split=last", "train.folds=3"), table, None, None)
