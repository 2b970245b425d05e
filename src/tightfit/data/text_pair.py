"""Two texts that are read as one row, such as a premise and a hypothesis."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence

JOINT = "\t"
"""Between both, where they are told as one string; also in a line of standard input."""


class TextPair(str):
    """A text of two parts.

    As a string it is both of them, a tab between: so it is counted, searched for words and shown,
    by whatever does not ask. A tokenizer reads the two as a pair, with its separators and segments.
    """

    __slots__ = ("first", "second")
    first: str
    second: str

    def __new__(cls, first: str, second: str) -> TextPair:
        """The pair of two strings, whatever they hold."""
        pair = super().__new__(cls, f"{first}{JOINT}{second}")
        pair.first, pair.second = first, second
        return pair

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # str has one
        return self.first, self.second

    def __eq__(self, other: object) -> bool:
        alike = isinstance(other, TextPair) and len(self.first) == len(other.first)
        return alike and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def as_input(text: str) -> str | tuple[str, str]:
    """A text as the ``tokenizers`` library takes it."""
    return (text.first, text.second) if isinstance(text, TextPair) else text


def mapped(text: str, change: Callable[[str], str]) -> str:
    """A text changed; of a pair each text by itself."""
    if isinstance(text, TextPair):
        return TextPair(change(text.first), change(text.second))
    return change(text)


def as_bytes(text: str) -> bytes:
    """What a fingerprint reads of a text; the length in front tells a pair from any other."""
    encoded = text.encode("utf-8", "surrogatepass")
    if not isinstance(text, TextPair):
        return encoded
    return b"%d|" % len(text.first) + encoded


def texts_sha256(texts: Iterable[str], start: bytes = b"") -> str:
    """SHA-256, in hex, of texts in their order, behind what else it is to tell apart."""
    digest = hashlib.sha256(start)
    for text in texts:
        encoded = as_bytes(text)
        # The length in front keeps "a" + "bc" apart from "ab" + "c".
        digest.update(b"%d:" % len(encoded) + encoded)
    return digest.hexdigest()


def are_pairs(texts: Sequence[str]) -> bool:
    """Whether these are pairs: all of them, or none is."""
    pairs = sum(isinstance(text, TextPair) for text in texts)
    assert pairs in (0, len(texts)), "pairs and single texts in one list"
    return pairs > 0


def text_option(*, pair: bool) -> str:
    """How a text is given on the command line, for whoever tells what to type next."""
    return "--text '…' --text-pair '…'" if pair else "--text '…'"
