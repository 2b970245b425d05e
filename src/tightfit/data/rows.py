"""What every reader gives: named columns, and chunks of their cells with the place of each row."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tightfit.errors import DataError

Unit = Literal["line", "row"]
"""How users count: lines of a text file, from 1; rows of a data frame, from 0."""

ROWS_NAMED = 5
"""Faulty rows that an error message lists one by one."""

COLUMNS_NAMED = 20
"""Columns that an error message lists one by one."""


@dataclass(frozen=True)
class Origin:
    """Where rows come from, and how their places are counted."""

    source: str
    unit: Unit


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of some columns."""

    cells: list[list[Any]]
    """One list of cells for each column asked for, in that order; None is a missing value."""
    places: Sequence[int]
    """Line or row number of each row."""
    origin: Origin

    def fault(
        self,
        what: str,
        bad: Sequence[int],
        *,
        allowed: str | None = None,
        next_step: str | None = None,
    ) -> DataError:
        """The error for the rows at the indices ``bad``: it names the first few and counts all."""
        places = say_places([self.places[index] for index in bad], self.origin.unit)
        return DataError(
            f"{self.origin.source}: {what}",
            seen=f"{places}; {len(bad):,} of {len(self.places):,} rows read",
            allowed=allowed,
            next_step=next_step,
        )


@dataclass(frozen=True)
class Rows:
    """An opened source; nothing but its column names has been read yet.

    Raises:
        DataError: two columns have the same name.
    """

    origin: Origin
    columns: tuple[str, ...]
    chunks: Callable[[Sequence[str], int], Iterator[Chunk]]
    """Reads the named columns, so many rows at a time, from the start."""
    class_names: Callable[[str], tuple[str, ...] | None] = lambda _: None
    """For a column that holds a ClassLabel: the names of its integers."""
    class_values: Callable[[str], tuple[int, ...] | None] = lambda _: None
    """For such a column: the integers that stand for its classes, where they are not 0, 1, …"""
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Columns that stand for a name which is not a column here."""
    untyped: bool = False
    """Whether every cell is a string, numbers too, as in a CSV."""
    count: int | None = None
    """Number of rows, where it is known without reading them."""

    def __post_init__(self) -> None:
        twice = [name for name, times in Counter(self.columns).items() if times > 1]
        if twice:
            raise DataError(
                f"{self.origin.source}: several columns have the same name",
                seen=f"{twice[0]!r} in {_listed(self.columns)}",
                next_step="rename or drop one of them",
            )

    def find(self, name: str) -> tuple[str, ...] | None:
        """The columns that a name stands for, None where it stands for none."""
        if name in self.columns:
            return (name,)
        if name in self.aliases:
            return self.aliases[name]
        # Spaces around a heading are seen by nobody, and lost where names are listed.
        alike = tuple(column for column in self.columns if column.strip() == name.strip())
        return alike if len(alike) == 1 else None

    def resolve(self, names: Sequence[str], flag: str) -> tuple[str, ...]:
        """The columns that the names stand for.

        Raises:
            DataError: there is no such column; ``flag`` is the option that would choose another.
        """
        found: list[str] = []
        for name in names:
            columns = self.find(name)
            if columns is None:
                raise self._no_column(name, flag)
            found += columns
        return tuple(found)

    def whole(self, columns: Sequence[str], chunk_rows: int) -> Chunk:
        """Every row of the columns, as one chunk.

        Raises:
            DataError: there are no rows.
        """
        cells: list[list[Any]] = [[] for _ in columns]
        places: list[int] = []
        for chunk in self.chunks(columns, chunk_rows):
            for column, more in zip(cells, chunk.cells, strict=True):
                column += more
            places += chunk.places
        if not places:
            raise self.no_rows()
        return Chunk(cells, places, self.origin)

    def no_rows(self) -> DataError:
        """The error for a source that has columns and nothing in them."""
        return DataError(f"{self.origin.source} has no rows", seen=_listed(self.columns))

    def _no_column(self, name: str, flag: str) -> DataError:
        near = nearest(name, self.columns)
        hint = f"did you mean {near!r}? " if near else ""
        if len(self.columns) == 1 and ";" in self.columns[0]:
            hint = "write the file with commas in place of semicolons (or tabs, as .tsv), or "
        return DataError(
            f"{self.origin.source} has no column {name!r}",
            seen=_listed(self.columns),
            next_step=f"{hint}choose a column with {flag}",
        )


def say_places(places: Sequence[int], unit: Unit) -> str:
    """The first few places in words: ``lines 3, 17``."""
    named = ", ".join(map(str, places[:ROWS_NAMED]))
    more = f" and {len(places) - ROWS_NAMED:,} more" if len(places) > ROWS_NAMED else ""
    base = " (counted from 0)" if unit == "row" else ""
    return f"{unit}{'s' if len(places) > 1 else ''} {named}{more}{base}"


def nearest(name: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """The known name most like ``name``, whatever the case, or None when none is close.

    How close it must be is a share, as :func:`difflib.get_close_matches` has it.
    """
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def _listed(columns: Sequence[str]) -> str:
    named = ", ".join(repr(name[:40]) for name in columns[:COLUMNS_NAMED])
    more = f" and {len(columns) - COLUMNS_NAMED} more" if len(columns) > COLUMNS_NAMED else ""
    return f"columns {named}{more}"
