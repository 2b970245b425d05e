"""Columns of labels become labels, several a row, or ratings: what the rows and the setting say."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from math import isfinite
from numbers import Real
from typing import Any

from tightfit.config import TaskKind
from tightfit.data.cell_label_sets import are_label_sets, read_label_sets
from tightfit.data.cell_labels import DROP, RATING_FORM, TRUTHS, is_blank, read_labels
from tightfit.data.cell_text import describe
from tightfit.data.column_hints import mark
from tightfit.data.rows import Chunk, Rows
from tightfit.data.table import Table

_COMMA = re.compile(r"[-+]?\d+,\d+")
"""A number whose comma may stand for a decimal point, or for nothing."""


def with_labels(
    table: Table,
    whole: Chunk,
    rows: Rows,
    label: Sequence[str],
    *,
    task: TaskKind,
    separator: str,
) -> Table:
    """A table with what its label columns, the last of the chunk, say.

    Args:
        table: without labels.
        whole: all rows.
        rows: the source.
        label: names of the label columns.
        task: what a label is (setting ``data.task``).
        separator: between several labels in one cell.

    Raises:
        DataError: labels cannot be used.
    """
    columns = whole.cells[-len(label) :]
    if task == "rating":
        return replace(table, labels=_ratings(whole, columns))
    if len(label) > 1:
        marks = _one_hot(whole, columns, task)
        table = replace(table, label_names=tuple(label), label_values=tuple(label))
        if isinstance(marks[0], tuple):
            return replace(table, label_sets=marks)
        return replace(table, labels=marks)
    (name,), (cells,) = label, columns
    names = rows.class_names(name)
    if are_label_sets(cells, task, separator):
        sets, sign = read_label_sets(
            whole, names, untyped=rows.untyped, separator=separator, column=name
        )
        return replace(table, label_sets=sets, separator=sign, label_names=names)
    labels = read_labels(
        whole,
        cells,
        names,
        untyped=rows.untyped,
        task=task,
        column=name,
    )
    as_text = isinstance(cells[0], str)
    spelt = rows.class_values(name) or (names if names and as_text else None)
    if names is None and set(labels) <= set(TRUTHS.values()) and (rows.untyped or not as_text):
        spelt = (False, True)
    return replace(table, labels=labels, label_names=names, label_values=spelt)


def _one_hot(chunk: Chunk, columns: Sequence[list[Any]], task: TaskKind) -> list[Any]:
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


def _ratings(chunk: Chunk, columns: Sequence[Sequence[Any]]) -> list[float]:
    """The column of ratings of a chunk.

    Args:
        chunk: says where the rows are.
        columns: the label columns, of which there may be one.

    Raises:
        DataError: there are several columns, or a rating is missing, not finite, or no number.
    """
    if len(columns) > 1:
        raise chunk.fault(
            f"{len(columns)} columns of ratings, of which one can be learned",
            range(len(chunk.places)),
            next_step="name one of them with --label-column, and train a run for each",
        )
    (cells,) = columns
    missing = [i for i, cell in enumerate(cells) if is_blank(cell)]
    if missing:
        raise chunk.fault(
            "rows without a rating",
            missing,
            next_step="rate them, or leave them out:",
            add=DROP,
        )
    ratings = [_rating(cell) for cell in cells]
    odd = [i for i, rating in enumerate(ratings) if rating is None]
    if odd:
        commas = all(isinstance(cells[i], str) and _COMMA.fullmatch(cells[i].strip()) for i in odd)
        raise chunk.fault(
            f"a rating is {describe(cells[odd[0]])}",
            odd,
            allowed="finite numbers, such as 4 or 3.5",
            next_step="write them with a decimal point; pandas.read_csv(FILE, decimal=',') reads "
            "them, and tightfit.train takes its data frame"
            if commas
            else "mend these rows, choose the column of ratings with --label-column, or leave out "
            "data.task=rating",
        )
    return [rating for rating in ratings if rating is not None]


def _rating(cell: object) -> float | None:
    """A finite number; None for anything else, truth values among it."""
    if isinstance(cell, str):
        number = float(cell) if RATING_FORM.fullmatch(cell.strip()) else None
    elif isinstance(cell, bool) or not isinstance(cell, Real | Decimal):
        return None
    else:
        number = float(cell)
    return number if number is not None and isfinite(number) else None
