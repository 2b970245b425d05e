"""The process that reads one spreadsheet: from standard input, to one JSON document.

`sheets.open_sheet` starts it. A sheet is kept as a dense grid by the library that reads it, so two
cells far apart in a file of five kilobytes take more memory than any machine has, and end this
process.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO

import python_calamine as calamine

from tightfit.data.child import TOO_BIG, Refusal

MAX_BYTES = 256 * 2**20
"""Of all that is inside a file, unpacked."""

MAX_ROWS = 400_000
"""Of a sheet, empty ones included. Those that a program only formatted count, too."""

BLOCK_BYTES = 1 << 20

_ROW = re.compile(rb"<(?:\w+:)?(?:table-)?row[\s/>]")
_LONGEST_TAG = 20
_ERRORS = re.compile(r"#(?:N/A|REF!|VALUE!|DIV/0!|NAME\?|NULL!|NUM!)")
"""What a spreadsheet shows for a formula that has no value."""

Row = tuple[int, list[str | None]]
"""The number that the sheet shows beside a row, and its cells; None is an empty one."""


MEND = "open it in a spreadsheet program, and save it again, or as CSV"
LESS = "delete its empty rows and what is not needed, or save the sheet as CSV"


def answer(source: BinaryIO, out: BinaryIO) -> int:
    """Write the sheets that hold anything, or why the file is refused; say which by the code."""
    try:
        sheets = read(source.read())
    except Refusal as refusal:
        return refusal.write(out)
    except MemoryError:
        return TOO_BIG
    # The library's own errors, and its panics, which are no Exception.
    except BaseException as error:
        locked = isinstance(error, calamine.PasswordError)
        what = "it needs a password" if locked else "it is no spreadsheet, or is damaged"
        step = "save it without one" if locked else MEND
        return Refusal(what, str(error)[:200], step).write(out)
    out.write(json.dumps(sheets).encode("ascii"))
    out.flush()
    return 0


def read(content: bytes) -> list[dict[str, Any]]:
    """The visible sheets with their rows, those without any cell left out.

    Raises:
        Refusal: there is more in the file than the limits allow.
    """
    if content.startswith(b"PK"):
        _measure(content)
    with calamine.CalamineWorkbook.from_filelike(BytesIO(content)) as book:
        kinds = {
            sheet.name: sheet.visible == calamine.SheetVisibleEnum.Visible
            for sheet in book.sheets_metadata
            if sheet.typ == calamine.SheetTypeEnum.WorkSheet
        }
        sheets = []
        for name, visible in kinds.items():
            rows = list(_rows(book.get_sheet_by_name(name)))
            if rows:
                sheets.append({"name": name, "visible": visible, "rows": rows})
    return sheets


def _measure(content: bytes) -> None:
    """Unpack everything once, a block at a time, and count: what an archive says may be false."""
    total = 0
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
            if declared > MAX_BYTES:
                raise _too_large(declared)
            for entry in archive.infolist():
                rows, tail = 0, b""
                with archive.open(entry) as file:
                    while block := file.read(BLOCK_BYTES):
                        total += len(block)
                        if total > MAX_BYTES:
                            raise _too_large(total)
                        rows += len(_ROW.findall(tail + block))
                        tail = block[-_LONGEST_TAG:]  # a tag may be cut in two
                        _check_rows(rows)
    # All that zipfile raises for a sheet that is damaged, locked, or packed in a way it lacks.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise Refusal("it is damaged", str(error), MEND) from error


def _too_large(size: int) -> Refusal:
    most = f"it holds more than the {MAX_BYTES / 2**20:.0f} MB that are read, unpacked"
    return Refusal(most, f"{size / 2**20:,.0f} MB or more", LESS)


def _check_rows(rows: int) -> None:
    if rows > MAX_ROWS:
        what = f"a sheet has more than the {MAX_ROWS:,} rows that are read, empty ones included"
        raise Refusal(what, f"{rows:,} rows or more", LESS)


def _rows(sheet: Any) -> Iterator[Row]:
    """The rows in which any cell is filled; cells that are merged all hold what the first does."""
    if sheet.start is None:
        return
    _check_rows(sheet.height)
    top, left = sheet.start
    merged = _merged(sheet)
    above: dict[int, Any] = {}
    for number, cells in enumerate(sheet.to_python(skip_empty_area=True), start=top):
        row = [_plain(cell) for cell in cells]
        for index in range(len(row)) if merged else ():
            first = merged.get((number, left + index))
            if first == number:
                above[index] = row[index]
            elif first is not None:
                row[index] = above.get(index)
        if any(cell is not None for cell in row):
            yield number + 1, [*[None] * left, *row]


def _merged(sheet: Any) -> dict[tuple[int, int], int]:
    """For each cell that is merged with those below or above it: the row of the first."""
    found: dict[tuple[int, int], int] = {}
    for (top, left), (bottom, right) in (sheet.merged_cell_ranges or [])[:MAX_ROWS]:
        # Headings over several columns are merged sideways; these say nothing of rows.
        if left == right and bottom - top < MAX_ROWS and len(found) < MAX_ROWS:
            found |= {(row, left): top for row in range(top, bottom + 1)}
    return found


def _plain(cell: Any) -> str | None:
    """A cell as a text file has it; None where it has no value."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = cell if isinstance(cell, str) else "" if cell is None else str(cell)
    if not text or text.isspace() or (text[0] == "#" and _ERRORS.fullmatch(text)):
        return None
    return text
