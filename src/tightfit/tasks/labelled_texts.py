"""Texts, and what a task wants of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tightfit.tasks.labelled_rows import LabelledRows


@dataclass(frozen=True)
class LabelledTexts(LabelledRows):
    """Texts with their targets."""

    texts: list[str]

    def select(self, rows: Sequence[int] | NDArray[np.int64]) -> Self:
        """Some of them, in this order."""
        return replace(
            super().select(rows), texts=[self.texts[row] for row in np.asarray(rows).tolist()]
        )

    def followed_by(self, more: Self) -> Self:
        """Others after them; see :meth:`LabelledRows.followed_by`."""
        return replace(super().followed_by(more), texts=[*self.texts, *more.texts])
