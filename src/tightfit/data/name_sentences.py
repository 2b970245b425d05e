"""Sentences that say what a label is about, made of its name or written by somebody."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence

from tightfit.data.words import JOINERS
from tightfit.errors import first_few

TEMPLATE = "The topic is about {}"
"""The sentence of anchored SetFit."""

SHOWN = 5
"""Labels that are named."""


def sentences(names: Sequence[str], described: Mapping[str, str]) -> list[str | None]:
    """A sentence for each label; None where there is none of its own and its name says nothing.

    Args:
        names: of the labels.
        described: sentences of somebody's own, by name.
    """
    return [described.get(name) or _sentence(name) for name in names]


def _sentence(name: str) -> str | None:
    """Of a name that has a word in it, not only a number or a letter."""
    words = " ".join("".join(c if _in_word(c) else " " for c in name).split())
    # Scripts without blanks write a word with one sign.
    says = re.search(r"[^\W\d_]{2}|[^\W\d_\u0000-\u024f\u0370-\u058f]", words)
    return TEMPLATE.format(words) if says else None


def _in_word(character: str) -> bool:
    """Whether it belongs to a word: letters, digits, and what stands on or joins them, such as the
    vowel signs of Hindi and Thai, or accents apart from their letters."""
    marks = character in JOINERS or unicodedata.category(character).startswith("M")
    return character.isalnum() or marks


def unknown_descriptions(names: Sequence[str], described: Mapping[str, str]) -> str | None:
    """What to say of sentences for labels that there are not; None where each has its label.

    Args:
        names: of the labels.
        described: sentences of somebody's own, by name.
    """
    unknown = [repr(name) for name in described if name not in names]
    if not unknown:
        return None
    return (
        f"data.label_descriptions: no label is called {first_few(unknown, SHOWN)}; the labels are "
        f"{first_few([repr(name) for name in names], SHOWN)}"
    )
