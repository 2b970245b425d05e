"""``tightfit export``: a run as a folder that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group
from rich.text import Text

from tightfit import pipeline
from tightfit.cli import options
from tightfit.cli.front import open_front
from tightfit.cli.tables import add_row, new_table, percent
from tightfit.voice import RichVoice

if TYPE_CHECKING:
    from tightfit.pipeline import ExportResult

# The same names as in inference.forms, which would load torch; a test compares the two.
Format = Literal["peft", "merged", "onnx", "onnx-int8"]

EXAMPLES = """\
tightfit export runs/001 --format merged --out served
tightfit export runs/001 --format peft --out adapter
tightfit export runs/001 --format onnx --out graph
tightfit export runs/001 --format onnx-int8 --out small --data test.csv"""


def export(
    run: options.Run,
    *,
    form: Annotated[
        Format,
        typer.Option(
            "--format",
            rich_help_panel=options.ANSWER,
            help="peft: the adapter, for peft. merged: a whole model, for transformers. "
            "onnx, onnx-int8: a graph, for ONNX Runtime.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            rich_help_panel=options.ANSWER,
            help="The folder to write; it appears when it is complete and proven.",
        ),
    ],
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            rich_help_panel=options.ANSWER,
            help="Replace a folder that an earlier export wrote.",
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="ROWS",
            rich_help_panel=options.DATA,
            help="Rows to compare run and export on; for onnx-int8 labelled ones, on which it may "
            "lose 0.3 points of accuracy.",
        ),
    ] = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=4,
            rich_help_panel=options.SETTINGS,
            help="Longest text to read, in tokens; else the run's own.",
        ),
    ] = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Write a run as a folder that other programs load, and prove that it answers the same.

    Where an export differs from the run, nothing is written and the exit code is 7.
    """
    with open_front(debug=debug) as front:
        found = pipeline.export(
            run,
            form,
            out,
            data=data,
            max_length=max_length,
            text_column=text_column,
            label_column=label_column,
            overwrite=overwrite,
            voice=RichVoice(),
        )
        if as_json:
            front.answer(found.to_json())
        else:
            front.show(_show(found))


def _show(found: ExportResult) -> Group:
    parity, int8 = found.figures.parity, found.figures.int8
    table = new_table(f"{found.out}: {', '.join(found.files)}", "against the run", ">")
    add_row(table, "same labels", percent(parity.agreement))
    add_row(table, "largest difference of a logit", f"{parity.max_abs_difference:.2g}")
    add_row(table, "rows compared", f"{parity.rows:,}")
    add_row(table, "rows a second", f"{found.figures.examples_per_second:,.1f}")
    if int8 is None:
        return Group(table)
    points = 100 * int8["accuracy_loss"]
    words = f"int8 ({int8['variant']}) costs {points:.2f} points of accuracy, by the {int8['by']}"
    return Group(table, Text(f"{words} of {int8['rows']:,} rows"))
