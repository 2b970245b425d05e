"""JSON, read a chunk at a time: objects a line, an array of objects, or one document of columns.

The content tells which it is, not the file's ending. Places are line numbers, from 1, where each
object has a line of its own, else row numbers, from 0.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from tightfit.data.compressed import plain_suffix
from tightfit.data.json_documents import document_rows
from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.data.text_files import FOUND_OUT, TextForm, found_encoding, open_text
from tightfit.errors import DataError

HEAD_RECORDS = 1000
"""Records whose keys are looked at before anything is asked for; later ones only where a column is
not among them."""

BLOCK = 1 << 16
"""Characters that are read at first to find the end of an object."""

_DECODER = json.JSONDecoder()
_NO_BLANK = re.compile(r"[^ \t\r\n\ufeff]")

Record = tuple[int, Any]
"""A place, with the object there, or with words on what else is there."""

Opened = Callable[[], AbstractContextManager[TextIO]]
"""Opens the file anew, from its start."""


def open_json(
    path: Path,
    source: str,
    form: TextForm = FOUND_OUT,
    *,
    part: str | None = None,
    class_names: tuple[str, ...] = (),
) -> Rows:
    """JSON in any of its usual forms. The columns are the keys of all objects.

    Args:
        path: the file.
        source: where error messages say that the rows come from.
        form: how text files are read.
        part: the key under which a document has its rows; None finds it.
        class_names: the classes of its column ``label``, in order, where that is known.

    Raises:
        DataError: the file is empty, cannot be decoded, or does not begin with an object. The
            chunks raise it for what follows.
    """
    encoding, told = found_encoding(path, form, Origin(source, "line"))
    opened = partial(open_text, path, Origin(source, "line"), encoding)
    kind = _kind(opened, whole_lines=plain_suffix(path) != ".json")
    if kind is None:
        raise DataError(f"{source} is empty")
    if kind == "document":
        rows = document_rows(_document(opened, source), source, part)
        return replace(rows, told=(*told, *rows.told))
    if part is not None:
        raise DataError(f"{source} has no part {part!r}", seen="a list of rows")
    origin = Origin(source, "line" if kind == "lines" else "row")
    records = _Records(origin, opened, _READERS[kind])
    records.refuse_broken(records.head)
    return Rows(
        origin,
        records.columns(records.head),
        records.chunks,
        class_names=({"label": class_names} if class_names else {}).get,
        read_columns=lambda: records.all_columns,
        told=told,
    )


def _kind(opened: Opened, *, whole_lines: bool) -> str | None:
    """``lines``, ``array``, ``objects`` or ``document``; None of a file of blanks.

    Args:
        opened: opens the file.
        whole_lines: whether a single object on a single line is a row, not a document.
    """
    with opened() as file:
        sign = _Window(file).peek()
    if sign in ("", "["):
        return "array" if sign else None
    with opened() as file:
        first, second = islice(chain((line for line in file if line.strip()), [None, None]), 2)
    whole = isinstance(_json_object(first or ""), dict)
    if sign != "{" or (whole and (whole_lines or second)):
        return "lines"
    if second is None or isinstance(_json_object(second), dict):
        return "document" if whole else "lines"
    with opened() as file:
        return "objects" if len(list(islice(_stream(file), 2))) > 1 else "document"


def _document(opened: Opened, source: str) -> dict[str, Any]:
    with opened() as file:
        ((_, value),) = _stream(file)
    if not isinstance(value, dict):
        raise DataError(
            f"{source} is not JSON, or is damaged",
            seen=value,
            allowed='objects such as {"text": "...", "label": "..."}: one a line, or in an array',
        )
    return value


@dataclass(frozen=True)
class _Records:
    """The objects of a file, one after the other."""

    origin: Origin
    opened: Opened
    read: Callable[[TextIO], Iterator[Record]]

    @cached_property
    def head(self) -> list[Record]:
        """The first of them."""
        with self.opened() as file:
            head = list(islice(self.read(file), HEAD_RECORDS))
        if not head:
            raise DataError(f"{self.origin.source} has no rows", seen="an empty array")
        # A fault further down is told with the rows around it, when they are read.
        sound = next((i for i, (_, x) in enumerate(head) if isinstance(x, str)), len(head))
        return head[: max(1, sound)]

    def columns(self, records: Sequence[Record]) -> tuple[str, ...]:
        """Their keys, in the order in which they come."""
        return tuple(dict.fromkeys(key for _, record in records for key in record))

    @cached_property
    def all_columns(self) -> tuple[str, ...]:
        """The keys of all objects; the whole file is read."""
        if len(self.head) < HEAD_RECORDS:
            return self.columns(self.head)
        keys: dict[str, None] = {}
        with self.opened() as file:
            for _, record in self.read(file):
                keys |= dict.fromkeys(record) if isinstance(record, dict) else {}
        return tuple(keys)

    def chunks(self, wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        """Cells of the wanted columns; None where an object lacks the key."""
        with self.opened() as file:
            records = self.read(file)
            while batch := list(islice(records, chunk_rows)):
                self.refuse_broken(batch)
                cells = [[record.get(name) for _, record in batch] for name in wanted]
                yield Chunk(cells, [place for place, _ in batch], self.origin)

    def refuse_broken(self, batch: Sequence[Record]) -> None:
        """Raise where there is anything but objects."""
        broken = [index for index, (_, record) in enumerate(batch) if isinstance(record, str)]
        if broken:
            what = "a line" if self.origin.unit == "line" else "an item"
            raise Chunk([], [place for place, _ in batch], self.origin).fault(
                f"{what} is not a JSON object: {batch[broken[0]][1]}",
                broken,
                allowed='one object a row, such as {"text": "...", "label": "..."}',
            )


def _lines(file: TextIO) -> Iterator[Record]:
    """Line numbers with the object on each, or with words on what else is there."""
    for line, text in enumerate(file, start=1):
        if text.strip():
            yield line, _json_object(text)


def _json_object(text: str) -> dict[str, Any] | str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return value if isinstance(value, dict) else _no_object(value)


def _no_object(value: object) -> str:
    return f"a {type(value).__name__}, not an object"


def _stream(file: TextIO, opening: str = "", closing: str = "") -> Iterator[Record]:
    """Row numbers with the objects that follow each other, or stand in brackets; it ends at the
    first fault.

    Only the object at hand is in memory.
    """
    text = _Window(file)
    if opening:
        assert text.peek() == opening
        text.take(1)
    row = 0
    while (sign := text.peek()) != closing:
        if sign == "":
            yield row, "the file ends before its array does"
            return
        if closing and row:
            if sign != ",":
                yield row, f"there is {sign!r} where a comma or the end of the array is due"
                return
            text.take(1)
        value = text.value()
        yield row, value
        if isinstance(value, str):
            return
        row += 1
    if closing:
        text.take(1)
        if rest := text.peek():
            yield row, f"there is {rest!r} behind the end of the array"


class _Window:
    """A part of a file that moves along; it grows only to hold a whole object."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text, self._at = "", 0

    def peek(self) -> str:
        """The next character that is no blank, or nothing at the end."""
        while True:
            sign = _NO_BLANK.search(self._text, self._at)
            if sign is not None:
                self._at = sign.start()
                return sign[0]
            self._text, self._at = self._file.read(BLOCK), 0
            if not self._text:
                return ""

    def take(self, count: int) -> None:
        """Go on."""
        self._at += count

    def value(self) -> dict[str, Any] | str:
        """The object that begins here, or words on what else does."""
        self.peek()
        block = BLOCK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except (ValueError, RecursionError) as error:
                more = self._file.read(block)
                if not more or isinstance(error, RecursionError):
                    return str(error)
                self._text, self._at = self._text[self._at :] + more, 0
                block = len(self._text)  # twice as much each time
                continue
            self._at = end
            return value if isinstance(value, dict) else _no_object(value)


_READERS: dict[str, Callable[[TextIO], Iterator[Record]]] = {
    "lines": _lines,
    "array": partial(_stream, opening="[", closing="]"),
    "objects": _stream,
}
