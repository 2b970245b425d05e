"""Spreadsheets as people have them, and those that would take all memory or time."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.command import cli
from tests.sheets import ods, ods_row, packed, sheet_xml, xlsx
from tests.toy_setups import Notes
from tightfit import extras
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.data.table import Table
from tightfit.errors import DataError, MissingExtraError

HEAD = ["text", "label"]
ROWS = [["great phone", "pos"], ["it\nbroke", "neg"], [" awful ", "neg"]]


def put(folder: Path, content: bytes, name: str = "a.xlsx") -> Path:
    """A file with this content."""
    (folder / name).write_bytes(content)
    return folder / name


def read(path: Path | str) -> Table:
    """Texts and labels."""
    return read_table(path, Columns(), labelled=True)


def pairs(table: Table) -> list[tuple[str, int | str]]:
    """Texts, each with its label."""
    assert table.labels is not None
    return list(zip(table.texts, table.labels, strict=True))


def sheet(rows: Sequence[Sequence[Any]], *merged: str) -> bytes:
    """A workbook of one sheet."""
    return xlsx({"S": rows}, merged)


# What is read


def test_texts_and_labels_are_those_of_the_sheet(tmp_path: Path) -> None:
    """Line breaks and blanks of a text are kept; columns that nobody asked for do no harm."""
    rows = [[i, *row, date(2026, 3, 1)] for i, row in enumerate(ROWS)]
    table = read(put(tmp_path, sheet([["n", *HEAD, "day"], *rows])))
    assert pairs(table) == [(text, label) for text, label in ROWS]


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        ([1, 2, 3.0], [1, 2, 3]),
        ([1, "2", "3"], [1, 2, 3]),
        ([1, "2", "other"], ["1", "2", "other"]),
        ([True, False, True], ["True", "False", "True"]),
        ([date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 1)], ["2026-03-01", "2026-03-02"] * 2),
        (["007", "1", "2"], ["007", "1", "2"]),
    ],
)
def test_cells_become_labels_as_in_a_text_file(
    cells: list[Any], labels: list[Any], tmp_path: Path
) -> None:
    """Numbers are whole where they are, numbers kept as text too; times are names."""
    rows = [HEAD, *(["words", cell] for cell in cells)]
    assert read(put(tmp_path, sheet(rows))).labels == labels[: len(cells)]


@pytest.mark.parametrize(
    "above", [[["Export of tickets"]], [["Export"], [], ["of", None]], [[], []]]
)
def test_titles_above_the_header_are_passed_over(above: list[list[Any]], tmp_path: Path) -> None:
    """The header fills about as many cells as the rows do."""
    rows = [*above, [None, *HEAD, "note"], *([None, *row, "x"] for row in ROWS)]
    assert [text for text, _ in pairs(read(put(tmp_path, sheet(rows))))] == [r[0] for r in ROWS]


def test_a_merged_label_is_that_of_all_its_rows(tmp_path: Path) -> None:
    """As a person reads it; cells that are merged sideways say nothing of rows."""
    rows = [HEAD, ["a", "pos"], ["b"], ["c"], ["d", "neg"], ["e", "neg"]]
    table = read(put(tmp_path, sheet(rows, "B2:B4")))
    assert table.labels == ["pos"] * 3 + ["neg"] * 2


def test_empty_rows_and_columns_are_no_rows_and_columns(tmp_path: Path) -> None:
    """Nor are the rows that are empty to the end of the sheet, as LibreOffice writes them."""
    rows = [[None, "text", None, "label"], [], [None, "a", None, "x"], [], [None, "b", None, "y"]]
    assert pairs(read(put(tmp_path, sheet(rows)))) == [("a", "x"), ("b", "y")]
    body = ods_row(*HEAD) + ods_row("a", "x", rows=3) + ods_row("b", "y")
    body += ods_row("", rows=1_048_000, columns=16_384)
    again = read(put(tmp_path, ods(body), "a.ods"))
    assert pairs(again) == [("a", "x")] * 3 + [("b", "y")]


def test_the_only_sheet_that_is_shown_is_taken(tmp_path: Path) -> None:
    """Lists behind a form are often hidden; they can be named all the same."""
    path = put(tmp_path, xlsx({"S": [HEAD, *ROWS], "lists": [["x"]], "E": []}, hidden=["lists"]))
    assert len(read(path)) == 3
    with pytest.raises(DataError, match=r"has no column 'text'\n.*'x'"):
        read(f"{path}#lists")


# What is refused


def test_of_several_sheets_one_must_be_named(tmp_path: Path) -> None:
    """With the longest as the example; its name in any case."""
    path = put(tmp_path, xlsx({"Read me": [["x"], ["y"]], "Rows": [HEAD, *ROWS]}))
    with pytest.raises(DataError, match=r"'Read me' \(2\), 'Rows' \(4\)\n.*a\.xlsx#Rows'"):
        read(path)
    assert len(read(f"{path}#rows")) == 3
    with pytest.raises(DataError, match=r"no sheet 'Row' with rows\n.*'Rows'\n.*a\.xlsx#Rows'"):
        read(f"{path}#Row")


def test_a_sheet_of_one_row_does_not_compete(tmp_path: Path) -> None:
    """It is passed over, and that is said."""
    notes, path = Notes(), put(tmp_path, xlsx({"As of": [["today"]], "Rows": [HEAD, *ROWS]}))
    check_source(path, Columns(), progress=notes)
    assert notes.said == [f"{path}: sheet 'Rows' is read; one row alone is in 'As of'"]
    assert len(read(path)) == 3


@pytest.mark.parametrize("option", ["--data", "--validation"])
def test_sheet_and_columns_are_named_in_one_command(option: str, tmp_path: Path) -> None:
    """Whichever option names the file; the columns too, unless they are right."""
    rows = [[f"a text of some length, number {i}", "xy"[i % 2]] for i in range(9)]
    sheets = {name: [["body", "topic"], *rows] for name in ("May", "June")}
    (tmp_path / "rows.csv").write_text("body,topic\na long text,x\nanother text,y\n", "utf-8")
    files = dict.fromkeys(("--data", "--validation"), str(tmp_path / "rows.csv"))
    files[option] = path = str(put(tmp_path, xlsx(sheets), "a b.xlsx"))
    given = [part for pair in files.items() for part in pair]
    columns = ["--text-column", "body", "--label-column", "topic"]
    told = cli("train", *given, *(columns if option == "--validation" else []))
    assert told.exit_code == 4
    command = next(line for line in told.stderr.splitlines() if "tightfit train" in line)
    named = [f"{path}#May" if part == path else part for part in given]
    assert shlex.split(command)[-len(given) - 6 :] == ["tightfit", "train", *named, *columns]


def test_a_fault_names_the_row_that_the_sheet_shows(tmp_path: Path) -> None:
    """A formula without a value, and an empty cell."""
    with pytest.raises(DataError, match=r"without a text\n.*sheet row 3; 1 of 3"):
        read(put(tmp_path, sheet([HEAD, ["a", "x"], ["#N/A", "y"], ["b", "x"]])))
    with pytest.raises(DataError, match=r"without a label\n.*sheet rows 2, 4; 2 of 3"):
        read(put(tmp_path, sheet([HEAD, ["a"], ["c", "y"], ["b", None]])))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no spreadsheet", "no spreadsheet, or is damaged"),
        (packed({"a.txt": "x"}), "no spreadsheet, or is damaged"),
        (sheet([HEAD, *ROWS])[:-40], "damaged"),
        (sheet([]), "has no rows"),
        (sheet([HEAD]), "has no rows"),
        (sheet([["text", "text", "label"], ["a", "b", "c"]]), "same name"),
    ],
    ids=["words", "archive", "cut", "empty", "header only", "twice"],
)
def test_what_is_no_table_is_refused(content: bytes, words: str, tmp_path: Path) -> None:
    """In words, whatever the library says of it."""
    with pytest.raises(DataError, match=words):
        read(put(tmp_path, content))


def raw(rows: bytes) -> bytes:
    """A sheet with these rows below the usual ones."""
    xml = sheet_xml([HEAD, *ROWS])
    return xlsx({"S": xml.replace(b"</sheetData>", rows + b"</sheetData>")})


EMPTY = b"".join(b'<row r="%d"/>' % i for i in range(5, 1_000_005))
FORMATTED = b"".join(b'<row r="%d"><c r="A%d" s="1"/></row>' % (i, i) for i in range(5, 1_000_005))
FAR = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'

HOSTILE = {
    "empty rows": lambda: raw(EMPTY),
    "formatted rows": lambda: raw(FORMATTED),
    "a cell far down": lambda: raw(FAR.replace(b"XFD", b"A")),
    "a cell far away": lambda: raw(FAR),
    "zip bomb": lambda: raw(b" " * 400_000_000),
    "repeated cells": lambda: ods(ods_row(*HEAD) + ods_row("x", rows=1_000_000, columns=16_384)),
    "a million rows": lambda: ods(ods_row(*HEAD) + ods_row("") * 1_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_bomb_is_refused_soon(name: str, tmp_path: Path) -> None:
    """Within five seconds, in a process that is ended at 400 MB; it never reaches this one."""
    path = put(tmp_path, HOSTILE[name](), "a.ods" if "rep" in name or "mill" in name else "a.xlsx")
    started = time.monotonic()
    with pytest.raises(DataError, match="is refused"):
        read(path)
    assert time.monotonic() - started < 5


def test_without_the_library_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(extras, "available", lambda _: False)
    with pytest.raises(MissingExtraError, match=r"tightfit\[spreadsheets\]"):
        read(put(tmp_path, sheet([HEAD, *ROWS])))
