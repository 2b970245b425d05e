"""Text files without columns: fastText's ``__label__`` form, and one text a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tightfit.data.readers_delimited import Delimited, delimited_rows, open_sample
from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.data.sniffing import is_data
from tightfit.data.text_files import AUTO, FOUND_OUT, TextForm, open_text
from tightfit.storage.files import machine_errors

PREFIX = "__label__"

_LABELLED = re.compile(rf"{PREFIX}[^\s,;|]+\s")
_LABELS = re.compile(rf"(?:\s*{PREFIX}\S+(?:\s+|$))+")

COLUMNS = ("label", "text")

LIKELY = 0.9
"""Share of lines with as many cells as the first from which on a .txt is a table."""


def open_txt(path: Path, source: str, form: TextForm = FOUND_OUT) -> Rows:
    """A text file whose ending says nothing: fastText's form, a table, or one text a line.

    Raises:
        DataError: the file is empty or cannot be decoded; the chunks raise it for faults of rows.
    """
    file = open_sample(path, source, form, None)
    if is_fasttext("".join(file.form.header)):
        return fasttext_rows(path, file.origin, file.encoding)
    if _is_table(file, form):
        return delimited_rows(file)
    header = file.form.header == ("text",)
    lines = _Lines(path, file.origin, file.encoding, int(header))
    told = (
        *(line for line in file.told if "data.encoding" in line),
        *(
            ()
            if header
            else (f"{source}: each line that is not empty is read as a text; there is no header",)
        ),
    )
    return Rows(file.origin, ("text",), lines.texts, untyped=True, told=told)


def is_fasttext(line: str) -> bool:
    """Whether a line begins with a label as fastText writes it."""
    return _LABELLED.match(line) is not None


def begins_as_fasttext(path: Path) -> bool:
    """Whether a file of any ending does: fastText's own have ``.train`` and ``.valid``."""
    with machine_errors(path, "read"), path.open("rb") as file:
        return file.read(len(PREFIX)) == PREFIX.encode()


def fasttext_rows(path: Path, origin: Origin, encoding: str) -> Rows:
    """``__label__A text``, one row a line; a row of several labels has a list of them."""
    told = (f"{origin.source}: read as fastText's form, {PREFIX}NAME before each text",)
    lines = _Lines(path, origin, encoding)
    return Rows(origin, COLUMNS, lines.labelled, untyped=True, told=told)


def _is_table(file: Delimited, asked: TextForm) -> bool:
    form = file.form
    if asked.delimiter != AUTO or form.skipped:
        return True
    if len(form.header) < 2:
        return False
    even = sum(len(row) in form.widths for row in form.sample)
    if even < LIKELY * len(form.sample):
        return False
    # Tabs divide; other delimiters stand in texts, too.
    return form.dialect.delimiter == "\t" or not is_data(form.header, form.sample)


@dataclass(frozen=True)
class _Lines:
    """The lines of a file that are not blank."""

    path: Path
    origin: Origin
    encoding: str
    skipped: int = 0

    def texts(self, wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        """Each line, for each column that is asked for."""
        for places, lines in self._batches(chunk_rows):
            yield Chunk([list(lines) for _ in wanted], places, self.origin)

    def labelled(self, wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        """Labels and what follows them."""
        for places, lines in self._batches(chunk_rows):
            rows = [_labelled(line) for line in lines]
            cells = [[row[COLUMNS.index(name)] for row in rows] for name in wanted]
            yield Chunk(cells, places, self.origin)

    def _batches(self, size: int) -> Iterator[tuple[list[int], list[str]]]:
        with open_text(self.path, self.origin, self.encoding) as file:
            numbered = ((i, line.rstrip("\r\n")) for i, line in enumerate(file, start=1))
            rows = islice((row for row in numbered if row[1].strip()), self.skipped, None)
            while batch := list(islice(rows, size)):
                yield [i for i, _ in batch], [line for _, line in batch]


def _labelled(line: str) -> tuple[str | list[str] | None, str | None]:
    match = _LABELS.match(line)
    if match is None:
        return None, line
    labels = [label.removeprefix(PREFIX) for label in match[0].split()]
    text = line[match.end() :].strip()
    return labels[0] if len(labels) == 1 else labels, text or None
