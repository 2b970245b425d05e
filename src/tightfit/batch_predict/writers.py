"""The files that predictions are written to: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

Cell = int | str | float | None
Row = dict[str, Cell]


FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet may take a cell that begins with one of these for a formula, and run it."""


def escape_formula(cell: Cell) -> Cell:
    """A string that a spreadsheet would take for a formula, behind an apostrophe; else the cell.

    What OWASP advises against CSV injection. Numbers are no formulas.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell


class Writer(Protocol):
    """Takes rows, in order; the columns are those of the schema it was made with."""

    def write(self, rows: list[Row]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvWriter:
    """Comma-separated values, quoted where needed, Unix line ends."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open ``path`` for writing, and write the header."""
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._names = schema.names
        self._plain = csv.writer(self._file, lineterminator="\n")
        self._quoting = csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        self._write(self._names)

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        for row in rows:
            self._write([row[name] for name in self._names])

    def _write(self, cells: Sequence[Cell]) -> None:
        # The module leaves a lone carriage return bare, which would end a row.
        bare = any("\r" in cell for cell in cells if isinstance(cell, str))
        (self._quoting if bare else self._plain).writerow(cells)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JsonlWriter:
    """One JSON object a line."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open ``path`` for writing."""
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        self._file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetWriter:
    """Parquet, one row group a chunk."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open ``path`` for writing."""
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)

    def write(self, rows: list[Row]) -> None:
        """Append a row group."""
        self._writer.write_table(pa.Table.from_pylist(rows, self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


WRITERS: dict[str, type[CsvWriter | JsonlWriter | ParquetWriter]] = {
    ".csv": CsvWriter,
    ".jsonl": JsonlWriter,
    ".parquet": ParquetWriter,
}
"""By the suffix of the output file."""
