"""Kinds of values that settings have, and how the command line and TOML write them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer


def as_list(value: object) -> object:
    """Let the command line write ``a,b`` for a list of names."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
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


def _as_buckets(value: object) -> object:
    """One error for all that a union of words and numbers would refuse one by one."""
    if value in ("off", "auto"):
        return value
    number = str(value)
    if isinstance(value, bool) or not number.isdecimal() or int(number) < 1:
        raise ValueError("should be 'off', 'auto' or a number of buckets, 1 or more")
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
Minutes = Annotated[Annotated[float, Field(gt=0)] | None, _reads("none"), _writes("none")]
"""A time, or ``none``."""
Depth = Annotated[Annotated[int, Field(gt=0)] | None, _reads("all"), _writes("all")]
"""A count of blocks, or ``all``."""
Rank = Annotated[Annotated[int, Field(ge=1)] | None, _reads("auto"), _writes("auto")]
"""A rank, or ``auto``: as large as the cap allows."""
Epochs = Annotated[Annotated[float, Field(gt=0)] | None, _reads("auto"), _writes("auto")]
"""Passes over the rows, or ``auto``: more of them where rows are few."""
Folds = Annotated[Annotated[int, Field(ge=0)] | None, _reads("auto"), _writes("auto")]
"""Parts of a cross-validation, or ``auto``; 0 holds rows out instead."""
Blend = Annotated[Annotated[float, Field(gt=0, le=1)] | None, _reads("auto"), _writes("auto")]
"""A share above 0, or ``auto``."""
Buckets = Annotated[Literal["off", "auto"] | int, BeforeValidator(_as_buckets)]
"""A count of buckets, ``off`` or ``auto``."""
Decay = Annotated[float, Field(ge=0, lt=1)]
"""What remains of a running mean after one step."""
