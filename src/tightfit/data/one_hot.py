"""Labels in columns of their own: one 0 or 1 for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tightfit.data.cell_labels import several
from tightfit.data.cell_text import describe
from tightfit.data.column_hints import mark
from tightfit.data.rows import Chunk


def one_hot_labels(chunk: Chunk, columns: Sequence[list[Any]]) -> list[int | str]:
    """For each row, which of the columns holds its 1.

    Args:
        chunk: says where the rows are.
        columns: 0 or 1, or false and true; an empty cell is 0.

    Raises:
        DataError: there is something else in a row, or no 1, or several.
    """
    rows = [[mark(cell) for cell in row] for row in zip(*columns, strict=True)]
    odd = [index for index, row in enumerate(rows) if None in row]
    if odd:
        cell = columns[rows[odd[0]].index(None)][odd[0]]
        what = f"of several columns of labels, one holds {describe(cell)}"
        raise chunk.fault(what, odd, allowed="0 or 1", next_step="name one column of labels")
    many = [index for index, row in enumerate(rows) if sum(map(bool, row)) > 1]
    if many:
        raise several(chunk, many, "rows with a 1 in several columns of labels")
    none = [index for index, row in enumerate(rows) if not any(row)]
    if none:
        raise chunk.fault(
            "rows without a 1 in any column of labels",
            none,
            next_step="label or remove them; a class of its own is a column of its own",
        )
    return [row.index(True) for row in rows]
