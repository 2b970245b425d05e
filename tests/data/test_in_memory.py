"""Rows that a program holds in its own variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from tests.toy_setups import Notes
from tightfit.data.sklearn_label_sets import dense
from tightfit.data.sklearn_rows import labelled_rows, rated_rows
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.errors import DataError

TEXTS, LABELS = ["good", "bad", "fine"], ["pos", "neg", "pos"]
RECORDS = [{"text": t, "label": x} for t, x in zip(TEXTS, LABELS, strict=True)]

SAME: dict[str, Callable[[], Any]] = {
    "texts and labels": lambda: (TEXTS, LABELS),
    "tuples": lambda: (tuple(TEXTS), tuple(LABELS)),
    "arrays": lambda: (np.array(TEXTS), np.array(LABELS, dtype=object)),
    "series": lambda: (pd.Series(TEXTS, index=[5, 6, 7]), pd.Series(LABELS, dtype="category")),
    "columns": lambda: {"label": LABELS, "text": TEXTS, "more": [1, 2, 3]},
    "columns of pandas": lambda: {"label": pd.Series(LABELS), "text": pd.Series(TEXTS)},
    "records": lambda: RECORDS,
    "Arrow batch": lambda: pa.RecordBatch.from_pylist(RECORDS),
    "frame": lambda: pd.DataFrame(RECORDS),
    "data set": lambda: datasets.Dataset.from_list(RECORDS),
    "only split": lambda: datasets.DatasetDict({"train": datasets.Dataset.from_list(RECORDS)}),
}


@pytest.mark.parametrize("name", SAME)
def test_rows_are_the_same_however_they_are_held(name: str) -> None:
    """Nothing of them is changed, and they can be read again."""
    data = SAME[name]()
    for _ in range(2):
        check_source(data, Columns())
        table = read_table(data, Columns(), labelled=True)
        assert (table.texts, table.labels) == (TEXTS, LABELS)


def test_texts_and_labels_have_no_names_to_be_wrong() -> None:
    """A run that was trained on other columns takes them all the same."""
    table = read_table((TEXTS, LABELS), Columns(("body", "title"), "topic"), labelled=True)
    assert (table.texts, table.labels) == (TEXTS, LABELS)
    assert read_table(TEXTS, Columns(("body",)), labelled=False).texts == TEXTS


@pytest.mark.parametrize(
    "column",
    [
        np.array(TEXTS),
        pd.Series(TEXTS, index=[5, 6, 7]),
        pa.chunked_array([TEXTS]),
        datasets.Dataset.from_list(RECORDS)["text"],
    ],
    ids=["array", "series", "Arrow", "data set"],
)
def test_a_column_of_texts_is_texts(column: Any) -> None:
    """By itself, whatever the run's columns are called; and beside labels."""
    assert read_table(column, Columns(("body",)), labelled=False).texts == TEXTS
    assert read_table((column, LABELS), Columns(), labelled=True).texts == TEXTS


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ((TEXTS, LABELS[:2]), "different lengths\n.*'text' 3, 'label' 2"),
        ({"text": TEXTS, "label": []}, "different lengths"),
        ((TEXTS, LABELS, LABELS), r"not \(texts, labels\)"),
        (("good", "pos"), r"not \(texts, labels\)"),
        ((iter(TEXTS), LABELS), r"not \(texts, labels\)"),
        ({"text": "good", "label": "pos"}, "'text' is no list of cells"),
        ([*zip(TEXTS, LABELS, strict=True)], r"list of tuples; \(texts, labels\) is wanted"),
        (datasets.DatasetDict(dict.fromkeys("ab", SAME["data set"]())), r"data\['a'\]"),
        (({"a"}, {"b"}), r"not \(texts, labels\)"),
        (([], []), "has no rows"),
        (np.array([TEXTS, LABELS]), "ndarray"),
        (datasets.Dataset.from_list(RECORDS).to_iterable_dataset(), "read as it comes"),
        ((TEXTS, [None] * 3), "without a label"),
        ((TEXTS, [0.5, 1, 2]), "not whole"),
    ],
)
def test_other_objects_are_refused(data: Any, words: str) -> None:
    """With what would be taken."""
    with pytest.raises(DataError, match=words):
        read_table(data, Columns(), labelled=True)


def test_labels_in_tensors_are_their_numbers() -> None:
    """As a column of its own, as one number a row, and where a gradient is wanted."""
    tensor = torch.tensor([1, 0, 1])
    records = [{"text": t, "label": x} for t, x in zip(TEXTS, tensor, strict=True)]
    for data in ((TEXTS, tensor), {"text": TEXTS, "label": tensor}, (TEXTS, [*tensor]), records):
        assert read_table(data, Columns(), labelled=True).labels == [1, 0, 1]
    wanted = torch.tensor([1.0, 0, 1], dtype=torch.bfloat16, requires_grad=True)
    assert labelled_rows(TEXTS, dense(wanted), text_column=None)[0].labels == [1, 0, 1]
    assert rated_rows(TEXTS, wanted, text_column=None).labels == [1.0, 0.0, 1.0]


def test_a_transform_of_a_data_set_is_told_to_be_left_out() -> None:
    """It may tokenise, and is no part of what is stored; a format is none."""
    data, notes = datasets.Dataset.from_list(RECORDS), Notes()
    for other in (data, data.with_format("numpy"), data.with_transform(lambda rows: {"ids": [0]})):
        assert check_source(other, Columns(), progress=notes) == TEXTS
    (told,) = notes.said
    assert "without its transform (set_transform)" in told


def test_series_whose_index_is_in_another_order_are_refused() -> None:
    """By place their rows would not belong together; another index says nothing of that."""
    texts, labels = pd.Series(TEXTS), pd.Series(LABELS)
    for data in ((texts, labels[::-1]), {"label": labels[::-1], "text": texts}):
        with pytest.raises(DataError, match="have the same index in another order"):
            read_table(data, Columns(), labelled=True)
    moved = read_table((texts, labels[::-1].set_axis([7, 8, 9])), Columns(), labelled=True)
    assert (moved.texts, moved.labels) == (TEXTS, LABELS[::-1])


def test_missing_marks_are_those_of_any_library() -> None:
    """pandas has a sign that is neither true nor false; a hint looks at it as a reader does."""
    cells = {"text": ["a", "b", "c"], "joy": [1, pd.NA, 0], "sad": [0, 1, 1]}
    assert read_table(cells, Columns(label="joy,sad"), labelled=True).labels == [0, 1, 1]
    with pytest.raises(DataError) as fault:
        read_table(cells, Columns(), labelled=True)
    assert fault.value.add == "--label-column joy,sad"


def test_columns_may_be_named_by_numbers() -> None:
    """As those of a frame without a header, however it is held."""
    frame = pd.DataFrame([["a", "x"], ["b", "y"]])
    for data in (frame, frame.to_dict("list"), frame.to_dict("records")):
        table = read_table(data, Columns(text=("0",), label="1"), labelled=True)
        assert (table.texts, table.labels) == (["a", "b"], ["x", "y"])
