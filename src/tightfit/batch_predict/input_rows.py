"""What is read of the rows that are predicted: texts, an id, and columns to hand on."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from tightfit.data.rows import Rows
from tightfit.data.sources import Columns, iter_records
from tightfit.errors import DataError

ID = "id"
"""The column of ids, in an input and in an output."""

KEEP_ALL = "all"

_WHOLE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
"""As people count; ``007`` is a name."""


@dataclass(frozen=True)
class Records:
    """Some consecutive rows."""

    texts: list[str]
    kept: Mapping[str, list[Any]] = field(default_factory=dict)
    """Cells of the columns that are handed on, by their names in the output."""


def kept_columns(
    rows: Rows,
    text: Sequence[str],
    *,
    keep: Sequence[str] | str = (),
    id_column: str | None = None,
    taken: Collection[str] = (),
) -> dict[str, str]:
    """The columns to hand on: their names in the output, and in the input.

    Args:
        rows: the opened source.
        text: the columns of the text, none of which is taken for an id unasked.
        keep: names, or all of them: the text and the label too, but not the id a second time.
        id_column: where the ids are; None takes a column named ``id``, in any case.
        taken: names of the answer's own columns; a kept one of such a name gets ``given_`` before
            it.

    Raises:
        DataError: there is no such column, or several are named for the ids.
    """
    if id_column is None:
        alike = [name for name in rows.columns if name.strip().lower() == ID and name not in text]
        ids = [ID] if ID in alike else alike[:1]
    else:
        ids = list(rows.resolve((id_column,), "--id-column"))
    if len(ids) > 1:
        raise DataError(
            "ids are in one column",
            seen=f"--id-column {id_column}",
            next_step="name one; --keep hands others on",
        )
    names = [keep] if isinstance(keep, str) else keep
    wanted = rows.all_columns() if keep == KEEP_ALL else rows.resolve(names, "--keep")
    kept = {ID: ids[0]} if ids else {}
    for name in dict.fromkeys(wanted):
        if name not in ids:
            kept[_free(name, {ID, *taken, *kept})] = name
    return kept


def _free(name: str, taken: Collection[str]) -> str:
    return _free(f"given_{name}", taken) if name in taken else name


def read_records(
    rows: Rows, columns: Columns, kept: Mapping[str, str], chunk_rows: int
) -> tuple[Mapping[str, list[Any]], Iterator[Records]]:
    """The first cells of the kept columns, which show their types, and all rows.

    Whole numbers of a file that knows only strings become integers again.

    Raises:
        DataError: as :func:`~tightfit.data.sources.iter_records`.
    """
    chunks = iter_records(rows, columns, list(kept.values()), chunk_rows)
    first = next(chunks, None)
    if first is None:
        return {}, iter(())
    numbers = [rows.untyped and _are_whole_numbers(cells) for cells in first[1]]

    def record(texts: list[str], columns_: list[list[Any]]) -> Records:
        cells = [
            [*map(_number, each)] if number else each
            for each, number in zip(columns_, numbers, strict=True)
        ]
        return Records(texts, dict(zip(kept, cells, strict=True)))

    start = record(*first)
    return start.kept, chain([start], (record(*chunk) for chunk in chunks))


def _are_whole_numbers(cells: list[Any]) -> bool:
    there = [cell for cell in cells if cell is not None]
    return bool(there) and all(_WHOLE_NUMBER.fullmatch(cell) for cell in there)


def _number(cell: str | None) -> int | str | None:
    return int(cell) if cell is not None and _WHOLE_NUMBER.fullmatch(cell) else cell
