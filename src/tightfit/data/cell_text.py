"""Cells to texts and labels: the one place that says what a text and what a label may be."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Integral, Number, Real
from typing import Any

from tightfit.config import MissingText
from tightfit.data.rows import Chunk

_INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0)?")
"""An integer as a CSV writes it; ``007`` is a name, and ``2.0`` is how data frames with gaps
write 2."""


_BLANKS = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u2060\ufeff"
"""Around a label these are seen by nobody."""


def read_texts(chunk: Chunk, columns: Sequence[list[Any]], missing_text: MissingText) -> list[str]:
    """Columns of a chunk as texts, joined with a space.

    Raises:
        DataError: a text is missing (unless ``missing_text`` is ``empty``), is neither a string
            nor a number, or cannot be written as UTF-8.
    """
    parts = [_text_column(chunk, cells, missing_text) for cells in columns]
    return [" ".join(row) for row in zip(*parts, strict=True)]


def read_labels(
    chunk: Chunk, cells: list[Any], names: tuple[str, ...] | None, *, untyped: bool
) -> list[int | str]:
    """One column of a chunk as labels: all integers, or all strings.

    Args:
        chunk: says where the rows are.
        cells: the label column.
        names: class names that the source carries; the labels become integers indexing them.
        untyped: the cells are strings, and are integers if all of them look like it.

    Raises:
        DataError: a label is missing, is neither an integer nor a string, is none of ``names``,
            or integers and strings are mixed.
    """
    _refuse_missing(chunk, cells)
    labels = _integers_and_strings(chunk, cells)
    if untyped:
        labels = _integers(labels)
    _refuse_mixed(chunk, labels)
    return _indices(chunk, labels, names) if names else labels


def _text_column(chunk: Chunk, cells: list[Any], missing_text: MissingText) -> list[str]:
    texts = list(cells)
    missing, odd = [], []
    for index in [i for i, cell in enumerate(cells) if type(cell) is not str]:
        cell = cells[index]
        if is_missing(cell):
            missing.append(index)
            texts[index] = ""
        elif isinstance(cell, str | Number) and not isinstance(cell, bool):
            texts[index] = str(cell)
        else:
            odd.append(index)
    if odd:
        raise chunk.fault(
            f"a text is not a string but {describe(cells[odd[0]])}",
            odd,
            allowed="strings, and numbers",
            next_step="choose the column of texts with --text-column",
        )
    if missing and missing_text == "refuse":
        raise chunk.fault(
            "rows without a text",
            missing,
            next_step="fill or remove them; as empty texts they are taken by --missing-text empty "
            "(predict, evaluate) or --set data.missing_text=empty (train)",
        )
    _refuse_surrogates(chunk, texts, "a text")
    return texts


def _refuse_surrogates(chunk: Chunk, texts: Sequence[object], what: str) -> None:
    """Half a surrogate pair, as a JSON escape can make it, is no character and has no UTF-8."""
    broken = [i for i, text in enumerate(texts) if isinstance(text, str) and not _encodable(text)]
    if broken:
        raise chunk.fault(
            f"{what} holds half of a surrogate pair (such as \\ud800), which is not a character",
            broken,
            next_step="mend the program that cut these strings in the middle of a character",
        )


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_missing(cell: object) -> bool:
    """Whether a cell says that nothing is there: None, or any library's sign for it."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):  # of pandas
        return True
    return isinstance(cell, Real) and math.isnan(cell)


def _refuse_missing(chunk: Chunk, cells: list[Any]) -> None:
    missing = [
        index
        for index, cell in enumerate(cells)
        if is_missing(cell) or (isinstance(cell, str) and not cell.strip(_BLANKS))
    ]
    if missing:
        raise chunk.fault(
            "rows without a label",
            missing,
            next_step="label or remove them; only 'tightfit predict' takes rows without labels",
        )


def _integers_and_strings(chunk: Chunk, cells: list[Any]) -> list[int | str]:
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
    _refuse_surrogates(chunk, labels, "a label")
    return [label for label in labels if label is not None]


def _label(cell: object) -> int | str | None:
    """An integer or a string; None for what cannot be a label."""
    if isinstance(cell, str):
        return cell.strip(_BLANKS)
    if isinstance(cell, bool):
        return None
    if isinstance(cell, Integral) or (isinstance(cell, float) and cell.is_integer()):
        return int(cell)
    return None


def _integers(labels: list[int | str]) -> list[int | str]:
    matches = [_INTEGER.fullmatch(str(label)) for label in labels]
    return [int(match[1]) for match in matches if match] if all(matches) else labels


def _refuse_mixed(chunk: Chunk, labels: Sequence[int | str]) -> None:
    words = [index for index, label in enumerate(labels) if isinstance(label, str)]
    if words and len(words) < len(labels):
        raise chunk.fault(
            f"labels are partly integers, partly strings such as {labels[words[0]]!r}",
            words,
            allowed="all integers, or all strings",
        )


def _indices(chunk: Chunk, labels: Sequence[int | str], names: tuple[str, ...]) -> list[int | str]:
    """Labels, given as names or as indices, as indices of ``names``."""
    index_of = {name: index for index, name in enumerate(names)}
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
    return list(indices)


def describe(cell: object) -> str:
    """The value and its type, as short as an error message needs."""
    value = repr(cell)
    return f"{value if len(value) <= 40 else value[:37] + '...'} ({type(cell).__name__})"
