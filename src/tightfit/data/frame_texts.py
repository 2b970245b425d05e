"""The texts of rows that a program hands over: a data frame, an Arrow table, a data set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tightfit.data.sources import Columns, as_named, iter_records, open_rows


def frame_texts(data: Any, columns: Columns) -> list[str]:
    """All texts, in their order.

    Raises:
        DataError: there is no such column, or a text is missing or no string.
    """
    data, columns = as_named(data, columns)
    rows = open_rows(data)
    text = rows.resolve(columns.text, "predict(rows['COLUMN'])")
    chunks = iter_records(rows, replace(columns, text=text), ())
    return [each for texts, _ in chunks for each in texts]
