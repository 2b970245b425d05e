"""The files that predictions are written to: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import IO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, int | str | float | None]


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
        self._writer = csv.DictWriter(self._file, schema.names, lineterminator="\n")
        self._writer.writeheader()

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        self._writer.writerows(rows)

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
