"""Token ids of many texts, and how many places they take in padded batches.

Nothing here imports torch or transformers: a first answer does not wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class TextTokens(NamedTuple):
    """What a tokenizer makes of one text."""

    ids: NDArray[np.int32]
    windows: tuple[int, ...]
    """Tokens of each window; their sum is all of them."""
    cut: bool
    """Whether some of the text is not among them."""
    segments: NDArray[np.int8] | None = None
    """Of a pair: which of the two each token is of."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, ragged: text i is ``ids[offsets[i]:offsets[i + 1]]``."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    truncated: int
    """How many texts were cut at ``max_length``."""
    max_length: int
    pad_id: int
    multiple: int = 1
    """Batches are padded to a length that this divides, as long as ``max_length`` allows it."""
    windows: NDArray[np.int64] | None = None
    """Where texts of several windows are cut: offsets of all windows; None where each has one."""
    segments: NDArray[np.int8] | None = None
    """Of each token of a pair, which of both it belongs to, 0 or 1: what ``transformers`` calls
    token types. None for single texts, and for encoders that do not ask."""
    added_NK: NDArray[np.float32] | None = None
    """What a side head adds to the logits of each text."""
    kept: float = 1.0
    """What the classifier's own logits are multiplied by before that."""

    @classmethod
    def of(cls, rows: Sequence[TextTokens], max_length: int, pad_id: int) -> Tokens:
        """Those of some texts, one behind the other."""
        parts, sizes = [row.ids for row in rows], [size for row in rows for size in row.windows]
        segments = [row.segments for row in rows if row.segments is not None]
        return cls(
            _joined(parts),
            _offsets(parts),
            sum(row.cut for row in rows),
            max_length,
            pad_id,
            windows=np.cumsum([0, *sizes], dtype=np.int64) if len(sizes) > len(rows) else None,
            segments=np.concatenate(segments) if segments else None,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def flat(self) -> Tokens:
        """Each window as a text of its own."""
        return self if self.windows is None else replace(self, offsets=self.windows, windows=None)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The text of each window."""
        return np.searchsorted(self.offsets, self.flat.offsets[:-1], side="right") - 1

    def by_text(self, logits_WK: NDArray[np.float32]) -> NDArray[np.float32]:
        """Those of texts: the mean of its windows', weighted by tokens, and what is added to it."""
        if self.windows is not None:
            weights_W1 = np.diff(self.windows)[:, None] / self.lengths[self.owners][:, None]
            firsts = np.flatnonzero(np.diff(self.owners, prepend=-1))  # every text has a window
            logits_WK = np.add.reduceat(logits_WK * weights_W1, firsts).astype(np.float32)
        return self.with_side(logits_WK)

    def with_side(self, logits_NK: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of texts, with what is added to them."""
        if self.added_NK is None:
            return logits_NK
        return (self.kept * logits_NK + self.added_NK).astype(np.float32)

    def without_side(self, logits_NK: NDArray[np.float32]) -> NDArray[np.float32]:
        """What :meth:`with_side` was given, by what it made of it."""
        return logits_NK if self.added_NK is None else (logits_NK - self.added_NK) / self.kept

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, special tokens included."""
        return np.diff(self.offsets)

    def select(self, rows: Sequence[int]) -> Tokens:
        """The given texts, in the given order; ``truncated`` still counts the whole."""
        spans = [slice(self.offsets[row], self.offsets[row + 1]) for row in rows]
        parts = [self.ids[span] for span in spans]
        chosen = replace(self, ids=_joined(parts), offsets=_offsets(parts))
        if self.segments is not None:
            own = [self.segments[span] for span in spans]
            chosen = replace(chosen, segments=np.concatenate([np.empty(0, np.int8), *own]))
        if self.added_NK is not None:
            chosen = replace(chosen, added_NK=self.added_NK[list(rows)])
        if self.windows is None:
            return chosen
        sizes, owners = np.diff(self.windows), self.owners
        cuts = [sizes[owners == row] for row in rows]
        return replace(chosen, windows=np.cumsum(np.concatenate([[0], *cuts])).astype(np.int64))

    def padded(self, rows: Sequence[int]) -> int:
        """The length to which a batch of these rows is padded."""
        rows_B = np.asarray(rows)
        longest = int((self.offsets[rows_B + 1] - self.offsets[rows_B]).max())
        return max(longest, min(-(-longest // self.multiple) * self.multiple, self.max_length))


def _joined(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """All tokens of some texts, one behind the other."""
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)


def _offsets(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Where each of them begins there, and the end of the last."""
    return np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
