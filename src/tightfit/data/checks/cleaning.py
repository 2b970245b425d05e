"""A cleaned copy of rows: only what was asked for, each action by its name, each counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tightfit.data.checks.findings import Findings, Kind
from tightfit.data.checks.markup import decode_markup
from tightfit.data.checks.repeats import contradictory_rows, repeated_rows, text_key
from tightfit.data.table import Table
from tightfit.data.text_pair import mapped
from tightfit.errors import DataError

Fix = Literal["duplicates", "near", "contradictory", "shared", "suspects", "empty", "markup"]
"""What can be done; all but ``markup``, which decodes, remove rows."""

FIXES: tuple[Fix, ...] = get_args(Fix)

# In the order in which they are applied: a row is counted where it goes first. Contradictory rows
# go before duplicates, since one copy of a contradiction is no better than two.
MENDS: dict[Fix, Kind] = {
    "empty": "empty",
    "shared": "shared",
    "contradictory": "contradictory",
    "duplicates": "exact_duplicates",
    "near": "near_duplicates",
    "suspects": "suspect_labels",
    "markup": "markup",
}
"""The finding that each fix is for."""


@dataclass(frozen=True)
class Cleaned:
    """The rows that are left, and what was done to the others."""

    table: Table
    rows: tuple[int, ...]
    """Where each of them was before, counted from 0."""
    removed: dict[Fix, int]
    """Rows that each action removed, for each that was asked for."""
    decoded: int | None
    """Rows whose markup was decoded; None if that was not asked for."""


def cleaned(table: Table, findings: Findings, fixes: Sequence[Fix]) -> Cleaned:
    """A copy of the rows without the faults that ``fixes`` name; the table itself stays.

    Args:
        table: the rows.
        findings: what :func:`check_table` found in these very rows.
        fixes: some of :data:`FIXES`; their order does not matter.

    Raises:
        DataError: no row would be left.
    """
    assert findings.rows == len(table), "these findings are about other rows"
    gone: set[int] = set()
    removed: dict[Fix, int] = {}
    for fix, kind in MENDS.items():
        if fix in fixes and fix != "markup":
            fresh = set(findings.found[kind].rows) - gone
            gone |= fresh
            removed[fix] = len(fresh)
    rows = [row for row in range(len(table)) if row not in gone]
    left, decoded = table.select(rows), None
    if "markup" in fixes:
        left, decoded = _decoded(left)
        kept = _without_new_repeats(left, removed)
        left, rows = left.select(kept), [rows[row] for row in kept]
    if not len(left):
        raise DataError(
            "the cleaned copy would have no rows",
            seen=", ".join(f"{fix} removes {count:,}" for fix, count in removed.items()),
            next_step="ask for fewer fixes",
        )
    return Cleaned(left, tuple(rows), removed, decoded)


def _decoded(table: Table) -> tuple[Table, int]:
    texts = [mapped(text, decode_markup) for text in table.texts]
    changed = sum(new != old for new, old in zip(texts, table.texts, strict=True))
    return replace(table, texts=texts), changed


def _without_new_repeats(table: Table, removed: dict[Fix, int]) -> list[int]:
    """Which rows are left without the repeats that only decoding has made; adds to the counts."""
    keys = [text_key(text) for text in table.texts]
    labels: Sequence[object] = table.targets or [None] * len(table)
    gone: set[int] = set()
    searches: dict[Fix, Sequence[int]] = {
        "empty": [row for row, key in enumerate(keys) if not key],
        "contradictory": list(contradictory_rows(keys, labels)),
        "duplicates": list(repeated_rows(keys, labels)),
    }
    for fix, rows in searches.items():
        if fix in removed:
            fresh = set(rows) - gone
            gone |= fresh
            removed[fix] += len(fresh)
    return [row for row in range(len(table)) if row not in gone]
