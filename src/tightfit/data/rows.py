"""What every reader gives: named columns, and chunks of their cells with the place of each row."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from shlex import quote
from typing import Any, Literal

from tightfit.data.checks.spelling import spelling_key
from tightfit.data.column_hints import (
    JOINED,
    column_options,
    column_roles,
    likely_options,
    one_hot_columns,
    split_names,
)
from tightfit.data.nested import paths, reach
from tightfit.errors import DataError, did_you_mean, first_few

Unit = Literal["line", "row", "sheet row"]
"""How users count: lines of a text file, or the numbers beside the rows of a sheet, from 1; rows of
a data frame, from 0."""

Place = int | str
"""Where a row stands: a number, or of several files that are one source, whose units may differ,
all of it in words."""

ROWS_NAMED = 5
"""Faulty rows that an error message lists one by one."""

HINT_ROWS = 100
"""Rows that are looked at to find out which columns are probably meant."""

MOST_LIKELY = 4
"""Columns of which a hint says that any of them may be the label."""

COLUMNS_NAMED = 20
"""Columns that an error message lists one by one."""

_CHOOSE = "choose a column with"
_SEVERAL = "to learn all of them, one 0 or 1 each:"


class PartFault(DataError):
    """Several parts of a source have rows; ``likely`` names one in place of ``whole``."""

    def __init__(self, what: str, *, seen: str, whole: object, likely: str) -> None:
        super().__init__(what, seen=seen, next_step=f"choose one, such as {quote(likely)}")
        self.whole, self.likely = str(whole), likely


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
    places: Sequence[Place]
    """Line or row number of each row."""
    origin: Origin

    def select(self, kept: Sequence[int]) -> Chunk:
        """The rows at these indices."""
        cells = [[column[i] for i in kept] for column in self.cells]
        return Chunk(cells, [self.places[i] for i in kept], self.origin)

    def say(self, indices: Sequence[int]) -> str:
        """Where these rows are, in words."""
        return say_places([self.places[index] for index in indices], self.origin.unit)

    def fault(
        self,
        what: str,
        bad: Sequence[int],
        *,
        allowed: str | None = None,
        next_step: str | None = None,
        add: str | None = None,
    ) -> DataError:
        """The error for the rows at the indices ``bad``: it names the first few and counts all."""
        return DataError(
            f"{self.origin.source}: {what}",
            seen=f"{self.say(bad)}; {len(bad):,} of {len(self.places):,} rows read",
            allowed=allowed,
            next_step=next_step,
            add=add,
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
    told: tuple[str, ...] = ()
    """What was found out about its form, a line each."""
    no_header: DataError | None = None
    """The error where a column is missing because the first row is no header."""
    read_columns: Callable[[], tuple[str, ...]] | None = None
    """Reads the names of all columns, where some may stand further down only."""
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

    def all_columns(self) -> tuple[str, ...]:
        """Names of all columns, for which the source may be read to its end."""
        return self.columns if self.read_columns is None else self.read_columns()

    def find(self, name: str) -> tuple[str, ...] | None:
        """The columns that a name stands for, None where it stands for none.

        What is inside the cells of a column is one, too: ``data.text``, ``annotations.0.label``.
        """
        found = self._find(name, self.columns)
        found = found or self._find(name, self.all_columns())
        if found is None and self._inside(name):
            found = (name,)
        return found

    def _find(self, name: str, columns: Sequence[str]) -> tuple[str, ...] | None:
        if name in columns:
            return (name,)
        if name in self.aliases:
            return self.aliases[name]
        # Spaces around a heading are seen by nobody, and lost where names are listed.
        alike = [column for column in columns if column.strip() == name.strip()]
        # Nor does a program care that a heading begins with a capital.
        alike = alike or [each for each in columns if spelling_key(each) == spelling_key(name)]
        return (alike[0],) if len(alike) == 1 else None

    def _inside(self, name: str) -> bool:
        """Whether any row has something at a path into the cells of a column."""
        base, path = self.split(name)
        if path is None or self.untyped:
            return False
        cells = (cell for chunk in self.chunks([base], HINT_ROWS) for cell in chunk.cells[0])
        return any(reach(cell, path) is not None for cell in cells)

    def split(self, name: str) -> tuple[str, str | None]:
        """The column in which a path begins, and the rest of the path; None for a column."""
        columns = self.columns
        if name in columns or "." not in name:
            return name, None
        if name.partition(".")[0] not in columns:
            columns = self.all_columns()
        parts = name.split(".")
        for end in range(len(parts), 0, -1):
            if (base := ".".join(parts[:end])) in columns:
                return base, ".".join(parts[end:])
        return name, None

    def read(self, names: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        """Cells of columns, and of what is inside their cells, so many rows at a time."""
        pairs = [self.split(name) for name in names]
        for chunk in self.chunks([base for base, _ in pairs], chunk_rows):
            cells = [
                column if path is None else [reach(cell, path) for cell in column]
                for column, (_, path) in zip(chunk.cells, pairs, strict=True)
            ]
            yield Chunk(cells, chunk.places, chunk.origin)

    def taken_for(self, names: Sequence[str]) -> list[str]:
        """A line for each name that stands for a column which is written in another way."""
        found = {name: self.find(name) for name in names if name not in self.aliases}
        return [
            f"{self.origin.source}: column {columns[0]!r} is taken for {name!r}"
            for name, columns in found.items()
            if columns and columns[0].strip() != name.strip()
        ]

    def resolve(self, names: Sequence[str], flag: str) -> tuple[str, ...]:
        """The columns that the names stand for: each a whole name, or else a list with commas.

        Raises:
            DataError: there is no such column; ``flag`` is the option that would choose another.
        """
        found: list[str] = []
        for name in names:
            whole = self.find(name)
            for part in [name] if whole else split_names(name) or [name]:
                columns = whole or self.find(part)
                if columns is None:
                    raise self._no_column(part, flag)
                found += columns
        return tuple(found)

    def choose(
        self, text: Sequence[str], label: str | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns of the text and, where a name is given, of the label.

        Raises:
            DataError: there are no such columns; it names the options that choose others, where
                only one choice makes sense.
        """
        try:
            texts = self.resolve(text, "--text-column")
            return texts, () if label is None else self.resolve((label,), "--label-column")
        except DataError as fault:
            if fault is not self.no_header and fault.add is None:
                self._complete(fault, text, label)
            raise

    def look(self, text: Sequence[str], label: str, *, labelled: bool | None) -> None:
        """Whether there are such columns; with None those of labels may be missing.

        Raises:
            DataError: there are not; of labels that may be missing a hint names the column too.
        """
        try:
            self.choose(text, label if labelled else None)
        except DataError as fault:
            if labelled is not None or fault is self.no_header:
                raise
            try:
                self.choose(text, label)
            except DataError as both:
                raise (both if both.add else fault) from None

    def _complete(self, fault: DataError, text: Sequence[str], label: str | None) -> None:
        """Put the options that mend a command into its fault."""
        lacks_text = not all(self._found(name) for name in text)
        lacks_label = label is not None and not self._found(label)
        known = [*text, *([] if label is None else [label])]
        taken = {column for name in known for column in self.find(name) or ()}
        cells = {name: some for name, some in self._first_cells().items() if name not in taken}
        fault.add = column_options(cells, text=lacks_text, label=lacks_label)
        marks, exclusive = one_hot_columns(cells) if lacks_label else ((), False)
        if fault.add is None and marks:
            others = {name: column for name, column in cells.items() if name not in marks}
            texts = column_options(others, label=False) if lacks_text else ""
            if texts is not None:
                fault.add = f"{texts} --label-column {quote(','.join(marks))}".strip()
                fault.next_step = None if exclusive else _SEVERAL
                return
        if fault.add is None and lacks_label:
            labels = column_roles(cells)[1]
            options = likely_options(cells, text=lacks_text)
            if options is not None and len(labels) <= MOST_LIKELY:
                either = " or ".join(map(repr, labels))
                fault.next_step = f"the labels may be in {either}: name the right one, as in"
                fault.add = options
                return
        if fault.add is not None:
            near, _, _ = (fault.next_step or "").partition(_CHOOSE)
            fault.next_step = near.strip() or None
            if near.count("'") == 2 and near.split("'")[1] not in fault.add:
                fault.next_step = None  # a name that is alike by chance
            if lacks_text and "," in fault.add:
                fault.next_step = JOINED

    def _found(self, name: str) -> bool:
        return bool(self.find(name)) or all(map(self.find, split_names(name) or [""]))

    def _first_cells(self) -> dict[str, list[Any]]:
        """Some cells of every column; none where they cannot be read."""
        try:
            first = next(self.chunks(self.columns, HINT_ROWS), None)
        except DataError:
            first = None
        if first is None:
            return {}
        cells: dict[str, list[Any]] = {}
        for name, column in zip(self.columns, first.cells, strict=True):
            inside = () if self.untyped else paths(column)
            cells |= {f"{name}.{path}": [reach(x, path) for x in column] for path in inside}
            cells |= {} if inside else {name: column}
        return cells

    def whole(self, columns: Sequence[str], chunk_rows: int) -> Chunk:
        """Every row of the columns, as one chunk.

        Raises:
            DataError: there are no rows.
        """
        cells: list[list[Any]] = [[] for _ in columns]
        places: list[Place] = []
        for chunk in self.read(columns, chunk_rows):
            for column, more in zip(cells, chunk.cells, strict=True):
                column += more
            file = chunk.origin.source.removeprefix(f"{self.origin.source}{os.sep}")
            own, unit = chunk.origin.source == self.origin.source, chunk.origin.unit
            places += chunk.places if own else [f"{unit} {x:,} of {file}" for x in chunk.places]
        if not places:
            raise self.no_rows()
        return Chunk(cells, places, self.origin)

    def no_rows(self) -> DataError:
        """The error for a source that has columns and nothing in them."""
        return DataError(f"{self.origin.source} has no rows", seen=_listed(self.columns))

    def _no_column(self, name: str, flag: str) -> DataError:
        if self.no_header is not None:
            return self.no_header
        columns = self.columns if self.untyped else tuple(self._first_cells()) or self.columns
        hint = " ".join(filter(None, (did_you_mean(name, columns), _CHOOSE, flag)))
        sign = self._divider(name)
        given = {" ": "space"}.get(sign, quote(sign))
        return DataError(
            f"{self.origin.source} has no column {name!r}",
            seen=_listed(columns),
            next_step=f"if {sign!r} divides its cells:" if sign else hint,
            add=f"--set data.delimiter={given}" if sign else None,
        )

    def _divider(self, name: str) -> str:
        """What may divide a heading that is all one column, and has this name among its parts."""
        whole = self.columns[0] if self.untyped and len(self.columns) == 1 else ""
        signs = {sign for sign in whole if not sign.isalnum() and sign not in "_-."}
        return next((sign for sign in sorted(signs) if name in whole.split(sign)), "")


def columns_rows(columns: Mapping[str, Sequence[Any]], source: str) -> Rows:
    """Columns by name, each a sequence of as many cells.

    Raises:
        DataError: they differ in length.
    """
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{source} has columns of different lengths",
            seen=", ".join(f"{name!r} {length:,}" for name, length in islice(lengths.items(), 10)),
        )
    origin = Origin(source, "row")
    count = next(iter(lengths.values()), 0)

    def chunks(wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        for start in range(0, count, chunk_rows):
            end = min(count, start + chunk_rows)
            cells = [list(columns[name][start:end]) for name in wanted]
            yield Chunk(cells, range(start, end), origin)

    return Rows(origin, tuple(columns), chunks, count=count)


def records_rows(
    records: Sequence[Mapping[str, Any]], source: str, told: tuple[str, ...] = ()
) -> Rows:
    """Rows as mappings; the columns are the keys of all of them, None what one lacks."""
    key_of = {str(key): key for record in records for key in record}
    columns = {name: [record.get(key) for record in records] for name, key in key_of.items()}
    return replace(columns_rows(columns, source), told=told)


def say_places(places: Sequence[Place], unit: Unit) -> str:
    """The first few places in words: ``lines 3, 17``, or ``line 3 of a.csv, line 4 of b.csv``."""
    told = first_few(places, ROWS_NAMED)
    words = [place for place in places[:ROWS_NAMED] if isinstance(place, str)]
    if words:
        rows = any(place.startswith("row ") for place in words)
        return told + (" (rows counted from 0)" if rows else "")
    base = " (counted from 0)" if unit == "row" else ""
    return f"{unit}{'s' if len(places) > 1 else ''} {told}{base}"


def _listed(columns: Sequence[str]) -> str:
    return f"columns {first_few([repr(name[:40]) for name in columns], COLUMNS_NAMED)}"
