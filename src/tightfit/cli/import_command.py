"""``tightfit import``: a run from an adapter that was trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

import tightfit
from tightfit.cli import options
from tightfit.cli.front import open_front

EXAMPLES = """\
tightfit import ./someone-elses-lora --base roberta-base --out runs/theirs
tightfit import ./lora --base ./my-encoder --labels World,Sports,Business
tightfit evaluate runs/theirs --data test.csv"""


def import_adapter(
    folder: Annotated[
        Path,
        typer.Argument(metavar="PEFT_FOLDER", help="A LoRA adapter, as PEFT saves it."),
    ],
    *,
    base: Annotated[
        str,
        options.in_settings(
            metavar="NAME",
            help="The encoder that it was trained on: a Hub name, a folder, or all-MiniLM-L6-v2.",
        ),
    ],
    labels: Annotated[
        str | None,
        options.in_settings(
            metavar="A,B",
            help="Label names in order; else those beside the adapter or of the base model.",
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        options.in_settings(min=4, help="Longest text to read, in tokens."),
    ] = None,
    out: Annotated[
        Path | None,
        options.in_answer(metavar="RUN", help="The run folder to make; else the next runs/NNN."),
    ] = None,
    overwrite: Annotated[
        bool,
        options.in_answer("--overwrite", help="Replace a run that is there."),
    ] = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Make a run of an adapter from elsewhere, to predict, evaluate and export with.

    What can be proven of it is proven; how it was trained stays unknown.
    """
    with open_front(debug=debug) as front:
        found = tightfit.import_adapter(
            folder,
            base,
            out=out,
            labels=labels,
            max_length=max_length,
            overwrite=overwrite,
        )
        lines = (
            f"{found.run}: {found.total:,} trained parameters; {found.verdict}",
            f"labels: {', '.join(found.labels)}",
            "the run answers as the adapter does; its gradients are unknown",
        )
        front.tell(found, lambda: map(Text, lines), as_json=as_json)
