"""Rows written and read back, in every format."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightfit.data.copies import Sheet, check_copy, write_sheet
from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table
from tightfit.errors import MachineError, UsageError

FORMATS = [".csv", ".jsonl", ".parquet"]

TEXTS = [
    'with "quotes", commas',
    "two\nlines\r\nand\ta tab",
    "lone \r return",
    "=1+1",
    "émoji 🙂",
    "1",
]
EMPTY = Columns(missing_text="empty")


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("labels", [[3, 0, 1, 1, 0, 3], list("zyxzyx"), None])
def test_rows_come_back(tmp_path: Path, ending: str, labels: list[int | str] | None) -> None:
    """Texts and raw labels, whatever is in them; formulas of spreadsheets too."""
    path = tmp_path / f"copy{ending}"
    write_sheet(Sheet.of(Table(TEXTS, labels)), path)
    assert read_table(path, EMPTY, labelled=None) == Table(TEXTS, labels, source=str(path))


@given(
    rows=st.lists(st.tuples(st.text(), st.text(min_size=1).filter(str.strip)), min_size=1),
    ending=st.sampled_from(FORMATS),
)
@settings(deadline=None)
def test_any_strings_come_back(rows: list[tuple[str, str]], ending: str) -> None:
    """Labels that all look like integers aside: a CSV makes them integers."""
    texts, labels = [text for text, _ in rows], [f"label {label}." for _, label in rows]
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"copy{ending}"
        write_sheet(Sheet.of(Table(texts, [*labels])), path)
        assert read_table(path, EMPTY, labelled=True) == Table(texts, [*labels], source=str(path))


def test_parquet_keeps_class_names(tmp_path: Path) -> None:
    """In their order, also those without rows."""
    table = Table(["a", "b"], [2, 0], ("World", "Sports", "Business"))
    write_sheet(Sheet.of(table), tmp_path / "copy.parquet")
    again = read_table(tmp_path / "copy.parquet", Columns(), labelled=True)
    assert (again.labels, again.label_names) == (table.labels, table.label_names)


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_other_formats_keep_the_integers(tmp_path: Path, ending: str) -> None:
    """So that the order of the classes stays what it was; names would be sorted anew."""
    write_sheet(
        Sheet.of(Table(["a", "b"], [1, 0], ("World", "Business"))), tmp_path / f"copy{ending}"
    )
    again = read_table(tmp_path / f"copy{ending}", Columns(), labelled=True)
    assert (again.labels, again.label_names) == ([1, 0], None)


def test_a_copy_is_replaced(tmp_path: Path) -> None:
    """As with every output file."""
    path = tmp_path / "copy.jsonl"
    for texts in (["a", "b"], ["c"]):
        write_sheet(Sheet.of(Table(texts)), path)
    assert path.read_text("utf-8") == '{"text": "c"}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["copy.jsonl"]


@pytest.mark.parametrize("name", ["copy.txt", "copy", "copy.pkl"])
def test_unknown_endings(tmp_path: Path, name: str) -> None:
    """Said with those that can be written."""
    with pytest.raises(UsageError, match=r"FILE\.csv, FILE\.jsonl, FILE\.parquet"):
        check_copy(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    """Is no file, and stays."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match="the output is a folder"):
        write_sheet(Sheet.of(Table(["a"])), tmp_path / "folder.csv")


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """As for predictions."""
    write_sheet(Sheet.of(Table(["a"])), tmp_path / "new" / "folder" / "copy.csv")
    assert (tmp_path / "new" / "folder" / "copy.csv").is_file()


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the machine, and no half of a file."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(MachineError, match=r"cannot write .*copy\.csv\n.*No space left"):
        write_sheet(Sheet.of(Table(["a"])), tmp_path / "copy.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    """An error of the machine too."""
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(MachineError, match="cannot write"):
        write_sheet(Sheet.of(Table(["a"])), tmp_path / "file" / "copy.csv")
