"""JSON lines, read a chunk at a time; places are line numbers of the file, from 1."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.data.text_files import FOUND_OUT, TextForm, found_encoding, open_text
from tightfit.errors import DataError


def open_jsonl(
    path: Path, source: str, form: TextForm = FOUND_OUT, *, class_names: tuple[str, ...] = ()
) -> Rows:
    """JSON lines: one object a line. The first one names the columns; later ones may lack some.

    Args:
        path: the file.
        source: where error messages say that the rows come from.
        form: how text files are read.
        class_names: the classes of its column ``label``, in order, where that is known.

    Raises:
        DataError: the file is empty, is not UTF-8, or its first line is not an object. The chunks
            raise it for the other lines.
    """
    origin = Origin(source, "line")
    found, told = found_encoding(path, form, origin)
    with open_text(path, origin, found.encoding, newline="\n") as file:
        first = list(islice(_json_records(file), 1))
    if not first:
        raise DataError(f"{origin.source} is empty")
    _refuse_broken(origin, first)
    return Rows(
        origin,
        tuple(first[0][1]),
        partial(_jsonl_chunks, path, origin, encoding=found.encoding),
        class_names=({"label": class_names} if class_names else {}).get,
        told=told,
    )


def _json_records(file: TextIO) -> Iterator[tuple[int, Any]]:
    """Line numbers with the object on each, or with words on what else is there."""
    for line, text in enumerate(file, start=1):
        if text.strip():
            yield line, _json_object(text)


def _json_object(text: str) -> dict[str, Any] | str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return str(error)
    return value if isinstance(value, dict) else f"a {type(value).__name__}, not an object"


def _jsonl_chunks(
    path: Path, origin: Origin, wanted: Sequence[str], chunk_rows: int, *, encoding: str
) -> Iterator[Chunk]:
    with open_text(path, origin, encoding, newline="\n") as file:
        records = _json_records(file)
        while batch := list(islice(records, chunk_rows)):
            _refuse_broken(origin, batch)
            cells = [[record.get(name) for _, record in batch] for name in wanted]
            yield Chunk(cells, [line for line, _ in batch], origin)


def _refuse_broken(origin: Origin, batch: Sequence[tuple[int, Any]]) -> None:
    broken = [index for index, (_, record) in enumerate(batch) if isinstance(record, str)]
    if broken:
        raise Chunk([], [line for line, _ in batch], origin).fault(
            f"a line is not a JSON object: {batch[broken[0]][1]}",
            broken,
            allowed='one object a line, such as {"text": "...", "label": "..."}',
        )
