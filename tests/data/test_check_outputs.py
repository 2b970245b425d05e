"""What check writes: suspects as a sheet, and a cleaned copy that keeps all columns."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tightfit
from tests.command import cli
from tests.planted import sample
from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table

FLIPPED = range(5, 600, 20)
"""Rows of the sample to which another label is given."""

ROWS: list[dict[str, Any]] = [
    {"when": "2024-01-02", "body": "R&amp;D now", "topic": "x", "id": "007", "tags": ["p", 1]},
    {"when": None, "body": "second text", "topic": "y", "id": "8", "tags": []},
    {"when": "2024-01-02", "body": "second  text", "topic": "y", "id": "9", "tags": None},
]
"""A row with markup, one that is fine, and a repeat of it."""


def planted() -> Table:
    """The written items with thirty labels that are wrong."""
    table = sample()
    labels = [(int(y) + 1) % 4 if row in FLIPPED else y for row, y in enumerate(table.labels or [])]
    return Table(table.texts, labels, table.label_names)


def written(path: Path) -> Path:
    """The three rows in a file of this ending."""
    match path.suffix:
        case ".jsonl":
            path.write_text("\n".join(map(json.dumps, ROWS)))
        case ".csv":
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, ROWS[0])
                writer.writeheader()
                writer.writerows({**row, "tags": "p;1", "topic": 1} for row in ROWS)
        case _:
            pq.write_table(pa.Table.from_pylist([{**row, "tags": 1.5} for row in ROWS]), path)
    return path


def csv_rows(path: Path) -> list[dict[str, Any]]:
    """Cells of a CSV as strings."""
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))


def fixed(source: Path, out: Path) -> list[dict[str, Any]]:
    """The copy without repeats and markup, as its reader sees every cell."""
    options: dict[str, Any] = {"text_column": "body", "label_column": "topic"}
    tightfit.check(source, fix="duplicates,markup", out=out, label_errors=False, **options)
    if out.suffix == ".parquet":
        return pq.read_table(out).to_pylist()
    if out.suffix == ".csv":
        return csv_rows(out)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_suspects_are_a_sheet(tmp_path: Path, ending: str) -> None:
    """Rows, labels, confidence and text of the planted mistakes, and of nothing that is right."""
    out = tmp_path / f"suspects{ending}"
    result = tightfit.check(planted(), out=out)
    assert result.to_json()["suspects_out"] == str(out)
    columns = Columns(label="suggested_label")
    found = read_table(out, columns, labelled=True)
    rows = [each.row for each in result.findings.suspects]
    assert set(FLIPPED) & set(rows)
    assert found.texts == [planted().texts[row] for row in rows]
    assert found.labels == [each.suggested for each in result.findings.suspects]


def test_the_sheet_has_what_a_person_decides_by(tmp_path: Path) -> None:
    """In this order, the most suspect first."""
    out = tmp_path / "suspects.csv"
    suspects = tightfit.check(planted(), out=out).findings.suspects
    lines = csv_rows(out)
    columns = ["row", "place", "given_label", "suggested_label", "confidence", "text"]
    assert list(lines[0]) == columns
    assert [int(line["row"]) for line in lines] == [each.row for each in suspects]
    assert all(0 < float(line["confidence"]) <= 1 for line in lines)
    assert all(line["given_label"] != line["suggested_label"] for line in lines)


def test_rows_of_the_sheet_are_those_of_the_file(tmp_path: Path) -> None:
    """Also where rows without a label stand between them."""
    given = planted()
    frame = pd.DataFrame({"text": given.texts, "label": given.labels})
    frame.loc[[0, 3], "label"] = None
    frame.to_csv(tmp_path / "rows.csv", index=False)
    tightfit.check(tmp_path / "rows.csv", out=tmp_path / "suspects.csv")
    lines = csv_rows(tmp_path / "suspects.csv")
    assert lines
    assert all(frame.text[int(line["row"])] == line["text"] for line in lines)
    # Each text is one line here, below a header.
    assert all(line["place"] == f"line {int(line['row']) + 2}" for line in lines)


def test_a_copy_of_json_lines_keeps_every_cell(tmp_path: Path) -> None:
    """Lists, gaps and strings of digits too; only the text is mended."""
    found = fixed(written(tmp_path / "rows.jsonl"), tmp_path / "clean.jsonl")
    assert found == [{**ROWS[0], "body": "R&D now"}, ROWS[1]]


def test_a_copy_of_a_csv_keeps_every_column_as_it_stood(tmp_path: Path) -> None:
    """An identifier with zeros in front of it, too."""
    found = fixed(written(tmp_path / "rows.csv"), tmp_path / "clean.csv")
    assert [row["id"] for row in found] == ["007", "8"]
    assert list(found[0]) == list(ROWS[0])
    assert found[0]["when"] == "2024-01-02"
    assert found[0]["topic"] == "1"


def test_a_copy_in_another_format_keeps_types_where_it_has_them(tmp_path: Path) -> None:
    """From Parquet to JSON lines and CSV."""
    source = written(tmp_path / "rows.parquet")
    assert fixed(source, tmp_path / "clean.jsonl")[0]["tags"] == 1.5
    assert fixed(source, tmp_path / "clean.csv")[1]["when"] == ""


def test_a_list_becomes_json_in_a_csv_and_words_in_parquet(tmp_path: Path) -> None:
    """A CSV has no lists, and a column of Parquet has one type."""
    source = written(tmp_path / "rows.jsonl")
    assert fixed(source, tmp_path / "clean.csv")[0]["tags"] == '["p", 1]'
    assert fixed(source, tmp_path / "clean.parquet")[0]["tags"] == '["p", 1]'


def copy_of(source: Path, **options: Any) -> list[dict[str, Any]]:
    """The rows of a cleaned copy as JSON."""
    out = source.with_name("clean.jsonl")
    tightfit.check(source, out=out, label_errors=False, **options)
    return [json.loads(line) for line in out.read_text("utf-8").splitlines()]


def test_a_copy_keeps_columns_of_marks(tmp_path: Path) -> None:
    """Each label of a file has a column of its own, and no class's number is any of them."""
    source = tmp_path / "rows.csv"
    source.write_text("text,joy,fear\na,1,0\nb,0,1\nb,0,1\n")
    found = copy_of(source, fix="duplicates", label_column="joy,fear")
    assert [(row["joy"], row["fear"]) for row in found] == [("1", "0"), ("0", "1")]


def test_a_copy_mends_what_is_inside_cells(tmp_path: Path) -> None:
    """A text and a label at paths; all else in their cells stays."""
    one, two = {"t": "R&amp;D", "n": 1}, {"t": "b"}
    rows = [{"data": one, "y": [{"is": "x"}]}, {"data": two}, {"data": two, "y": [{"is": "z"}]}]
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    found = copy_of(source, fix="markup", text_column="data.t", label_column="y.0.is")
    assert found == [{"data": {"t": "R&D", "n": 1}, "y": [{"is": "x"}]}, rows[2]]


def test_a_copy_has_columns_that_come_late(tmp_path: Path) -> None:
    """Beyond the rows that tell which columns there are; the label too."""
    rows = [{"text": f"a {i}"} for i in range(1000)] + [
        {"text": "b", "label": "x", "note": "n"}
    ] * 2
    source = tmp_path / "rows.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)))
    found = copy_of(source, fix="duplicates")
    assert (len(found), found[-1]) == (1, {"text": "b", "label": "x", "note": "n"})


def test_class_names_of_a_data_set_stay_with_its_other_columns(tmp_path: Path) -> None:
    """Parquet keeps them; the column has another name than label."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "y": datasets.ClassLabel(names=["no", "yes"])}
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "a", "b"], "y": [0, 0, 1]}, features)
    out = tmp_path / "clean.parquet"
    tightfit.check(rows, label_column="y", fix="duplicates", out=out, label_errors=False)
    found = read_table(out, Columns(label="y"), labelled=True)
    assert (found.labels, found.label_names) == ([0, 1], ("no", "yes"))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--out", "o.csv", "--no-label-errors"], 2, "looks for none"),
        (["--out", "o.txt"], 2, "FILE.csv, FILE.jsonl, FILE.parquet"),
        (["--fix", "duplicates"], 2, "name it with --out FILE"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(
    options: list[str], code: int, words: str
) -> None:
    """Before rows are read."""
    found = cli("check", "--data", "sample", *options)
    assert found.exit_code == code
    assert words in " ".join(found.stderr.split())


def test_rows_without_labels_have_no_suspects_to_write(tmp_path: Path) -> None:
    """An empty sheet would say that all is well."""
    source = tmp_path / "rows.csv"
    source.write_text("text\nfirst\nsecond\n")
    found = cli("check", "--data", str(source), "--out", str(tmp_path / "o.csv"))
    assert found.exit_code == 4
    assert "labels were not judged: the rows have no labels" in " ".join(found.stderr.split())
