"""Labels in columns of their own: one 0 or 1 for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tightfit.config import TaskKind
from tightfit.data.cell_text import describe
from tightfit.data.column_hints import mark
from tightfit.data.rows import Chunk


def one_hot_labels(
    chunk: Chunk, columns: Sequence[list[Any]], task: TaskKind = "auto"
) -> list[Any]:
    """For each row, which of the columns holds its 1, or where several may a tuple of them.

    Args:
        chunk: says where the rows are.
        columns: 0 or 1, or false and true; an empty cell is 0.
        task: ``auto`` takes several labels a row where any row has them.

    Raises:
        DataError: there is something else in a row; or no 1, or several, where each row has one
            class.
    """
    rows = [[mark(cell) for cell in row] for row in zip(*columns, strict=True)]
    odd = [index for index, row in enumerate(rows) if None in row]
    if odd:
        cell = columns[rows[odd[0]].index(None)][odd[0]]
        what = f"of several columns of labels, one holds {describe(cell)}"
        raise chunk.fault(what, odd, allowed="0 or 1", next_step="name one column of labels")
    many = [index for index, row in enumerate(rows) if sum(map(bool, row)) > 1]
    if task == "multi" or (many and task == "auto"):
        return [tuple(place for place, each in enumerate(row) if each) for row in rows]
    if many:
        raise chunk.fault(
            "rows with a 1 in several columns of labels",
            many,
            next_step="leave out data.task, or set data.task=multi",
        )
    none = [index for index, row in enumerate(rows) if not any(row)]
    if none:
        raise chunk.fault(
            "rows without a 1 in any column of labels",
            none,
            next_step="label or remove them; or, where a row may have several labels or none:",
            add="--set data.task=multi",
        )
    return [row.index(True) for row in rows]
