"""Texts that a program hands over: whatever holds strings works, and nothing else passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tightfit import Run
from tightfit.config import load_config
from tightfit.data.given_texts import as_source
from tightfit.data.sources import Columns
from tightfit.data.table import Table
from tightfit.errors import DataError


def given_texts(given: Any, columns: Callable[[], Columns]) -> list[str]:
    """What a run that has these columns takes for texts."""
    run = Run(None, columns=columns, config=load_config())
    return run._texts(given)


TEXTS = ["great phone", "", "schöner Tag 🙂"]

COLUMNS: dict[str, Callable[[], Any]] = {
    "list": lambda: TEXTS,
    "tuple": lambda: tuple(TEXTS),
    "generator": lambda: (text for text in TEXTS),
    "Series": lambda: pd.Series(TEXTS, index=[7, 8, 9]),
    "categories": lambda: pd.Series(TEXTS, dtype="category"),
    "array of objects": lambda: np.array(TEXTS, dtype=object),
    "array of strings": lambda: np.array(TEXTS),
    "list of NumPy strings": lambda: list(np.array(TEXTS)),
    "Arrow array": lambda: pa.array(TEXTS),
    "chunked Arrow array": lambda: pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
    "column of a data set": lambda: datasets.Dataset.from_dict({"text": TEXTS})["text"],
}
ROWS: dict[str, Callable[[], Any]] = {
    "frame": lambda: pd.DataFrame({"review": TEXTS, "stars": [1, 2, 3]}),
    "Arrow table": lambda: pa.table({"stars": [1, 2, 3], "review": TEXTS}),
    "data set": lambda: datasets.Dataset.from_dict({"review": TEXTS}),
}


def reviews() -> Columns:
    """Where a run that was trained on reviews looks for its text."""
    return Columns(("review",))


def never() -> Columns:
    """Texts by themselves have no columns to ask for."""
    raise AssertionError


@pytest.mark.parametrize("given", COLUMNS.values(), ids=COLUMNS)
def test_columns_of_strings_are_texts(given: Callable[[], Any]) -> None:
    """In their order; the same ones can be predicted into a file."""
    assert given_texts(given(), never) == TEXTS
    assert as_source(given(), never).texts == TEXTS


@pytest.mark.parametrize("given", ROWS.values(), ids=ROWS)
def test_rows_have_the_run_s_own_column(given: Callable[[], Any]) -> None:
    """As in training."""
    assert given_texts(given(), reviews) == TEXTS


def test_one_string_is_one_text() -> None:
    """Not as many as it has letters; none at all are none."""
    assert given_texts("great phone", never) == ["great phone"]
    assert given_texts(np.str_("great phone"), never) == ["great phone"]
    assert given_texts([], never) == []
    assert given_texts(Table(TEXTS), never) == TEXTS


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "a text is not a string but None"),
        (5, r"a text is not a string but 5 \(int\)"),
        (b"great", r"a text is not a string but b'great' \(bytes\)"),
        ([b"great"], r"a text is not a string but b'great' \(bytes\)"),
        (["a", 5], r"a text is not a string but 5 \(int\)\n  seen:    row 1 "),
        ([["a", "b"]], r"a text is not a string but \['a', 'b'\] \(list\)"),
        (np.array([["a"], ["b"]]), r"a text is not a string but \['a'\] \(list\)"),
        (np.array([1.5]), r"a text is not a string but 1.5 \(float\)"),
        (["a", True], r"a text is not a string but True \(bool\)"),
        (["\ud800"], "half of a surrogate pair"),
        ({"a", 5} - {"a"}, r"a text is not a string but 5"),
        (Path("rows.csv"), "no such file"),
    ],
)
def test_what_is_no_text_is_refused(given: Any, words: str) -> None:
    """With the words of the command, and the place where it has one."""
    with pytest.raises(DataError, match=words) as caught:
        given_texts(given, reviews)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA, pd.NaT, np.float64("nan")])
def test_a_missing_text_is_what_the_run_says(nothing: Any) -> None:
    """A fault, or an empty text."""
    for given in (["a", nothing], pd.Series(["a", nothing], dtype=object)):
        with pytest.raises(DataError, match="rows without a text\n  seen:    row 1 "):
            given_texts(given, reviews)
        assert given_texts(given, lambda: Columns(missing_text="empty")) == ["a", ""]


def test_a_frame_without_the_column_names_those_it_has() -> None:
    """And how to choose one of them."""
    with pytest.raises(DataError, match="has no column 'review'") as caught:
        given_texts(pd.DataFrame({"reveiw": TEXTS}), reviews)
    assert "did you mean 'reveiw'? choose a column with predict(rows['COLUMN'])" in str(
        caught.value
    )
