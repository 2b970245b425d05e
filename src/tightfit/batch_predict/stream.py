"""Predicts a whole file, chunk by chunk, into a file that appears only when it is complete.

Memory holds two chunks of rows at a time, whatever the file's size: while the model computes one,
the next is read and tokenised. Inside a chunk, rows of like length share a batch.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from tightfit.batch_predict.input_rows import ID, Records
from tightfit.batch_predict.prediction_checkpoint import PredictionCheckpoint
from tightfit.batch_predict.shard import Shard
from tightfit.batch_predict.writers import WRITERS, Columns, CsvWriter, Row, Writer
from tightfit.data.tokens import Tokens
from tightfit.engines.predictor import Predictor
from tightfit.errors import MachineError, UsageError
from tightfit.extras import SPREADSHEETS, ensure
from tightfit.progress import Bar, Progress, Within
from tightfit.storage import lock_output
from tightfit.storage.whole import PARTIAL_SUFFIX
from tightfit.tasks import LabelFormat, Predictions, Task, need_one_class

T = TypeVar("T")
U = TypeVar("U")

SUBMISSION = {"ID": int, "Label": int}
"""The competition's columns: the row's number from 0, and the position of its class."""

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
    empty: int = 0
    """Texts without a word, whose label says nothing."""
    by_linear: int = 0
    """Texts that the linear model of a cascade answered."""
    seconds: float = 0.0
    """From the first row that is read to the last that is written."""


@dataclass(frozen=True)
class Form:
    """What is written of each row."""

    label_format: LabelFormat = "value"
    probabilities: bool = False
    """A column for the probability of each label."""
    submission: bool = False
    """The competition's columns, and no others."""
    escape_formulas: bool = False
    """An apostrophe before cells that a spreadsheet would run as formulas; in a CSV."""
    kept: Mapping[str, list[Any]] = field(default_factory=dict)
    """First cells of the columns that are handed on, an id among them where the input has one."""

    def own(self, task: Task) -> dict[str, Any]:
        """The columns that the answer itself has, but for the id."""
        return task.columns(self.label_format, probabilities=self.probabilities)

    def columns(self, task: Task) -> Columns:
        """Known before the first row, which may have no label to tell a type from."""
        if self.submission:
            need_one_class(task, "--submission")
            return SUBMISSION
        return {ID: int, **self.kept, **self.own(task)}

    def writer(self, path: Path, task: Task) -> Writer:
        """A file to write such rows to."""
        if path.suffix.lower() != ".csv":
            return WRITERS[path.suffix.lower()](path, self.columns(task))
        shares = (
            [] if self.submission else [n for n, kind in self.own(task).items() if kind is float]
        )
        more: dict[str, Any] = {"escape": self.escape_formulas, "separator": task.separator}
        return CsvWriter(path, self.columns(task), shares, **more)

    def rows(self, start: int, found: Predictions, kept: Mapping[str, list[Any]]) -> list[Row]:
        """What is written of a chunk whose first row has the number ``start``."""
        numbers = range(start, start + len(found))
        if self.submission:
            pairs = zip(numbers, found.told("id"), strict=True)
            return [{"ID": number, "Label": label} for number, label in pairs]
        own = found.rows(self.label_format, probabilities=self.probabilities)
        columns = {ID: numbers, **kept}
        given = (
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        )
        return [{**row, **answer} for row, answer in zip(given, own, strict=True)]


def predict_stream(
    predictor: Predictor,
    chunks: Iterable[Records],
    out: Path,
    form: Form,
    *,
    total: int | None,
    shard: Shard,
    job: Mapping[str, object],
    progress: Progress,
) -> Written:
    """Write a line for every text.

    The columns are ``id`` (the input's own, or 0, 1, …), those that are kept, ``label``,
    ``confidence``, then one probability a label on request. The label is empty (CSV) or null where
    the predictor's confidence does not reach its threshold.

    Args:
        predictor: the classifier.
        chunks: rows, some at a time.
        out: a path ending in .csv, .jsonl or .parquet; replaced if it exists.
        form: which columns, and how they are written.
        total: rows to come, where known, for the progress bar.
        shard: predict these chunks only; row numbers are still those of the whole.
        job: what the predictions depend on besides the texts, such as the run. Finished chunks
            stay in ``OUT.partial`` if this ends early, and the same job goes on from there.
        progress: how to show progress.

    Raises:
        UsageError: the suffix of ``out`` is none of these, or formulas are to be escaped in a
            format that no spreadsheet runs.
        DataError: a kept cell does not go with those of the first rows, in Parquet.
        MachineError: the file cannot be written.
    """
    started = time.perf_counter()
    done = truncated = answered = empty = by_linear = 0
    check_out(out, escape_formulas=form.escape_formulas)
    checkpoint = PredictionCheckpoint(_partial(out) / "done", predictor.task, job)
    with (
        lock_output(out),
        _whole_file(out, form, predictor.task) as writer,
        progress.track("predicting", total) as bar,
        closing(_predicted(predictor, chunks, shard, checkpoint, bar=bar)) as parts,
    ):
        for part, predictions in parts:
            rows = form.rows(part.start, predictions, part.records.kept)
            writer.write(rows)
            done += len(rows)
            truncated += predictions.truncated
            answered += sum(predictions.answered)
            empty += sum(not text.strip() for text in part.texts)
            by_linear += predictions.by_linear
            bar.advance(0, f"{done / (time.perf_counter() - started):,.0f} rows/s")
    seconds = time.perf_counter() - started
    return Written(done, truncated, done - answered, empty, by_linear, seconds)


@dataclass(frozen=True)
class _Part:
    """A chunk with its place, and its tokens where it must still be predicted."""

    number: int
    start: int
    records: Records
    found: Predictions | None = None
    tokens: Tokens | None = None

    @property
    def texts(self) -> list[str]:
        return self.records.texts


def _predicted(
    predictor: Predictor,
    chunks: Iterable[Records],
    shard: Shard,
    checkpoint: PredictionCheckpoint,
    *,
    bar: Bar,
) -> Generator[tuple[_Part, Predictions]]:
    """The chunks of the shard with their predictions, in order; the bar counts their rows."""

    def prepare(part: _Part) -> _Part:
        found = checkpoint.read(part.number, part.texts)
        if found is not None:
            # Thresholds are no part of the job: they decide what is told, not what was found.
            found = replace(
                found,
                threshold=predictor.threshold,
                thresholds=predictor.thresholds,
                reach=predictor.reach,
            )
            return replace(part, found=found)
        return replace(part, tokens=predictor.tokens(part.texts))

    with closing(prefetched(_numbered(chunks, shard), prepare)) as parts:
        for part in parts:
            found, rows = part.found, len(part.texts)
            if found is not None:
                bar.advance(rows)
            else:
                assert part.tokens is not None
                found = predictor.predict_tokens(part.tokens, Within(bar, rows))
                checkpoint.write(part.number, part.texts, found)
            yield part, found


def _numbered(chunks: Iterable[Records], shard: Shard) -> Iterator[_Part]:
    start = 0
    for number, records in enumerate(chunks):
        if shard.holds(number):
            yield _Part(number, start, records)
        start += len(records.texts)


def check_out(out: Path, *, escape_formulas: bool) -> None:
    """Refuse a name for the output file that cannot be used.

    Raises:
        UsageError: its suffix is none that can be written, or none that a spreadsheet reads where
            formulas are to be escaped; or a folder has that name.
    """
    if out.suffix.lower() not in WRITERS:
        raise UsageError(
            "predictions cannot be written in this format",
            seen=out.name,
            allowed=", ".join(f"FILE{suffix}" for suffix in WRITERS),
            next_step="give --out a name with one of these endings"
            + ("; a spreadsheet opens a .csv" if out.suffix.lower() in SPREADSHEETS else ""),
        )
    if escape_formulas and out.suffix.lower() != ".csv":
        raise UsageError(
            "formulas are escaped in CSV only, where a spreadsheet would run them",
            seen=out.name,
            next_step="leave out --escape-formulas, or write a .csv",
        )
    if out.suffix.lower() == ".parquet":
        ensure("pyarrow", "Parquet")
    if out.is_dir():
        raise UsageError("the output is a folder", seen=out, next_step="give --out a file's name")


def _partial(out: Path) -> Path:
    return out.with_name(out.name + PARTIAL_SUFFIX)


@contextmanager
def _whole_file(out: Path, form: Form, task: Task) -> Iterator[Writer]:
    """A writer whose file gets its name only if nothing fails; otherwise it is removed, and what
    else lies beside it stays."""
    partial = _partial(out)
    try:
        partial.mkdir(parents=True, exist_ok=True)
        writer = form.writer(partial / out.name, task)
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
        with suppress(OSError):
            partial.rmdir()  # which takes only an empty one


def prefetched(items: Iterable[T], work: Callable[[T], U]) -> Generator[U]:
    """``map(work, items)``, with the next result under way while one is used.

    Reading ``items`` happens in the thread too. An error in either comes out where its result
    would have. Useful where the work lets other threads run, as the fast tokenizers do.
    """
    waiting = iter(items)

    def step() -> list[U]:
        """The next result, or nothing where there is no next item."""
        return [work(item) for item in islice(waiting, 1)]

    with ThreadPoolExecutor(1, thread_name_prefix="tightfit-prefetch") as pool:
        pending = pool.submit(step)
        while found := pending.result():
            pending = pool.submit(step)
            yield found[0]
