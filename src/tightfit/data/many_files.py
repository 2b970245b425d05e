"""Several files as one source: the shards of a data set, or sources that are named one by one."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from tightfit.data.compressed import plain_suffix
from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.data.table import Table
from tightfit.errors import DataError, first_few

GLOB_SIGNS = frozenset("*?[")
FOLDERS_NAMED = 5
"""Folders that an error message lists."""

_OF_A_ROW = ("texts", "labels", "label_sets", "groups")


@dataclass(frozen=True)
class Sources:
    """Sources of any kinds whose rows are joined, one after another, as ``--data A --data B``."""

    names: tuple[str, ...]
    """Each as a single source would be named."""

    def __str__(self) -> str:
        return " + ".join(self.names)

    def each(self, look: Callable[[str], list[str]]) -> list[str]:
        """What is found in all of them, one by one.

        Raises:
            DataError: of the first that has a fault; no columns are proposed that others lack.
        """
        found: list[str] = []
        for name in self.names:
            try:
                found += look(name)
            except DataError as fault:
                if name != self.names[0] and "-column" in (fault.add or ""):
                    fault.add = None
                    fault.next_step = f"name its columns as they are named in {self.names[0]}"
                raise
        return found

    def joined(self, tables: Sequence[Table]) -> Table:
        """The rows of all sources, counted from 0; labels go by name where names differ.

        Args:
            tables: those of the sources, each read by itself.

        Raises:
            DataError: labels of one kind stand in one source, and of another kind in another.
        """
        alike = len({table.label_names for table in tables}) == 1
        tables = tables if alike else list(map(_by_name, tables))
        kinds = {name: _kind(table) for name, table in zip(self.names, tables, strict=True)}
        if len(set(kinds.values())) > 1:
            raise DataError(
                "sources that are joined have labels of different kinds",
                seen="; ".join(f"{name}: {kind}" for name, kind in kinds.items()),
                next_step="write the labels alike in all of them, or leave one out",
            )
        rows: dict[str, Any] = {name: _chained(tables, name) for name in _OF_A_ROW}
        values = {table.label_values for table in tables}
        return replace(
            tables[0],
            **rows,
            source=str(self),
            label_values=values.pop() if len(values) == 1 else None,
            left_out=sum((Counter(table.left_out) for table in tables), Counter()),
            places=None,
            unit="row",
            numbers=None,
        )


def _by_name(table: Table) -> Table:
    """The same rows, their labels called what the source calls them."""
    if table.label_names is None:
        return table
    names = table.label_names
    labels = None if table.labels is None else [names[label] for label in table.labels]
    sets = table.label_sets and [tuple(names[int(x)] for x in own) for own in table.label_sets]
    return replace(table, labels=labels, label_sets=sets, label_names=None, label_values=None)


def _kind(table: Table) -> str:
    """What the labels of a source are, in words."""
    if table.targets is None:
        return "no labels"
    if table.label_sets is not None:
        some = next((own[0] for own in table.label_sets if own), "")
        return "several numbers a row" if isinstance(some, int) else "several names a row"
    kinds = {float: "ratings", int: "integers"}
    return kinds.get(type(table.targets[0]), "names")


def _chained(tables: Sequence[Table], name: str) -> list[Any] | None:
    columns = [getattr(table, name) for table in tables]
    return None if None in columns else [cell for column in columns for cell in column]


def is_many(path: Path) -> bool:
    """Whether this means several files: a folder, or a pattern such as ``part-*.csv``."""
    return path.is_dir() or (not path.exists() and not GLOB_SIGNS.isdisjoint(str(path)))


def files_of(path: Path, known: Collection[str]) -> list[Path]:
    """The files of a folder, or of a pattern, sorted by name.

    In a folder, names that begin with ``.`` or ``_`` are passed over, as other tools do.

    Args:
        path: a folder or a pattern.
        known: endings that can be read.

    Raises:
        DataError: there are none, or one is of another kind.
    """
    if path.is_dir():
        found = [file for file in path.iterdir() if not file.name.startswith((".", "_"))]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]
    files = sorted(file for file in found if file.is_file())
    if not files:
        inside = sorted(f"{each.name}/" for each in found)
        raise DataError(
            "a folder instead of a file of rows, and no files in it"
            if path.is_dir()
            else "no file matches the pattern",
            seen=f"{path}, in which are {first_few(inside, FOLDERS_NAMED)}" if inside else path,
            next_step="a label is not read from a folder's name: write one file with a column of "
            "texts and one of labels"
            if inside
            else None,
        )
    strange = [file.name for file in files if plain_suffix(file) not in known]
    if strange:
        raise DataError(
            "not every file there can be read as rows",
            seen=f"{strange[0]!r} in {path}",
            allowed=", ".join(known),
            next_step=f"move it away, or give a pattern such as {path / '*.csv'}",
        )
    return files


def joined(parts: Sequence[Rows], source: str) -> Rows:
    """One source whose chunks are those of its parts, one part after another.

    Its columns are those that all parts have; what only some have is refused where it is read.

    Raises:
        DataError: the parts are of different kinds, or have other classes.
    """
    first = parts[0]
    common = tuple(x for x in first.columns if all(x in part.columns for part in parts))
    for part in parts[1:]:
        _check_alike(first, part, common)

    def chunks(names: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        for part in parts:
            _check_has(part, names)
        for part in parts:
            yield from part.chunks(names, chunk_rows)

    def every() -> tuple[str, ...]:
        return tuple(dict.fromkeys(chain(*(part.all_columns() for part in parts))))

    counts = [part.count for part in parts]
    closed = all(part.read_columns is None and part.columns == first.columns for part in parts)
    return replace(
        first,
        origin=Origin(source, first.origin.unit),
        columns=common,
        chunks=chunks,
        told=tuple(line for part in parts for line in part.told),
        read_columns=None if closed else every,
        count=None if None in counts else sum(count or 0 for count in counts),
    )


def _check_has(part: Rows, names: Sequence[str]) -> None:
    lacking = [name for name in names if name not in part.columns]
    # Of an open form, a column may stand further down only.
    lacking = lacking and [name for name in lacking if name not in part.all_columns()]
    if lacking:
        raise DataError(
            "files that belong together have different columns",
            seen=f"no {lacking[0]!r} in {part.origin.source}",
            next_step="give files of one kind, or one after another",
        )


def _check_alike(first: Rows, part: Rows, common: Sequence[str]) -> None:
    classes = [name for name in common if part.class_names(name) != first.class_names(name)]
    if classes or part.untyped != first.untyped:
        raise DataError(
            "files that belong together are of different kinds",
            seen=f"{first.origin.source} and {part.origin.source}"
            + (f": other class names in {classes[0]!r}" if classes else ""),
            next_step="give files of one kind, or one after another",
        )
