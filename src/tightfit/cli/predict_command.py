"""``tightfit predict``: labels for a file of texts, for a few texts, or for a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tightfit
from tightfit.cli import options
from tightfit.cli.front import Front, open_front
from tightfit.cli.text_answers import (
    LabelFormat,
    Style,
    answer_texts,
    checked,
    lines_of,
    pairs_of,
    tell_answered,
)
from tightfit.data.text_pair import TextPair
from tightfit.engines.engine_names import AskedEngine
from tightfit.errors import UsageError

if TYPE_CHECKING:
    from tightfit import PredictResult, Run

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
tightfit predict runs/002 --text 'He sleeps' --text-pair 'He is awake'
tightfit predict runs/001 --text 'Stocks fell for a third day' --explain
tightfit predict runs/001 --data test.csv --out p.csv --threshold spam=0.31
head -n 5 headlines.txt | tightfit predict runs/001"""


def predict(
    run: options.Run,
    *,
    data: Annotated[
        str | None,
        options.in_data(
            metavar="ROWS",
            help="Rows to predict, in any form that train takes; needs --out.",
        ),
    ] = None,
    text: Annotated[
        list[str] | None,
        options.in_data(
            help="A text to predict; may be repeated. Without --data and --text, every line of "
            "standard input is one.",
        ),
    ] = None,
    text_pair: Annotated[
        list[str] | None,
        options.in_data(
            help="The second text of each --text, for a run on pairs; on standard input a tab "
            "stands between the two.",
        ),
    ] = None,
    text_column: options.TextColumn = None,
    settings: options.Reading = None,
    missing_text: options.MissingText = None,
    shard: Annotated[
        str | None,
        options.in_data(
            metavar="I/N",
            help="Predict one of N shares of the rows, such as 3/8, under their own numbers; other "
            "processes do the others.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        options.in_answer(
            metavar="FILE",
            help="The .csv, .jsonl or .parquet file to write; it appears when it is complete.",
        ),
    ] = None,
    keep: Annotated[
        str | None,
        options.in_answer(
            metavar="A,B|all",
            help="Columns of the rows to write beside the labels, or all of them.",
        ),
    ] = None,
    id_column: Annotated[
        str | None,
        options.in_answer(
            metavar="NAME",
            help="Column of ids; else one named id, in any case, else the row's number from 0.",
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        options.in_answer(
            "--overwrite",
            help="Replace the file in --out. An input is never replaced.",
        ),
    ] = False,
    submission: Annotated[
        bool,
        options.in_answer(
            "--submission",
            help="Write the competition's form, ID,Label: row number and position of the class.",
        ),
    ] = False,
    probabilities: Annotated[
        bool,
        options.in_answer(
            "--probabilities",
            help="Give the probability of every label too, calibrated on the run's validation "
            "rows.",
        ),
    ] = False,
    label_format: Annotated[
        LabelFormat | None,
        options.in_answer(
            help="Labels as they stood in the training rows (the default of a file), by position, "
            "or by name.",
        ),
    ] = None,
    escape_formulas: Annotated[
        bool,
        options.in_answer(
            "--escape-formulas",
            help="In a CSV, put an apostrophe before names that begin with = + - @, a tab or a "
            "carriage return, which a spreadsheet would run.",
        ),
    ] = False,
    max_error: Annotated[
        float | None,
        options.in_answer(
            metavar="SHARE",
            help="Leave a text without a label where that keeps the share of wrong labels under "
            "this level, such as 0.02, with 95% confidence.",
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        options.in_answer(
            metavar="LABEL=P",
            help="Answer this label from this probability on, such as spam=0.31, and below it the "
            "best of the others; may be repeated. Else as evaluate kept them; none is without.",
        ),
    ] = None,
    explain: Annotated[
        bool,
        options.in_answer(
            "--explain",
            help="Show which words of each text mattered most, by leaving each out in turn; not "
            "with --data.",
        ),
    ] = False,
    max_length: options.MaxLength = None,
    engine: Annotated[
        AskedEngine | None,
        options.in_settings(
            help="What computes: PyTorch (the default), ONNX Runtime or OpenVINO; auto measures "
            "those that are installed on some of the rows, and takes the fastest that agrees; "
            "ray spreads PyTorch over a cluster.",
        ),
    ] = None,
    cascade: Annotated[
        bool,
        options.in_settings(
            "--cascade",
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
            "settings": settings,
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
        _refuse_contradictions(data=data, out=out, text=text or text_pair, for_data=for_data)
        if explain:
            _refuse_explaining(data, cascade=cascade)
        if data is not None and out is not None:
            found = tightfit.predict(
                run,
                data,
                out,
                probabilities=probabilities,
                label_format=label_format,
                cascade=cascade,
                **for_data,
                **answers,
            )
            _tell_written(front, found, as_json=as_json, cascade=cascade)
            return
        # numpy answers a few texts; starting its threads would take longer than they save.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        loaded = tightfit.Run.load(run, **answers)
        texts = _texts_for(loaded, text, text_pair)
        if cascade:
            loaded = loaded.with_cascade()
        if loaded.thresholds and (loaded.task.one_class or threshold):
            _tell_thresholds(front, loaded, kept=not threshold)
        style = Style(as_json, label_format, probabilities, explain)
        answer_texts(front, loaded, texts, style)


def _texts_for(run: Run, text: list[str] | None, text_pair: list[str] | None) -> Iterable[str]:
    """What is to be answered: texts, or pairs of them where the run reads pairs.

    Raises:
        UsageError: texts are given to a run on pairs, pairs to another, or a pair is not whole.
    """
    pair, firsts, seconds = run.config.data.pair, text or [], text_pair or []
    if seconds and not pair:
        raise UsageError(
            "--text-pair is for a run on pairs",
            seen=f"data.pair=false in {run.path}",
            next_step="leave it out",
        )
    if pair and len(firsts) != len(seconds):
        raise UsageError(
            "a pair needs both of its texts",
            seen=f"{len(firsts)} --text and {len(seconds)} --text-pair",
            next_step="give a --text-pair for each --text, in the same order",
        )
    if not firsts:
        lines = lines_of(sys.stdin.buffer)
        return pairs_of(lines) if pair else lines
    firsts, seconds = ([checked(each) for each in some] for some in (firsts, seconds))
    return list(map(TextPair, firsts, seconds)) if pair else firsts


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
        option = "--set" if name == "settings" else f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} is for --data", next_step="leave it out, or add --data")
    if data is None and not text and _is_terminal():
        raise UsageError(
            "there is nothing to predict",
            allowed="--data ROWS --out FILE, --text '…', or lines on standard input",
            next_step="add one of these",
        )


def _tell_written(front: Front, found: PredictResult, *, as_json: bool, cascade: bool) -> None:
    """What was asked for is in the file: beside an object there are only words about the work."""
    if as_json:
        front.answer(found.to_json())
    else:
        speed = found.rows / max(found.seconds, 1e-9)
        wrote = f"wrote {found.rows:,} predictions to {found.out}"
        front.show(f"{wrote}, {speed:,.0f} rows a second")
    tell_answered(front, found.truncated, found.empty)
    _tell_abstained(front, found.abstained, found.threshold)
    if cascade:
        front.show(f"the linear model answered {found.by_linear:,} of them")


def _refuse_explaining(data: str | None, *, cascade: bool) -> None:
    if data is not None or cascade:
        raise UsageError(
            f"--explain and {'--cascade' if data is None else '--data'} exclude each other",
            next_step="leave one of the two out; the report explains the worst errors of a run",
        )


def _is_terminal() -> bool:
    """Whether nobody pipes anything in; a program without standard input counts as well."""
    return sys.stdin is None or sys.stdin.isatty()


def _tell_thresholds(front: Front, run: Run, *, kept: bool) -> None:
    from tightfit.tasks.label_thresholds import threshold_words

    front.show(threshold_words(run.task, run.thresholds, kept=kept))


def _tell_abstained(front: Front, abstained: int, threshold: float) -> None:
    if threshold:
        texts = "1 text has" if abstained == 1 else f"{abstained:,} texts have"
        front.show(f"{texts} no label: the classifier is less than {threshold:.1%} sure")
