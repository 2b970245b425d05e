"""CSV, TSV and JSON lines, read a chunk at a time; places are line numbers of the file, from 1."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO

from tightfit.data.compressed import open_bytes
from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.errors import DataError
from tightfit.storage.files import machine_errors

AG_NEWS_NAMES = ("World", "Sports", "Business", "Sci/Tech")
"""AG News's classes 1 to 4, of Zhang, Zhao and LeCun (arXiv:1509.01626)."""

_AG_COLUMNS = ("Class Index", "Title", "Description")
_AG_NAME_OF = {str(number): name for number, name in enumerate(AG_NEWS_NAMES, start=1)}

CELL_LIMIT = 2**31 - 1
"""Longest cell of a CSV, in characters: the most that the csv module takes on every system."""


def open_csv(path: Path, source: str, delimiter: str = ",") -> Rows:
    """A CSV or TSV with a header, or in AG News's own form, which may lack the header.

    Raises:
        DataError: the file is empty, is not UTF-8, or its header names a column twice. The chunks
            raise it for rows of another length than the header and for broken quotes.
    """
    origin = Origin(source, "line")
    # The limit is the module's, not a reader's; texts far beyond its 131,072 are fine here.
    csv.field_size_limit(CELL_LIMIT)
    with _open_text(path, origin, newline="") as file:
        _, first = next(_csv_records(file, origin, delimiter), (0, []))
    if not first:
        raise DataError(f"{origin.source} is empty")
    headless = len(first) == len(_AG_COLUMNS) and first[0].strip() in _AG_NAME_OF
    columns = _AG_COLUMNS if headless else tuple(first)
    ag_news = columns == _AG_COLUMNS
    return Rows(
        origin,
        columns,
        _Csv(path, origin, delimiter, columns, 0 if headless else 1).chunks,
        class_names=({_AG_COLUMNS[0]: AG_NEWS_NAMES} if ag_news else {}).get,
        class_values=({_AG_COLUMNS[0]: (1, 2, 3, 4)} if ag_news else {}).get,
        aliases={"text": _AG_COLUMNS[1:], "label": _AG_COLUMNS[:1]} if ag_news else {},
        untyped=True,
    )


def open_jsonl(path: Path, source: str, class_names: tuple[str, ...] = ()) -> Rows:
    """JSON lines: one object a line. The first one names the columns; later ones may lack some.

    Args:
        path: the file.
        source: where error messages say that the rows come from.
        class_names: the classes of its column ``label``, in order, where that is known.

    Raises:
        DataError: the file is empty, is not UTF-8, or its first line is not an object. The chunks
            raise it for the other lines.
    """
    origin = Origin(source, "line")
    with _open_text(path, origin, newline="\n") as file:
        first = list(islice(_json_records(file), 1))
    if not first:
        raise DataError(f"{origin.source} is empty")
    _refuse_broken(origin, first)
    return Rows(
        origin,
        tuple(first[0][1]),
        partial(_jsonl_chunks, path, origin),
        class_names=({"label": class_names} if class_names else {}).get,
    )


@contextmanager
def _open_text(path: Path, origin: Origin, *, newline: Literal["", "\n"]) -> Iterator[TextIO]:
    """The file as UTF-8, with or without a byte order mark."""
    try:
        with (
            machine_errors(path, "read"),
            open_bytes(path) as raw,
            TextIOWrapper(raw, encoding="utf-8-sig", newline=newline) as file,
        ):
            yield file
    except UnicodeDecodeError as error:
        raise _undecodable(path, origin) from error


def _undecodable(path: Path, origin: Origin) -> DataError:
    """Find the byte: the decoder worked on blocks and does not know its place in the file."""
    start = 0
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return DataError(
                    f"{origin.source} is not UTF-8",
                    seen=f"byte 0x{line[error.start]:02x} in line {number:,}, "
                    f"at byte {start + error.start:,} of the file (counted from 0)",
                    next_step="convert it, for example: iconv -f WINDOWS-1252 -t UTF-8",
                )
            start += len(line)
    raise AssertionError("every line decodes by itself, but not the file")


@dataclass(frozen=True)
class _Csv:
    """A delimited file and the names of its columns."""

    path: Path
    origin: Origin
    delimiter: str
    columns: tuple[str, ...]
    header_rows: int

    def chunks(self, wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        """Cells of the wanted columns."""
        with _open_text(self.path, self.origin, newline="") as file:
            records = _csv_records(file, self.origin, self.delimiter)
            records = islice(records, self.header_rows, None)
            while batch := list(islice(records, chunk_rows)):
                places, rows = [line for line, _ in batch], [cells for _, cells in batch]
                _refuse_ragged(rows, len(self.columns), Chunk([], places, self.origin))
                yield Chunk([self._cells(rows, name) for name in wanted], places, self.origin)

    def _cells(self, rows: Sequence[Sequence[str]], name: str) -> list[str | None]:
        index = self.columns.index(name)
        if self.columns == _AG_COLUMNS and index == 0:
            return [_AG_NAME_OF.get(row[0].strip(), row[0]) or None for row in rows]
        # An empty cell is how a CSV writes a missing value.
        return [row[index] or None for row in rows]


def _csv_records(file: TextIO, origin: Origin, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each begins; blank lines are no rows."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{origin.source}: the row that begins on line {line:,} has broken quotes",
            seen=str(error),
            allowed="a cell that begins with a quote ends with one, those between are doubled: "
            '"say ""hi"""',
            next_step="mend this row, or save the rows as JSON lines or Parquet",
        ) from error


def _refuse_ragged(rows: Sequence[Sequence[str]], width: int, chunk: Chunk) -> None:
    ragged = [index for index, row in enumerate(rows) if len(row) != width]
    if ragged:
        raise chunk.fault(
            f"a row with {len(rows[ragged[0]])} cells under a header with {width}",
            ragged,
            next_step="put cells that hold the delimiter or a line break in double quotes",
        )


def _json_records(file: TextIO) -> Iterator[tuple[int, Any]]:
    """Line numbers with the object on each, or with words on what else is there."""
    for line, text in enumerate(file, start=1):
        if text.strip():
            yield line, _json_object(text)


def _json_object(text: str) -> dict[str, Any] | str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return value if isinstance(value, dict) else f"a {type(value).__name__}, not an object"


def _jsonl_chunks(
    path: Path, origin: Origin, wanted: Sequence[str], chunk_rows: int
) -> Iterator[Chunk]:
    with _open_text(path, origin, newline="\n") as file:
        records = _json_records(file)
        while batch := list(islice(records, chunk_rows)):
            _refuse_broken(origin, batch)
            cells = [[record.get(name) for _, record in batch] for name in wanted]
            yield Chunk(cells, [line for line, _ in batch], origin)


def _refuse_broken(origin: Origin, batch: Sequence[tuple[int, Any]]) -> None:
    broken = [index for index, (_, record) in enumerate(batch) if isinstance(record, str)]
    if broken:
        raise Chunk([], [line for line, _ in batch], origin).fault(
            f"a line is not a JSON object: {batch[broken[0]][1]}",
            broken,
            allowed='one object a line, such as {"text": "...", "label": "..."}',
        )
