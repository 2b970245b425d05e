"""Arrays that come from outside, checked once; B rows, K classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.errors import DataError


def class_rows(
    labels_B: ArrayLike, values_BK: ArrayLike
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Class ids, and a value of each class for each row in double precision.

    Raises:
        DataError: no rows, shapes that do not fit together, an id that is no class, or values
            that are not finite.
    """
    true_B, given_BK = np.asarray(labels_B), np.asarray(values_BK)
    if not true_B.size:
        raise DataError("there are no rows to measure", seen="0 labels", allowed="1 or more")
    if given_BK.ndim != 2 or true_B.shape != given_BK.shape[:1]:
        raise DataError(
            "scores must have one row for each label and one column for each class",
            seen=f"{true_B.size} labels and scores of shape {given_BK.shape}",
        )
    classes = given_BK.shape[1]
    if true_B.dtype.kind not in "iu" or not 0 <= true_B.min() <= true_B.max() < classes:
        raise DataError(
            "labels must be ids of classes",
            seen=f"{true_B.dtype} from {true_B.min()} to {true_B.max()}",
            allowed=f"whole numbers from 0 to {classes - 1}",
        )
    refuse_rows(given_BK, ~np.isfinite(given_BK).all(axis=1), allowed="finite numbers")
    return true_B, given_BK.astype(np.float64)


def refuse_rows(values_BK: NDArray[Any], faulty_B: NDArray[np.bool_], *, allowed: str) -> None:
    """Raise a DataError that shows the first faulty row, if there is one."""
    faulty = np.flatnonzero(faulty_B)
    if faulty.size:
        raise DataError(
            f"{faulty.size} of {len(values_BK)} rows of scores cannot be used",
            seen=f"row {faulty[0]}: {values_BK[faulty[0]].tolist()}",
            allowed=allowed,
        )


def confidence_rows(
    confidences_B: ArrayLike, correct_B: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences, and whether the prediction is right, for the same rows.

    Raises:
        DataError: no rows, lists of two lengths, or confidences outside 0 to 1.
    """
    confidence_B = np.asarray(confidences_B, dtype=np.float64)
    right_B = np.asarray(correct_B, dtype=bool)
    if not confidence_B.size or confidence_B.shape != right_B.shape:
        raise DataError(
            "there must be one confidence for each row",
            seen=f"{confidence_B.size} confidences for {right_B.size} rows",
            allowed="as many as rows, 1 or more",
        )
    # Single precision may exceed 1 by a rounding; NaN fails both comparisons.
    inside_B = (confidence_B >= 0) & (confidence_B <= 1 + 1e-6)
    refuse_rows(confidence_B[:, None], ~inside_B, allowed="confidences from 0 to 1")
    return confidence_B, right_B
