"""Several labels a text as scikit-learn's users have them: 0 and 1 in columns, or lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class GivenLabelSets:
    """Several labels a text."""

    ids: list[tuple[int | str, ...]]
    """Places in ``classes``."""
    classes: NDArray[Any]


def label_sets(y: Any) -> GivenLabelSets | None:
    """The labels of each text where it may have several, or None of one class a text.

    Raises:
        ValueError: a column for each label holds something other than 0 and 1.
    """
    if getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
        marks_NK = np.asarray(y)
        if not np.isin(marks_NK, (0, 1)).all():
            raise ValueError("y with several columns must hold 0 and 1, one column a label")
        marks: list[tuple[int | str, ...]]
        marks = [tuple(np.flatnonzero(row).tolist()) for row in marks_NK]
        columns = getattr(y, "columns", None)
        names = np.arange(marks_NK.shape[1]) if columns is None else np.array(list(columns))
        return GivenLabelSets(marks, names)
    rows = list(y) if isinstance(y, list | tuple) or getattr(y, "ndim", 0) == 1 else []
    if not rows or not all(isinstance(row, list | tuple | set | frozenset) for row in rows):
        return None
    classes = sorted({label for row in rows for label in row})
    place_of = {label: place for place, label in enumerate(classes)}
    ids: list[tuple[int | str, ...]] = [tuple(place_of[x] for x in row) for row in rows]
    return GivenLabelSets(ids, np.array(classes))
