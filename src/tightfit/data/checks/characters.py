"""Texts with nothing to read, and texts whose characters were lost or misread on the way."""

from __future__ import annotations

import re
import unicodedata

from tightfit.data.text_pair import TextPair

_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
"""Unicode categories of controls, formats (zero-width ones among them) and separators."""

# UTF-8 read as Latin-1 or Windows-1252: the bytes 80 to BF, which continue a character, appear as
# these; 80 to 9F are controls in the one and marks in the other.
_NEXT = "[\u0080-\u00bf" + bytes(range(0x80, 0xA0)).decode("cp1252", "ignore") + "]"
_MISREAD = f"[Â-ß]{_NEXT}|[à-ï]{_NEXT}{{2}}|[ð-ô]{_NEXT}{{3}}"

# One misread character is proof only where its letters do not meet in any language: the word CAFÉ
# in angle quotes ends like a misread one. Two in a row are proof anyway.
_MOJIBAKE = f"[ÂÃ]{_NEXT}|â{_NEXT}{{2}}|â€|ðŸ|ï»¿|ï¿½|(?:{_MISREAD}){{2}}"

_LOST = re.compile(
    f"(?P<replaced>[\ufffd\ufffe\uffff])|(?P<mojibake>{_MOJIBAKE})"
    "|(?P<control>[\x00-\x08\x0e-\x1f\x7f-\x9f])"
)


def is_empty(text: str) -> bool:
    """Whether no character of the text is visible."""
    # Nearly all texts begin with a letter or a digit.
    return not text[:1].isalnum() and all(
        unicodedata.category(character) in _INVISIBLE for character in text
    )


def lacks_text(text: str) -> bool:
    """Whether there is nothing to read; of a pair, in either text."""
    parts = (text.first, text.second) if isinstance(text, TextPair) else (text,)
    return any(map(is_empty, parts))


def find_undecodable(text: str) -> tuple[int, str] | None:
    """The first place where characters were lost or misread, and what it is; None if there is none.

    That is the replacement character U+FFFD, UTF-8 that was read as Windows-1252 or Latin-1
    (``â€™`` for an apostrophe), or a control character other than tabs and
    the ends of lines and pages.
    """
    match = None if text.isascii() and text.isprintable() else _LOST.search(text)
    if match is None:
        return None
    if match.lastgroup == "mojibake":
        return match.start(), f"UTF-8 read as another encoding: {match[0]!r}"
    what = "replacement" if match.lastgroup == "replaced" else "control"
    return match.start(), f"{what} character U+{ord(match[0]):04X}"


def find_decomposed(text: str) -> tuple[int, str] | None:
    """The first place that Unicode's composed form (NFC) has otherwise, and how; None if none has.

    Both forms look alike, and many tokenizers make other tokens of them.
    """
    if unicodedata.is_normalized("NFC", text):
        return None
    start = 0
    for end in range(1, len(text) + 1):
        # A letter with the marks that follow it is what one form has as one and the other apart.
        if end < len(text) and unicodedata.combining(text[end]):
            continue
        found, start = (start, text[start:end]), end
        composed = unicodedata.normalize("NFC", found[1])
        if composed != found[1]:
            return found[0], f"{_codes(found[1])}, in NFC {_codes(composed)}"
    # Such as the parts of a Korean syllable, none of which is a mark.
    return 0, "not in NFC"


def _codes(text: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in text)
