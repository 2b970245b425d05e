"""Whether an encoder reads the texts at all, seen from its tokenizer before anything is computed.

Two figures tell, and neither knows of languages: how many tokens stand for what the vocabulary
lacks, and into how many pieces a word falls. The bounds were set on texts of many kinds and of 117
languages (docs/experiments/readability.md).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tightfit.data.text_tokenizer import TextTokenizer

UNREAD = 0.05
"""Share of unknown tokens from which on an encoder cannot read the texts."""

IN_PIECES, IN_PIECES_SHARED = 1.4, 3.5
"""Tokens a word from which on it reads them poorly, and where many languages share its vocabulary:
each has few pieces of its own there."""

SHARED = 200_000
"""Pieces from which on a vocabulary is taken for such a one."""

NO_BLANKS = 20
"""Characters between two blanks, on average, from which on blanks do not part words: of such texts
tokens are counted by the character."""

SAMPLED_ROWS = 200
SAMPLED_CHARACTERS = 1_000
"""That suffice, of each row."""

_WORD = re.compile(r"[^\W\d]+|\d|[^\w\s]")
"""A digit is a word: numbers fall into pieces for everybody, and say nothing of the language."""

_WITHIN_WORDS = ("Mn", "Mc", "Me", "Cf")
"""Categories of characters that part no words, though ``re`` takes none for a letter: vowel signs,
accents of their own, joiners."""

Verdict = Literal["reads", "reads poorly", "cannot read"]


@dataclass(frozen=True)
class Readability:
    """What a tokenizer makes of a sample of texts."""

    unknown: float
    """Share of its tokens that stand for what the vocabulary lacks, from 0 to 1."""
    pieces: float
    """Tokens a word, or a character where blanks do not part words."""
    unit: Literal["word", "character"]
    most: float = IN_PIECES
    """``pieces`` from which on it reads poorly."""

    @property
    def verdict(self) -> Verdict:
        """How well an encoder with this tokenizer reads the texts."""
        if self.unknown >= UNREAD:
            return "cannot read"
        return "reads poorly" if self.pieces >= self.most else "reads"

    def __str__(self) -> str:
        """The figure that the verdict hangs on, in words."""
        if self.verdict == "cannot read":
            return f"{self.unknown:.0%} of their tokens are unknown to it"
        return f"they fall into {self.pieces:.1f} tokens a {self.unit}"


def readability(tokenizer: TextTokenizer, texts: Sequence[str]) -> Readability:
    """What a tokenizer makes of the first of these texts."""
    sample = [text[:SAMPLED_CHARACTERS] for text in texts[:SAMPLED_ROWS]]
    ids = [
        i
        for encoding in tokenizer.encodings(sample)
        for i, special in zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        if not special or i == tokenizer.unknown_id
    ]
    unknown = sum(i == tokenizer.unknown_id for i in ids) / max(1, len(ids))
    most = IN_PIECES_SHARED if tokenizer.backend.get_vocab_size() >= SHARED else IN_PIECES
    chunks = [chunk for text in sample for chunk in text.split()]
    characters = sum(map(len, chunks))
    if characters >= NO_BLANKS * max(1, len(chunks)):
        return Readability(unknown, len(ids) / characters, "character", most)
    words = sum(len(_WORD.findall(_letters_joined(text))) for text in sample)
    return Readability(unknown, len(ids) / max(1, words), "word", most)


def _letters_joined(text: str) -> str:
    """The text without what stands within its words."""
    return "".join(c for c in text if unicodedata.category(c) not in _WITHIN_WORDS)
