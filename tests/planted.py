"""Rows with faults in known places: written news items, and edits of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table

NAMES = ("World", "Sports", "Business", "Sci/Tech")


@cache
def sample() -> Table:
    """The 600 written items that ship inside the package: 480 to train on, then 120 to test."""
    train, test = (read_table(name, Columns(), labelled=True) for name in ("sample", "sample:test"))
    return Table([*train.texts, *test.texts], [*(train.labels or []), *(test.labels or [])], NAMES)


def without_a_word(text: str, chance: random.Random) -> str:
    """One word less."""
    words = text.split()
    words.pop(chance.randrange(len(words)))
    return " ".join(words)


def with_another_word(text: str, chance: random.Random) -> str:
    """One word replaced."""
    words = text.split()
    words[chance.randrange(len(words))] = "otherwise"
    return " ".join(words)


def shouted(text: str, _: random.Random) -> str:
    """Other case and punctuation."""
    return text.upper().replace(".", " !").replace(",", " -")


def with_a_prefix(text: str, _: random.Random) -> str:
    """As an agency marks its items."""
    return f"UPDATE 1: {text}"


def escaped(text: str, _: random.Random) -> str:
    """As AG News holds it: entities with their ampersand lost, and a tag."""
    return "&lt;b&gt;" + text.replace("'", " #39;") + "&lt;/b&gt;"


def mistyped(text: str, chance: random.Random) -> str:
    """Three letters doubled."""
    for _ in range(3):
        place = chance.randrange(len(text))
        text = text[:place] + text[place] + text[place:]
    return text


EDITS: tuple[Callable[[str, random.Random], str], ...] = (
    without_a_word,
    with_another_word,
    shouted,
    with_a_prefix,
    escaped,
    mistyped,
)
"""Each leaves a near duplicate of a sentence or two."""


def edited(text: str, index: int) -> str:
    """The text after one of the edits; the index chooses which, and where."""
    return EDITS[index % len(EDITS)](text, random.Random(index))
