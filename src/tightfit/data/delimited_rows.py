"""Lines to cells: rows of a delimited file, each with the line on which it begins."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

Quotes = Literal["double", "backslash", "single", "none", "lines", "spaced"]
"""``data.quoting``, found out; ``lines``: double, where no other reading of a line makes sense;
``spaced``: double, with a blank between delimiter and mark."""

CELL_LIMIT = 2**31 - 1
"""Longest cell of a CSV, in characters: the most that the csv module takes on every system."""

# The limit is the module's, not a reader's; texts far beyond its 131,072 are fine here.
csv.field_size_limit(CELL_LIMIT)

LOOK_AHEAD = 1_000
"""Lines after which a quotation mark that stands open was none, if its own line is whole."""

_STYLES: dict[str, dict[str, Any]] = {
    "double": {"strict": True},
    "backslash": {"strict": True, "escapechar": "\\"},
    "single": {"strict": True, "quotechar": "'"},
    "spaced": {"strict": True, "skipinitialspace": True},
}


class QuoteFault(ValueError):
    """A row whose quotation marks cannot be read; ``line`` is where it begins."""

    def __init__(self, line: int, seen: str, *, ambiguous: bool = False) -> None:
        super().__init__(seen)
        self.line = line
        self.ambiguous = ambiguous
        """Whether they can be read in two ways."""


OPEN_END = "unexpected end of data"
"""What the csv module says of a quotation mark that nothing closes."""

Row = tuple[int, list[str]]
"""The line on which a row begins, and its cells."""


@dataclass(frozen=True)
class Dialect:
    """How cells are divided and quoted."""

    delimiter: str
    quotes: Quotes = "double"

    def rows(
        self, lines: Iterable[str], widths: Sequence[int], first_line: int = 1
    ) -> Iterator[Row]:
        """Rows; blank lines are none.

        Args:
            lines: of the file, each with its end.
            widths: how many cells a row may have; ``lines`` decides by it what a mark is.
            first_line: the number of the first of them.

        Raises:
            QuoteFault: a row's quotation marks do not fit.
        """
        if self.quotes == "lines":
            return _LineByLine(self, lines, widths, first_line).rows()
        if self.quotes == "none":
            return self._bare(lines, first_line)
        return self._quoted(lines, first_line)

    def cells(self, line: str) -> list[str]:
        """The cells of a line, whatever quotation marks are in it."""
        return line.rstrip("\r\n").split(self.delimiter)

    def _bare(self, lines: Iterable[str], first_line: int) -> Iterator[Row]:
        for number, line in enumerate(lines, start=first_line):
            if line.strip("\r\n"):
                yield number, self.cells(line)

    def _quoted(self, lines: Iterable[str], first_line: int) -> Iterator[Row]:
        reader = csv.reader(lines, delimiter=self.delimiter, **_STYLES[self.quotes])
        line = first_line
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = first_line + reader.line_num
        except csv.Error as error:
            raise QuoteFault(line, str(error)) from error


class _Lines:
    """Lines of which those that were read ahead come again: after the last one, too."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = iter(lines)
        self.ahead: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self.ahead.popleft() if self.ahead else next(self._lines)


class _LineByLine:
    """Rows of a file in which a line with the right number of cells is most likely a whole row.

    So it is where tabs divide: they are rare in texts, while quotation marks at the beginning of
    one are not. A quoted cell of several lines is read as one, unless each of its lines could be
    a row as well: that may be one cell, or rows that a stray mark would swallow.
    """

    def __init__(
        self, dialect: Dialect, lines: Iterable[str], widths: Sequence[int], first_line: int
    ) -> None:
        self._dialect, self._widths = dialect, widths
        self._lines, self._line = _Lines(lines), first_line

    def rows(self) -> Iterator[Row]:
        """All of them."""
        for line in self._lines:
            begins = self._line
            self._line += 1
            if '"' in line:
                yield begins, self._with_marks(line, begins)
            elif line.strip("\r\n"):
                yield begins, self._dialect.cells(line)

    def _with_marks(self, line: str, begins: int) -> list[str]:
        whole = self._is_row(line)
        cells, taken, fault = self._parsed(line, LOOK_AHEAD if whole else None)
        if cells is not None and len(taken) > 1 and all(map(self._is_row, taken)):
            raise QuoteFault(
                begins, f"{len(taken):,} lines, each of them a row by itself", ambiguous=True
            )
        if cells is not None and (len(cells) in self._widths or not whole):
            self._line += len(taken) - 1
            return cells
        if whole:
            # The marks are part of the text, and what was read ahead comes next.
            self._lines.ahead.extend(taken[1:])
            return self._dialect.cells(line)
        raise QuoteFault(begins, fault)

    def _is_row(self, line: str) -> bool:
        """Whether a line has the right number of cells, if marks mean nothing."""
        return len(self._dialect.cells(line)) in self._widths

    def _parsed(self, line: str, most: int | None) -> tuple[list[str] | None, list[str], str]:
        """Cells with quotes read as such, if that is possible, and the lines that this took."""
        taken: list[str] = []

        def lines() -> Iterator[str]:
            for each in chain([line], self._lines):
                taken.append(each)
                yield each
                if most is not None and len(taken) > most:
                    return

        try:
            reader = csv.reader(lines(), delimiter=self._dialect.delimiter, strict=True)
            return next(reader), taken, ""
        except csv.Error as error:
            return None, taken, str(error)
