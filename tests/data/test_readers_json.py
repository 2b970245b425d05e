"""JSON in every form that programs write, whatever the ending of the file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.data.texts import iter_texts
from tightfit.data import readers_json
from tightfit.data.sources import Columns, read_table
from tightfit.errors import DataError

ROWS: list[dict[str, Any]] = [
    {"text": "it's [fine], {really}", "label": "pos"},
    {"text": 'line\nbreak \\ "quote" é🙂', "label": "neg"},
    {"text": "", "label": "pos"},
]
TEXTS = [row["text"] for row in ROWS]
LABELS = [row["label"] for row in ROWS]


def frame(orient: Any) -> str:
    """As pandas writes it."""
    return str(pd.DataFrame(ROWS).to_json(orient=orient))


FORMS = {
    "lines": "\n".join(map(json.dumps, ROWS)),
    "lines with CRLF and gaps": "\r\n\r\n".join(map(json.dumps, ROWS)) + "\r\n",
    "array": json.dumps(ROWS, ensure_ascii=False),
    "pretty array": json.dumps(ROWS, indent=2),
    "array with blanks": f"\ufeff\n  {json.dumps(ROWS)} \n\n",
    "pretty objects": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "under a key": json.dumps({"version": 1, "data": ROWS}),
    "under a key, pretty": json.dumps({"data": ROWS, "about": {"by": "us"}}, indent=1),
    "deeper": json.dumps({"nlu": {"examples": ROWS, "lookups": []}}),
    "by name": json.dumps({f"id{i}": row for i, row in enumerate(ROWS)}),
    "lists of cells": json.dumps({"text": TEXTS, "label": LABELS}),
    **{f"pandas {orient}": frame(orient) for orient in ("columns", "index", "split", "table")},
}


ONE_LINE = {name for name, form in FORMS.items() if form[0] == "{" and "\n" not in form}
"""Of these a .jsonl would be a single row."""


@pytest.mark.parametrize(
    ("form", "ending"),
    [*((form, ".json") for form in FORMS), *((f, ".jsonl") for f in FORMS if f not in ONE_LINE)],
)
def test_every_form_gives_the_same_rows(form: str, ending: str, tmp_path: Path) -> None:
    """Whatever the ending; but a single object on a single line of a .jsonl is a row."""
    path = tmp_path / f"a{ending}"
    path.write_text(FORMS[form], "utf-8")
    table = read_table(path, Columns(), labelled=True)
    assert (table.texts, table.labels) == (TEXTS, LABELS)


@pytest.mark.parametrize("block", [1, 2, 7, 64])
def test_an_array_is_read_piece_by_piece(
    block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the pieces end."""
    monkeypatch.setattr(readers_json, "BLOCK", block)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(ROWS, ensure_ascii=False, indent=1), "utf-8")
    assert [*iter_texts(path, Columns(), 1)] == [[text] for text in TEXTS]


def test_a_long_array_is_not_held_in_memory(tmp_path: Path) -> None:
    """The first rows come before a fault far behind them is seen."""
    with gzip.open(tmp_path / "a.json.gz", "wt") as file:
        rows = (json.dumps({"text": f"{i} words"}) for i in range(5000))
        file.write("[" + ",\n".join(rows) + ", oops]")
    chunks = iter_texts(tmp_path / "a.json.gz", Columns(), 100)
    assert next(chunks)[:2] == ["0 words", "1 words"]
    with pytest.raises(DataError, match=r"not a JSON object: Expecting value(.|\n)*row 5000"):
        list(chunks)


def test_columns_are_the_keys_of_all_rows(tmp_path: Path) -> None:
    """Of those far down too, where the first thousand rows lack the key."""
    rows = [{"text": "a"} for _ in range(readers_json.HEAD_RECORDS)] + [{"text": "b", "label": 1}]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    with pytest.raises(DataError, match=r"without a label\n.*1,000 of 1,001"):
        read_table(path, Columns(), labelled=True)
    kept = read_table(path, Columns(missing_label="drop"), labelled=True)
    assert (kept.texts, kept.labels, kept.left_out["label"]) == (["b"], [1], 1000)


NESTED = [
    {"id": i, "data": {"text": f"text {i} is here"}, "annotations": [{"label": "ab"[i % 2]}]}
    for i in range(20)
]


def test_what_is_inside_an_object_is_a_column_by_dots(tmp_path: Path) -> None:
    """And where the usual names are missing, the error has the options that choose it."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps(NESTED), "utf-8")
    with pytest.raises(DataError, match=r"'data\.text', 'annotations\.0\.label'") as caught:
        read_table(path, Columns(), labelled=True)
    assert caught.value.add == "--text-column data.text --label-column annotations.0.label"
    columns = Columns(("data.text",), "annotations.0.label")
    assert read_table(path, columns, labelled=True).labels == ["a", "b"] * 10
    with pytest.raises(DataError, match=r"no column 'data\.txt'(.|\n)*did you mean 'data\.text'"):
        read_table(path, Columns(("data.txt",)), labelled=False)


def test_of_several_lists_one_must_be_named(tmp_path: Path) -> None:
    """By its key behind the file's name."""
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"train": ROWS, "test": ROWS[:1]}), "utf-8")
    with pytest.raises(DataError, match=r"'train' \(3\), 'test' \(1\)\n.*a\.json#train'"):
        read_table(path, Columns(), labelled=True)
    assert read_table(f"{path}#test", Columns(), labelled=True).texts == TEXTS[:1]
    with pytest.raises(DataError, match=r"no rows under 'tst'(.|\n)*mean 'test'"):
        read_table(f"{path}#tst", Columns(), labelled=True)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "has no rows"),
        ("{}", "has no rows"),
        (" \n ", "is empty"),
        ('["a", "b"]', "a str, not an object(.|\n)*row 0"),
        ('[{"text": "a"}', "the file ends before its array does"),
        ('[{"text": "a"} {"text": "b"}]', "where a comma"),
        ('[{"text": "a"}] [{"text": "b"}]', "behind the end of the array"),
        ('[{"text": "a"},]', "not a JSON object"),
        ('{\n"text": "a",\n"label"\n}', "not JSON, or is damaged"),
        ('{"text": ["a", "b"], "label": [1]}', "different lengths"),
        ("{'text': 'a'}", "double quotes"),
        ('[{"text": ' + "[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_json_is_refused(content: str, words: str, tmp_path: Path) -> None:
    """With the row, where there is one."""
    (tmp_path / "a.json").write_text(content, "utf-8")
    with pytest.raises(DataError, match=words):
        read_table(tmp_path / "a.json", Columns(), labelled=False)
