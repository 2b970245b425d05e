"""Rows that repeat: the same text twice, with another label, or again in the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tightfit.data.checks.characters import is_empty
from tightfit.data.checks.near import Match, find_near
from tightfit.data.text_pair import JOINT, TextPair
from tightfit.progress import Progress


def text_key(text: str) -> str:
    """What makes two texts the same: all but spacing. Empty for a text with nothing to read."""
    if isinstance(text, TextPair) and not is_empty(text):
        return JOINT.join(map(text_key, (text.first, text.second)))
    return "" if is_empty(text) else " ".join(text.split())


def repeated_rows(keys: Sequence[str], labels: Sequence[object]) -> dict[int, int]:
    """Each row that has the text and the label of an earlier row, with the first such row.

    Args:
        keys: :func:`text_key` of each row; rows with an empty one repeat nothing.
        labels: label of each row; the same one for all where there are none.
    """
    first: dict[tuple[str, object], int] = {}
    pairs = enumerate(zip(keys, labels, strict=True))
    return {
        row: before
        for row, pair in pairs
        if pair[0] and (before := first.setdefault(pair, row)) != row
    }


def contradictory_rows(keys: Sequence[str], labels: Sequence[object]) -> dict[int, int]:
    """Each row whose text has another label elsewhere, with the first row that has it so."""
    first: dict[str, dict[object, int]] = {}
    for row, (key, label) in enumerate(zip(keys, labels, strict=True)):
        if key:
            first.setdefault(key, {}).setdefault(label, row)
    return {
        row: next(other for theirs, other in first[key].items() if theirs != label)
        for row, (key, label) in enumerate(zip(keys, labels, strict=True))
        if key and len(first[key]) > 1
    }


@dataclass(frozen=True)
class Alike:
    """Rows that are nearly the same as an earlier row, or as a test row, and which that is."""

    near: dict[int, Match]
    shared: dict[int, Match]
    """Exactly the same ones too, with a likeness of 1."""


def alike_rows(
    keys: Sequence[str], test_keys: Sequence[str], *, progress: Progress = Progress()
) -> Alike:
    """Near duplicates among rows, and rows that are also, or nearly, in the test.

    Args:
        keys: :func:`text_key` of each row.
        test_keys: those of the test rows.
        progress: how to show progress.

    Raises:
        MissingExtraError: ``datasketch`` is not installed.
    """
    first_row, first_test = first_rows(keys), first_rows(test_keys)
    rows, test_rows = list(first_row.values()), list(first_test.values())
    found = find_near(list(first_row), list(first_test), progress=progress)
    place = {key: place for place, key in enumerate(first_row)}
    near, shared = {}, {}
    for row, key in enumerate(keys):
        if key in first_test:
            shared[row] = Match(first_test[key], 1.0)
        elif key and (match := found.held.get(place[key])):
            shared[row] = Match(test_rows[match.other], match.likeness)
        if key and (match := found.earlier.get(place[key])):
            near[row] = Match(rows[match.other], match.likeness)
    return Alike(near, shared)


def first_rows(keys: Sequence[str]) -> dict[str, int]:
    """The first row of each text, in the order of the rows; rows without a text are left out."""
    first: dict[str, int] = {}
    for row, key in enumerate(keys):
        if key:
            first.setdefault(key, row)
    return first
