"""``tightfit runs``: a table of the runs in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Column, Table

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, new_table, size
from tightfit.cli.front import open_front
from tightfit.display import score_name, score_words

if TYPE_CHECKING:
    from tightfit.verbs.runs import ListedRun, RunList

COLUMNS = ("run", "data", ">score", ">rows", ">size", "date")
SPARED = (">size", ">rows", "date", "data")
"""Columns for which a terminal may have no room beside long names, the first to go first."""

FOLDED = 10
"""Places that a day takes, and a folded name needs."""

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
        front.tell(found, lambda: _show(found, front.page), as_json=as_json)


def _show(found: RunList, console: Console) -> list[RenderableType]:
    if not found.runs:
        return [f"no runs in {found.folder}; 'tightfit train' makes one"]
    others: dict[str, list[str]] = {}
    for each in found:
        if each.score is not None and each.score.name != "accuracy":
            others.setdefault(score_name(each.score.name), []).append(str(each.run))
    faulty = [each for each in found if each.fault]
    return [
        _table(found, console),
        *(f"the score is {name} in {', '.join(runs)}" for name, runs in others.items()),
        *(f"{each.run} is {each.state}: {each.fault}" for each in faulty),
        "checked by presence and size of the files; 'tightfit audit RUN' reads every byte",
    ]


def _table(found: RunList, console: Console) -> Table:
    """With as many columns as leave the names of the runs whole, to be copied."""
    rows = [dict(zip(COLUMNS, _cells(each), strict=True)) for each in found]
    for spared in range(len(SPARED) + 1):
        headings = [name for name in COLUMNS if name not in SPARED[:spared]]
        table = new_table("", *headings)
        for row in rows:
            add_row(table, *(row[name] for name in headings))
        # A name too long even for that folds: numbers do not.
        table.columns[0].no_wrap = _least_width(table) <= console.width
        if table.columns[0].no_wrap:
            break
    return table


def _least_width(table: Table) -> int:
    """Where neither the first column folds nor one of numbers, and others as far as is readable."""
    first, *others = table.columns
    kept = [_width(x) if x.no_wrap else min(_width(x), FOLDED) for x in others]
    # Beside each column there is a space, and between two of them a line.
    return _width(first) + sum(kept) + 3 * len(others) + 2


def _width(column: Column) -> int:
    return max(cell_len(str(cell)) for cell in (column.header, *column.cells))


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
