"""Kinds of values that settings have, and how the command line and TOML write them."""

from __future__ import annotations

import codecs
import csv
import difflib
import re
import tomllib
from encodings import aliases
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

_COUNT = re.compile(r"(\d[\d_,]*)(?:\.(\d+))?([km]?)", re.IGNORECASE)
_SCALE = {"": 0, "k": 3, "m": 6}


def read_count(text: str) -> int | None:
    """A whole number above 0, also written ``100_000``, ``100,000``, ``100k`` or ``0.1M``.

    None where it is none.
    """
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        return None
    whole, fraction, unit = re.sub("[_,]", "", match[1]), match[2] or "", match[3].lower()
    if len(fraction) > _SCALE[unit]:
        return None
    return int(whole + fraction.ljust(_SCALE[unit], "0")) or None


def _as_count(value: object) -> object:
    """Let people write ``100k``; what is no count is left to be refused."""
    return (read_count(value) or value) if isinstance(value, str) else value


def as_list(value: object) -> object:
    """Let the command line write ``a,b`` for a list of names; a name with a comma is quoted."""
    if isinstance(value, str):
        rows = csv.reader(value.splitlines(), skipinitialspace=True)
        return [part.strip() for row in rows for part in row if part.strip()]
    return value


def _reads(word: str) -> BeforeValidator:
    """Take a word for None: TOML has no null."""
    return BeforeValidator(lambda value: None if value == word else value)


def _writes(word: str) -> PlainSerializer:
    """Write None as that word."""
    return PlainSerializer(lambda value: word if value is None else value)


def _from_file(value: object) -> object:
    """Let the command line name a file."""
    if not isinstance(value, str):
        return value
    try:
        return tomllib.loads(Path(value).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"no TOML file of sentences by label: {error}") from error


def _as_ngrams(value: object) -> object:
    if value in ("off", "auto"):
        return value
    return _counted(value, "should be 'off', 'auto' or a number of n-grams, 1 or more")


def _as_depth(value: object) -> object:
    if value is None or value == "all":
        return None
    if value == "half":
        return value
    return _counted(value, "should be 'all', 'half' or a number of layers, 1 or more")


def _counted(value: object, fault: str) -> int:
    """A count, or one error for all that a union of words and numbers would refuse one by one."""
    number = str(value)
    if isinstance(value, bool) or not number.isdecimal() or int(number) < 1:
        raise ValueError(fault)
    return int(number)


Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]
ColumnNames = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]
"""Columns; one word may be a list joined by commas, which only their names can tell."""
Descriptions = Annotated[dict[str, str], BeforeValidator(_from_file)]
CountOrShare = Annotated[float, Field(ge=0)]
"""A count, or, below 1, a share of the whole."""
Limit = Annotated[Annotated[int, Field(gt=0)] | None, _reads("none"), _writes("none")]
"""A count, or ``none``."""
Cap = Annotated[Limit, BeforeValidator(_as_count)]
"""A count as people write it, such as ``1M``, or ``none``."""
Minutes = Annotated[Annotated[float, Field(gt=0)] | None, _reads("none"), _writes("none")]
"""A time, or ``none``."""
Depth = Annotated[Literal["half"] | int | None, BeforeValidator(_as_depth), _writes("all")]
"""A count of blocks, ``half`` of them, or ``all``."""
Rank = Annotated[Annotated[int, Field(ge=1)] | None, _reads("auto"), _writes("auto")]
"""A rank, or ``auto``: as large as the cap allows."""
Epochs = Annotated[Annotated[float, Field(gt=0)] | None, _reads("auto"), _writes("auto")]
"""Passes over the rows, or ``auto``: more of them where rows are few."""
StepCount = Annotated[Annotated[int, Field(ge=1)] | None, _reads("auto"), _writes("auto")]
RowCount = Annotated[Annotated[int, Field(ge=2)] | None, _reads("auto"), _writes("auto")]
"""Steps, and rows in one, or ``auto``: by how many rows there are."""
Length = Annotated[Annotated[int, Field(ge=4)] | None, _reads("auto"), _writes("auto")]
"""Tokens of the longest text that is read whole, or ``auto``: as many as while training."""
Folds = Annotated[Annotated[int, Field(ge=0)] | None, _reads("auto"), _writes("auto")]
"""Parts of a cross-validation, or ``auto``; 0 holds rows out instead."""
Blend = Annotated[Annotated[float, Field(gt=0, le=1)] | None, _reads("auto"), _writes("auto")]
"""A share above 0, or ``auto``."""
NgramCount = Annotated[Literal["off", "auto"] | int, BeforeValidator(_as_ngrams)]
"""A count of n-grams, ``off`` or ``auto``."""
Decay = Annotated[float, Field(ge=0, lt=1)]
"""What remains of a running mean after one step."""


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
