"""Rows by what a task wants of each. Shapes: N and M rows, K outputs."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelledRows:
    """The targets of rows, how much each row counts, and which rows belong together."""

    targets: NDArray[Any]
    """(N,) ids of classes, or ratings; (N, K) of 0 and 1 where a row may have several labels."""
    weights_N: NDArray[np.float64] | None = field(default=None, kw_only=True)
    """How much each counts, so that one of weight 2 is two; None is as much as every other."""
    alike_N: NDArray[np.int64] | None = field(default=None, kw_only=True)
    """The same number for rows that stay together where some are held out, such as copies of a
    text; None is another for each."""
    parts_N: NDArray[np.int64] | None = field(default=None, kw_only=True)
    """Of a cross-validation: the part that each is in, -1 for those that no part scores; None where
    there is none."""

    def __len__(self) -> int:
        return len(self.targets)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Self:
        """Some of them, in this order."""
        rows_M = np.asarray(rows, dtype=np.int64)
        return replace(
            self,
            targets=self.targets[rows_M],
            weights_N=None if self.weights_N is None else self.weights_N[rows_M],
            alike_N=None if self.alike_N is None else self.alike_N[rows_M],
            parts_N=None if self.parts_N is None else self.parts_N[rows_M],
        )

    def followed_by(self, more: Self) -> Self:
        """Others after them, each of which counts as much as these do on average (as one, where
        there are none of these), is like none of these, and in no part."""
        weights_N, parts_N, added = self.weights_N, self.parts_N, (0, len(more))
        if weights_N is not None:
            usual = weights_N.mean() if len(weights_N) else 1.0
            weights_N = np.pad(weights_N, added, constant_values=usual)
        if parts_N is not None:
            parts_N = np.pad(parts_N, added, constant_values=-1)
        own_N, theirs_M = self.groups_N, more.groups_N
        return replace(
            self,
            targets=np.concatenate([self.targets, more.targets]),
            weights_N=weights_N,
            alike_N=np.concatenate([own_N, theirs_M + own_N.max(initial=-1) + 1]),
            parts_N=parts_N,
        )

    @property
    def groups_N(self) -> NDArray[np.int64]:
        """The number of each as in :attr:`alike_N`, also where that is another for each."""
        return np.arange(len(self)) if self.alike_N is None else self.alike_N


def numbered(every: Iterable[Hashable]) -> NDArray[np.int64]:
    """The same number for those that are equal, from 0 on."""
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(each, len(numbers)) for each in every], dtype=np.int64)
