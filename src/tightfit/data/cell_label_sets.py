"""Cells to sets of labels: lists, written ones too, or names with a sign between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tightfit.config import TaskKind
from tightfit.data.bracketed import are_bracketed, items
from tightfit.data.cell_labels import (
    are_lists,
    are_marks,
    is_blank,
    places_without_names,
    read_labels,
)
from tightfit.data.cell_text import describe
from tightfit.data.nested import is_list, is_missing
from tightfit.data.rows import Chunk

LabelSets = list[tuple[int | str, ...]]
"""The labels of each row: none, one or several, each once; all integers or all strings."""

SIGNS = ("|", ";", ",")
"""What may stand between labels, the first of them that does is taken."""


def read_label_sets(
    chunk: Chunk,
    names: tuple[str, ...] | None,
    *,
    untyped: bool,
    separator: str,
    column: str,
) -> tuple[LabelSets, str]:
    """One column of a chunk as sets of labels, and the sign that was between them.

    Args:
        chunk: its last column holds lists, or strings.
        names: class names that the source carries; the labels become integers indexing them.
        untyped: cells are strings; labels are integers if all of them look like it.
        separator: between the labels of a string; empty finds it out.
        column: what the column is called.

    Raises:
        DataError: some rows have lists and others have not, a row says nothing of its labels, or
            one of them cannot be a label.
    """
    cells = chunk.cells[-1]
    _refuse_unknown(chunk, cells, untyped=untyped)
    if untyped and any(map(is_list, cells)):
        # fastText's form, the only text with lists: one label is a list of one
        cells = [cell if is_list(cell) else [cell] for cell in cells]
    if are_lists(chunk, cells):
        if are_marks(cells):
            raise places_without_names(chunk, [list(cell) for cell in cells], column)
        parts = [list(cell) for cell in cells]
        return _read(chunk, parts, names, untyped=False), separator or SIGNS[0]
    written = ["" if is_missing(cell) else str(cell).strip() for cell in cells]
    if are_bracketed(written):
        parts = [items(cell) for cell in written]
        _refuse_marks(chunk, parts)
        return _read(chunk, parts, names, untyped=True), separator or SIGNS[0]
    sign = separator or next((s for s in SIGNS if any(s in cell for cell in written)), SIGNS[0])
    parts = [[part.strip() for part in cell.split(sign) if part.strip()] for cell in written]
    return _read(chunk, parts, names, untyped=untyped or isinstance(cells[0], str)), sign


def are_label_sets(cells: Sequence[Any], task: TaskKind, separator: str) -> bool:
    """Whether a column holds several labels a row: it was asked for, or there are lists. Not lists
    all of one label, which would rather be a class, nor of as many 0 and 1 each, which are places
    without names."""
    if task != "auto":
        return task == "multi"
    lists = any(is_list(cell) and len(cell) != 1 for cell in cells)
    return bool(separator) or (lists and not are_marks(cells))


def _refuse_unknown(chunk: Chunk, cells: list[Any], *, untyped: bool) -> None:
    """Null is not known, as the empty list is; an empty cell of a text file cannot say which."""
    missing = [index for index, cell in enumerate(cells) if is_missing(cell)]
    if missing and not untyped:
        raise chunk.fault(
            "rows without a value for their labels",
            missing,
            allowed="an empty list for a row without any label",
            next_step="label them, or leave them out:",
            add="--set data.missing_label=drop",
        )


def _refuse_marks(chunk: Chunk, parts: list[list[str]]) -> None:
    """Of written lists of 0 and 1 nobody knows what their places are called."""
    lengths = {len(own) for own in parts}
    if len(lengths) == 1 and min(lengths) > 1 and {x for own in parts for x in own} <= {"0", "1"}:
        raise chunk.fault(
            f"each label is a list of 0 and 1 for each class, such as {parts[0]!r}",
            range(len(parts)),
            next_step="write the names of the classes, or a column of 0 and 1 for each of them",
        )


def _refuse_inside(chunk: Chunk, parts: list[list[Any]]) -> None:
    """What a list of labels may not hold, though a cell may."""
    cells = [(row, cell) for row, own in enumerate(parts) for cell in own]
    odd = {row: cell for row, cell in cells if is_blank(cell) or is_list(cell)}
    if odd:
        raise chunk.fault(
            f"a label within a list is {describe(next(iter(odd.values())))}",
            list(odd),
            allowed="integers, or strings; an empty list for a row without any label",
            next_step="leave it out of the list, or write its labels side by side",
        )


def _read(
    chunk: Chunk, parts: list[list[Any]], names: tuple[str, ...] | None, *, untyped: bool
) -> LabelSets:
    """Each part as one label, spelt as a column of labels would be."""
    places = [place for place, own in zip(chunk.places, parts, strict=True) for _ in own]
    flat = [label for own in parts for label in own]
    if not flat:
        return [() for _ in parts]
    _refuse_inside(chunk, parts)
    within = Chunk([flat], places, chunk.origin)
    read = iter(read_labels(within, flat, names, untyped=untyped, task="single"))
    return [tuple(dict.fromkeys(next(read) for _ in own)) for own in parts]


def sign_apart(names: Sequence[str], usual: str) -> str:
    """What joins labels in a cell so that they can be told apart again: lists may hold any name."""
    signs = (usual, *SIGNS)
    return next((sign for sign in signs if not any(sign in name for name in names)), usual)
