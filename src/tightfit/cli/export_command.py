"""``tightfit export``: a run as a folder that other programs load."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Group
from rich.text import Text

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, new_table
from tightfit.cli.front import open_front
from tightfit.display import percent
from tightfit.errors import UsageError
from tightfit.exporting.format_names import Format, Pieces

if TYPE_CHECKING:
    from tightfit import CascadeResult, ExportResult


EXAMPLES = """\
tightfit export runs/001 --format merged --out served
tightfit export runs/001 --format peft --out adapter
tightfit export runs/001 --format onnx --out graph
tightfit export runs/001 --format onnx-int8 --out small --data test.csv
tightfit export runs/001 --format onnx --vocabulary used --out narrow
tightfit export runs/001 --cascade --max-loss 0.005"""


def export(
    run: options.Run,
    *,
    form: Annotated[
        Format | None,
        options.in_answer(
            "--format",
            help="peft: the adapter, for peft. merged: a whole model, for transformers. "
            "onnx, onnx-int8: a graph, for ONNX Runtime. Not needed with --cascade.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        options.in_answer(
            metavar="DIR", help="The folder to write; it appears when it is complete and proven."
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        options.in_answer("--overwrite", help="Replace a folder that an earlier export wrote."),
    ] = False,
    vocabulary: Annotated[
        Pieces,
        options.in_answer(
            "--vocabulary",
            help="used: of an encoder of many languages keep only the pieces that the run's texts "
            "use, and single characters; it says what other texts lose.",
        ),
    ] = "all",
    data: Annotated[
        str | None,
        options.in_data(
            metavar="ROWS",
            help="Rows to compare run and export on, else the run's own validation rows; for "
            "onnx-int8 labelled ones, on which it may lose 0.3 points of accuracy.",
        ),
    ] = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    settings: options.Reading = None,
    max_length: options.MaxLength = None,
    cascade: Annotated[
        bool,
        options.in_cascade(
            "--cascade",
            help="Make a linear model of words that answers the rows it is sure of: in the run's "
            "derived/cascade, for 'predict --cascade', and in DIR/cascade.",
        ),
    ] = False,
    max_loss: Annotated[
        float | None,
        options.in_cascade(
            metavar="SHARE",
            help="How far accuracy may fall below that of the encoder alone, shown with 95% "
            "confidence on the validation rows; else 0.003.",
        ),
    ] = None,
    training_rows: Annotated[
        str | None,
        options.in_cascade(
            metavar="ROWS",
            help="The rows that the run was trained on, where they have moved since.",
        ),
    ] = None,
    validation_rows: Annotated[
        str | None,
        options.in_cascade(
            metavar="ROWS",
            help="Its validation rows, where they came separately and have moved since.",
        ),
    ] = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Write a run as a folder that other programs load, and prove that it answers the same.

    Where an export differs from the run, nothing is written and the exit code is 7; likewise where
    the validation rows cannot show that a cascade loses no more than is allowed.
    """
    with open_front(debug=debug) as front:
        for_cascade: dict[str, Any] = {
            "max_loss": max_loss,
            "data": training_rows,
            "validation": validation_rows,
        }
        given = {name: value for name, value in for_cascade.items() if value is not None}
        _check(form, out, cascade=cascade, needless=list(given))
        made = tightfit.make_cascade(run, **given) if cascade else None
        if form is None or out is None:
            assert made is not None
            front.tell(made, lambda: [_show_cascade(made)], as_json=as_json)
            return
        found = tightfit.export(
            run,
            form,
            out,
            data=data,
            max_length=max_length,
            text_column=text_column,
            label_column=label_column,
            settings=settings or (),
            vocabulary=vocabulary,
            overwrite=overwrite,
            cascade=cascade,
        )
        if as_json:
            front.answer({**found.to_json(), **({"cascade": made.to_json()} if made else {})})
            return
        front.tell_people(_show(found))
        if made is not None:
            front.tell_people(_show_cascade(made))


_OPTION_OF = {
    "max_loss": "--max-loss",
    "data": "--training-rows",
    "validation": "--validation-rows",
}


def _check(form: Format | None, out: Path | None, *, cascade: bool, needless: list[str]) -> None:
    """Refuse options that lack another."""
    if needless and not cascade:
        raise UsageError(f"{_OPTION_OF[needless[0]]} needs --cascade", next_step="add --cascade")
    if (form is None) != (out is None):
        given, missing = ("--out", "--format") if form is None else ("--format", "--out")
        raise UsageError(f"{given} needs {missing}", next_step=f"add {missing}")
    if form is None and not cascade:
        raise UsageError(
            "there is nothing to export",
            allowed="--format FORM --out DIR, or --cascade, or all three",
            next_step="add one of these",
        )


def _show_cascade(made: CascadeResult) -> Group:
    figures = made.to_json()
    chosen, accuracy = figures["chosen_on"], figures["accuracy"]
    table = new_table(f"cascade in {made.out}", "on the validation rows", ">")
    add_row(table, "answered by the linear model", percent(figures["share"]))
    for name in ("encoder", "linear", "cascade"):
        add_row(table, f"accuracy, {_ALONE[name]}", percent(accuracy[name]["value"]))
    add_row(table, "rows lost and won", f"{chosen['lost']:,} and {chosen['won']:,}")
    bound = f"{figures['confidence']:.0%} sure to lose at most"
    add_row(table, bound, f"{100 * chosen['loss_bound']:.2f} points")
    return Group(table, Text("use it: tightfit predict RUN --cascade"))


_ALONE = {"encoder": "encoder alone", "linear": "linear model alone", "cascade": "both together"}


def _show(found: ExportResult) -> Group:
    parity, int8 = found.parity, found.int8
    table = new_table(f"{found.out}: {', '.join(found.files)}", "against the run", ">")
    add_row(table, "same answers", percent(parity.agreement))
    add_row(table, "largest difference of a logit", f"{parity.max_abs_difference:.2g}")
    add_row(table, "rows compared, odd lengths added", f"{parity.rows:,}")
    add_row(table, "rows a second", f"{found.examples_per_second:,.1f}")
    add_row(table, "size", f"{found.bytes / 1e6:,.1f} MB")
    lines = []
    if int8 is not None:
        points = 100 * int8.accuracy_loss
        words = f"int8 ({int8.variant}) costs {points:.2f} points of its score, by the {int8.by}"
        lines.append(f"{words} of {int8.rows:,} rows")
    program = shlex.quote(f"{found.out}/predict.py")
    lines.append(f"without tightfit: python {program} < texts.txt (README.md has more)")
    return Group(table, *(Text(line, overflow="fold") for line in lines))
