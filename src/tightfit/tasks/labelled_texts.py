"""Texts, and what a task wants of each. Shapes: N and M texts, K outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their targets."""

    texts: list[str]
    targets: NDArray[Any]
    """(N,) ids of classes, or ratings; (N, K) of 0 and 1 where a text may have several labels."""
    weights_N: NDArray[np.float64] | None = None
    """How much each text counts; None is as much as every other."""

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> LabelledTexts:
        """Some of them, in this order."""
        rows_M = np.asarray(rows, dtype=np.int64)
        weights_N = None if self.weights_N is None else self.weights_N[rows_M]
        texts = [self.texts[row] for row in rows_M.tolist()]
        return LabelledTexts(texts, self.targets[rows_M], weights_N)

    def followed_by(self, more: LabelledTexts) -> LabelledTexts:
        """Others after them, each of which counts as much as these do on average."""
        weights_N = self.weights_N
        if weights_N is not None:
            weights_N = np.pad(weights_N, (0, len(more)), constant_values=weights_N.mean())
        targets = np.concatenate([self.targets, more.targets])
        return LabelledTexts([*self.texts, *more.texts], targets, weights_N)
