"""The files that predictions are written to: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import IO, Any, Protocol, get_args, get_origin

from tightfit.arrow import pa, pq
from tightfit.errors import DataError
from tightfit.tasks import DIGITS

Cell = Any
"""Of the answer's own columns an integer, a string, a share or None; of a kept one, anything."""
Row = dict[str, Cell]
Columns = Mapping[str, "type | list[Any]"]
"""Of an output, in order: the type of an own column, the first cells of one that is handed on."""


FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet may take a cell that begins with one of these for a formula, and run it."""


def escape_formula(cell: Cell) -> Cell:
    """A string that a spreadsheet would take for a formula, behind an apostrophe; else the cell.

    What OWASP advises against CSV injection. Numbers are no formulas.
    """
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_SIGNS) else cell


def plain(cell: Cell) -> Cell:
    """A cell as JSON has it: what JSON has no form for becomes text, and not-a-number null."""
    if isinstance(cell, Mapping):
        return {str(key): plain(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [plain(each) for each in cell]
    if isinstance(cell, float):
        return float(cell) if math.isfinite(cell) else None
    if isinstance(cell, Integral) and not isinstance(cell, bool):
        return int(cell)
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    return cell if isinstance(cell, str | bool | None) else _as_text(cell)


def _as_text(cell: Cell) -> str:
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def flat(cell: Cell) -> Cell:
    """A cell for a format that knows no nesting: lists and objects become JSON text."""
    simple = plain(cell)
    return json.dumps(simple, ensure_ascii=False) if isinstance(simple, list | dict) else simple


class Writer(Protocol):
    """Takes rows, in order; the columns are those that it was made with."""

    def write(self, rows: list[Row]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


class CsvWriter:
    """Comma-separated values, quoted where needed, Unix line ends."""

    def __init__(
        self,
        path: Path,
        columns: Columns,
        shares: Collection[str] = (),
        *,
        escape: bool = False,
        separator: str = "",
    ) -> None:
        """Open ``path`` for writing, and write the header.

        ``shares`` are the columns of probabilities; ``escape`` puts an apostrophe before what a
        spreadsheet would take for a formula; ``separator`` stands between several labels.
        """
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._names, self._shares, self._escape = list(columns), frozenset(shares), escape
        self._lists = {name for name, of in columns.items() if get_origin(of) is list}
        self._separator = separator
        self._plain = csv.writer(self._file, lineterminator="\n")
        self._quoting = csv.writer(self._file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        self._write(self._names)

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        for row in rows:
            self._write([self._cell(name, row[name]) for name in self._names])

    def _cell(self, name: str, cell: Cell) -> Cell:
        if name in self._lists:
            return self._separator.join(map(str, cell))
        return f"{cell:.{DIGITS}f}" if name in self._shares else flat(cell)

    def _write(self, cells: Sequence[Cell]) -> None:
        cells = [*map(escape_formula, cells)] if self._escape else cells
        # The module leaves a lone carriage return bare, which would end a row.
        bare = any("\r" in cell for cell in cells if isinstance(cell, str))
        (self._quoting if bare else self._plain).writerow(cells)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JsonlWriter:
    """One JSON object a line."""

    def __init__(self, path: Path, columns: Columns) -> None:
        """Open ``path`` for writing."""
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        self._file.writelines(json.dumps(plain(row), ensure_ascii=False) + "\n" for row in rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetWriter:
    """Parquet, one row group a chunk."""

    def __init__(self, path: Path, columns: Columns) -> None:
        """Open ``path`` for writing."""
        self._schema = pa.schema([(name, arrow_type(of)) for name, of in columns.items()])
        self._writer = pq.ParquetWriter(path, self._schema)

    def write(self, rows: list[Row]) -> None:
        """Append a row group."""
        columns = [_column([row[field.name] for row in rows], field) for field in self._schema]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


def arrow_type(of: type | list[Any]) -> pa.DataType:
    """Of a column: by its Python type, or what Arrow takes its first cells for.

    Text where these are of several kinds, or none is there.
    """
    if get_origin(of) is list:
        return pa.list_(arrow_type(get_args(of)[0]))
    if isinstance(of, type):
        types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
        return types[of]
    try:
        found = pa.array(of).type
    # Cells of several kinds, or numbers too large for any of Arrow's, are written as text.
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.string()
    return pa.string() if pa.types.is_null(found) else found


def _column(cells: list[Cell], field: pa.Field) -> pa.Array:
    """Cells of one column, which the first rows gave its type."""
    if pa.types.is_string(field.type):
        cells = [cell if cell is None else _as_words(cell) for cell in cells]
    try:
        return pa.array(cells, field.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(
            f"a cell of the column {field.name!r} is of another kind than those of the first rows",
            seen=str(error).partition("\n")[0],
            allowed=f"{field.type}, as in the first rows",
            next_step="write a .csv or .jsonl, or keep this column out",
        ) from error


def _as_words(cell: Cell) -> str:
    simple = flat(cell)
    return simple if isinstance(simple, str) else json.dumps(simple)


WRITERS: dict[str, type[CsvWriter | JsonlWriter | ParquetWriter]] = {
    ".csv": CsvWriter,
    ".jsonl": JsonlWriter,
    ".parquet": ParquetWriter,
}
"""By the suffix of the output file."""
