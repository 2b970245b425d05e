"""Predicts a whole file, chunk by chunk, into a file that appears only when it is complete.

Memory holds two chunks of rows at a time, whatever the file's size: while the model computes one,
the next is read and tokenised. Inside a chunk, rows of like length share a batch.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from tightfit.batch_predict.prediction_checkpoint import PredictionCheckpoint
from tightfit.batch_predict.prefetch import ahead
from tightfit.batch_predict.shard import WHOLE, Shard
from tightfit.batch_predict.writers import WRITERS, Row, Writer, escape_formula
from tightfit.data.tokens import Tokens
from tightfit.engines.predictor import Predictor
from tightfit.errors import MachineError, UsageError
from tightfit.progress import Progress
from tightfit.storage.whole import PARTIAL_SUFFIX
from tightfit.tasks import LabelFormat, Predictions

TYPES = {int: pa.int64(), float: pa.float64(), str: pa.string()}
"""Of the columns, in Parquet."""

STREAM_ROWS = 2048
"""Rows of a chunk: what a kill costs at most, and enough of them to find rows of like length."""


@dataclass(frozen=True)
class Written:
    """What was written, and how fast."""

    rows: int
    truncated: int
    """Texts longer than the classifier reads."""
    abstained: int
    """Texts that were left without a label."""
    by_linear: int = 0
    """Texts that the linear model of a cascade answered."""
    seconds: float = 0.0
    """From the first row that is read to the last that is written."""


def predict_stream(
    predictor: Predictor,
    chunks: Iterable[list[str]],
    out: Path,
    *,
    label_format: LabelFormat = "id",
    probabilities: bool = False,
    escape_formulas: bool = False,
    total: int | None = None,
    shard: Shard = WHOLE,
    job: Mapping[str, object] | None = None,
    progress: Progress | None = None,
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
        escape_formulas: put an apostrophe before names that a spreadsheet would run as formulas.
        total: rows to come, where known, for the progress bar.
        shard: predict these chunks only; the IDs are still those of the whole.
        job: what the predictions depend on besides the texts, such as the run. Where it is given,
            finished chunks stay in ``OUT.partial`` if this ends early, and the same job goes on
            from there.
        progress: how to show progress.

    Raises:
        UsageError: the suffix of ``out`` is none of these, or formulas are to be escaped in a
            format that no spreadsheet runs.
        MachineError: the file cannot be written.
    """
    progress = progress or Progress()
    started = time.perf_counter()
    done = truncated = answered = by_linear = 0
    schema = _schema(predictor.task.columns(label_format, probabilities=probabilities))
    check_out(out, escape_formulas=escape_formulas)
    journal = (
        None if job is None else PredictionCheckpoint(_partial(out) / "done", predictor.task, job)
    )
    with (
        _whole_file(out, schema, keep=journal is not None) as writer,
        progress.track("predicting", total or 0) as bar,
        closing(_predicted(predictor, chunks, shard, journal)) as parts,
    ):
        for start, predictions in parts:
            found = predictions.rows(label_format, probabilities=probabilities)
            rows: list[Row] = [{"ID": start + i, **row} for i, row in enumerate(found)]
            if escape_formulas:
                rows = [{k: escape_formula(cell) for k, cell in row.items()} for row in rows]
            writer.write(rows)
            done += len(rows)
            truncated += predictions.truncated
            answered += sum(predictions.answered)
            by_linear += predictions.by_linear
            bar.advance(len(rows), f"{done / (time.perf_counter() - started):,.0f} rows/s")
    seconds = time.perf_counter() - started
    return Written(done, truncated, done - answered, by_linear, seconds)


@dataclass(frozen=True)
class _Part:
    """A chunk with its place, and its tokens where it must still be predicted."""

    number: int
    start: int
    texts: list[str]
    found: Predictions | None
    tokens: Tokens | None


def _predicted(
    predictor: Predictor,
    chunks: Iterable[list[str]],
    shard: Shard,
    journal: PredictionCheckpoint | None,
) -> Generator[tuple[int, Predictions]]:
    """The first row and the predictions of each chunk of the shard, in order."""

    def prepare(part: _Part) -> _Part:
        found = None if journal is None else journal.read(part.number, part.texts)
        if found is not None:
            # The threshold is no part of the job: it decides what is told, not what was found.
            return replace(part, found=replace(found, threshold=predictor.threshold))
        return replace(part, tokens=predictor.tokens(part.texts))

    with closing(ahead(_numbered(chunks, shard), prepare)) as parts:
        for part in parts:
            found = part.found
            if found is None:
                assert part.tokens is not None
                found = predictor.predict_tokens(part.tokens)
                if journal is not None:
                    journal.write(part.number, part.texts, found)
            yield part.start, found


def _numbered(chunks: Iterable[list[str]], shard: Shard) -> Iterator[_Part]:
    start = 0
    for number, texts in enumerate(chunks):
        if shard.holds(number):
            yield _Part(number, start, texts, None, None)
        start += len(texts)


def check_out(out: Path, *, escape_formulas: bool = False) -> None:
    """Refuse a name for the output file that cannot be used.

    Raises:
        UsageError: its suffix is none that can be written, or none that a spreadsheet reads where
            formulas are to be escaped; or a folder has that name.
    """
    if out.suffix not in WRITERS:
        raise UsageError(
            "predictions cannot be written in this format",
            seen=out.name,
            allowed=", ".join(f"FILE{suffix}" for suffix in WRITERS),
            next_step="give --out a name with one of these endings",
        )
    if escape_formulas and out.suffix != ".csv":
        raise UsageError(
            "formulas are escaped in CSV only, where a spreadsheet would run them",
            seen=out.name,
            next_step="leave out --escape-formulas, or write a .csv",
        )
    if out.is_dir():
        raise UsageError("the output is a folder", seen=out, next_step="give --out a file's name")


def _schema(columns: Mapping[str, type]) -> pa.Schema:
    """Known before the first row, which may have no label to tell a type from."""
    return pa.schema([("ID", pa.int64()), *((name, TYPES[kind]) for name, kind in columns.items())])


def _partial(out: Path) -> Path:
    return out.with_name(out.name + PARTIAL_SUFFIX)


@contextmanager
def _whole_file(out: Path, schema: pa.Schema, *, keep: bool) -> Iterator[Writer]:
    """A writer whose file gets its name only if nothing fails.

    Otherwise it is removed; with ``keep``, what else lies beside it stays.
    """
    partial = _partial(out)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        writer = WRITERS[out.suffix](partial / out.name, schema)
        try:
            yield writer
        finally:
            writer.close()
        (partial / out.name).replace(out)
        shutil.rmtree(partial)
    except OSError as error:
        if isinstance(error, MachineError):
            raise  # of the rows that are read meanwhile
        raise MachineError(
            "the predictions could not be written",
            seen=f"{out}: {error}",
            next_step="check the folder, its permissions and the free space",
        ) from error
    finally:
        with suppress(OSError):
            (partial / out.name).unlink()
        if partial.is_dir() and not (keep and any(partial.iterdir())):
            shutil.rmtree(partial, ignore_errors=True)
