"""Texts that a program hands over: one string, many, a column, or rows with a text column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.data.cell_text import describe, is_missing, read_texts
from tightfit.data.rows import Chunk, Origin
from tightfit.data.sources import Columns, iter_records, open_rows
from tightfit.data.table import Table
from tightfit.errors import DataError

ALLOWED = (
    "a string; a list, generator, NumPy array, pandas Series or Arrow column of strings; a data "
    "frame, Arrow table or data set with the column of the text"
)


def given_texts(given: Any, columns: Callable[[], Columns]) -> list[str]:
    """The texts, in their order; one string is one text.

    Args:
        given: what :data:`ALLOWED` says.
        columns: tells where the text is in rows of several columns, and what a missing one is;
            not asked where every text is there.

    Raises:
        DataError: it is something else; a text is missing, or no string; there is no such column.
    """
    if isinstance(given, str):
        given = [given]
    source = as_source(given, columns)
    if isinstance(source, Table):
        return source.texts
    rows, known = open_rows(source), columns()
    text = rows.resolve(known.text, "predict(rows['COLUMN'])")
    return [
        each for texts, _ in iter_records(rows, replace(known, text=text), ()) for each in texts
    ]


def as_source(data: Any, columns: Callable[[], Columns]) -> Any:
    """What :func:`~tightfit.data.sources.open_rows` opens: texts by themselves as a Table.

    Raises:
        DataError: a text is missing, or no string.
    """
    if isinstance(data, str | Path | Table | Mapping) or _has_columns(data):
        return data
    if isinstance(data, tuple) and data and not any(isinstance(each, str) for each in data):
        return data
    cells = _cells(data)
    chunk = Chunk([cells], range(len(cells)), Origin("the texts", "row"))
    odd = [i for i, cell in enumerate(cells) if not isinstance(cell, str) and not is_missing(cell)]
    if odd:
        what = f"a text is not a string but {describe(cells[odd[0]])}"
        raise chunk.fault(what, odd, allowed="strings", next_step="give each text as a string")
    missing = columns().missing_text if any(map(is_missing, cells)) else "refuse"
    return Table(read_texts(chunk, [cells], missing), source="the texts")


def _has_columns(data: Any) -> bool:
    """Whether it is a frame, an Arrow table or a data set, seen without importing their library."""
    return hasattr(data, "columns") or hasattr(data, "column_names")


def _cells(data: Any) -> list[Any]:
    """The items of a column, each as Python has it."""
    for method in ("to_pylist", "tolist"):  # of Arrow; of NumPy and pandas
        if hasattr(data, method):
            found = getattr(data, method)()
            return found if isinstance(found, list) else [found]
    if isinstance(data, Iterable) and not isinstance(data, bytes | bytearray | memoryview):
        return list(data)
    raise DataError(
        f"a text is not a string but {describe(data)}", allowed=ALLOWED, next_step="give a string"
    )
