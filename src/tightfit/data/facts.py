"""Which rows a run used, as its ``data.json`` says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

HISTOGRAM_BINS = 32
"""Bins that a histogram of lengths has at most."""

MANY_CROSS = 0.02
"""The share of validation rows with a near copy among those from which on it is worth a warning:
news agencies repeat themselves, too."""


@dataclass(frozen=True)
class LengthHistogram:
    """Training texts by tokens: ``counts[i]`` of ``edges[i]`` to ``edges[i + 1] - 1``."""

    edges: tuple[int, ...]
    counts: tuple[int, ...]

    @classmethod
    def of(cls, lengths: NDArray[np.int64]) -> LengthHistogram:
        """In bins of equal widths."""
        width = max(1, -(-(int(lengths.max(initial=0)) + 1) // HISTOGRAM_BINS))
        counts_B = np.bincount(lengths // width)
        return cls(tuple(width * i for i in range(len(counts_B) + 1)), tuple(counts_B.tolist()))


@dataclass(frozen=True, kw_only=True)
class TokenFacts:
    """How long the texts are, in tokens."""

    max_length: int
    mean: float
    """Of a training text."""
    unknown: float | None = None
    """Share of training tokens that stand for what the vocabulary lacks; None in older runs."""
    truncated: int
    """Training texts longer than ``max_length``."""
    validation_truncated: int = 0
    padding_share: float = 0.0
    """Of the tokens of an epoch's forward passes."""
    lengths: LengthHistogram | None = None


@dataclass(frozen=True)
class NearCopies:
    """Near duplicates on both sides of a split, among the rows that were compared."""

    found: int
    """Validation rows with a near copy, not an exact one, that trains."""
    held: int
    """Validation rows that were looked at."""
    trained: int
    """Training rows that they were compared with."""

    def warning(self, rows: int) -> str | None:
        """A sentence, of ``rows`` that train in all, where there are enough to change the score."""
        if self.found <= MANY_CROSS * self.held:
            return None
        return (
            f"{self.found:,} of {self.held:,} validation rows looked at have a near copy among "
            f"{self.trained:,} of {rows:,} training rows, which flatters the score; "
            "data.split=group keeps copies on one side"
        )


@dataclass(frozen=True)
class SplitFacts:
    """How validation rows were held out."""

    by: Literal["random", "group", "last"]
    near_copies: NearCopies | None = None
    """Of a random split."""
    group_column: str = ""
    """Of a split by groups; near duplicates are groups where it is empty."""
    rows_without_group: int = 0
    train_groups: int = 0
    validation_groups: int = 0


@dataclass(frozen=True)
class ContinuedFacts:
    """The run that a training went on from, and its rows among these."""

    run: str
    identity: str
    """Digest of its manifest."""
    new_labels: tuple[str, ...] = ()
    labels_gone: tuple[str, ...] = ()
    repeats_left_out: int = 0
    """New rows whose text that run was scored on."""
    kept_rows: int = 0
    kept_rows_train: bool = False
    """Whether all of them train, as they did there; otherwise they validate."""
    again: int = 0
    """How many of them train."""
    learned_left_out: int = 0
    """New rows that were to validate, whose text that run was trained on."""


@dataclass(frozen=True)
class DataFacts:
    """Source, split and fingerprints; a run that was imported knows its source alone."""

    source: str
    sources: tuple[str, ...] = ()
    """Each of them, where the rows of several are joined."""
    imported: bool = False
    validation_source: str = ""
    held_out: bool = True
    """Whether the validation rows were among those of ``source``."""
    folds: int | None = None
    """Parts of the cross-validation by which every row is scored; None where rows are held out."""
    note: str | None = None
    """What the split has to say."""
    split: SplitFacts | None = None
    """How rows were held out, where some were."""
    rows: int = 0
    train_rows: int = 0
    validation_rows: int = 0
    limit: int | None = None
    train_counts: Mapping[str, int] = field(default_factory=dict)
    """Training rows of each label, in label order."""
    train_fingerprint: str = ""
    validation_fingerprint: str = ""
    warnings: tuple[str, ...] = ()
    continued: ContinuedFacts | None = None
    unlabelled: int = 0
    """Texts without a label that were given."""
    unlabelled_fingerprint: str = ""
    sentences: tuple[str, ...] = ()
    """One a label, in label order, where these were trained on and no labelled row."""
    tokens: TokenFacts | None = None

    @property
    def fingerprints(self) -> dict[str, str]:
        """By what the rows are for."""
        return {
            "train": self.train_fingerprint,
            "validation": self.validation_fingerprint,
            "unlabelled": self.unlabelled_fingerprint,
        }
