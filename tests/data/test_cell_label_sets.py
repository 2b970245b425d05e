"""Several labels a row, in each form that files and frames have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.toys import write_jsonl
from tightfit.data.columns import Columns
from tightfit.data.sources import read_table
from tightfit.errors import DataError

SETS: list[Any] = [["joy"], [], ["joy", "love"], ["love", "love"]]
READ = [("joy",), (), ("joy", "love"), ("love",)]


def rows_with(labels: list[Any]) -> list[dict[str, Any]]:
    """A text beside each."""
    return [{"text": f"words {i}", "label": label} for i, label in enumerate(labels)]


def read(data: Any, **columns: Any) -> Any:
    """The table of labelled rows."""
    return read_table(data, Columns(**columns), labelled=True)


def test_lists_are_several_labels(tmp_path: Path) -> None:
    """In JSON lines, Parquet and frames alike, each label once, and none where there is none."""
    rows = rows_with(SETS)
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    for data in (write_jsonl(tmp_path / "rows.jsonl", rows), path, pd.DataFrame(rows), rows):
        table = read(data)
        assert (table.kind, table.label_sets) == ("multi", READ)
        assert table.labels is None


def test_arrays_of_a_frame_are_lists() -> None:
    """As pandas reads them from Parquet."""
    frame = pd.DataFrame({"text": ["a", "b"], "label": [np.array([2, 0]), np.array([1])]})
    assert read(frame).label_sets == [(2, 0), (1,)]


def test_names_of_a_list_of_class_labels(tmp_path: Path) -> None:
    """As the datasets library keeps them, in either of its forms."""
    inner = {"names": ["joy", "love"], "_type": "ClassLabel"}
    for feature in ({"feature": inner, "_type": "Sequence"}, [inner]):
        info = {"info": {"features": {"label": feature}}}
        schema = pa.schema({"text": pa.string(), "label": pa.list_(pa.int64())})
        schema = schema.with_metadata({"huggingface": json.dumps(info)})
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(rows_with([[0, 1], [1]]), schema=schema), path)
        table = read(path)
        assert (table.label_sets, table.label_names) == ([(0, 1), (1,)], ("joy", "love"))


@pytest.mark.parametrize(
    ("columns", "sign"),
    [
        ({"task": "multi"}, "|"),
        ({"separator": ";"}, ";"),
        ({"task": "multi"}, ", "),
        ({"task": "multi", "separator": " + "}, " + "),
    ],
)
def test_names_with_a_sign_between_them(tmp_path: Path, columns: dict[str, Any], sign: str) -> None:
    """The sign is found out, or given; an empty cell of a text file is a row without any."""
    path = tmp_path / "rows.csv"
    cells = [sign.join(own) for own in (["joy"], [], ["joy", "love"], ["love"])]
    pd.DataFrame(rows_with(cells)).to_csv(path, index=False)
    table = read(path, **columns)
    assert (table.label_sets, table.separator) == (READ, sign.strip() if "," in sign else sign)


@pytest.mark.parametrize("task", ["auto", "multi"])
def test_columns_of_zero_and_one(task: str) -> None:
    """Where a row has two of them, or it was asked for."""
    rows = [{"text": str(i), "joy": i % 2, "love": int(i > 1)} for i in range(4)]
    table = read(pd.DataFrame(rows), label="joy,love", task=task)
    assert table.label_sets == [(), (0,), (1,), (0, 1)]
    assert table.label_names == ("joy", "love")


def test_columns_of_one_each_stay_classes() -> None:
    """Unless told otherwise; a row without any asks what is meant."""
    rows = [{"text": str(i), "joy": i % 2, "love": 1 - i % 2} for i in range(4)]
    assert read(pd.DataFrame(rows), label="joy,love").labels == [1, 0, 1, 0]
    rows[0]["love"] = 0
    with pytest.raises(DataError, match="without a 1 in any column") as caught:
        read(pd.DataFrame(rows), label="joy,love")
    assert caught.value.add == "--set data.task=multi"


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["joy", "love"], "joy"], r"partly lists(.|\n)*others such as 'joy'(.|\n)*row 1"),
        ([["joy", "love"], None], r"without a value for their labels\n(.|\n)*row 1"),
        ([["joy", "love"], ["joy", 3]], "partly numbers, partly strings"),
        ([["joy", "love"], [{"a": 1}, "joy"]], r"a label is \{'a': 1\}"),
        ([["joy"], "love"], r"such as \['joy'\](.|\n)*others such as 'love'"),
    ],
)
def test_rows_that_are_not_alike_are_refused(labels: list[Any], words: str) -> None:
    """Each with its place, as a fault of the rows."""
    with pytest.raises(DataError, match=words):
        read(rows_with(labels))


def test_a_list_of_one_each_is_rather_a_class() -> None:
    """And so are places of one 1 among zeros; both say how to name them."""
    with pytest.raises(DataError, match="a list of one") as caught:
        read(rows_with([["joy"], ["love"]]))
    assert caught.value.add == "--label-column label.0"
    assert read(rows_with([["joy"], ["love"]]), task="multi").kind == "multi"
    with pytest.raises(DataError, match="one 1 among zeros"):
        read(rows_with([[0, 1], [1, 0]]))


def test_joined_labels_say_how_to_take_them_apart() -> None:
    """Or that each combination may be a class."""
    with pytest.raises(DataError, match=r"data\.task=single trains each") as caught:
        read(rows_with(["joy|love", "joy", "love", "joy"]))
    assert caught.value.add == "--set data.task=multi --set data.label_separator='|'"


@pytest.mark.parametrize(
    ("written", "sets"),
    [
        (["['joy', 'love']", "['love']", "[]", ""], [("joy", "love"), ("love",), (), ()]),
        (["['joy' 'love']", "['joy']"], [("joy", "love"), ("joy",)]),
        (['["it\'s", "a b"]', "['it\\'s']"], [("it's", "a b"), ("it's",)]),
        (["[very bad, good]", "[good]"], [("very bad", "good"), ("good",)]),
        (["[2, 0]", "[11]"], [(2, 0), (11,)]),
    ],
)
def test_written_lists_are_read_where_it_is_asked_for(
    written: list[str], sets: Any, tmp_path: Path
) -> None:
    """As pandas writes a column of lists, or of arrays, into a CSV; not by themselves."""
    path = tmp_path / "rows.csv"
    pd.DataFrame(rows_with(written)).to_csv(path, index=False)
    assert read(path, task="multi").label_sets == sets
    assert read(path, task="multi", separator="|").label_sets == sets
    with pytest.raises(DataError, match=r"in brackets|without a label") as caught:
        read(path)
    assert caught.value.add in {"--set data.task=multi", "--set data.missing_label=drop"}


def test_written_places_without_names_are_refused(tmp_path: Path) -> None:
    """In place of two classes that are called 0 and 1."""
    path = tmp_path / "rows.csv"
    pd.DataFrame(rows_with(["[0, 1]", "[1, 0]"])).to_csv(path, index=False)
    with pytest.raises(DataError, match="a list of 0 and 1 for each class"):
        read(path, task="multi")
    pd.DataFrame(rows_with(["[INFO]", "[WARN]"])).to_csv(path, index=False)
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.add == "--set data.task=single"
