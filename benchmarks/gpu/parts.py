"""What is measured, in order of worth, and how much of the time each part may take.

Nothing here imports torch: the list must be readable where everything is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One process of its own, with a time limit and a result."""

    name: str
    title: str
    share: float
    """Of the time that is left, against the shares of the parts still to come."""
    most: float = float("inf")
    """Seconds that it may take at most, however much time there is."""


PARTS = (
    Part("packages", "Packages", share=1, most=120),
    Part("machine", "Machine", share=1, most=90),
    Part("tests", "Tests", share=3, most=180),
    Part("speed-embedded", "Training speed, embedded encoder", share=4),
    Part("speed-base", "Training speed, base size", share=4),
    Part("predict", "Prediction speed", share=3),
    Part("accuracy-embedded", "Accuracy, embedded encoder", share=4),
    Part("accuracy-base", "Accuracy, base size", share=4),
)


def limit_of(part: Part, left: float, to_come: Sequence[Part]) -> float:
    """Seconds that a part may take: what others save goes to those after them.

    Args:
        part: the one that is about to start.
        left: seconds until all must be over.
        to_come: the parts that still have to run, this one included.
    """
    whole = sum(each.share for each in to_come)
    return max(0.0, min(part.most, left * part.share / whole))


@dataclass(frozen=True)
class Options:
    """What was asked for; travels to each part's process as JSON."""

    out: str
    device: str
    """``cuda`` or ``cpu``."""
    data: str
    model: str
    """The embedded encoder, by name or folder."""
    base: str
    """A folder with a base-size encoder, or empty: then random weights serve for speed."""
    wheels: str
    """A folder with wheels, or empty."""
    limit: float = 0.0
    """Seconds of this part."""
