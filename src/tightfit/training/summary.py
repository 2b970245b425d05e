"""The outcome of a training in a few numbers, as ``metrics.json`` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainSummary:
    """What training took, and what came of it."""

    total: int
    """Parameters that trained."""
    accuracy: float
    macro_f1: float
    best_step: int
    steps: int
    epochs: float
    examples: int
    seconds: float
    examples_per_second: float
    tokens_per_second: float
    proofs: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)
    """Of each proof whether it is ``ok``, and whether a failure was ``expected``."""
