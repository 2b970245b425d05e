"""What a delimited file looks like, found out from its first rows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

from tightfit.data.delimited_rows import OPEN_END, Dialect, QuoteFault, Quotes
from tightfit.data.text_files import AUTO, TextForm

SAMPLE_CHARACTERS = 1 << 20
"""Of a file, from which its form is found out."""

DELIMITER_CHARACTERS, DELIMITER_ROWS = 1 << 16, 200
"""So much is enough for the delimiter."""

STRONG = ",\t;|"
WEAK = "^~¦\x1f\x01:"
"""Delimiters that are looked for; weak ones only where no strong one will do."""

LIKELY = 0.8
"""Share of equally long rows from which on a strong delimiter leaves no place for a weak one."""

SWALLOWED = 3
"""Lines from which on a quoted cell is suspected, where every line could be a row."""

HEADING_LENGTH, HEADING_WORDS = 60, 8
"""A longer first cell is no heading."""

NAMES = {"\t": "tab", ",": "comma", "\x1f": "\\x1f", "\x01": "\\x01"}

_SEP_LINE = re.compile(r'"?sep=(.)"?[,;\t]*\s*', re.IGNORECASE)
_BREAK = re.compile(r"\r\n|\r|\n")
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?")


@dataclass(frozen=True)
class Swallowing:
    """Tells rows that a stray quotation mark swallows from a cell of many lines.

    Each line of it could be a row by itself. And no line of the file's beginning needs its marks,
    or those within the cell have a value, such as a label, that other rows have in the same place.
    """

    delimiter: str
    width: int
    """Cells of a row."""
    simple: bool
    """Whether no line needs its marks."""
    known: tuple[frozenset[str], ...]
    """What stands more than once in each place."""

    def suspects(self, cells: Sequence[str]) -> bool:
        """Whether a row has such a cell."""
        for place, cell in enumerate(cells):
            parts = [line.split(self.delimiter) for line in _lines(cell) if line]
            if len(parts) < SWALLOWED:
                continue
            rows = [[*cells[:place], *parts[0]], *parts[1:-1], [*parts[-1], *cells[place + 1 :]]]
            if all(len(row) == self.width for row in rows):
                return self.simple or self._share_a_value(rows[1:-1])
        return False

    def _share_a_value(self, rows: Sequence[Sequence[str]]) -> bool:
        """Whether, in one place, each has what at least two of the others have there."""
        places = zip(self.known, zip(*rows, strict=True), strict=False)
        return any(known.issuperset(column) for known, column in places)


@dataclass(frozen=True)
class Form:
    """How a delimited file is laid out."""

    dialect: Dialect
    header: tuple[str, ...]
    """The first row."""
    width: int
    """Cells of the rows below it: more or fewer only where those are empty and nameless."""
    skipped: int = 0
    """Lines before the header, such as ``sep=;``."""
    sample: tuple[tuple[str, ...], ...] = ()
    """The first rows below it, as far as they could be read."""
    told: tuple[str, ...] = ()
    """What was found out, a line each."""
    swallowing: Swallowing | None = None
    """What tells a cell that would swallow rows, if its quotation mark is none."""

    @property
    def widths(self) -> tuple[int, ...]:
        """How many cells a row may have."""
        return tuple({self.width, len(self.header)})


def sniff(sample: str, form: TextForm, default: str | None, *, whole: bool) -> Form | None:
    """The form of a file, None for one without rows.

    Args:
        sample: its beginning.
        form: what the settings fix.
        default: the delimiter that its ending stands for.
        whole: whether the sample is all of it.
    """
    first, _, rest = sample.lstrip("\ufeff").partition("\n")
    line = _SEP_LINE.fullmatch(first)
    if line:
        sample = rest
    delimiter = form.delimiter if form.delimiter != AUTO or line is None else line[1]
    if delimiter == AUTO:
        delimiter = _delimiter(sample[:DELIMITER_CHARACTERS], default, _marks(form))
    quotes = _quotes(sample, delimiter, form, whole=whole)
    dialect = Dialect(delimiter, quotes)
    rows, _ = _rows(sample, dialect, whole=whole)
    if not rows or (len(rows) == 1 and not any(map(str.strip, rows[0]))):
        return None
    header, below = tuple(rows[0]), [tuple(row) for row in rows[1:]]
    skipped = 1 if line else 0
    swallowing = None
    if form.quoting == "auto" and quotes == "double" and len(header) > 1:
        swallowing = _swallowing(sample, dialect, len(header))
    return Form(
        dialect,
        header,
        _width(header, below),
        skipped,
        tuple(below),
        _told(dialect, form, default),
        swallowing,
    )


def is_data(first: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether a first row is no header: a number above numbers, or what comes again below.

    A long first cell tells only where it is alone: headings of surveys are questions.
    """
    cells = [cell.strip() for cell in first]
    if len(cells) == 1:
        return len(cells[0]) > HEADING_LENGTH or len(cells[0].split()) > HEADING_WORDS
    if all(map(_NUMBER.fullmatch, cells)):
        return False  # pandas counts columns that have no name
    for index, cell in enumerate(cells):
        column = Counter(row[index].strip() for row in below if index < len(row))
        numbers = sum(times for value, times in column.items() if _NUMBER.fullmatch(value))
        if _NUMBER.fullmatch(cell) and numbers > 0.5 * len(below):
            return True
        if cell and column[cell] > 1 and len(column) < max(3, len(below) // 2):
            return True
    return False


def delimiter_name(delimiter: str) -> str:
    """As ``data.delimiter`` takes it."""
    return NAMES.get(delimiter, f"'{delimiter}'")


def _marks(form: TextForm) -> Quotes:
    return "double" if form.quoting == "auto" else form.quoting


def _told(dialect: Dialect, form: TextForm, default: str | None) -> tuple[str, ...]:
    told = []
    if form.delimiter == AUTO and dialect.delimiter != default:
        told.append(f"cells are divided by {delimiter_name(dialect.delimiter)} (data.delimiter)")
    if form.quoting == AUTO and dialect.quotes not in ("double", "lines"):
        meaning = {
            "none": "quotation marks are part of the texts",
            "backslash": "quotation marks within cells stand after a backslash",
            "single": "cells stand in apostrophes",
            "spaced": "blanks before cells are no part of them",
        }
        set_by = "" if dialect.quotes == "spaced" else f" (data.quoting={dialect.quotes})"
        told.append(f"{meaning[dialect.quotes]}{set_by}")
    return tuple(told)


def _rows(
    sample: str, dialect: Dialect, *, whole: bool
) -> tuple[list[list[str]], QuoteFault | None]:
    """The rows of a sample, but for what is cut off, and the fault that ended them."""
    rows: list[list[str]] = []
    lines = StringIO(sample, newline="")
    widths: tuple[int, ...] = ()
    if dialect.quotes == "lines":
        widths = (len(dialect.cells(lines.readline())),)
        lines.seek(0)
    fault = None
    try:
        rows += (cells for _, cells in dialect.rows(lines, widths))
    except QuoteFault as error:
        fault = error
    if fault is not None and not whole and not lines.read(1) and not fault.ambiguous:
        fault = None  # a cell that the end of the sample cuts
    elif not whole and fault is None and len(rows) > 1:
        rows.pop()
    return rows, fault


def _delimiter(sample: str, default: str | None, quotes: Quotes) -> str:
    """The character that divides the header, and the rows below it most evenly."""
    scores: dict[str, float] = {}
    candidates = dict.fromkeys([*(default or ""), *STRONG, *WEAK])
    for delimiter in candidates:
        if delimiter in WEAK and max(scores.values(), default=0) >= LIKELY:
            break
        score = _evenness(sample, Dialect(delimiter, quotes))
        if score > 0:
            scores[delimiter] = score
    if not scores:
        return default or ","
    return max(scores, key=lambda each: round(scores[each], 2))


def _evenness(sample: str, dialect: Dialect) -> float:
    """Share of the rows that are as long as most, plus a little for being divided at all."""
    rows, fault = _rows(sample, dialect, whole=False)
    if fault is not None or len(rows) < 2:
        rows = [dialect.cells(line) for line in StringIO(sample, newline="") if line.strip()]
    if not rows:
        return 0.0
    header, below = rows[0], rows[1 : DELIMITER_ROWS + 1]
    if len(header) < 2:
        return 0.0
    width = _width(header, below)
    even = sum(len(row) in (width, len(header)) for row in below) / max(1, len(below))
    return even if below else 1.0


def _quotes(sample: str, delimiter: str, form: TextForm, *, whole: bool) -> Quotes:
    """``data.quoting``, or what makes sense of the sample."""
    if form.quoting != "auto":
        return form.quoting
    if delimiter == "\t":
        return "lines"
    double, fault = _rows(sample, Dialect(delimiter), whole=whole)
    if double and all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in double[0]):
        return "single"
    if _is_spaced(sample, delimiter, double, whole=whole):
        return "spaced"
    if fault is None or str(fault) == OPEN_END:
        return "double"  # an open mark may be that of a file that was cut off
    others: tuple[Quotes, ...] = ("backslash", "none")
    for quotes in others:
        rows, broken = _rows(sample, Dialect(delimiter, quotes), whole=whole)
        even = rows and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
        marked = quotes == "none" and any(_QUOTED.fullmatch(cell) for row in rows for cell in row)
        if even and broken is None and not marked and (quotes == "none" or '\\"' in sample):
            return quotes
    return "double"


def _is_spaced(
    sample: str, delimiter: str, double: Sequence[Sequence[str]], *, whole: bool
) -> bool:
    """Whether most rows have a mark behind a blank, and are even only if the blank is none."""
    marked = sum(any(cell.startswith(' "') for cell in row) for row in double[1:])
    if marked <= 0.5 * len(double):
        return False
    rows, fault = _rows(sample, Dialect(delimiter, "spaced"), whole=whole)
    return fault is None and len({len(row) for row in rows}) == 1


def _swallowing(sample: str, dialect: Dialect, width: int) -> Swallowing | None:
    """What tells them, from the beginning of a file; None where that cannot be read."""
    whole = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    bare = [dialect.cells(line) for line in StringIO(whole, newline="")]
    try:
        rows = [cells for _, cells in dialect.rows(StringIO(whole, newline=""), ())]
    except QuoteFault:
        return None
    even = [cells for cells in rows if len(cells) == width and not any(map(_lines, cells))]
    columns = map(Counter, zip(*even, strict=True))
    known = [frozenset(cell for cell, times in x.items() if times > 1) for x in columns]
    simple = all(len(cells) == width for cells in bare if any(cells))
    return Swallowing(dialect.delimiter, width, simple, tuple(known))


def _lines(cell: str) -> list[str]:
    """The lines of a cell of several; none of another."""
    return _BREAK.split(cell) if "\n" in cell or "\r" in cell else []


def _width(header: Sequence[str], below: Sequence[Sequence[str]]) -> int:
    """Cells of the rows below a header.

    Another number than the header's is taken where all that is too much, or that they lack, is an
    empty cell: of every row, or of the header.
    """
    if not below:
        return len(header)
    common = Counter(map(len, below)).most_common(1)[0][0]
    named = max((i for i, name in enumerate(header, 1) if name.strip()), default=len(header))
    if named <= common <= len(header):
        return common
    beyond = [row[len(header) :] for row in below if len(row) == common]
    if common > len(header) and not any(cell.strip() for cells in beyond for cell in cells):
        return common
    return len(header)
