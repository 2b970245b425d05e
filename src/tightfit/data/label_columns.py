"""Columns of labels become labels, several a row, or ratings: what the rows and the setting say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tightfit.config import TaskKind
from tightfit.data.cell_label_sets import are_label_sets, read_label_sets
from tightfit.data.cell_labels import TRUTHS, read_labels
from tightfit.data.cell_ratings import read_ratings
from tightfit.data.one_hot import one_hot_labels
from tightfit.data.rows import Chunk, Rows
from tightfit.data.table import Table


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
        return replace(table, labels=read_ratings(whole, columns))
    if len(label) > 1:
        marks = one_hot_labels(whole, columns, task)
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
