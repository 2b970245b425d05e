"""Sheets of .xlsx, .xls and .ods files; places are the numbers beside the rows of a sheet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tightfit import extras
from tightfit.data.child import Child, Refusal
from tightfit.data.compressed import PART_SIGN
from tightfit.data.rows import Chunk, Origin, PartFault, Rows
from tightfit.errors import DataError, nearest
from tightfit.storage.files import machine_errors

MEMORY_BYTES, SECONDS = 400 * 2**20, 60.0
"""What reading one may take, see :mod:`tightfit.data.child`."""

HEADER_ROWS = 50
"""Rows among which the header is looked for."""

HEADER_SHARE = 0.6
"""Of the cells that a row usually has: from so many on, a row may be the header."""

SHEETS_NAMED = 10
"""Sheets that an error lists one by one."""

_PURPOSE = "a spreadsheet"

_kept: dict[tuple[Path, int, int], list[dict[str, Any]]] = {}
"""The file that was read last, by its path, time and size."""


def open_sheet(path: Path, source: str, sheet: str | None = None) -> Rows:
    """A sheet whose first row, titles above it aside, names its columns.

    Args:
        path: the file.
        source: where error messages say that the rows come from.
        sheet: its name; None takes the only one that holds anything.

    Raises:
        DataError: it is no spreadsheet, holds more than is read, or has several sheets, or none of
            that name.
        MissingExtraError: the extra ``spreadsheets`` is not installed.
        MachineError: the file cannot be read.
    """
    sheets = _read(path)
    chosen = _chosen(sheets, path, sheet)
    header, told = _header(chosen["rows"])
    number, names = chosen["rows"][header]
    below = chosen["rows"][header + 1 :]
    columns = {str(name).strip(): i for i, name in enumerate(names) if name is not None}
    named = tuple(str(name).strip() for name in names if name is not None)
    origin = Origin(source, "sheet row")

    def chunks(wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        for start in range(0, len(below), chunk_rows):
            part = below[start : start + chunk_rows]
            cells = [[row[columns[name]] for _, row in part] for name in wanted]
            yield Chunk(cells, [place for place, _ in part], origin)

    lines = [f"{source}: the header is row {number} of sheet {chosen['name']!r}"] if told else []
    others = [x["name"] for x in sheets if x["visible"] and x is not chosen]
    if sheet is None and others:
        passed = ", ".join(map(repr, others[:SHEETS_NAMED]))
        lines.append(f"{source}: sheet {chosen['name']!r} is read; one row alone is in {passed}")
    return Rows(origin, named, chunks, untyped=True, count=len(below), told=tuple(lines))


def _read(path: Path) -> list[dict[str, Any]]:
    """All sheets; they are kept once, since who reads a file has looked at its columns before."""
    with machine_errors(path, "read"):
        now = path.stat()
    key = (path.resolve(), now.st_mtime_ns, now.st_size)
    kept = _kept.pop(key, None)
    _kept.clear()
    if kept is None:
        kept = _kept[key] = _read_anew(path)
    return kept


def _read_anew(path: Path) -> list[dict[str, Any]]:
    package = extras.require("python_calamine", _PURPOSE)
    child = Child("tightfit.data.spreadsheets.sheet_process", (package,), MEMORY_BYTES, SECONDS)
    try:
        with machine_errors(path, "read"), path.open("rb") as file:
            return json.loads(child.run(file))
    except Refusal as refusal:
        raise DataError(
            f"{path} is refused: {refusal.what}",
            seen=refusal.seen,
            next_step=refusal.step or "delete cells far from the table, or save as CSV",
        ) from refusal


def _chosen(sheets: Sequence[dict[str, Any]], path: Path, wanted: str | None) -> dict[str, Any]:
    names = [sheet["name"] for sheet in sheets]
    if wanted is None:
        shown = [sheet for sheet in sheets if sheet["visible"]] or list(sheets)
        # One row names columns at best, and is a remark as a rule.
        shown = [sheet for sheet in shown if len(sheet["rows"]) > 1] or shown
        if len(shown) == 1:
            return shown[0]
        if not shown:
            raise DataError(f"{path} has no rows", seen="no sheet with anything in it")
        most = max(shown, key=lambda sheet: len(sheet["rows"]))["name"]
        raise PartFault(
            f"{path} has several sheets with rows",
            seen=", ".join(f"{x['name']!r} ({len(x['rows']):,})" for x in shown[:SHEETS_NAMED]),
            whole=path,
            likely=f"{path}{PART_SIGN}{most}",
        )
    near = nearest(wanted, names, cutoff=0.5)
    for sheet in sheets:
        if sheet["name"].strip().casefold() == wanted.strip().casefold():
            return sheet
    raise DataError(
        f"{path} has no sheet {wanted!r} with rows",
        seen=", ".join(map(repr, names[:SHEETS_NAMED])) or "no sheet with anything in it",
        next_step=f"did you mean '{path}{PART_SIGN}{near}'?" if near else None,
    )


def _header(rows: Sequence[tuple[int, list[Any]]]) -> tuple[int, bool]:
    """Which row names the columns, and whether others stand above it: titles, dates, remarks.

    Those fill fewer cells than the rows of a table do.
    """
    filled = [sum(cell is not None for cell in cells) for _, cells in rows[:HEADER_ROWS]]
    usual = sorted(filled)[len(filled) // 2]
    header = next(i for i, count in enumerate(filled) if count >= HEADER_SHARE * usual)
    return header, header > 0
