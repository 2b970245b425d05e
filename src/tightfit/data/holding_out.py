"""Which rows of a table validate: at random, by groups, or the last ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tightfit.config import Config
from tightfit.data.checks.near_groups import near_crossing, near_groups
from tightfit.data.group_splits import group_note, split_groups
from tightfit.data.splits import Split, held_out_rows, split_rows
from tightfit.data.table import Table
from tightfit.errors import DataError
from tightfit.progress import Progress


@dataclass(frozen=True)
class HeldOut:
    """A split, and what is to be said of it."""

    split: Split
    facts: dict[str, Any]
    """What ``data.json`` keeps under ``split``."""
    warnings: list[str] = field(default_factory=list)


def hold_out(config: Config, table: Table, strata: Sequence[int], progress: Progress) -> HeldOut:
    """Split a table as ``data.split`` says.

    Args:
        config: its ``data`` section and seed.
        table: the rows, with groups where ``data.group_column`` names some.
        strata: of each row: the same number for rows that are alike, such as those of a label.
        progress: how to show progress.

    Raises:
        DataError: one of the two sides would be empty, or there is one group only.
        MissingExtraError: near duplicates are to be grouped, and ``datasketch`` is not installed.
    """
    match config.data.split:
        case "last":
            return _last(config, table, strata)
        case "group":
            return _by_groups(config, table, strata, progress)
    data = config.data
    split = split_rows(
        strata, validation_rows=data.validation_rows, stratify=data.stratify, seed=config.seed
    )
    train, held = (table.select(rows).texts for rows in (split.train, split.validation))
    crossing = near_crossing(train, held, config.seed)
    if crossing is None:
        return HeldOut(split, {"by": "random"})
    warnings = [crossing.sentence(len(split.train))] if crossing.worth_a_word else []
    return HeldOut(split, {"by": "random", "near_copies": asdict(crossing)}, warnings)


def _last(config: Config, table: Table, strata: Sequence[int]) -> HeldOut:
    count, note = held_out_rows(len(table), config.data.validation_rows)
    first = len(table) - count
    notes = [note] if note else []
    notes.append(f"the last {count:,} rows validate")
    unknown = set(strata[first:]) - set(strata[:first])
    if unknown:
        rows = sum(one in unknown for one in strata[first:])
        notes.append(
            f"{rows:,} of them are of {len(unknown):,} classes that no row before them has, and "
            "cannot be answered rightly"
        )
    split = Split(list(range(first)), list(range(first, len(table))), "; ".join(notes))
    return HeldOut(split, {"by": "last"})


def _by_groups(config: Config, table: Table, strata: Sequence[int], progress: Progress) -> HeldOut:
    column, alone = config.data.group_column, 0
    groups: Sequence[Hashable]
    if column:
        groups, alone = _named_groups(table, column)
        what = f"column {column}"
    else:
        groups, what = near_groups(table.texts, progress), "likeness of texts"
    count, note = held_out_rows(len(table), config.data.validation_rows)
    strata = strata if config.data.stratify else [0] * len(table)
    found = split_groups(groups, strata, held_out=count, seed=config.seed)
    notes = [note] if note else []
    notes.append(group_note(found, count, what))
    if alone:
        notes.append(f"{alone:,} rows with no {column} are each a group of their own")
    facts = {
        "by": "group",
        "group_column": column,
        "train_groups": found.train_groups,
        "validation_groups": found.validation_groups,
        "rows_without_group": alone,
    }
    return HeldOut(Split(found.train, found.validation, "; ".join(notes)), facts)


def _named_groups(table: Table, column: str) -> tuple[list[Hashable], int]:
    """The group of each row, and how many rows name none: each of them is one by itself."""
    if table.groups is None:
        raise DataError(
            f"{table.source} has no column {column!r}",
            seen="a table without groups",
            next_step="give the table its groups, or leave out data.group_column",
        )
    groups: list[Hashable] = [
        row if group is None else group for row, group in enumerate(table.groups)
    ]
    return groups, sum(group is None for group in table.groups)
