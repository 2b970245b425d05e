"""Pairs of texts that a program hands over by themselves, without names of columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from tightfit.data.cell_text import describe
from tightfit.data.text_pair import TextPair
from tightfit.errors import DataError

FIRST, SECOND = "text", "text_pair"
"""What the two texts are called; ``transformers`` calls them so, too."""


def pair_columns(rows: Any) -> dict[str, list[Any]]:
    """The cells of both columns, by their names.

    Args:
        rows: two cells each, as a tuple, a list, a row of an array, or a :class:`TextPair`.

    Raises:
        DataError: a row is something else.
    """
    given = list(rows)
    odd = next((i for i, row in enumerate(given) if not is_pair(row)), None)
    if odd is not None:
        raise DataError(
            f"a row is not a pair of texts but {describe(given[odd])}",
            seen=f"row {odd} (counted from 0)",
            allowed="(first, second)",
            next_step="give each row both of its texts; single texts are for data.pair=false",
        )
    both = [(row.first, row.second) if isinstance(row, TextPair) else row for row in given]
    return {FIRST: [row[0] for row in both], SECOND: [row[1] for row in both]}


def is_pair(row: Any) -> bool:
    """Whether a row is two cells, each no more than a text."""
    if isinstance(row, TextPair):
        return True
    two = isinstance(row, tuple | list | np.ndarray) and len(row) == 2
    return two and not any(isinstance(cell, tuple | list | np.ndarray) for cell in row)
