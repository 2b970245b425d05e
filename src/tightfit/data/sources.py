"""The front of all readers: a path, a Hub name, the sample or a Python object becomes a Table.

Every source is opened as :class:`tightfit.data.rows.Rows`, which gives chunks of cells;
:func:`read_table` takes them all, :func:`iter_texts` one at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from tightfit.config import Data, MissingText
from tightfit.data.cell_text import read_groups, read_labels, read_texts
from tightfit.data.compressed import COMPRESSED, plain_suffix
from tightfit.data.hub import HUB_FORM, HUB_PREFIX, load_hub, parse_hub
from tightfit.data.many_files import files_of, is_many, joined
from tightfit.data.pickles.unpickle import read_pickle
from tightfit.data.readers_arrow import open_arrow, open_dataset, open_frame, open_parquet
from tightfit.data.readers_text import AG_NEWS_NAMES, open_csv, open_jsonl
from tightfit.data.rows import Rows, nearest
from tightfit.data.table import Table
from tightfit.errors import DataError, MachineError

if TYPE_CHECKING:
    import datasets
    import pandas as pd

DataLike: TypeAlias = "str | Path | pd.DataFrame | datasets.Dataset | pa.Table | Table"
"""What tightfit takes as data: a path, ``hf:...``, ``sample``, or rows in memory."""

CHUNK_ROWS = 8192
"""Rows in memory at a time while streaming."""

GROUP_FLAG = "--set data.group_column=NAME"
"""How the column of groups is chosen."""

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
    group: str = ""
    """Whose rows belong together; none is read where this is empty."""

    @classmethod
    def of(cls, settings: Data) -> Columns:
        """Where the settings say that texts and labels are."""
        return cls(
            settings.text_column,
            settings.label_column,
            settings.missing_text,
            group=settings.group_column,
        )


def read_table(data: DataLike, columns: Columns, *, labelled: bool | None) -> Table:
    """Read all rows.

    Args:
        data: a path (CSV, TSV, JSON lines, Parquet, pickle; text also compressed as .gz, .bz2 or
            .xz; a folder or a pattern of such files), a Hub name
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
    rows = _open(data)
    if labelled is None:
        labelled = rows.find(columns.label) is not None
    texts = rows.resolve(columns.text, "--text-column")
    label = rows.resolve((columns.label,), "--label-column") if labelled else ()
    group = rows.resolve((columns.group,), GROUP_FLAG) if columns.group else ()
    whole = rows.whole((*texts, *label, *group), CHUNK_ROWS)
    strings = read_texts(whole, whole.cells[: len(texts)], columns.missing_text)
    groups = read_groups(whole, whole.cells[-len(group) :]) if group else None
    if not label:
        return Table(strings, source=rows.origin.source, groups=groups)
    names = rows.class_names(label[0])
    labels = read_labels(whole, whole.cells[len(texts)], names, untyped=rows.untyped)
    return Table(strings, labels, names, rows.origin.source, groups=groups)


def check_source(data: DataLike, columns: Columns, *, labelled: bool | None = True) -> None:
    """Look whether the rows are there and have these columns, without reading them.

    What is on the Hub is not asked for; ``labelled`` is that of :func:`read_table`.

    Raises:
        DataError: there is no such file, or it lacks a column.
        MachineError: the file may not be read.
    """
    if isinstance(data, str) and data.startswith(HUB_PREFIX):
        parse_hub(data)
    elif isinstance(data, str | Path):
        rows = _open(data)
        rows.resolve(columns.text, "--text-column")
        if labelled:
            rows.resolve((columns.label,), "--label-column")
        if columns.group:
            rows.resolve((columns.group,), GROUP_FLAG)


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
        texts = data.texts
        return (texts[i : i + chunk_rows] for i in range(0, len(texts), chunk_rows))
    rows = _open(data)
    return _text_chunks(rows, rows.resolve(columns.text, "--text-column"), columns, chunk_rows)


def count_rows(data: DataLike) -> int | None:
    """How many rows there are, where that takes no reading (Parquet, rows in memory), else None.

    Raises:
        DataError: a Parquet file is missing or damaged.
    """
    if isinstance(data, Table):
        return len(data)
    if isinstance(data, str | Path) and Path(data).suffix.lower() != ".parquet":
        return None
    return _open(data).count


def _labelled(table: Table) -> Table:
    if table.labels is None:
        raise DataError("labels are needed here", seen=f"{table.source} without labels")
    return table


def _text_chunks(
    rows: Rows, names: tuple[str, ...], columns: Columns, chunk_rows: int
) -> Iterator[list[str]]:
    empty = True
    for chunk in rows.chunks(names, chunk_rows):
        empty = False
        yield read_texts(chunk, chunk.cells, columns.missing_text)
    if empty:
        raise rows.no_rows()


def _open(data: str | Path | pd.DataFrame | datasets.Dataset | pa.Table) -> Rows:
    if isinstance(data, str):
        return _open_name(data)
    if isinstance(data, Path):
        return _open_file(data)
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


def _open_name(name: str) -> Rows:
    if name.startswith(HUB_PREFIX):
        return open_dataset(load_hub(name), name)
    if name in SAMPLES:
        return open_jsonl(SAMPLE_FOLDER / SAMPLES[name], name, class_names=AG_NEWS_NAMES)
    return _open_file(Path(name))


def _open_file(path: Path) -> Rows:
    if is_many(path):
        return joined([_open_file(file) for file in files_of(path, _OPENERS)], str(path))
    _check_file(path)
    suffix = plain_suffix(path)
    opener = _OPENERS.get(suffix)
    if opener is None or (suffix != path.suffix.lower() and suffix not in COMPRESSIBLE):
        raise DataError(
            "a file of a kind that cannot be read",
            seen=path,
            allowed=f"{', '.join(_OPENERS)}; text also with {', '.join(COMPRESSED)} after it; "
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


_OPENERS: dict[str, Callable[[Path, str], Rows]] = {
    ".csv": open_csv,
    ".tsv": partial(open_csv, delimiter="\t"),
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".parquet": open_parquet,
    ".pkl": _open_pickle,
    ".pickle": _open_pickle,
}

COMPRESSIBLE = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Formats of text; Parquet compresses by itself, and a pickle is opened with care enough."""
