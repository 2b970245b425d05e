"""The front of all readers: a path, a Hub name, the sample or a Python object becomes a Table.

Every source is opened as :class:`tightfit.data.rows.Rows`, which gives chunks of cells;
:func:`read_table` takes them all, :func:`iter_records` one at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from tightfit.config import Data, MissingText
from tightfit.data.cell_text import read_labels, read_texts
from tightfit.data.compressed import COMPRESSED, ZIP, archive_of, only_member, plain_suffix
from tightfit.data.hub import HUB_FORM, HUB_PREFIX, load_hub, parse_hub
from tightfit.data.many_files import files_of, is_many, joined
from tightfit.data.pickles.unpickle import read_pickle
from tightfit.data.readers_arrow import open_arrow, open_dataset, open_frame, open_parquet
from tightfit.data.readers_delimited import AG_NEWS_NAMES, open_csv
from tightfit.data.readers_plain import begins_as_fasttext, open_txt
from tightfit.data.readers_text import open_jsonl
from tightfit.data.rows import Chunk, Origin, Rows, nearest
from tightfit.data.table import Table
from tightfit.data.text_files import FOUND_OUT, EncodingFault, TextForm
from tightfit.errors import DataError, MachineError
from tightfit.progress import Progress

if TYPE_CHECKING:
    import datasets
    import pandas as pd

DataLike: TypeAlias = "str | Path | pd.DataFrame | datasets.Dataset | pa.Table | Table"
"""What tightfit takes as data: a path, ``hf:...``, ``sample``, or rows in memory."""

CHUNK_ROWS = 8192
"""Rows in memory at a time while streaming."""

SAMPLE_FOLDER = Path(__file__).parent.parent / "sample"
SAMPLES = {"sample": "train.jsonl", "sample:test": "test.jsonl"}
"""Names of the rows that ship inside the package, and their files."""


@dataclass(frozen=True)
class Columns:
    """Which columns are read, and what a row without a text is."""

    text: tuple[str, ...] = ("text",)
    """Joined with a space."""
    label: str = "label"
    missing_text: MissingText = "refuse"
    form: TextForm = FOUND_OUT
    """How text files are read."""

    @classmethod
    def of(cls, settings: Data) -> Columns:
        """Where the settings say that texts and labels are."""
        return cls(
            settings.text_column,
            settings.label_column,
            settings.missing_text,
            TextForm.of(settings),
        )


def read_table(data: DataLike, columns: Columns, *, labelled: bool | None) -> Table:
    """Read all rows.

    Args:
        data: a path (CSV, TSV, .txt, JSON lines, Parquet, pickle; text also compressed as .gz, .bz2
            or .xz, or in a .zip; a folder or a pattern of such files), a Hub name
            (``hf:NAME[@REVISION][:CONFIG[:SPLIT]]``), ``sample`` or ``sample:test``, a data
            frame, a data set, an Arrow table, or a :class:`Table`, which is returned as it is.
        columns: which columns hold text and label.
        labelled: whether labels are needed; if not, the label column is not even looked for. None
            takes the labels where there is such a column.

    Raises:
        DataError: the source cannot be read, lacks a column, has no rows, or has rows whose text
            or label cannot be used; the message counts them and names the first few.
        MachineError: the file may not be read.
    """
    if isinstance(data, Table):
        return _labelled(data) if labelled else data
    rows = _open(data, columns.form)
    if labelled is None:
        labelled = rows.find(columns.label) is not None
    texts, label = rows.choose(columns.text, columns.label if labelled else None)
    whole = rows.whole((*texts, *label), CHUNK_ROWS)
    strings = read_texts(whole, whole.cells[: len(texts)], columns.missing_text)
    if not label:
        return Table(strings, source=rows.origin.source)
    names = rows.class_names(label[0])
    labels = read_labels(whole, whole.cells[-1], names, untyped=rows.untyped)
    spelt = names if names and isinstance(whole.cells[-1][0], str) else None
    values = rows.class_values(label[0]) or spelt
    return Table(strings, labels, names, rows.origin.source, values)


def check_source(
    data: DataLike,
    columns: Columns,
    *,
    labelled: bool | None = True,
    progress: Progress | None = None,
) -> None:
    """Look whether the rows are there and have these columns, without reading them.

    What is on the Hub is not asked for.

    Args:
        data: as for :func:`read_table`.
        columns: where texts and labels are.
        labelled: as for :func:`read_table`.
        progress: told what was found out about a file's form.

    Raises:
        DataError: there is no such file, or it lacks a column.
        MachineError: the file may not be read.
    """
    if isinstance(data, str) and data.startswith(HUB_PREFIX):
        parse_hub(data)
    elif isinstance(data, str | Path):
        try:
            rows = _open(data, columns.form)
        except EncodingFault as fault:
            _complete(fault, data, columns, labelled=labelled)
            raise
        for line in rows.told:
            (progress or Progress()).say(line)
        rows.choose(columns.text, columns.label if labelled else None)


def iter_texts(
    data: DataLike, columns: Columns, chunk_rows: int = CHUNK_ROWS
) -> Iterator[list[str]]:
    """Stream the texts; memory does not grow with the rows, except for a pickle.

    Raises:
        DataError: as :func:`read_table`; faults of the source and its columns at once, faults of
            rows when their chunk is reached.
        MachineError: the file may not be read.
    """
    if isinstance(data, Table):
        columns = replace(columns, text=("text",))
    rows = open_rows(data, columns.form)
    return (texts for texts, _ in iter_records(rows, columns, (), chunk_rows))


def open_rows(data: DataLike, form: TextForm = FOUND_OUT) -> Rows:
    """A source with its columns; nothing else of it has been read yet.

    Raises:
        DataError: it cannot be opened.
        MachineError: the file may not be read.
    """
    if not isinstance(data, Table):
        return _open(data, form)

    def chunks(names: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        for start in range(0, len(data), chunk_rows):
            part = data.texts[start : start + chunk_rows]
            yield Chunk([list(part) for _ in names], range(start, start + len(part)), origin)

    origin = Origin(data.source, "row")
    return Rows(origin, ("text",), chunks, count=len(data))


def iter_records(
    rows: Rows, columns: Columns, more: Sequence[str], chunk_rows: int = CHUNK_ROWS
) -> Iterator[tuple[list[str], list[list[Any]]]]:
    """Stream the texts, and beside them the cells of more columns as the source has them.

    Raises:
        DataError: there is no such column; a fault of a row when its chunk is reached.
        MachineError: the file may not be read.
    """
    text, _ = rows.choose(columns.text, None)
    return _records(rows.chunks((*text, *more), chunk_rows), len(text), columns, rows.no_rows)


def _labelled(table: Table) -> Table:
    if table.labels is None:
        raise DataError("labels are needed here", seen=f"{table.source} without labels")
    return table


def _records(
    chunks: Iterator[Chunk], parts: int, columns: Columns, no_rows: Callable[[], DataError]
) -> Iterator[tuple[list[str], list[list[Any]]]]:
    empty = True
    for chunk in chunks:
        empty = False
        cells, rest = chunk.cells[:parts], chunk.cells[parts:]
        yield read_texts(chunk, cells, columns.missing_text), rest
    if empty:
        raise no_rows()


def _complete(
    fault: EncodingFault, data: str | Path, columns: Columns, *, labelled: bool | None
) -> None:
    """Add the options that choose the columns, as they are seen in the encoding that fits."""
    if fault.guess is None:
        return
    try:
        rows = _open(data, replace(columns.form, encoding=fault.guess))
        rows.choose(columns.text, columns.label if labelled else None)
    except DataError as next_fault:
        if next_fault.add is not None:
            fault.add = f"{fault.add} {next_fault.add}"


def _open(data: str | Path | pd.DataFrame | datasets.Dataset | pa.Table, form: TextForm) -> Rows:
    if isinstance(data, str):
        return _open_name(data, form)
    if isinstance(data, Path):
        return _open_file(data, form)
    source = f"a {type(data).__name__}"
    if hasattr(data, "features") and hasattr(data, "select_columns"):
        # A data set, recognised without importing its library.
        return open_dataset(data, source)
    if isinstance(data, pa.Table):
        return open_arrow(data, source)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        # A data frame, recognised without importing pandas.
        return open_frame(data, source)
    raise DataError(
        "data of a kind that cannot be read",
        seen=type(data).__name__,
        allowed="a path, a pandas DataFrame, one split of a datasets.Dataset, a pyarrow.Table "
        "or a tightfit Table",
    )


def _open_name(name: str, form: TextForm) -> Rows:
    if name.startswith(HUB_PREFIX):
        return open_dataset(load_hub(name), name)
    if name in SAMPLES:
        return open_jsonl(SAMPLE_FOLDER / SAMPLES[name], name, class_names=AG_NEWS_NAMES)
    return _open_file(Path(name), form)


def _open_file(path: Path, form: TextForm) -> Rows:
    if is_many(path):
        known = (*_OPENERS, *_TEXT_OPENERS, ZIP)
        return joined([_open_file(file, form) for file in files_of(path, known)], str(path))
    inside = archive_of(path)
    _check_file(inside[0] if inside else path)
    if inside is None and path.suffix.lower() == ZIP:
        return _open_file(only_member(path), form)
    text_opener = _TEXT_OPENERS.get(plain_suffix(path))
    if text_opener is None and inside is None and begins_as_fasttext(path):
        text_opener = open_txt
    if text_opener is not None:
        return text_opener(path, str(path), form)
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None or inside is not None:
        raise DataError(
            "a file of a kind that cannot be read",
            seen=path,
            allowed=f"{', '.join((*_TEXT_OPENERS, *_OPENERS))}; text also with "
            f"{', '.join(COMPRESSED)} after it; "
            f"a folder or a pattern of such files; or {HUB_FORM}; or {', '.join(SAMPLES)}",
        )
    return opener(path, str(path))


def _check_file(path: Path) -> None:
    if not path.exists():
        around = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        around += SAMPLES
        near = nearest(path.name, around)
        hint = f"did you mean {near!r}?" if near else f"it was looked for from {Path.cwd()}"
        raise DataError("no such file", seen=path, next_step=hint)
    if not os.access(path, os.R_OK):
        raise MachineError("the file may not be read", seen=path)
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty")


def _open_pickle(path: Path, source: str) -> Rows:
    return open_arrow(read_pickle(path), source)


_TEXT_OPENERS: dict[str, Callable[[Path, str, TextForm], Rows]] = {
    ".csv": open_csv,
    ".tsv": partial(open_csv, default="\t"),
    ".tab": partial(open_csv, default="\t"),
    ".txt": open_txt,
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
}
"""Formats of text, which may be compressed."""

_OPENERS: dict[str, Callable[[Path, str], Rows]] = {
    ".parquet": open_parquet,
    ".pkl": _open_pickle,
    ".pickle": _open_pickle,
}
"""Others: Parquet compresses by itself, and a pickle is opened with care enough."""
