"""What a label may be, in every format alike; what seems to be another task is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.sheets import xlsx
from tightfit.config import TaskKind
from tightfit.data.labels import LabelSet
from tightfit.data.sources import Columns, read_table
from tightfit.errors import DataError


def csv(folder: Path, labels: Sequence[Any]) -> Path:
    """As pandas writes it."""
    frame(labels).to_csv(folder / "a.csv", index=False)
    return folder / "a.csv"


def lines(folder: Path, labels: Sequence[Any]) -> Path:
    """JSON lines."""
    rows = [{"text": f"words {i}", "label": label} for i, label in enumerate(labels)]
    (folder / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "a.jsonl"


def parquet(folder: Path, labels: Sequence[Any]) -> Path:
    """With the type that Arrow finds."""
    frame(labels).to_parquet(folder / "a.parquet")
    return folder / "a.parquet"


def sheet(folder: Path, labels: Sequence[Any]) -> Path:
    """A spreadsheet."""
    rows = [["text", "label"], *([f"words {i}", label] for i, label in enumerate(labels))]
    (folder / "a.xlsx").write_bytes(xlsx({"S": rows}))
    return folder / "a.xlsx"


def frame(labels: Sequence[Any]) -> pd.DataFrame:
    """A data frame."""
    return pd.DataFrame({"text": [f"words {i}" for i in range(len(labels))], "label": labels})


FORMATS: dict[str, Callable[[Path, Sequence[Any]], Path]] = {
    "csv": csv,
    "jsonl": lines,
    "parquet": parquet,
    "xlsx": sheet,
}
each_format = pytest.mark.parametrize("name", FORMATS)


def read(data: Any, task: TaskKind = "auto", label: str = "label") -> list[int | str]:
    """The labels."""
    labels = read_table(data, Columns(label=label, task=task), labelled=True).labels
    assert labels is not None
    return labels


@each_format
def test_truths_are_two_classes(name: str, tmp_path: Path) -> None:
    """Of the same names, so that a run knows them in rows of another format."""
    labels = read(FORMATS[name](tmp_path, [True, False, True]))
    assert labels == ["True", "False", "True"]
    assert read(csv(tmp_path, ["TRUE", "FALSE", "true"])) == labels


def test_a_name_is_not_a_truth_because_of_how_it_is_spelt(tmp_path: Path) -> None:
    """Where other names stand beside it; and then rows of one label alone still are that class."""
    names = ["true", "half-true", "false"]
    assert read(lines(tmp_path, names)) == names
    known = LabelSet.from_table(read_table(lines(tmp_path, names), Columns(), labelled=True))
    later = read_table(lines(tmp_path, ["true", "true"]), Columns(), labelled=True)
    assert known.encode(later) == [known.names.index("true")] * 2


@each_format
def test_whole_numbers_are_integers(name: str, tmp_path: Path) -> None:
    """However they are stored."""
    assert read(FORMATS[name](tmp_path, [1.0, 2.0, 5.0])) == [1, 2, 5]


@each_format
def test_numbers_that_are_not_whole_stop(name: str, tmp_path: Path) -> None:
    """Unless they are said to be ratings, or classes, which are then called the same everywhere."""
    path = FORMATS[name](tmp_path, [0.5, 1.0, 2.25, 0.5])
    with pytest.raises(DataError, match=r"not whole, such as 0\.5(.|\n)*data\.task=single") as e:
        read(path)
    assert e.value.add == "--set data.task=rating"
    assert read(path, "single") == ["0.5", "1", "2.25", "0.5"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (["10%", "25 %", "10%"], "percentages, such as 10%"),
        (["0,5", "1", "2"], "not whole, such as 0,5"),
        (["joy", "joy|anger", "fear"], r"joined by '\|', such as 'joy\|anger'"),
        (["joy; fear", "fear;anger"], "joined by ';'"),
        ([*["joy", "fear", "calm"] * 9, "joy|fear"], r"joined by '\|', such as 'joy\|fear'"),
        (["joy,fear", "joy", "fear"], "joined by ','"),
        (["joy & fear", "joy", "fear"], "joined by '&'"),
        (["joy+fear", "fear + calm", "calm", "joy"], r"joined by '\+'"),
        (["['joy']", "['joy', 'fear']"], "in brackets"),
    ],
)
def test_labels_of_another_task_stop(labels: list[str], words: str, tmp_path: Path) -> None:
    """And are learnt as they stand with the setting that the error names."""
    with pytest.raises(DataError, match=words) as caught:
        read(csv(tmp_path, labels))
    assert caught.value.add is not None
    assert caught.value.add.startswith("--set data.task=")
    assert read(csv(tmp_path, labels), "single") == labels


@pytest.mark.parametrize(
    "labels",
    [
        ["Sci/Tech", "World"],
        ["Books, Movies", "Home, Garden"],
        ["a|b"] + ["c"] * 20 + ["a"],
        ["1.2.3", "1.2.4"],
        ["|", "-"],
        ["2,000", "yes"],
        ["A+", "A", "B+", "B"],
        ["Arts", "Arts & Culture", "Food & Drink"],
    ],
)
def test_names_may_hold_signs(labels: list[str], tmp_path: Path) -> None:
    """What few rows have, or what no other label shares, is part of a name."""
    assert read(csv(tmp_path, labels)) == labels


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (np.bool_(1), "True"),
        (np.float32(3), 3),
        (Decimal("2.0"), 2),
        (date(2026, 3, 1), "2026-03-01"),
        (datetime(2026, 3, 1), "2026-03-01"),
        (pd.Timestamp("2026-03-01 12:00"), "2026-03-01 12:00:00"),
    ],
)
def test_objects_of_python_are_labels(label: object, value: object) -> None:
    """Of NumPy and pandas, too."""
    assert read({"text": ["a", "b"], "label": [label, label]}) == [value, value]


@pytest.mark.parametrize(
    ("labels", "words", "add"),
    [
        ([["a"], ["b"]], "a list of one", "--label-column label.0"),
        ([[1, 0], [0, 1]], "one 1 among zeros", "--label-column label.0,label.1"),
        ([[1, 1], [0, 1]], "0 and 1 for each class", "--label-column label.0,label.1"),
        ([{"k": "a"}, {"k": "b"}], "a label is {'k': 'a'}", "--label-column label.k"),
        ([{"a": 1, "b": 0}, {"a": 0, "b": 1}], "a label is", "--label-column label.a,label.b"),
    ],
)
def test_labels_with_something_inside_are_told(
    labels: list[Any], words: str, add: str | None, tmp_path: Path
) -> None:
    """With the columns that are inside, which then are read."""
    path = lines(tmp_path, labels)
    with pytest.raises(DataError, match=words) as caught:
        read(path)
    assert caught.value.add == add
    if add is not None:
        found = read_table(path, Columns(label=add.split()[-1]), labelled=True).targets
        assert found is not None
        assert len(set(found)) == 2


MARKS = {"text": [f"some words {i}" for i in range(4)], "spam": [1, 0, 0, 1], "ham": [0, 1, 1, 0]}


def test_columns_of_one_label_each_are_classes(tmp_path: Path) -> None:
    """Named together; the class is the column with the 1, in the order given."""
    path = tmp_path / "a.csv"
    pd.DataFrame(MARKS).to_csv(path, index=False)
    with pytest.raises(DataError, match="no column 'label'") as caught:
        read(path)
    assert caught.value.add == "--label-column spam,ham"
    table = read_table(path, Columns(label="ham,spam"), labelled=True)
    assert (table.labels, table.label_names) == ([1, 0, 0, 1], ("ham", "spam"))


@pytest.mark.parametrize(
    ("ham", "words"),
    [
        ([0, None, 1, 0], r"without a 1 in any column(.|\n)*line 3"),
        ([0, 2, 1, 0], r"one holds '2\.?0?' \(str\)(.|\n)*line 3"),
    ],
)
def test_rows_of_no_or_several_labels_are_refused(
    ham: list[Any], words: str, tmp_path: Path
) -> None:
    """By their lines."""
    pd.DataFrame({**MARKS, "ham": ham}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a.csv", label="spam,ham")


@each_format
def test_rows_without_a_label_may_be_left_out(name: str, tmp_path: Path) -> None:
    """Texts and labels stay together; the default stops, and names the setting."""
    path = FORMATS[name](tmp_path, ["a", None, "b", None])
    with pytest.raises(DataError, match=r"without a label\n.*2 of 4 rows") as caught:
        read(path)
    assert caught.value.add == "--set data.missing_label=drop"
    table = read_table(path, Columns(missing_label="drop"), labelled=True)
    assert (table.texts, table.labels) == (["words 0", "words 2"], ["a", "b"])
    assert table.left_out == {"label": 2}
