"""Cells to texts: the one place that says what a text may be."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time
from numbers import Number
from typing import Any

from tightfit.config import MissingText
from tightfit.data.nested import is_missing
from tightfit.data.rows import Chunk
from tightfit.data.text_pair import TextPair

DROP_TEXT, TAKE_EMPTY = "--set data.missing_text=drop", "--missing-text empty"
"""Options that mend a training with rows without a text, and a prediction or evaluation."""


def textless(columns: Sequence[list[Any]], *, pair: bool) -> list[int]:
    """The rows of which every part of the text is missing, or of a pair one."""
    lacks = any if pair else all
    return [i for i, row in enumerate(zip(*columns, strict=True)) if lacks(map(is_missing, row))]


def read_texts(
    chunk: Chunk,
    columns: Sequence[list[Any]],
    missing_text: MissingText,
    mend: str = TAKE_EMPTY,
    *,
    pair: bool = False,
) -> list[str]:
    """Columns of a chunk as texts, joined with a space; of a row, those that are not empty.

    Args:
        chunk: says where the rows are.
        columns: of the text.
        missing_text: what a row without a text is.
        mend: the option that takes or leaves out such rows.
        pair: the columns are two, and are not joined: each text is a :class:`TextPair`.

    Raises:
        DataError: all parts of a text are missing, or one of a pair (unless ``missing_text`` is
            ``empty``), one is neither a string nor a number nor a date, or cannot be written as
            UTF-8.
    """
    missing = textless(columns, pair=pair)
    if missing and missing_text == "refuse":
        lacking = "rows without one of the two texts of a pair" if pair else "rows without a text"
        # Leaving out all of them would leave nothing.
        if mend == DROP_TEXT and len(missing) == len(columns[0]):
            raise chunk.fault(
                lacking, missing, next_step="choose the column of texts with --text-column"
            )
        how = "leave them out" if mend == DROP_TEXT else "take them as empty texts"
        raise chunk.fault(
            lacking,
            missing,
            next_step=f"fill or remove them, or {how}:",
            add=mend,
        )
    parts = [_text_column(chunk, cells) for cells in columns]
    if pair:
        first, second = parts
        return list(map(TextPair, first, second))
    if len(parts) == 1:
        return parts[0]
    return [" ".join(filter(None, row)) for row in zip(*parts, strict=True)]


def read_groups(chunk: Chunk, columns: Sequence[list[Any]]) -> list[str | None]:
    """The column of groups of a chunk as names, blanks around them aside; None where a cell is
    empty.

    Raises:
        DataError: every cell is empty.
    """
    names = zip(*columns, strict=True)
    groups = [" ".join("" if is_missing(c) else str(c).strip() for c in row) for row in names]
    if not any(groups):
        raise chunk.fault(
            "the column of groups is empty",
            range(len(groups)),
            next_step="choose another data.group_column, or leave it out: data.split=group then "
            "keeps near duplicates together",
        )
    return [group or None for group in groups]


def _text_column(chunk: Chunk, cells: list[Any]) -> list[str]:
    texts = list(cells)
    odd = []
    for index in [i for i, cell in enumerate(cells) if type(cell) is not str]:
        cell = cells[index]
        if is_missing(cell):
            texts[index] = ""
        elif isinstance(cell, str | Number | date | time) and not isinstance(cell, bool):
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
    refuse_surrogates(chunk, texts, "a text")
    return texts


def refuse_surrogates(chunk: Chunk, texts: Sequence[object], what: str) -> None:
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


def describe(cell: object) -> str:
    """The value and its type, as short as an error message needs."""
    value = repr(cell)
    return f"{value if len(value) <= 40 else value[:37] + '...'} ({type(cell).__name__})"
