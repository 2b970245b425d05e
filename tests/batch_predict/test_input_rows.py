"""What of the input comes along into the output: ids, kept columns, and their types."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.command import cli
from tests.toy_setups import SHORT
from tests.toys import toy_rows, write_jsonl
from tightfit import TrainResult, predict, train
from tightfit.batch_predict.input_rows import Records, kept_columns, read_records
from tightfit.batch_predict.writers import WRITERS, arrow_type
from tightfit.data.sources import Columns, open_rows
from tightfit.errors import DataError, UsageError
from tightfit.progress import Progress

ANSWER = ("label", "confidence")


def frame(*names: str) -> Any:
    """Opened rows with these columns."""
    return open_rows(pd.DataFrame({name: ["a"] for name in names}), Columns())[0]


def columns_of(file: Path) -> dict[str, list[Any]]:
    """What a file holds, as its own library reads it."""
    if file.suffix == ".parquet":
        return dict(pq.read_table(file).to_pydict())
    if file.suffix == ".jsonl":
        rows: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    else:
        with file.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    return {name: [row[name] for row in rows] for name in rows[0]}


@pytest.mark.parametrize(
    ("names", "options", "kept"),
    [
        (["text"], {}, {}),
        (["Id", "text"], {}, {"id": "Id"}),
        ([" ID ", "text"], {}, {"id": " ID "}),
        (["ID", "id", "text"], {}, {"id": "id"}),
        (["id"], {"text": ("id",)}, {}),
        (["id", "ticket"], {"id_column": "ticket"}, {"id": "ticket"}),
        (["a", "b"], {"keep": "b,a"}, {"b": "b", "a": "a"}),
        (["a, b", "a"], {"keep": "a, b"}, {"a, b": "a, b"}),
        (["a", "b"], {"keep": ["b", "b"]}, {"b": "b"}),
        (["ID", "a"], {"keep": "ID,a"}, {"id": "ID", "a": "a"}),
        (
            ["ID", "text", "label"],
            {"keep": "all"},
            {
                "id": "ID",
                "text": "text",
                "given_label": "label",
            },
        ),
        (["id", "t"], {"keep": "all", "id_column": "t"}, {"id": "t", "given_id": "id"}),
        (
            ["label", "given_label"],
            {"keep": "all"},
            {
                "given_label": "label",
                "given_given_label": "given_label",
            },
        ),
    ],
)
def test_columns_that_come_along(
    names: list[str], options: dict[str, Any], kept: dict[str, str]
) -> None:
    """An id is found or named; a kept column never hides one of the answer's."""
    text = options.pop("text", ("text",))
    assert kept_columns(frame(*names), text, taken=ANSWER, **options) == kept


def test_all_columns_are_also_those_that_come_late(tmp_path: Path) -> None:
    """JSON may have a key for the first time in its last row."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a"}\n' * 1000 + '{"text": "b", "note": "n"}\n')
    rows, _ = open_rows(file, Columns())
    assert kept_columns(rows, ("text",), keep="all", taken=ANSWER) == {
        "text": "text",
        "note": "note",
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"keep": "dat"},
            "no column 'dat'\n.*\n.*did you mean 'date'. choose a column with keep",
        ),
        ({"keep": "date,txt"}, "no column 'txt'"),
        ({"id_column": "tiket"}, "did you mean 'ticket'. choose a column with id_column"),
        ({"id_column": "date,ticket"}, "ids are in one column"),
    ],
)
def test_columns_that_are_not_there(options: dict[str, Any], words: str) -> None:
    """With the nearest, and the option."""
    with pytest.raises(DataError, match=words):
        kept_columns(frame("text", "date", "ticket"), ("text",), **options)


def test_whole_numbers_of_a_csv_are_numbers_again(tmp_path: Path) -> None:
    """Where all of the first rows are; ``007`` is a name, and a straggler stays what it is."""
    file = tmp_path / "rows.csv"
    file.write_text("text,n,name,late\na,3,007,5\nb,,8,6\nc,-4,9,x\n")
    kept = {"n": "n", "name": "name", "late": "late"}
    first, records = read_records(*open_rows(file, Columns()), kept, 2)
    types = [str(arrow_type(cells)) for cells in first.values()]
    assert types == ["int64", "string", "int64"]
    assert list(records) == [
        Records(["a", "b"], {"n": [3, None], "name": ["007", "8"], "late": [5, 6]}),
        Records(["c"], {"n": [-4], "name": ["9"], "late": ["x"]}),
    ]


ODD: list[dict[str, Any]] = [
    {"text": "goal", "at": "x", "tags": ["a", "ü"], "n": 1, "part": {"b": 2.5}, "mixed": 1},
    {"text": "bank", "at": None, "tags": [], "n": None, "part": None, "mixed": "one"},
]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_cells_of_any_kind_come_along(suffix: str, finished: TrainResult, tmp_path: Path) -> None:
    """As they were where the format has them, else as text that can be read back."""
    out = tmp_path / f"out{suffix}"
    data = write_jsonl(tmp_path / "rows.jsonl", ODD)
    predict(finished.run, data, out, keep="all", progress=Progress())
    found = columns_of(out)
    assert list(found) == ["id", "text", "at", "tags", "n", "part", "mixed", "label", "confidence"]
    if suffix == ".csv":
        assert (found["tags"], found["part"]) == (['["a", "ü"]', "[]"], ['{"b": 2.5}', ""])
    else:
        assert (found["tags"], found["part"]) == ([["a", "ü"], []], [{"b": 2.5}, None])
    assert found["mixed"] == ([1, "one"] if suffix == ".jsonl" else ["1", "one"])


def test_what_json_has_no_form_for_is_text(finished: TrainResult, tmp_path: Path) -> None:
    """Dates, bytes, and no number at all."""
    day = datetime.date(2026, 1, 2)
    cells = {"text": ["goal"], "day": [day], "raw": [b"a\xff"], "none": [float("nan")]}
    rows = pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in cells.items()})
    predict(finished.run, rows, tmp_path / "o.jsonl", keep="day,raw,none", progress=Progress())
    [row] = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    assert (row["day"], row["raw"], row["none"]) == ("2026-01-02", "a\\xff", None)


def test_a_column_that_changes_its_kind_late(tmp_path: Path) -> None:
    """A Parquet file cannot hold it: the column is named, and what to do."""
    writer = WRITERS[".parquet"](tmp_path / "o.parquet", {"n": int})
    writer.write([{"n": 1}])
    with pytest.raises(DataError, match="column 'n' is of another kind") as caught:
        writer.write([{"n": "one"}])
    assert "write a .csv or .jsonl" in str(caught.value)


@pytest.fixture(scope="module")
def signs(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose labels are 1 and -1, of a CSV, whose rows bear an ID."""
    home = tmp_path_factory.mktemp("signs")
    rows = [{**row, "label": 1 if row["label"] == "sport" else -1} for row in toy_rows(60)]
    pd.DataFrame(rows).to_csv(home / "rows.csv", index=False)
    return train(
        home / "rows.csv", model=str(bert), out=home / "run", settings=SHORT, progress=Progress()
    ).run


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_labels_and_ids_are_those_of_the_files(signs: Path, suffix: str, tmp_path: Path) -> None:
    """The fault: -1 and 1 came back as 0 and 1, the ids as 0, 1, 2."""
    ids = range(3, 66, 7)
    rows = pd.DataFrame({"Id": ids, "text": [each["text"] for each in toy_rows(9)]})
    rows.to_csv(tmp_path / "test.csv", index=False)
    out = tmp_path / f"out{suffix}"
    predict(signs, tmp_path / "test.csv", out, probabilities=True, progress=Progress())
    found = columns_of(out)
    assert list(found) == ["id", "label", "confidence", "-1", "1"]
    typed = str if suffix == ".csv" else int
    assert found["id"] == [*map(typed, ids)]
    assert set(found["label"]) <= {typed(-1), typed(1)}
    best = np.where(np.array(found["-1"], float) > np.array(found["1"], float), -1, 1)
    assert [int(label) for label in found["label"]] == best.tolist()
    if suffix == ".csv":
        assert all(len(share) == len("0.123456") for share in found["confidence"])


def test_the_texts_of_a_program_speak_the_same_language(signs: Path) -> None:
    """Labels as they stood, on the command line too."""
    told = cli("predict", str(signs), "--text", "goal team", "--json", "--probabilities")
    [row] = json.loads(told.stdout)["predictions"]
    assert list(row) == ["id", "label", "confidence", "probabilities"]
    assert row["confidence"] == row["probabilities"][str(row["label"])]
    assert row["label"] in (-1, 1)
    line = cli("predict", str(signs), "--text", "goal team").stdout
    assert line == f"{row['label']}\t{row['confidence']:.6f}\n"


def truths(file: Path) -> Path:
    """Rows whose labels are booleans, in the format of the file's name."""
    rows = pd.DataFrame([{**row, "label": row["label"] == "sport"} for row in toy_rows(40)])
    write: dict[str, Callable[[], Any]] = {
        ".csv": lambda: rows.to_csv(file, index=False),
        ".jsonl": lambda: rows.to_json(file, orient="records", lines=True),
        ".parquet": lambda: rows.to_parquet(file),
    }
    write[file.suffix]()
    return file


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_booleans_stay_booleans(suffix: str, bert: Path, tmp_path: Path) -> None:
    """Of whatever format they were learned; a CSV spells them as Python does."""
    file = truths(tmp_path / f"rows{suffix}")
    options: dict[str, Any] = {"settings": SHORT, "progress": Progress()}
    run = train(file, model=str(bert), out=tmp_path / "run", **options).run
    predict(run, file, tmp_path / "o.jsonl", probabilities=True, progress=Progress())
    found = columns_of(tmp_path / "o.jsonl")
    assert {*map(type, found["label"])} == {bool}
    assert list(found)[3:] == ["False", "True"]
    predict(run, file, tmp_path / "o.csv", progress=Progress())
    assert columns_of(tmp_path / "o.csv")["label"] == [*map(str, found["label"])]


def test_the_competition_s_form_stands_alone(signs: Path, tmp_path: Path) -> None:
    """Row numbers and positions, whatever ids and labels there are; nothing goes with it."""
    data = tmp_path / "test.csv"
    data.write_text("id,text\n9,goal team\n8,bank profit\n")
    predict(signs, data, tmp_path / "o.csv", submission=True, progress=Progress())
    found = columns_of(tmp_path / "o.csv")
    assert (list(found), found["ID"]) == (["ID", "Label"], ["0", "1"])
    assert set(found["Label"]) <= {"0", "1"}
    for more in ({"keep": "id"}, {"probabilities": True}, {"label_format": "name"}):
        with pytest.raises(UsageError, match=r"submission=True and .* exclude each other"):
            predict(signs, data, tmp_path / "p.csv", submission=True, **more, progress=Progress())


def test_texts_in_memory_are_predicted_into_a_file(signs: Path, tmp_path: Path) -> None:
    """Whatever ``Run.predict`` takes, one string excepted, which is a path."""
    out = tmp_path / "o.csv"
    for texts in (["goal", "bank"], pd.Series(["goal", "bank"]), (t for t in ("goal", "bank"))):
        assert predict(signs, texts, out, overwrite=True, progress=Progress()).rows == 2
    with pytest.raises(DataError, match="a text is not a string but 5"):
        predict(signs, ["goal", 5], out, overwrite=True, progress=Progress())
    with pytest.raises(DataError, match="no column 'goal'"):
        predict(signs, ["goal"], out, keep="goal", overwrite=True, progress=Progress())
