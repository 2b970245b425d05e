"""Parquet, Arrow tables, data sets and data frames; places are row numbers, from 0."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tightfit.arrow import pa, pq
from tightfit.data.rows import Chunk, Origin, Rows
from tightfit.errors import DataError

if TYPE_CHECKING:
    import datasets
    import pandas as pd

BUFFER_BYTES = 1 << 20
"""Bytes of a Parquet column that are fetched at a time."""

IPC_FILE = b"ARROW1"
"""What a file in Arrow's own format begins with, where it is no stream."""

Batches: TypeAlias = "Callable[[list[str], int], Iterator[pa.RecordBatch | pa.Table]]"
"""Reads the named columns, at most so many rows at a time, in order."""


def open_parquet(path: Path, source: str) -> Rows:
    """A Parquet file.

    Raises:
        DataError: it is no Parquet file, or is damaged.
    """
    origin = Origin(source, "row")
    try:
        with pq.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _damaged(origin, error) from error
    return _open(schema, partial(_parquet_batches, path, origin), origin, rows)


def open_ipc(paths: Sequence[Path], source: str) -> Rows:
    """Files of Arrow's own format, as files or as streams (``.arrow``, ``.feather``), in a row.

    Raises:
        DataError: one is no such file, or is damaged.
    """
    origin = Origin(source, "row")
    first = next(iter(_ipc_batches(paths[:1], origin)), None)
    if first is None:
        raise DataError(f"{source} has no rows")

    def batches(columns: list[str], chunk_rows: int) -> Iterator[pa.RecordBatch]:
        for batch in _ipc_batches(paths, origin):
            try:
                chosen = batch.select(columns)
                chosen.validate(full=True)  # else Arrow would trust what a file says of itself
            except (pa.ArrowException, KeyError) as error:
                raise _damaged(origin, error, "Arrow") from error
            yield from (
                chosen.slice(start, chunk_rows) for start in range(0, len(chosen), chunk_rows)
            )

    try:
        return _open(first.schema, batches, origin, None)
    except UnicodeDecodeError as error:  # a column's name
        raise _damaged(origin, error, "Arrow") from error


def _ipc_batches(paths: Sequence[Path], origin: Origin) -> Iterator[pa.RecordBatch]:
    try:
        for path in paths:
            with pa.memory_map(str(path)) as file:
                if file.read(len(IPC_FILE)) == IPC_FILE:
                    reader = pa.ipc.open_file(file)
                    yield from map(reader.get_batch, range(reader.num_record_batches))
                else:
                    file.seek(0)
                    yield from pa.ipc.open_stream(file)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(origin, error, "Arrow") from error


def open_arrow(table: pa.Table, source: str) -> Rows:
    """An Arrow table; ClassLabel names stand in its schema as the datasets library writes them."""

    def batches(columns: list[str], chunk_rows: int) -> Iterator[pa.RecordBatch]:
        yield from table.select(columns).to_batches(max_chunksize=chunk_rows)

    return _open(table.schema, batches, Origin(source, "row"), table.num_rows)


def open_dataset(dataset: datasets.Dataset, source: str) -> Rows:
    """One split of a data set, in the order that it has been shuffled or selected to.

    A transform is not applied: one that tokenises would leave no text to read.
    """

    def batches(columns: list[str], chunk_rows: int) -> Iterator[pa.Table]:
        yield from dataset.select_columns(columns).with_format("arrow").iter(chunk_rows)

    rows = _open(dataset.features.arrow_schema, batches, Origin(source, "row"), len(dataset))
    if dataset.format["type"] != "custom":
        return rows
    untransformed = (
        f"{source}: cells are read as they are stored, without its transform (set_transform); "
        "give what map() makes of it if the transform is to count"
    )
    return replace(rows, told=(untransformed,))


def open_frame(frame: pd.DataFrame, source: str) -> Rows:
    """A pandas data frame; its index is not read."""
    origin = Origin(source, "row")
    columns = tuple(str(name) for name in frame.columns)

    # Not by way of Arrow, which refuses columns that mix strings and numbers.
    def chunks(wanted: Sequence[str], chunk_rows: int) -> Iterator[Chunk]:
        indices = [columns.index(name) for name in wanted]
        for start in range(0, len(frame), chunk_rows):
            part = frame.iloc[start : start + chunk_rows]
            cells = [frame_cells(part.iloc[:, index]) for index in indices]
            yield Chunk(cells, range(start, start + len(part)), origin)

    return Rows(origin, columns, chunks, count=len(frame))


def _open(schema: pa.Schema, batches: Batches, origin: Origin, rows: int | None) -> Rows:
    return Rows(
        origin,
        tuple(schema.names),
        partial(_chunks, batches, origin),
        class_names=partial(_class_names, schema, origin),
        count=rows,
    )


def _chunks(
    batches: Batches, origin: Origin, wanted: Sequence[str], chunk_rows: int
) -> Iterator[Chunk]:
    start = 0
    for batch in batches(list(dict.fromkeys(wanted)), chunk_rows):
        places = range(start, start + batch.num_rows)
        cells = [_cells(batch.column(name), places, origin) for name in wanted]
        yield Chunk(cells, places, origin)
        start = places.stop


def _cells(column: pa.Array | pa.ChunkedArray, places: range, origin: Origin) -> list[Any]:
    """Python values of a column; Arrow itself does not check that its strings are UTF-8."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError as error:
        bad = [index for index, cell in enumerate(column) if not _decodes(cell)]
        fault = Chunk([], places, origin).fault(f"a string is not UTF-8: {error.reason}", bad)
        raise fault from error


def _decodes(cell: pa.Scalar) -> bool:
    try:
        cell.as_py()
    except UnicodeDecodeError:
        return False
    return True


def _parquet_batches(
    path: Path, origin: Origin, columns: list[str], chunk_rows: int
) -> Iterator[pa.RecordBatch]:
    try:
        # Read as the rows are asked for: by default the whole file is fetched into memory first.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES) as file:
            yield from file.iter_batches(batch_size=chunk_rows, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(origin, error) from error


def _damaged(origin: Origin, error: Exception, kind: str = "Parquet") -> DataError:
    return DataError(
        f"{origin.source} is not {'an' if kind[0] == 'A' else 'a'} {kind} file, or is damaged",
        seen=str(error).partition("\n")[0],
        next_step="write or download it again",
    )


def frame_cells(column: Any) -> list[Any]:
    """Python values of a pandas Series, with None for each of its signs for a missing value."""
    return [None if missing else cell for cell, missing in zip(column, column.isna(), strict=True)]


def _class_names(schema: pa.Schema, origin: Origin, column: str) -> tuple[str, ...] | None:
    """Names of a ClassLabel column, from the metadata that the datasets library writes."""
    raw = (schema.metadata or {}).get(b"huggingface")
    if raw is None:
        return None
    try:
        feature = json.loads(raw)["info"]["features"].get(column, {})
        # A list of labels has the names inside, as either version of the library writes it.
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        return tuple(feature["names"]) if feature.get("_type") == "ClassLabel" else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{origin.source}: its ClassLabel names cannot be read",
            seen=raw[:80].decode("utf-8", "replace"),
            next_step="write the file again, with the datasets library or without its metadata",
        ) from error
