"""Columns beside that of the labels that may be the better choice: the names of its numbers, or
the labels that a run knows."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from shlex import quote

from tightfit.data.columns import Columns
from tightfit.data.rows import Rows
from tightfit.errors import DataError

LOOKED_AT = 8192
"""Rows at a time."""

_ENDINGS = ("name", "names", "text")
"""Of the label column's name, in a column of names."""

_WHOLE = re.compile(r"-?\d+(?:\.0+)?")


def names_beside(rows: Rows, columns: Columns) -> list[str]:
    """A line where another column has the names of what the label column has as numbers.

    It is called like the label column with ``_name`` after it, or ``class_name``, and has one
    value for each number. A run that answers has its labels; ratings are to be numbers.

    Args:
        rows: the source, of which the first ``LOOKED_AT`` rows are looked at.
        columns: which of its columns hold text and label.
    """
    found = rows.find(columns.label) or ()
    if columns.answering or columns.task not in ("auto", "single"):
        return []
    if len(found) != 1 or rows.class_names(found[0]) is not None:
        return []
    usual = {"classname", *(_letters(found[0]) + ending for ending in _ENDINGS)}
    likely = [name for name in rows.columns if _letters(name) in usual and name not in found]
    return [
        f"{rows.origin.source}: {found[0]!r} has numbers, and {name!r} what they are called: "
        f"--label-column {quote(name)} gives labels and answers in words"
        for name in likely
        if _are_names(rows, found[0], name)
    ][:1]


def _are_names(rows: Rows, label: str, name: str) -> bool:
    """Whether each number of one column stands beside one word of the other, and the other way."""
    try:
        chunk = next(rows.read((label, name), LOOKED_AT), None)
    except DataError:
        return False  # whoever reads all rows tells of every fault at once
    pairs = (
        set() if chunk is None else {(str(a), str(b)) for a, b in zip(*chunk.cells, strict=True)}
    )
    numbers, words = ({pair[i] for pair in pairs} for i in (0, 1))
    whole = all(map(_WHOLE.fullmatch, numbers)) and not any(map(_WHOLE.fullmatch, words))
    return whole and 1 < len(numbers) == len(words) == len(pairs)


def known_beside(rows: Rows, label: str, known: AbstractSet[str]) -> tuple[str, ...]:
    """Other columns that have labels which are known, two or more, and nothing else.

    Args:
        rows: the source.
        label: the label column, as it was asked for.
        known: the labels, as strings.

    Raises:
        DataError: the rows cannot be read.
    """
    taken = rows.find(label) or ()
    others = tuple(name for name in rows.columns if name not in taken)
    found: dict[str, set[str]] = {name: set() for name in others}
    for chunk in rows.read(others, LOOKED_AT) if others else ():
        for name, cells in zip(others, chunk.cells, strict=True):
            if name in found:
                found[name].update(str(cell).strip() for cell in cells)
        found = {name: own for name, own in found.items() if own <= known}
    return tuple(name for name, own in found.items() if len(own) > 1)


def _letters(name: str) -> str:
    """A column's name without what is between its words."""
    return "".join(filter(str.isalnum, name)).casefold()
