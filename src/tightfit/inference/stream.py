"""Predicts a whole file, chunk by chunk, into a file that appears only when it is complete.

Memory holds one chunk of rows at a time, whatever the file's size.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from tightfit.errors import MachineError, UsageError
from tightfit.inference.predictor import Predictions, Predictor
from tightfit.voice import Voice

LabelFormat = Literal["id", "name"]
Row = dict[str, int | str | float | None]


class Writer(Protocol):
    """Takes rows, in order; the columns are those of the schema it was made with."""

    def write(self, rows: list[Row]) -> None:
        """Append rows."""

    def close(self) -> None:
        """Finish the file."""


@dataclass(frozen=True)
class Written:
    """How many rows were written."""

    rows: int
    truncated: int
    """Texts longer than the classifier reads."""
    abstained: int
    """Texts that were left without a label."""


def predict_stream(
    predictor: Predictor,
    chunks: Iterable[list[str]],
    out: Path,
    *,
    label_format: LabelFormat = "id",
    probabilities: bool = False,
    total: int | None = None,
    voice: Voice | None = None,
) -> Written:
    """Write a line for every text.

    The columns are ``ID`` (0, 1, …) and ``Label``, then one probability a label on request. The
    label is empty (CSV) or null where the predictor's confidence does not reach its threshold.

    Args:
        predictor: the classifier.
        chunks: texts, some at a time.
        out: a path ending in .csv, .jsonl or .parquet; replaced if it exists.
        label_format: the label's position or its name.
        probabilities: add a column ``probability_NAME`` for each label.
        total: rows to come, where known, for the progress bar.
        voice: how to show progress.

    Raises:
        UsageError: the suffix of ``out`` is none of these.
        MachineError: the file cannot be written.
    """
    done = truncated = answered = 0
    names = predictor.classifier.label_names if probabilities else ()
    schema = _schema(names, label_format)
    with (
        _whole_file(out, schema) as writer,
        (voice or Voice()).track("predicting", total or 0) as bar,
    ):
        for texts in chunks:
            predictions = predictor.predict(texts)
            rows = _rows(predictions, done, label_format, probabilities=probabilities)
            writer.write(rows)
            done += len(rows)
            truncated += predictions.truncated
            answered += sum(predictions.answered)
            bar.advance(len(rows))
    return Written(done, truncated, done - answered)


def check_out(out: Path) -> None:
    """Refuse a name for the output file that cannot be used.

    Raises:
        UsageError: its suffix is none that can be written, or a folder has that name.
    """
    if out.suffix not in WRITERS:
        raise UsageError(
            "predictions cannot be written in this format",
            seen=out.name,
            allowed=", ".join(f"FILE{suffix}" for suffix in WRITERS),
            next_step="give --out a name with one of these endings",
        )
    if out.is_dir():
        raise UsageError("the output is a folder", seen=out, next_step="give --out a file's name")


def _schema(names: Sequence[str], label_format: LabelFormat) -> pa.Schema:
    """Known before the first row, which may have no label to tell a type from."""
    label = pa.int64() if label_format == "id" else pa.string()
    columns = [("ID", pa.int64()), ("Label", label)]
    return pa.schema([*columns, *((f"probability_{name}", pa.float64()) for name in names)])


def _rows(
    predictions: Predictions, start: int, label_format: LabelFormat, *, probabilities: bool
) -> list[Row]:
    labels: Sequence[int | str] = predictions.ids if label_format == "id" else predictions.labels
    rows: list[Row] = [
        {"ID": start + i, "Label": label if answered else None}
        for i, (label, answered) in enumerate(zip(labels, predictions.answered, strict=True))
    ]
    if probabilities:
        names = [f"probability_{name}" for name in predictions.label_names]
        for row, values in zip(rows, predictions.probabilities_NK.tolist(), strict=True):
            row.update(zip(names, values, strict=True))
    return rows


@contextmanager
def _whole_file(out: Path, schema: pa.Schema) -> Iterator[Writer]:
    """A writer whose file gets its name only if nothing fails; its parts are removed otherwise."""
    check_out(out)
    partial = out.with_name(out.name + ".partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        writer = WRITERS[out.suffix](partial / out.name, schema)
        try:
            yield writer
        finally:
            writer.close()
        (partial / out.name).replace(out)
    except OSError as error:
        raise MachineError(
            "the predictions could not be written",
            seen=f"{out}: {error}",
            next_step="check the folder, its permissions and the free space",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class CsvWriter:
    """Comma-separated values, quoted where needed, Unix line ends."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open ``path`` for writing, and write the header."""
        self._file: IO[str] = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._file, schema.names, lineterminator="\n")
        self._writer.writeheader()

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        self._writer.writerows(rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class JsonlWriter:
    """One JSON object a line."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open ``path`` for writing."""
        self._file = path.open("w", encoding="utf-8")

    def write(self, rows: list[Row]) -> None:
        """Append rows."""
        self._file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ParquetWriter:
    """Parquet, one row group a chunk."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Open ``path`` for writing."""
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema)

    def write(self, rows: list[Row]) -> None:
        """Append a row group."""
        self._writer.write_table(pa.Table.from_pylist(rows, self._schema))

    def close(self) -> None:
        """Write the footer."""
        self._writer.close()


WRITERS: dict[str, type[CsvWriter | JsonlWriter | ParquetWriter]] = {
    ".csv": CsvWriter,
    ".jsonl": JsonlWriter,
    ".parquet": ParquetWriter,
}
"""By the suffix of the output file."""
