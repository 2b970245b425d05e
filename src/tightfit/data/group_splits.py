"""A split that keeps groups whole: rows of one author, thread or patient stay on one side.

Rows that belong together give each other's labels away. Where some train and others validate, the
score says how well a classifier remembers, not how well it will do on what is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from tightfit.errors import DataError

FAR = 0.2
"""How far, as a share, the rows held out may be from those wanted before it is said."""


@dataclass(frozen=True)
class GroupSplit:
    """Row indices of two sides that no group is on both of."""

    train: list[int]
    validation: list[int]
    train_groups: int
    validation_groups: int


def split_groups(
    groups: Sequence[Hashable], strata: Sequence[int], *, held_out: int, seed: int
) -> GroupSplit:
    """Hold out whole groups with about so many rows, and with each class's share as far as it goes.

    Groups are visited once, in random order. Each is held out if that brings the rows of each
    class, and of all, closer to what is wanted, and leaves every class a row to train on. Where
    every row is a group of its own, that is a stratified split.

    Args:
        groups: of each row.
        strata: the same number for rows that are alike, such as those of a label.
        held_out: rows wanted.
        seed: of the order.

    Raises:
        DataError: there is one group only.
    """
    rows_of: dict[Hashable, list[int]] = {}
    for row, group in enumerate(groups):
        rows_of.setdefault(group, []).append(row)
    members = list(rows_of.values())
    if len(members) < 2:
        raise DataError(
            "all rows are of one group, so that none can be held out from it",
            seen=f"group {groups[0]!r} in {len(groups):,} rows",
            next_step="choose another data.group_column, give a file of rows with --validation, "
            "or set data.split=random",
        )
    order = np.random.default_rng(seed).permutation(len(members)).tolist()
    contents = [Counter(strata[row] for row in rows) for rows in members]
    chosen = _Choice.of(strata, held_out)
    held = [place for place in order if chosen.take(contents[place])]
    if not held:
        # Every group is more than twice too large: the smallest does the least harm.
        places = sorted(order, key=lambda place: len(members[place]))
        spare = [place for place in places if chosen.can_spare(contents[place])]
        held = (spare or places)[:1]
    kept = sorted(set(order) - set(held))
    return GroupSplit(
        sorted(row for place in kept for row in members[place]),
        sorted(row for place in held for row in members[place]),
        len(kept),
        len(held),
    )


@dataclass
class _Choice:
    """How many rows of each class are wanted, still to be had, and left to train on."""

    wanted: Counter[int]
    left: Counter[int]
    total: int
    """Rows still wanted."""

    @classmethod
    def of(cls, strata: Sequence[int], held_out: int) -> _Choice:
        left = Counter(strata)
        classes = sorted(left)
        # Rounded sums instead of rounded shares: the quotas add up to the whole.
        sums = np.cumsum([left[one] * held_out / len(strata) for one in classes])
        quotas = np.diff(np.round(sums), prepend=0).astype(int).tolist()
        return cls(Counter(dict(zip(classes, quotas, strict=True))), left, held_out)

    def take(self, content: Counter[int]) -> bool:
        """Hold out a group of so many rows of each class, if that is a gain."""
        if not self.can_spare(content) or self._change(content) >= 0:
            return False
        self.wanted.subtract(content)
        self.left.subtract(content)
        self.total -= content.total()
        return True

    def can_spare(self, content: Counter[int]) -> bool:
        """Whether every class would keep a row to train on."""
        return all(self.left[one] > count for one, count in content.items())

    def _change(self, content: Counter[int]) -> int:
        """What the distance from the rows wanted, of each class and of all, would change by."""
        classes = sum(_further(self.wanted[one], count) for one, count in content.items())
        return classes + _further(self.total, content.total())


def _further(wanted: int, count: int) -> int:
    return abs(wanted - count) - abs(wanted)


def group_note(split: GroupSplit, held_out: int, what: str) -> str:
    """What became of the groups, for people; ``what`` says what makes a group."""
    held = len(split.validation)
    note = (
        f"whole groups are held out, by {what}: {held:,} rows of {split.validation_groups:,} "
        f"groups validate, {len(split.train):,} of {split.train_groups:,} train"
    )
    if abs(held - held_out) > FAR * held_out:
        note += f"; {held_out:,} rows were wanted, and the groups do not divide so"
    return note
