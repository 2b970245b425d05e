"""Sentences that say what a label is about, made of its name or written by somebody."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

TEMPLATE = "The topic is about {}"
"""The sentence of anchored SetFit."""


def sentences(names: Sequence[str], described: Mapping[str, str]) -> list[str | None]:
    """A sentence for each label; None where there is none of its own and its name says nothing.

    Args:
        names: of the labels.
        described: sentences of somebody's own, by name.
    """
    return [described.get(name) or _sentence(name) for name in names]


def _sentence(name: str) -> str | None:
    """Of a name that has a word in it, not only a number or a letter."""
    words = " ".join(re.split(r"[\W_]+", name)).strip()
    # Scripts without blanks write a word with one sign.
    says = re.search(r"[^\W\d_]{2}|[^\W\d_\u0000-\u024f\u0370-\u058f]", words)
    return TEMPLATE.format(words) if says else None
