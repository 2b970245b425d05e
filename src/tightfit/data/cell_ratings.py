"""Cells to ratings: numbers, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from numbers import Real
from typing import Any

from tightfit.data.cell_labels import DROP, RATING_FORM, is_blank
from tightfit.data.cell_text import describe
from tightfit.data.rows import Chunk


def read_ratings(chunk: Chunk, columns: Sequence[Sequence[Any]]) -> list[float]:
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
        raise chunk.fault(
            f"a rating is {describe(cells[odd[0]])}",
            odd,
            allowed="finite numbers, such as 4 or 3.5",
            next_step="mend these rows, choose the column of ratings with --label-column, or leave "
            "out data.task=rating",
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
