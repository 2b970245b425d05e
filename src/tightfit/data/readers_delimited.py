"""CSV, TSV and their kin, read a chunk at a time; places are line numbers of the file, from 1."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import fmean

from tightfit.data.column_hints import column_options, column_roles
from tightfit.data.delimited_rows import Dialect, QuoteFault, Row
from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.data.sniffing import SAMPLE_CHARACTERS, Form, delimiter_name, is_data, sniff
from tightfit.data.text_files import FOUND_OUT, TextForm, found_encoding, open_text
from tightfit.errors import DataError, first_few

AG_NEWS_NAMES = ("World", "Sports", "Business", "Sci/Tech")
"""AG News's classes 1 to 4, of Zhang, Zhao and LeCun (arXiv:1509.01626)."""

_AG_COLUMNS = ("Class Index", "Title", "Description")
_AG_NAME_OF = {str(number): name for number, name in enumerate(AG_NEWS_NAMES, start=1)}

_TRIPLE = ("label", "title", "text")
"""What the columns of AG News's kin are: class, title and text, without a header."""

MARGIN = 8
"""Blanks and marks around a name of a header, where it stands again."""

COLUMNS_NAMED = 12
"""Cells of a row up to which a header is proposed."""

FEW = 20
"""Different numbers that may be classes; more of them are ids, where most rows have their own."""

TITLE_ROWS = 10
"""Lines of a title at most."""

CLASSES_NAMED = 5
"""Values of a class that a hint lists."""

_SUSPECT = "each of its lines could be a row"

_BROKEN = 'a cell that begins with a quote ends with one, those between are doubled: "say ""hi"""'


def open_csv(path: Path, source: str, form: TextForm = FOUND_OUT, default: str = ",") -> Rows:
    """A delimited file with a header, or in AG News's own form, which may lack the header.

    Args:
        path: the file.
        source: where error messages say that the rows come from.
        form: what the settings fix; the rest is found out, and told.
        default: the delimiter that the file's ending stands for.

    Raises:
        DataError: the file is empty, cannot be decoded, names a column twice, or has no header and
            another form than AG News. The chunks raise it for rows of another length than the
            header, for a header that stands again, and for broken quotes.
    """
    return delimited_rows(open_sample(path, source, form, default))


@dataclass(frozen=True)
class Delimited:
    """A delimited file whose form is known."""

    path: Path
    origin: Origin
    encoding: str
    form: Form
    columns: tuple[str, ...]
    """Names, an empty one for a column that has none."""
    header_rows: int = 1
    told: tuple[str, ...] = ()

    @cached_property
    def is_ag_news(self) -> bool:
        """Whether its classes are AG News's."""
        return self.columns == _AG_COLUMNS and _classes(self) <= set(_AG_NAME_OF)

    def chunks(self, wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        """Cells of the wanted columns."""
        rows = islice(self.form_rows(), self.header_rows, None)
        while batch := list(islice(rows, chunk_rows)):
            places, cells = [line for line, _ in batch], [row for _, row in batch]
            self._check(cells, Chunk([], places, self.origin))
            yield Chunk([self._cells(cells, name) for name in wanted], places, self.origin)

    def form_rows(self) -> Iterator[Row]:
        """All rows with their lines, the header's among them."""
        form = self.form
        try:
            with open_text(self.path, self.origin, self.encoding) as file:
                lines = islice(file, form.skipped, None)
                for line, cells in form.dialect.rows(lines, form.widths, form.skipped + 1):
                    if form.swallowing is not None and form.swallowing.suspects(cells):
                        raise QuoteFault(line, _SUSPECT, ambiguous=True)
                    yield line, cells
        except QuoteFault as fault:
            raise self.quote_fault(fault) from fault

    def _check(self, rows: Sequence[Sequence[str]], chunk: Chunk) -> None:
        again = [i for i, row in enumerate(rows) if self._is_header(row)]
        if again:
            raise chunk.fault(
                "the header stands again among the rows",
                again,
                next_step="remove these lines: of files that are joined, one keeps its header",
            )
        width = len(self.columns)
        ragged = [i for i, row in enumerate(rows) if len(row) != width and self._is_ragged(row)]
        if ragged:
            raise chunk.fault(
                f"a row with {_counted(len(rows[ragged[0]]))} under a header with {width}",
                ragged,
                allowed=f"cells divided by {delimiter_name(self.form.dialect.delimiter)}",
                next_step="put cells that hold the delimiter or a line break in double quotes",
            )

    def _is_header(self, row: Sequence[str]) -> bool:
        """Whether a row is the header once more; of one column it may as well be a text."""
        if self._header is None or len(row[0]) > self._header[0]:
            return False
        names = self._header[1]
        # In another order, too, where files with other orders were joined.
        return sorted(map(_bare, row[: len(names)])) == names

    @cached_property
    def _header(self) -> tuple[int, list[str]] | None:
        """Characters that a name may take, and the names; None where none can come again.

        The length spares nearly all rows a closer look.
        """
        if len(self.columns) < 2 or not self.header_rows:
            return None
        return max(map(len, self.columns)) + MARGIN, sorted(map(_bare, self.columns))

    def _is_ragged(self, row: Sequence[str]) -> bool:
        return len(row) not in self.form.widths or any(map(str.strip, row[len(self.columns) :]))

    def _cells(self, rows: Sequence[Sequence[str]], name: str) -> list[str | None]:
        index = self.columns.index(name)
        if self.is_ag_news and index == 0:
            return [_AG_NAME_OF.get(row[0].strip(), row[0]) or None for row in rows]
        # An empty cell is how a CSV writes a missing value.
        return [(row[index] or None) if index < len(row) else None for row in rows]

    def quote_fault(self, fault: QuoteFault) -> DataError:
        """The error for a row with broken quotes; it names the setting that reads the file."""
        plain = self._reads_plainly()
        if fault.ambiguous:
            what = f"the cell with a quotation mark on line {fault.line:,} may be one, or many rows"
            step = "if it is one cell: --set data.quoting=double; if each line is a row:"
            if not plain:
                step = "if it is one cell: --set data.quoting=double; else mend the line"
        else:
            what = f"the row that begins on line {fault.line:,} has broken quotes"
            step = "mend this row, or read quotation marks as part of the text:"
            if not plain:
                step = "mend this row, or save the rows as JSON lines or Parquet"
        return DataError(
            f"{self.origin.source}: {what}",
            seen=str(fault),
            allowed=None if fault.ambiguous else _BROKEN,
            next_step=step,
            add="--set data.quoting=none" if plain else None,
        )

    def _reads_plainly(self) -> bool:
        """Whether every line is a row of the right length, if marks mean nothing."""
        plain = replace(self.form, dialect=Dialect(self.form.dialect.delimiter, "none"))
        bare = replace(self, form=plain)
        return all(len(row) in plain.widths for _, row in bare.form_rows())


def open_sample(path: Path, source: str, form: TextForm, default: str | None) -> Delimited:
    """A file and the form in which it will be read.

    Raises:
        DataError: it is empty, or cannot be decoded.
        MachineError: it cannot be read.
    """
    origin = Origin(source, "line")
    encoding, told = found_encoding(path, form, origin)
    with open_text(path, origin, encoding) as file:
        sample = file.read(SAMPLE_CHARACTERS)
        whole = not file.read(1)
    found = sniff(sample, form, default, whole=whole)
    if found is None:
        raise DataError(f"{origin.source} is empty")
    told += tuple(f"{source}: {line}" for line in found.told)
    columns = tuple(name.strip("\ufeff") for name in found.header)
    return Delimited(path, origin, encoding, found, columns, told=told)


def delimited_rows(file: Delimited) -> Rows:
    """The named columns of a file.

    Raises:
        DataError: two have the same name, or one of the first rows may be many.
    """
    form = file.form
    if form.swallowing is not None and any(map(form.swallowing.suspects, form.sample)):
        deque(file.form_rows(), maxlen=0)  # stops at that row, with its line
    first, told = form.header, list(file.told)
    if _is_headless_ag_news(form):
        file = replace(file, columns=_AG_COLUMNS, header_rows=0)
        told.append(f"{file.origin.source}: no header; read as AG News: class, title, description")
    named = [name for name in file.columns if name.strip()]
    ag_news = file.is_ag_news
    no_header = None if ag_news else _titles(file)
    if not ag_news and is_data(first, form.sample):
        no_header = _no_header(file)
        if len(set(named)) < len(named):
            raise no_header
    return Rows(
        file.origin,
        tuple(named),
        file.chunks,
        class_names=({_AG_COLUMNS[0]: AG_NEWS_NAMES} if ag_news else {}).get,
        class_values=({_AG_COLUMNS[0]: (1, 2, 3, 4)} if ag_news else {}).get,
        aliases={"text": _AG_COLUMNS[1:], "label": _AG_COLUMNS[:1]} if ag_news else {},
        untyped=True,
        told=tuple(told),
        no_header=no_header,
    )


def _bare(cell: str) -> str:
    """A cell of a header, as it may stand again where files were joined."""
    return cell.strip().strip('\ufeff"').casefold()


def _classes(file: Delimited) -> set[str]:
    """What stands in the first column of the first rows."""
    form = file.form
    rows = form.sample if file.header_rows else (form.header, *form.sample)
    return {row[0].strip() for row in rows if row}


def _is_headless_ag_news(form: Form) -> bool:
    """Three cells a row, the first of which takes all values from 1 to 4 and no other."""
    rows = (form.header, *form.sample)
    classes = {row[0].strip() for row in rows if row}
    return len(form.header) == len(_AG_COLUMNS) and classes == set(_AG_NAME_OF)


def _titles(file: Delimited) -> DataError | None:
    """The error where a title seems to stand above the header: a cell or none, below it several."""
    form = file.form
    if sum(map(bool, map(str.strip, form.header))) > 1:
        return None
    for index, row in enumerate(form.sample[:TITLE_ROWS]):
        filled = [cell.strip() for cell in row if cell.strip()]
        if len(filled) > 1 and not is_data(row, form.sample[index + 1 :]):
            (line, _), *_ = islice(file.form_rows(), index + 1, None)
            return DataError(
                f"{file.origin.source} seems to have something above its header",
                seen=f"line {line:,} has {', '.join(map(repr, filled[:COLUMNS_NAMED]))}",
                allowed="a first line with the names of the columns",
                next_step="remove the lines above it",
            )
    return None


def _no_header(file: Delimited) -> DataError:
    """The error where the first row is no header: the line that is lacking, and the command."""
    form = file.form
    rows = [row for row in (form.header, *form.sample) if len(row) >= len(form.header)]
    cells = {str(i): [row[i] for row in rows] for i in range(len(form.header))}
    first = [cell.strip() for cell in cells["0"]]
    numbers = all(map(str.isdecimal, first)) and len(set(first)) <= max(FEW, 0.5 * len(first))
    triple = len(cells) == 3 and numbers
    names = list(_TRIPLE) if triple else _headings(cells)
    named = {name: cells[str(i)] for i, name in enumerate(names)}
    likely = ", ".join(
        f"{name} ({_values(named[name])})" if name == "label" else name
        for name in names[:COLUMNS_NAMED]
    )
    line = form.dialect.delimiter.join(names)
    tab = " (with a tab between)" if form.dialect.delimiter == "\t" else ""
    return DataError(
        f"{file.origin.source} seems to have no header: its first line is a row",
        seen=f"{_counted(len(names))} a row, which look like {likely}",
        allowed="a first line with the names of the columns",
        next_step=f"put this line at its top{tab}: {line}"
        if len(names) <= COLUMNS_NAMED
        else "put a line with their names at its top",
        add="--text-column title,text" if triple else _options(named),
    )


def _options(cells: dict[str, list[str]]) -> str | None:
    """Of the file once it has its header; none are needed where its names are the usual ones."""
    texts, _ = column_roles(cells)
    return None if texts == ["text"] else column_options(cells, label="label" in cells)


def _headings(cells: dict[str, list[str]]) -> list[str]:
    """Names for nameless columns: ``label``, ``title`` and ``text`` where one looks like it."""
    texts, labels = column_roles(cells)
    texts.sort(key=lambda name: fmean(map(len, cells[name])))
    names = {name: f"column{int(name) + 1}" for name in cells}
    names |= dict(zip(texts[::-1], ("text", "title"), strict=False))
    names |= {labels[0]: "label"} if labels else {}
    return list(names.values())


def _counted(cells: int) -> str:
    return f"{cells} cell{'s' * (cells != 1)}"


def _values(column: Sequence[str]) -> str:
    values = sorted({cell.strip() for cell in column}, key=lambda value: (len(value), value))
    return first_few(values, CLASSES_NAMED)
