"""The types of the settings that say how a text file is read."""

from __future__ import annotations

import codecs
import difflib
from encodings import aliases
from typing import Annotated, Literal

from pydantic import AfterValidator

Quoting = Literal["auto", "double", "backslash", "single", "none"]
"""How cells of a text file are quoted."""

DELIMITER_WORDS = {
    "tab": "\t",
    "\\t": "\t",
    "comma": ",",
    "semicolon": ";",
    "pipe": "|",
    "space": " ",
}
"""For characters that a shell or TOML would swallow."""


def is_text(encoding: str) -> bool:
    """Whether Python knows this encoding of texts."""
    try:
        # A name may be anything: ``codecs`` also knows ciphers and compressions.
        return bool(codecs.lookup(encoding)._is_text_encoding)
    except (LookupError, ValueError):
        return False


def _known_encoding(name: str) -> str:
    if name == "auto" or is_text(name):
        return name
    near = difflib.get_close_matches(name.lower(), sorted(set(aliases.aliases.values())), n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise ValueError(f"no such encoding{hint}")


def _one_delimiter(value: str) -> str:
    found = DELIMITER_WORDS.get(value, value)
    if found != "auto" and (len(found) != 1 or found in '"\r\n'):
        words = ", ".join(word for word in DELIMITER_WORDS if word.isalpha())
        raise ValueError(f"one character is wanted, or one of {words}, auto")
    return found


Encoding = Annotated[str, AfterValidator(_known_encoding)]
"""A name that Python has for an encoding of texts, or ``auto``."""

Delimiter = Annotated[str, AfterValidator(_one_delimiter)]
"""One character, or ``auto``."""
