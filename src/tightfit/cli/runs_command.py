"""``tightfit runs``: a table of the runs in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, new_table, size
from tightfit.cli.front import open_front
from tightfit.display import score_name, score_words

if TYPE_CHECKING:
    from tightfit.verbs.runs import ListedRun, RunList

EXAMPLES = """\
tightfit runs
tightfit runs experiments
tightfit runs --json"""


def runs(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="FOLDER", help="A folder of runs, or one run; else runs."),
    ] = None,
    *,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """List runs with data, score, size and date; damaged and unfinished ones are named.

    Files are compared by presence and size alone; 'tightfit audit RUN' reads every byte.
    """
    with open_front(debug=debug) as front:
        found = tightfit.runs(folder)
        front.tell(found, lambda: _show(found), as_json=as_json)


def _show(found: RunList) -> list[RenderableType]:
    if not found.runs:
        return [f"no runs in {found.folder}; 'tightfit train' makes one"]
    table = new_table("", "run", "data", ">score", ">rows", ">size", "date")
    for each in found:
        add_row(table, *_cells(each))
    others: dict[str, list[str]] = {}
    for each in found:
        if each.score is not None and each.score.name != "accuracy":
            others.setdefault(score_name(each.score.name), []).append(str(each.run))
    faulty = [each for each in found if each.fault]
    return [
        table,
        *(f"the score is {name} in {', '.join(runs)}" for name, runs in others.items()),
        *(f"{each.run} is {each.state}: {each.fault}" for each in faulty),
        "checked by presence and size of the files; 'tightfit audit RUN' reads every byte",
    ]


def _cells(each: ListedRun) -> list[str]:
    score = each.score
    told: str = each.state if each.state != "finished" else "unknown"
    if score is not None:
        told = score_words(score.name, score)
    return [
        str(each.run),
        each.data or "",
        told,
        f"{score.rows:,}" if score else "",
        size(each.bytes) if each.bytes else "",
        (each.date or "")[:16].replace("T", " "),
    ]
