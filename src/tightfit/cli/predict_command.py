"""``tightfit predict``: labels for a file of texts, for a few texts, or for a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer
from rich.text import Text

import tightfit
from tightfit.cli import options
from tightfit.cli.front import Front, open_front
from tightfit.errors import DataError, UsageError
from tightfit.progress import RichProgress

if TYPE_CHECKING:
    from tightfit import PredictResult, Run
    from tightfit.tasks import Predictions

LabelFormat = Literal["value", "id", "name"]
Engine = Literal["auto", "torch", "torch-bf16", "onnx", "onnx-int8", "openvino", "ray"]

DIGITS = 6
"""Decimals of a probability."""

LINES_AT_ONCE = 1024
"""Lines of standard input that are answered together, so that memory stays flat."""

EXAMPLES = """\
tightfit predict runs/001 --data test.csv --out predictions.csv
tightfit predict runs/001 --data test.csv --out p.jsonl --probabilities
tightfit predict runs/001 --data test.csv --out p.csv --keep text,date
tightfit predict runs/001 --data test.pkl --out p.csv --submission
tightfit predict runs/001 --data test.csv --out p.parquet --engine auto
tightfit predict runs/001 --data test.csv --out sure.csv --max-error 0.02
tightfit predict runs/001 --data test.csv --out fast.csv --cascade
tightfit predict runs/001 --text 'Stocks fell for a third day'
tightfit predict runs/001 --text 'Stocks fell' --text 'Goal!' --json
head -n 5 headlines.txt | tightfit predict runs/001"""


def predict(
    run: options.Run,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS",
            rich_help_panel=options.DATA,
            help="Rows to predict, in any form that train takes; needs --out.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=options.DATA,
            help="A text to predict; may be repeated. Without --data and --text, every line of "
            "standard input is one.",
        ),
    ] = None,
    text_column: options.TextColumn = None,
    missing_text: options.MissingText = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            rich_help_panel=options.DATA,
            help="Predict one of N shares of the rows, such as 3/8, under their own numbers; other "
            "processes do the others.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=options.ANSWER,
            help="The .csv, .jsonl or .parquet file to write; it appears when it is complete.",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="A,B|all",
            rich_help_panel=options.ANSWER,
            help="Columns of the rows to write beside the labels, or all of them.",
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=options.ANSWER,
            help="Column of ids; else one named id, in any case, else the row's number from 0.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            rich_help_panel=options.ANSWER,
            help="Replace the file in --out. An input is never replaced.",
        ),
    ] = False,
    submission: Annotated[
        bool,
        typer.Option(
            "--submission",
            rich_help_panel=options.ANSWER,
            help="Write the competition's form, ID,Label: row number and position of the class.",
        ),
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            rich_help_panel=options.ANSWER,
            help="Give the probability of every label too, calibrated on the run's validation "
            "rows.",
        ),
    ] = False,
    label_format: Annotated[
        LabelFormat | None,
        typer.Option(
            rich_help_panel=options.ANSWER,
            help="Labels as they stood in the training rows (the default of a file), by position, "
            "or by name.",
        ),
    ] = None,
    escape_formulas: Annotated[
        bool,
        typer.Option(
            "--escape-formulas",
            rich_help_panel=options.ANSWER,
            help="In a CSV, put an apostrophe before names that begin with = + - @, a tab or a "
            "carriage return, which a spreadsheet would run.",
        ),
    ] = False,
    max_error: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            rich_help_panel=options.ANSWER,
            help="Leave a text without a label where that keeps the share of wrong labels under "
            "this level, such as 0.02, with 95% confidence.",
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL=P",
            rich_help_panel=options.ANSWER,
            help="Answer this label from this probability on, such as spam=0.31, and below it the "
            "best of the others; may be repeated. Else as evaluate kept them; none is without.",
        ),
    ] = None,
    max_length: options.MaxLength = None,
    engine: Annotated[
        Engine | None,
        typer.Option(
            rich_help_panel=options.SETTINGS,
            help="What computes: PyTorch (the default), ONNX Runtime or OpenVINO; auto measures "
            "those that are installed on some of the rows, and takes the fastest that agrees; "
            "ray spreads PyTorch over a cluster.",
        ),
    ] = None,
    cascade: Annotated[
        bool,
        typer.Option(
            "--cascade",
            rich_help_panel=options.SETTINGS,
            help="Let the linear model of the run's cascade answer the rows that it is sure of; "
            "'tightfit export RUN --cascade' makes it.",
        ),
    ] = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Predict the labels of texts: of a file, of the command line, or of standard input.

    Texts from the command line and standard input are answered on standard output, one line a
    text: the label, a tab, its probability. With --max-error the label is empty, or null in JSON,
    where the classifier is not sure enough.
    """
    with open_front(debug=debug) as front:
        given = {
            "text_column": text_column,
            "missing_text": missing_text,
            "shard": shard,
            "engine": engine,
            "escape_formulas": escape_formulas,
            "keep": keep,
            "id_column": id_column,
            "overwrite": overwrite,
            "submission": submission,
        }
        for_data: dict[str, Any] = {name: value for name, value in given.items() if value}
        answers: dict[str, Any] = {
            "max_length": max_length,
            "max_error": max_error,
            "thresholds": options.parse_thresholds(threshold),
        }
        _refuse_contradictions(data=data, out=out, text=text, for_data=for_data)
        if data is not None and out is not None:
            found = tightfit.predict(
                run,
                data,
                out,
                probabilities=probabilities,
                label_format=label_format,
                cascade=cascade,
                progress=RichProgress(),
                **for_data,
                **answers,
            )
            front.tell(found, lambda: _wrote(found), as_json=as_json)
            _tell_truncated(front, found.truncated)
            _tell_abstained(front, found.abstained, found.threshold)
            if cascade:
                front.show(Text(f"the linear model answered {found.by_linear:,} of them"))
            return
        # numpy answers a few texts; starting its threads would take longer than they save.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        texts = [_checked(each) for each in text] if text else _lines_of(sys.stdin.buffer)
        loaded = tightfit.Run.load(run, **answers)
        if cascade:
            loaded = loaded.with_cascade()
        if loaded.thresholds:
            _tell_thresholds(front, loaded, kept=not threshold)
        style = _Style(as_json, label_format, probabilities)
        _answer_texts(front, loaded, texts, style)


def _refuse_contradictions(
    *,
    data: str | None,
    out: Path | None,
    text: list[str] | None,
    for_data: Iterable[str],
) -> None:
    if data is not None and text:
        raise UsageError("--data and --text exclude each other", next_step="give one of the two")
    if (data is None) != (out is None):
        given, missing = ("--out", "--data ROWS") if data is None else ("--data", "--out FILE.csv")
        raise UsageError(
            f"{given} needs {missing.split()[0]}",
            next_step=f"add {missing}, or use --text '…' for an answer on standard output",
        )
    for name in for_data if data is None else ():
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} is for --data", next_step="leave it out, or add --data")
    if data is None and not text and _is_terminal():
        raise UsageError(
            "there is nothing to predict",
            allowed="--data ROWS --out FILE, --text '…', or lines on standard input",
            next_step="add one of these",
        )


def _wrote(found: PredictResult) -> list[Text]:
    speed = found.rows / max(found.seconds, 1e-9)
    wrote = f"wrote {found.rows:,} predictions to {found.out}"
    return [Text(f"{wrote}, {speed:,.0f} rows a second")]


def _is_terminal() -> bool:
    """Whether nobody pipes anything in; a program without standard input counts as well."""
    return sys.stdin is None or sys.stdin.isatty()


def _tell_truncated(front: Front, truncated: int) -> None:
    if truncated:
        texts = "1 text was" if truncated == 1 else f"{truncated:,} texts were"
        front.show(Text(f"note: {texts} longer than is read, and cut"))


def _tell_thresholds(front: Front, run: Run, *, kept: bool) -> None:
    from tightfit.tasks.label_thresholds import threshold_words

    front.show(Text(threshold_words(run.task, run.thresholds, kept=kept)))


def _tell_empty(front: Front, empty: int) -> None:
    if empty:
        texts = "1 text has" if empty == 1 else f"{empty:,} texts have"
        front.show(Text(f"note: {texts} no words, and a label that says nothing"))


def _tell_abstained(front: Front, abstained: int, threshold: float) -> None:
    if threshold:
        texts = "1 text has" if abstained == 1 else f"{abstained:,} texts have"
        front.show(Text(f"{texts} no label: the classifier is less than {threshold:.1%} sure"))


@dataclass(frozen=True)
class _Style:
    """How texts are answered on standard output."""

    as_json: bool
    label_format: LabelFormat | None
    probabilities: bool


def _answer_texts(front: Front, run: Run, texts: Iterable[str], style: _Style) -> None:
    """Lines as they come, or one object in the end."""
    objects: list[dict[str, Any]] = []
    truncated = empty = 0
    for chunk in _chunks(texts):
        found = run.predict(chunk)
        truncated += found.truncated
        empty += sum(not each.strip() for each in chunk)
        if style.as_json:
            objects += _objects(found, len(objects), style)
        else:
            front.lines(_lines(found, style))
    if style.as_json:
        front.answer({"predictions": objects})
    _tell_truncated(front, truncated)
    _tell_empty(front, empty)


def _objects(found: Predictions, start: int, style: _Style) -> Iterator[dict[str, Any]]:
    spelt = [str(label) for label in found.task.spelt(style.label_format)]
    told, sure = found.told(style.label_format), found.confidence.round(DIGITS).tolist()
    rows = found.probabilities.round(DIGITS).tolist()
    for number, row in enumerate(zip(told, sure, rows, strict=True), start):
        named = {"probabilities": dict(zip(spelt, row[2], strict=True))}
        answer = {"id": number, "label": row[0], "confidence": row[1]}
        yield {**answer, **(named if style.probabilities else {})}


def _lines(found: Predictions, style: _Style) -> Iterator[str]:
    spelt = found.task.spelt(style.label_format)
    told = zip(found.told(style.label_format), found.confidence, strict=True)
    for (label, sure), row in zip(told, found.probabilities.tolist(), strict=True):
        cells = ["" if label is None else str(label), f"{sure:.{DIGITS}f}"]
        if style.probabilities:
            pairs = zip(spelt, row, strict=True)
            cells += [f"{name}={value:.{DIGITS}f}" for name, value in pairs]
        yield "\t".join(cells)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    waiting = iter(texts)
    while chunk := list(islice(waiting, LINES_AT_ONCE)):
        yield chunk


def _checked(text: str) -> str:
    """A text of the command line, which may be bytes that are no UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError("a text is not UTF-8", seen=ascii(text)) from error
    return text


def _lines_of(stream: BinaryIO) -> Iterator[str]:
    """Every line is one text, empty ones too, so that answers and lines stay side by side."""
    number = 0
    for number, line in enumerate(stream, start=1):
        try:
            # Some programs begin their output with a byte-order mark.
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                "standard input is not UTF-8",
                seen=f"line {number}, byte {error.start + 1}",
                next_step="convert it, for instance with iconv -t UTF-8",
            ) from error
        yield text.rstrip("\r\n")
    if number == 0:
        raise DataError(
            "standard input is empty", next_step="pipe texts into it, or give --text or --data"
        )
