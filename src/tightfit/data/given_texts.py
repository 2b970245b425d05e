"""Texts that a program hands over by themselves: a list, an array, a column of any library.

Nothing here waits for the readers of files: a few texts are answered in half a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tightfit.data.cell_text import TAKE_EMPTY, describe, read_texts
from tightfit.data.given_pairs import is_pair, pair_columns
from tightfit.data.nested import is_missing
from tightfit.data.rows import Chunk, Origin
from tightfit.data.table import Table
from tightfit.errors import DataError

if TYPE_CHECKING:
    from tightfit.data.sources import Columns

ALLOWED = (
    "a string; a list, generator, NumPy array, pandas Series or Arrow column of strings; a data "
    "frame, Arrow table or data set with the column of the text"
)


def as_source(data: Any, columns: Callable[[], Columns], *, pair: bool = False) -> Any:
    """What :func:`~tightfit.data.sources.open_rows` opens: texts by themselves as a Table.

    Args:
        data: what :data:`ALLOWED` says, or a path.
        columns: tells what a missing text is; not asked where every text is there.
        pair: each text is a pair (first, second); one pair may stand by itself.

    Raises:
        DataError: a text is missing, or no string.
    """
    if isinstance(data, str | Path | Table | Mapping) or _has_columns(data):
        return data
    if isinstance(data, list) and data and isinstance(data[0], Mapping):
        return data
    if pair:
        return _pairs(data, columns)
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


def texts_of(given: Any, columns: Callable[[], Columns], *, pair: bool) -> list[str]:
    """What a method is given to predict, which has no argument for missing texts; a string is one.

    Raises:
        DataError: as :func:`as_source`; or a frame lacks the column of the text.
    """
    try:
        source = as_source([given] if isinstance(given, str) else given, columns, pair=pair)
        if isinstance(source, Table):
            return source.texts
        # It waits for the readers.
        found: list[str] = import_module("tightfit.data.sources").frame_texts(source, columns())
    except DataError as fault:
        if fault.add == TAKE_EMPTY:
            fault.next_step, fault.add = "give an empty text in its place, or leave it out", None
        raise
    return found


def _pairs(data: Any, columns: Callable[[], Columns]) -> Any:
    """Pairs by themselves as a Table; (pairs, labels) as they are."""
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], str):
        data = [data]
    if isinstance(data, tuple) and len(data) == 2 and all(map(_is_column, data)):
        raise DataError(
            "two lists in a tuple, which may be two pairs, or all first and all second texts",
            seen=describe(data),
            allowed="one tuple for each pair: [(first, second), …]",
            next_step="if they are first and second texts, give list(zip(firsts, seconds))",
        )
    if isinstance(data, tuple) and not all(map(is_pair, data)):
        return data
    cells = list(pair_columns(_cells(data)).values())
    missing = any(map(is_missing, chain(*cells)))
    chunk = Chunk(cells, range(len(cells[0])), Origin("the texts", "row"))
    asked = columns().missing_text if missing else "refuse"
    return Table(read_texts(chunk, cells, asked, pair=True), source="the texts")


def _is_column(part: Any) -> bool:
    """Whether a part of a tuple is texts, not a pair of them."""
    cells = part.tolist() if hasattr(part, "tolist") else part
    return isinstance(cells, list) and bool(cells) and all(type(cell) is str for cell in cells)


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
