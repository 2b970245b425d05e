"""Rows that are alike, and rows that may have several labels, shared out in proportion.

Shapes: N rows, K labels, P parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

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
    wanted_KP = np.where(enough_K1, np.maximum(exact_KP, 1.0), exact_KP)
    dealer = _Dealer(wanted_KP.tolist(), list(sizes), np.full(len(labels_NK), -1), random)
    left_NK = labels_NK.copy()
    while True:
        remaining_K = left_NK.sum(axis=0)
        if not remaining_K.any():
            break
        rarest = int(np.where(remaining_K > 0, remaining_K, len(labels_NK) + 1).argmin())
        rows = random.permutation(np.flatnonzero(left_NK[:, rarest]))
        for row in rows.tolist():
            dealer.deal(row, rarest, np.flatnonzero(labels_NK[row]).tolist())
        left_NK[rows] = False
    for row in random.permutation(np.flatnonzero(~labels_NK.any(axis=1))).tolist():
        dealer.deal(row, None, [])
    return dealer.parts_N


class _Dealer:
    """What each part still lacks."""

    def __init__(
        self,
        wanted_KP: list[list[float]],
        sizes: list[int],
        parts_N: NDArray[Any],
        random: np.random.Generator,
    ) -> None:
        self._wanted_KP, self._room, self.parts_N = wanted_KP, sizes, parts_N
        self._parts = random.permutation(len(sizes)).tolist()

    def deal(self, row: int, label: int | None, own: Sequence[int]) -> None:
        """Give a row to the part that lacks most of a label, or most rows."""
        lacks = [0.0] * len(self._room) if label is None else self._wanted_KP[label]
        open_parts = [part for part in self._parts if self._room[part] > 0]
        part = max(open_parts, key=lambda p: (lacks[p], self._room[p]))
        self.parts_N[row] = part
        self._room[part] -= 1
        for each in own:
            self._wanted_KP[each][part] -= 1
