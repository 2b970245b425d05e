"""Cells to labels: the one place that says what a label may be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from math import isfinite
from numbers import Integral, Real
from shlex import quote
from typing import Any

from tightfit.config import TaskKind
from tightfit.data.bracketed import are_bracketed, items
from tightfit.data.cell_text import describe, refuse_surrogates
from tightfit.data.column_hints import one_hot_columns
from tightfit.data.nested import is_list, is_missing, paths, reach
from tightfit.data.rows import Chunk
from tightfit.errors import DataError

SINGLE, RATING = "--set data.task=single", "--set data.task=rating"
MULTI, DROP = "--set data.task=multi", "--set data.missing_label=drop"
"""Options that mend a command, as are those above."""

LABEL_COLUMNS = 20
"""Columns of one 0 or 1 each that a hint lists."""

SEPARATORS = {"|": 0.0, ";": 0.0, ",": 0.5, "/": 0.5, "&": 1.0, "+": 1.0}
"""Between several labels in one cell, with the share of the parts that other labels must have, too:
more of them where names such as ``Sci/Tech`` and ``Food & Drink`` have the sign."""

SEPARATED_SHARE = 0.1
"""Rows with a separator from which on labels may be several; fewer do if all parts are labels."""

_INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0+)?")
"""An integer as a CSV writes it; ``007`` is a name, and ``2.0`` is how data frames with gaps
write 2."""

RATING_FORM = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")
"""A number as programs write it; of ``4,500`` nobody knows what the comma means."""

_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)?(?:\s?%)?")
_FRACTION = re.compile(r"-?\d+\.\d+")
_WHOLE = re.compile(r"[-+]?\d+(?:[.,]0*)?")

NOTHING = ("nan", "null", "none", "na", "n/a", "#n/a", "<na>", "?")
"""What programs write where nothing is; of a name nobody knows whether it is one."""

_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"
"""Around a label these are seen by nobody."""

TRUTHS = {"true": "True", "false": "False"}
"""One spelling for all formats."""


def read_labels(
    chunk: Chunk,
    cells: list[Any],
    names: tuple[str, ...] | None,
    *,
    untyped: bool,
    task: TaskKind,
    column: str = "label",
) -> list[int | str]:
    """One column of a chunk as labels: all integers, or all strings.

    Args:
        chunk: says where the rows are.
        cells: the label column.
        names: class names that the source carries; the labels become integers indexing them.
        untyped: the cells are strings, and are integers if all of them look like it.
        task: ``single`` takes numbers that are not whole, and names with separators, as classes.
        column: what the column is called.

    Raises:
        DataError: a label is missing, cannot be one, or is none of ``names``; integers and strings
            are mixed; numbers are not whole, or labels seem to be several, and ``task`` does not
            settle it.
    """
    _refuse_missing(chunk, cells, task)
    _refuse_lists(chunk, cells, column)
    _refuse_objects(chunk, cells, column)
    labels = _numbers_and_strings(chunk, cells)
    if names:
        return _indices(chunk, labels, names)
    if untyped:
        labels = _integers(labels)
    _refuse_mixed(chunk, labels)
    if all(isinstance(label, int) for label in labels):
        return [label for label in labels if isinstance(label, int)]
    written = [str(label) for label in labels]
    if task == "auto":
        _refuse_fractions(chunk, written)
        _refuse_separated(chunk, written)
    different = set(written)
    spelling = TRUTHS if {label.lower() for label in different} <= set(TRUTHS) else {}
    names_of = {label: spelling.get(label.lower(), _name(label)) for label in different}
    return [names_of[label] for label in written]


def labelless(columns: Sequence[list[Any]]) -> list[int]:
    """The rows in which no column of the label has a cell; among numbers ``nan`` is none."""
    return [i for i, row in enumerate(zip(*map(_emptied, columns), strict=True)) if all(row)]


def _emptied(cells: list[Any]) -> list[bool]:
    """Whether nothing is in a cell, or a word for it where all others are numbers."""
    words = {cell: cell.strip(_BLANKS) for cell in cells if isinstance(cell, str)}
    empty = {cell for cell, word in words.items() if word.lower() in NOTHING}
    others = {word for cell, word in words.items() if word and cell not in empty}
    if not empty or not others or not all(map(_NUMBER.fullmatch, others)):
        return list(map(is_blank, cells))
    return [is_blank(cell) or (isinstance(cell, str) and cell in empty) for cell in cells]


def is_blank(cell: object) -> bool:
    """Whether nothing is seen in a cell."""
    return is_missing(cell) or (isinstance(cell, str) and not cell.strip(_BLANKS))


def _refuse_missing(chunk: Chunk, cells: list[Any], task: TaskKind) -> None:
    missing = labelless([cells])
    if not missing:
        return
    others = [index for index in range(len(cells)) if index not in set(missing)]
    names = [cells[index].strip(_BLANKS) for index in others if isinstance(cells[index], str)]
    if task == "auto" and names and len(names) == len(others):
        # Where labels are several, an empty cell is a row that has none: nothing is to be dropped.
        _refuse_separated(chunk.select(others), names)
    raise chunk.fault(
        "rows without a label", missing, next_step="label them, or leave them out:", add=DROP
    )


def are_lists(chunk: Chunk, cells: Sequence[Any]) -> bool:
    """Whether the cells are lists: all of them, or none is.

    Raises:
        DataError: some are; of both kinds the rarer is named.
    """
    lists = [index for index, cell in enumerate(cells) if is_list(cell)]
    others = [index for index, cell in enumerate(cells) if not is_list(cell)]
    if lists and others:
        raise chunk.fault(
            f"labels are partly lists such as {describe(cells[lists[0]])}, partly others such as "
            f"{describe(cells[others[0]])}",
            min(others, lists, key=len),
            allowed="a list in every row, or a string in every row",
            next_step="write a single label as a list of one",
        )
    return bool(lists)


def _refuse_lists(chunk: Chunk, cells: list[Any], column: str) -> None:
    if not are_lists(chunk, cells):
        return
    found, every = [list(cell) for cell in cells], range(len(cells))
    if {len(cell) for cell in found} == {1}:
        raise chunk.fault(
            f"each label is a list of one, such as {found[0]!r}",
            every,
            add=f"--label-column {column}.0",
        )
    if are_marks(cells):
        raise places_without_names(chunk, found, column)
    raise several(chunk, every, f"a row has several labels, as a list: {describe(found[0])}")


def _refuse_objects(chunk: Chunk, cells: list[Any], column: str) -> None:
    objects = [index for index, cell in enumerate(cells) if isinstance(cell, Mapping)]
    if not objects:
        return
    names = {f"{column}.{path}": path for path in paths(cells)}
    marks, exclusive = one_hot_columns(
        {name: [reach(cell, path) for cell in cells] for name, path in names.items()}
    )
    plain = [
        name
        for name, path in names.items()
        if not any(isinstance(reach(cell, path), float) for cell in cells)
    ]
    chosen = marks if exclusive else plain[:1]
    raise chunk.fault(
        f"a label is {describe(cells[objects[0]])}",
        objects,
        allowed=", ".join(names) or None,
        next_step="choose what is inside it, such as:"
        if len(plain) > 1 and not exclusive
        else None,
        add=f"--label-column {quote(','.join(chosen))}" if chosen else None,
    )


def are_marks(cells: Sequence[object]) -> bool:
    """Whether every cell is a list of as many 0 and 1, two or more."""
    lists = [list(cell) for cell in cells if is_list(cell)]
    lengths = {len(own) for own in lists}
    marks = all(isinstance(x, Real) and x in (0, 1) for own in lists for x in own)
    return len(lists) == len(cells) and len(lengths) == 1 and min(lengths) > 1 and marks


def places_without_names(chunk: Chunk, found: list[list[Any]], column: str) -> DataError:
    """The error for lists of 0 and 1, whose places have no names."""
    one_each = all(sum(own) == 1 for own in found)
    what = "one 1 among zeros" if one_each else "0 and 1 for each class"
    names = [f"{column}.{i}" for i in range(len(found[0]))]
    short = len(names) <= LABEL_COLUMNS
    return chunk.fault(
        f"each label is a list of {what}, such as {found[0]!r}",
        range(len(found)),
        next_step="name its places as columns, in the order of the classes:",
        add="--label-column " + ",".join(names) if short else None,
    )


def several(chunk: Chunk, rows: Sequence[int], what: str, **more: str) -> DataError:
    """The error for rows that have several labels each."""
    step = "give each row one label; or, where every row has a list of them:"
    return chunk.fault(what, rows, **{"next_step": step, "add": MULTI, **more})


def _numbers_and_strings(chunk: Chunk, cells: list[Any]) -> list[int | float | str]:
    labels = [_label(cell) for cell in cells]
    odd = [index for index, label in enumerate(labels) if label is None]
    if odd:
        raise chunk.fault(
            f"a label is {describe(cells[odd[0]])}",
            odd,
            allowed="integers, or strings",
            next_step="write the classes as integers or names, or choose the column of labels "
            "with --label-column",
        )
    refuse_surrogates(chunk, labels, "a label")
    return [label for label in labels if label is not None]


def _label(cell: object) -> int | float | str | None:
    """A number or a string; None for what cannot be a label."""
    if isinstance(cell, str):
        return cell.strip(_BLANKS)
    if isinstance(cell, bool) or _is_numpy_truth(cell):
        return str(bool(cell))
    if isinstance(cell, date | time):
        # What is no more than a day is written so, as in a text file.
        return str(cell).removesuffix(" 00:00:00")
    if isinstance(cell, Integral):
        return int(cell)
    if isinstance(cell, Real | Decimal) and isfinite(cell):
        number = float(cell)
        return int(number) if number.is_integer() else number
    return None


def _is_numpy_truth(cell: object) -> bool:
    """Seen without importing NumPy, for which a first answer would wait."""
    return getattr(getattr(cell, "dtype", None), "kind", None) == "b"


def _integers(labels: Sequence[int | float | str]) -> list[int | float | str]:
    """Integers if all look like it, else all as they are written."""
    written = [str(label) for label in labels]
    matches = [_INTEGER.fullmatch(label) for label in written]
    return [int(match[1]) for match in matches if match] if all(matches) else [*written]


def _refuse_mixed(chunk: Chunk, labels: Sequence[int | float | str]) -> None:
    words = [index for index, label in enumerate(labels) if isinstance(label, str)]
    if words and len(words) < len(labels):
        raise chunk.fault(
            f"labels are partly numbers, partly strings such as {labels[words[0]]!r}",
            words,
            allowed="all integers, or all strings",
        )


def _refuse_fractions(chunk: Chunk, labels: Sequence[str]) -> None:
    different = set(labels)
    broken = {label for label in different if not _WHOLE.fullmatch(label)}
    if broken and all(map(_NUMBER.fullmatch, different)):
        rows = [index for index, label in enumerate(labels) if label in broken]
        what = "percentages" if labels[rows[0]].endswith("%") else "numbers that are not whole"
        classes = f"to train each of the {len(different):,} numbers as a class of its own"
        rated = all(map(RATING_FORM.fullmatch, different))
        raise chunk.fault(
            f"labels are {what}, such as {labels[rows[0]]}",
            rows,
            allowed="classes, or with data.task=rating ratings, which are learnt as numbers",
            next_step=f"{classes}, data.task=single; to learn them as ratings:"
            if rated
            else f"write them with a decimal point to learn them as ratings; {classes}:",
            add=RATING if rated else SINGLE,
        )


def _refuse_separated(chunk: Chunk, labels: Sequence[str]) -> None:
    """Look for several names in one label."""
    counts = Counter(labels)
    if are_bracketed(labels):
        add = MULTI if any(len(items(label)) > 1 for label in counts) else SINGLE
        raise _separated(chunk, labels, range(len(labels)), how="in brackets", add=add)
    for sign, share in SEPARATORS.items():
        joined = {label for label in counts if sign in label.strip(sign)}
        parts = {label: {part.strip() for part in label.split(sign)} for label in counts}
        times = Counter(part for own in parts.values() for part in own)
        names = {part for label in joined for part in parts[label]}
        several_rows = sum(counts[label] for label in joined) >= SEPARATED_SHARE * len(labels)
        # Names that all stand alone in other rows are several in one row, too.
        if not joined or not (several_rows or names <= counts.keys()):
            continue
        shared = sum(times[name] > 1 for name in names)
        if shared and shared >= share * len(names):
            rows = [index for index, label in enumerate(labels) if label in joined]
            add = f"{MULTI} --set data.label_separator={quote(sign)}"
            raise _separated(chunk, labels, rows, how=f"joined by {sign!r}", add=add)


def _separated(
    chunk: Chunk, labels: Sequence[str], rows: Sequence[int], *, how: str, add: str
) -> DataError:
    classes = f"each of the {len(set(labels)):,} combinations as a class of its own"
    return several(
        chunk,
        rows,
        f"labels seem to be several, {how}, such as {labels[rows[0]]!r}",
        next_step=f"to train {classes}:"
        if add == SINGLE
        else f"data.task=single trains {classes}; to learn each label of a row:",
        add=add,
    )


def _name(label: str) -> str:
    """A label as it is written, but numbers in one spelling."""
    if not _FRACTION.fullmatch(label):
        return label
    number = float(label)
    return str(int(number)) if number.is_integer() else str(number)


def _indices(
    chunk: Chunk, labels: Sequence[int | float | str], names: tuple[str, ...]
) -> list[int | str]:
    """Labels, given as names or as indices, as indices of ``names``."""
    index_of = {str(name): index for index, name in enumerate(names)}
    indices = [index_of.get(label, -1) if isinstance(label, str) else label for label in labels]
    unknown = [row for row, index in enumerate(indices) if index not in range(len(names))]
    if unknown:
        hint = " (the sign for a row without label)" if labels[unknown[0]] == -1 else ""
        raise chunk.fault(
            f"label {labels[unknown[0]]!r}{hint} is not one of the classes that the source names",
            unknown,
            allowed=", ".join(names),
            next_step="label or remove these rows",
        )
    return [int(index) for index in indices]
