"""Several files as one source: the shards of a data set, in the order of their names."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from tightfit.data.compressed import plain_suffix
from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.errors import DataError

GLOB_SIGNS = frozenset("*?[")


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
        raise DataError(
            "a folder instead of a file of rows, and no files in it"
            if path.is_dir()
            else "no file matches the pattern",
            seen=path,
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

    Raises:
        DataError: the parts have different columns, kinds, or classes.
    """
    first = parts[0]
    for part in parts[1:]:
        _check_alike(first, part)

    def chunks(names: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        for part in parts:
            yield from part.chunks(names, chunk_rows)

    counts = [part.count for part in parts]
    return Rows(
        Origin(source, first.origin.unit),
        first.columns,
        chunks,
        class_names=first.class_names,
        class_values=first.class_values,
        aliases=first.aliases,
        untyped=first.untyped,
        told=tuple(line for part in parts for line in part.told),
        no_header=first.no_header,
        count=None if None in counts else sum(count or 0 for count in counts),
    )


def _check_alike(first: Rows, part: Rows) -> None:
    if set(part.columns) != set(first.columns):
        odd = sorted(set(part.columns) ^ set(first.columns))
        raise DataError(
            "files that belong together have different columns",
            seen=f"{odd[0]!r} is in only one of {first.origin.source} and {part.origin.source}",
            next_step="give files of one kind, or one after another",
        )
    classes = [name for name in first.columns if part.class_names(name) != first.class_names(name)]
    if classes or part.untyped != first.untyped:
        raise DataError(
            "files that belong together are of different kinds",
            seen=f"{first.origin.source} and {part.origin.source}"
            + (f": other class names in {classes[0]!r}" if classes else ""),
            next_step="give files of one kind, or one after another",
        )
