"""The words of a text in any script: what can be left out of it to see whether it matters.

Classes of characters are those of Unicode (Annex 29 for what belongs together). Scripts that put no
blanks between words are cut into short runs of characters, since no dictionary is at hand.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby, pairwise

from tightfit.data.text_pair import JOINT, TextPair

RUN_OF = {
    **dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "YI"), 2),
    **dict.fromkeys(("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "TAI", "NEW", "JAVANESE"), 4),
}
"""Scripts without blanks, as names of their characters begin, and letters of a run."""

INSIDE_WORDS = frozenset("'\u2019\u00b7.,:_-\u2010@")
"""Belongs to a word where it stands between letters or digits, as in don't, 3.5 and a_b."""
MARK = "mark"
JOINERS = frozenset("\u200c\u200d")

Span = tuple[int, int]
"""From the first character to the one after the last."""


def words(text: str) -> list[Span]:
    """Where the words of a text are, and the signs that are no punctuation, such as emoji."""
    found: list[Span] = []
    start = 0
    for kind, group in groupby(_kinds(text)):
        end = start + len(list(group))
        if kind in RUN_OF:
            found += _runs(text, start, end, RUN_OF[kind])
        elif kind:
            found.append((start, end))
        start = end
    return found


def _kinds(text: str) -> list[str]:
    """What each character belongs to; marks belong to what they stand on."""
    kinds = [_kind(character) for character in text]
    for place, kind in enumerate(kinds):
        if kind == MARK:
            kinds[place] = kinds[place - 1] if place else ""
    for place in range(1, len(text) - 1):
        if text[place] in INSIDE_WORDS and kinds[place - 1] == kinds[place + 1] == "word":
            kinds[place] = "word"
    return kinds


def _runs(text: str, start: int, end: int, letters: int) -> Iterator[Span]:
    """Runs of so many letters, each with its marks."""
    bases = [place for place in range(start, end) if _kind(text[place]) != MARK]
    edges = [*bases[::letters], end]
    yield from pairwise(edges)


def merged(spans: list[Span], most: int) -> list[Span]:
    """At most so many spans, neighbours joined as evenly as can be."""
    count = min(most, len(spans))
    edges = [len(spans) * i // count for i in range(count + 1)] if count else []
    return [(spans[a][0], spans[b - 1][1]) for a, b in pairwise(edges)]


def without(text: str, span: Span) -> str:
    """The text with a part left out, and one of two blanks that would meet there."""
    if isinstance(text, TextPair):
        edge = len(text.first)
        first = without(text.first, (min(span[0], edge), min(span[1], edge)))
        start, end = (max(0, place - edge - len(JOINT)) for place in span)
        return TextPair(first, without(text.second, (start, end)))
    before, after = text[: span[0]], text[span[1] :]
    return before + (after[1:] if before[-1:].isspace() and after[:1].isspace() else after)


@lru_cache(4096)
def _kind(character: str) -> str:
    """``word``, ``sign``, the script of a letter that needs no blanks, or nothing."""
    if character.isascii():
        return "word" if character.isalnum() else ""
    if character in JOINERS:
        return MARK
    category = unicodedata.category(character)
    if category[0] == "M" or category == "Sk":
        return MARK
    if category[0] in "LN":
        script = unicodedata.name(character, "").partition(" ")[0]
        return script if script in RUN_OF else "word"
    return "sign" if category in ("So", "Sc") else ""
