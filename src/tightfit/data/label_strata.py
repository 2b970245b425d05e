"""Rows that are alike, and rows that may have several labels, shared out in proportion.

Shapes: N rows, K labels, P parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Strata: TypeAlias = "Sequence[int] | NDArray[np.bool_]"
"""Of each row a number, the same for rows that are alike; or, (N, K), which labels it has."""


def several_labels(strata: Strata) -> NDArray[np.bool_] | None:
    """The labels of each row, (N, K), where rows may have several; else None."""
    return strata if isinstance(strata, np.ndarray) and strata.ndim == 2 else None


def one_each(strata: Strata) -> Sequence[int]:
    """One number a row: of several labels the rarest one's, and K where a row has none."""
    labels_NK = several_labels(strata)
    if labels_NK is None:
        return strata  # type: ignore[return-value]  # numbers already
    counts_K = labels_NK.sum(axis=0)
    order_K = np.argsort(counts_K, kind="stable")
    rarest_N = order_K[labels_NK[:, order_K].argmax(axis=1)]
    return np.where(labels_NK.any(axis=1), rarest_N, labels_NK.shape[1]).tolist()


def rows_a_class(strata: Strata) -> float:
    """How many rows a class has on average, of those that have any; 0 of no rows. Of several labels
    a row counts for the rarest."""
    numbers = one_each(strata)
    return len(numbers) / max(1, len(set(numbers)))


def shared_out(labels_NK: NDArray[np.bool_], sizes: Sequence[int], seed: int) -> NDArray[np.int64]:
    """The part of each row, ``parts_N``, so that each label is in each part in proportion.

    Iterative stratification (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10): the rarest
    label first, each of its rows goes to the part that lacks most of that label, of equal parts to
    the one that lacks most rows. A label with as many rows as there are parts is in every one.

    Args:
        labels_NK: which labels each row has.
        sizes: rows of each part; together N.
        seed: of the order of rows.
    """
    random = np.random.default_rng(seed)
    shares_P = np.array(sizes) / max(1, len(labels_NK))
    counts_K = labels_NK.sum(axis=0)
    exact_KP = counts_K[:, None] * shares_P
    # Of each label one row at least, where it has enough of them.
    enough_K1 = counts_K[:, None] >= len(sizes)
    lacking_KP = np.where(enough_K1, np.maximum(exact_KP, 1.0), exact_KP)
    order, room = random.permutation(len(sizes)).tolist(), list(sizes)
    parts_N = np.full(len(labels_NK), -1)

    def give(row: int, lacks: Sequence[float]) -> None:
        """To the part that lacks most of a label, or most rows."""
        part = max((p for p in order if room[p] > 0), key=lambda p: (lacks[p], room[p]))
        parts_N[row] = part
        room[part] -= 1
        lacking_KP[:, part] -= labels_NK[row]

    left_NK = labels_NK.copy()
    while left_NK.any():
        remaining_K = left_NK.sum(axis=0)
        rarest = int(np.where(remaining_K > 0, remaining_K, len(labels_NK) + 1).argmin())
        rows = random.permutation(np.flatnonzero(left_NK[:, rarest]))
        for row in rows.tolist():
            give(row, lacking_KP[rarest].tolist())
        left_NK[rows] = False
    for row in random.permutation(np.flatnonzero(~labels_NK.any(axis=1))).tolist():
        give(row, [0.0] * len(sizes))
    return parts_N
