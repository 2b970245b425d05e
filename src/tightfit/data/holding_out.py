"""Which rows of a table validate: at random, by groups, or the last ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from tightfit.config import Config
from tightfit.data.checks.near_groups import near_crossing, near_groups
from tightfit.data.facts import SplitFacts
from tightfit.data.group_splits import group_note, split_groups
from tightfit.data.label_strata import Strata, one_each
from tightfit.data.splits import Split, held_out_rows, split_rows
from tightfit.data.table import Table
from tightfit.errors import DataError
from tightfit.progress import Progress


@dataclass(frozen=True)
class HeldOut:
    """A split, and what is to be said of it."""

    split: Split
    facts: SplitFacts
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Grouping:
    """Which rows belong together."""

    groups: Sequence[Hashable]
    """Of each row."""
    column: str
    """That names them; empty where near duplicates are grouped."""
    alone: int = 0
    """Rows that the column says nothing of: each is a group of its own."""

    @property
    def what(self) -> str:
        """What makes a group."""
        return f"column {self.column}" if self.column else "likeness of texts"

    @property
    def notes(self) -> list[str]:
        """What people should know of the column."""
        if not self.alone:
            return []
        return [f"{self.alone:,} rows with no {self.column} are each a group of their own"]

    @property
    def facts(self) -> SplitFacts:
        """How a split by it is told, before rows are held out."""
        return SplitFacts("group", group_column=self.column, rows_without_group=self.alone)


def group_rows(config: Config, table: Table, progress: Progress) -> Grouping:
    """The groups that ``data.split=group`` keeps whole.

    Raises:
        DataError: the table has no such column.
        MissingExtraError: near duplicates are to be grouped, and ``datasketch`` is not installed.
    """
    column = config.data.group_column
    if not column:
        return Grouping(near_groups(table.texts, progress), "")
    if table.groups is None:
        raise DataError(
            f"{table.source} has no column {column!r}",
            seen="a table without groups",
            next_step="give the table its groups, or leave out data.group_column",
        )
    # A row that names no group is known to belong with no other.
    groups = [row if group is None else group for row, group in enumerate(table.groups)]
    return Grouping(groups, column, sum(group is None for group in table.groups))


def hold_out(config: Config, table: Table, strata: Strata, grouping: Grouping | None) -> HeldOut:
    """Split a table as ``data.split`` says.

    Args:
        config: its ``data`` section and seed.
        table: the rows, with groups where ``data.group_column`` names some.
        strata: of each row: the same number for rows that are alike, such as those of a label; or
            its labels.
        grouping: of the rows, which ``data.split=group`` keeps whole.

    Raises:
        DataError: one of the two sides would be empty, or there is one group only.
    """
    if config.data.split == "last":
        return _last(config, one_each(strata))
    if grouping is not None:
        return _by_groups(config, one_each(strata), grouping)
    return _at_random(config, table, strata)


def _at_random(config: Config, table: Table, strata: Strata) -> HeldOut:
    data = config.data
    split = split_rows(
        strata, validation_rows=data.validation_rows, stratify=data.stratify, seed=config.seed
    )
    train, held = (table.select(rows).texts for rows in (split.train, split.validation))
    return told_of_copies(split, train, held, config.seed)


def told_of_copies(split: Split, train: Sequence[str], held: Sequence[str], seed: int) -> HeldOut:
    """A split that looked at no likeness of texts, with what it has torn apart.

    Args:
        split: the rows.
        train: texts of those that train, where others are scored.
        held: texts of those others.
        seed: of the sample that is looked at.
    """
    crossing = near_crossing(train, held, seed)
    warning = crossing.warning(len(train)) if crossing else None
    return HeldOut(split, SplitFacts("random", crossing), [warning] if warning else [])


def _last(config: Config, strata: Sequence[int]) -> HeldOut:
    count, note = held_out_rows(len(strata), config.data.validation_rows)
    first = len(strata) - count
    notes = [note] if note else []
    notes.append(f"the last {count:,} rows validate")
    unknown = set(strata[first:]) - set(strata[:first])
    if unknown:
        rows = sum(one in unknown for one in strata[first:])
        notes.append(
            f"{rows:,} of them are of {len(unknown):,} classes that no row before them has, and "
            "cannot be answered rightly"
        )
    split = Split(list(range(first)), list(range(first, len(strata))), "; ".join(notes))
    return HeldOut(split, SplitFacts("last"))


def _by_groups(config: Config, strata: Sequence[int], grouping: Grouping) -> HeldOut:
    count, note = held_out_rows(len(strata), config.data.validation_rows)
    strata = strata if config.data.stratify else [0] * len(strata)
    found = split_groups(grouping.groups, strata, held_out=count, seed=config.seed)
    notes = [note] if note else []
    notes += [group_note(found, count, grouping.what), *grouping.notes]
    facts = replace(
        grouping.facts, train_groups=found.train_groups, validation_groups=found.validation_groups
    )
    return HeldOut(Split(found.train, found.validation, "; ".join(notes)), facts)
