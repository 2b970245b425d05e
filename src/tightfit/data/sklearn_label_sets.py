"""Several labels a text as scikit-learn has them: a list of them, or a matrix of 0 and 1.

Shapes: N texts, K labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Number
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.data.cell_labels import is_blank
from tightfit.data.nested import numbers_of
from tightfit.data.rows import say_places


@dataclass(frozen=True)
class LabelSets:
    """Several labels a text."""

    ids: list[tuple[int | str, ...]]
    """Places in ``classes``."""
    classes: NDArray[Any]


def dense(y: Any) -> Any:
    """An indicator matrix, (N, K), where ``y`` is a sparse one or its rows; of a tensor the array;
    all else as it is.

    Rows of 0 and 1 are such a matrix to scikit-learn, too. Nothing else is meant: as lists of the
    labels 0 and 1 they would all hold both.
    """
    if hasattr(y, "toarray"):
        return y.toarray()
    if hasattr(y, "detach"):
        return np.array(numbers_of(y))
    if not isinstance(y, list | tuple) or not y or not all(map(is_list, y)):
        return y
    marks = all(isinstance(x, Number | np.bool_) and x in (0, 1) for row in y for x in row)
    ordered = not any(isinstance(row, set | frozenset) for row in y)
    same = len(y[0]) > 1 and {len(row) for row in y} == {len(y[0])}
    return np.array(y) if marks and ordered and same else y


def label_sets(y: Any) -> LabelSets | None:
    """The labels of each text where it may have several, or None of one class a text.

    Args:
        y: what :func:`dense` gives.

    Raises:
        ValueError: a column for each label holds something other than 0 and 1; or some rows are
            lists and others not, or labels are missing or of several kinds.
    """
    if getattr(y, "ndim", 1) == 2 and y.shape[1] > 1:
        return _by_columns(y)
    rows = list(y) if isinstance(y, list | tuple) or getattr(y, "ndim", 0) == 1 else []
    if not any(map(is_list, rows)):
        return None
    _check(rows)
    labels = {label for row in rows for label in row}
    try:
        classes = sorted(labels)
    except TypeError as error:
        kinds = ", ".join(sorted({type(label).__name__ for label in labels}))
        raise ValueError(f"labels of y must be of one kind; they are of {kinds}") from error
    place_of = {label: place for place, label in enumerate(classes)}
    return LabelSets([tuple(place_of[x] for x in row) for row in rows], np.array(classes))


def is_list(row: object) -> bool:
    """Whether this is the labels of one text, rather than its class."""
    if isinstance(row, np.ndarray):
        return row.ndim == 1
    return isinstance(row, list | tuple | set | frozenset)


def _by_columns(y: Any) -> LabelSets:
    marks_NK = np.asarray(y)
    if not np.isin(marks_NK, (0, 1)).all():
        raise ValueError("y with several columns must hold 0 and 1, one column a label")
    ids: list[tuple[int | str, ...]] = [tuple(np.flatnonzero(row).tolist()) for row in marks_NK]
    columns = getattr(y, "columns", None)
    names = np.arange(marks_NK.shape[1]) if columns is None else np.array(list(columns))
    return LabelSets(ids, names)


def _check(rows: list[Any]) -> None:
    """That every text has a list, and every label in it is one."""
    odd = [place for place, row in enumerate(rows) if not is_list(row)]
    if odd:
        raise ValueError(
            f"y has lists of labels, but {rows[odd[0]]!r} in {say_places(odd, 'row')}; "
            "give each text a list, an empty one where it has no label"
        )
    if blank := [place for place, row in enumerate(rows) if any(map(is_blank, row))]:
        raise ValueError(
            "Input y contains NaN, None or an empty string, which is no label: "
            f"{say_places(blank, 'row')}; leave it out of the list"
        )
