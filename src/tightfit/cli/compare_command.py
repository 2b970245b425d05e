"""``tightfit compare``: recipes, baselines and ablations on the same rows, in one table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, bar, new_table
from tightfit.cli.front import open_front
from tightfit.display import NUMBERS, score_name, score_value

if TYPE_CHECKING:
    from tightfit import Comparison
    from tightfit.metrics.interval import Interval

in_comparison = partial(typer.Option, rich_help_panel="Comparison")
"""Options under a heading of their own."""

COLUMNS = 3
"""Scores for which a terminal has room; all are in the files."""

BAR = 5
"""Characters; with the numbers beside it there is no room for more in 80 columns."""

EXAMPLES = """\
tightfit compare --data sample
tightfit compare --data train.csv --limit 4000 --out runs/baselines
tightfit compare --data train.csv --only tight --only head-only
tightfit compare --data train.csv --minutes 30 --out runs/baselines
tightfit compare --data train.csv --ablate rank=1,2,4,8,16
tightfit compare --data train.csv --ablate dropout=0,0.1 --ablate lr=1e-4
tightfit compare --data train.csv --ablate targets=query,query+value
tightfit compare --data train.csv --set optim.epochs=1 --json > table.json"""


def compare(
    *,
    data: options.Data,
    validation: options.Validation = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    limit: options.Limit = None,
    ablate: Annotated[
        list[str] | None,
        in_comparison(
            metavar="KEY=A,B",
            help="Recipe tight with each of these values, in place of the baselines; may be "
            "repeated. KEY: rank, alpha, dropout, targets (joined with +), head, layers, lr, "
            "epochs, budget, or any setting.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        in_comparison(
            metavar="ROW",
            help="Compute this row alone, such as tight or tf-idf (a name, or its beginning), "
            "beside those that are finished; may be repeated.",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        in_comparison(
            min=0.01, help="Leave out, and name, what would not be finished within this time."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        in_comparison(
            metavar="DIR",
            help="Its folder; else the next runs/NNN. What is finished there is not computed "
            "again.",
        ),
    ] = None,
    model: options.Models = None,
    budget: options.Budget = None,
    seed: options.Seed = None,
    max_steps: options.MaxSteps = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Train baselines, recipes and full fine-tuning on the same rows, in one table.

    The majority class, words counted by a linear model, the head alone, the published recipe,
    tight, VeRA, IA3 or biases in place of adapters, every weight; or, with --ablate, tight with
    other values of a setting. All with the same rows, seed and encoder. Ctrl-C loses nothing: with
    the same --out it goes on.
    """
    with open_front(debug=debug) as front:
        found = tightfit.compare(
            data,
            ablate=ablate or (),
            only=only or (),
            validation=validation,
            model=model or None,
            budget=budget,
            out=out,
            seed=seed,
            max_steps=max_steps,
            limit=limit,
            minutes=minutes,
            started=options.STARTED,
            text_column=text_column,
            label_column=label_column,
            settings=settings or (),
        )
        front.tell(found, lambda: _show(found, data, front.page), as_json=as_json)


def _show(found: Comparison, data: str, console: Console) -> list[RenderableType]:
    if not found.rows:
        return [*map(Text, _closing(found))]
    scores = list(found.rows[0].scores)[:COLUMNS]
    unit = "" if scores and scores[0] in NUMBERS else ", in %"
    names = " and ".join(map(score_name, scores))
    title = f"{data}: {names} of {found.scored_rows}{unit}"
    return [_table(found, title, console), *map(Text, _closing(found))]


def _table(found: Comparison, title: str, console: Console) -> Table:
    """A row each; the intervals of macro F1, for which there is no room, are in the files."""
    names = list(found.rows[0].scores)[:COLUMNS]
    columns = [f">{score_name(names[0])}", *(f">{score_name(n).split()[-1]}" for n in names[1:])]
    table = new_table(title, "", ">trains", ">", *columns, ">seconds", ">MB")
    for row in found.rows:
        (name, first), *others = list(row.scores.items())[:COLUMNS]
        add_row(
            table,
            row.name,
            f"{row.trainable:,}",
            bar(first.value, console, BAR),
            _short(name, first),
            *(_bare(name, each.value) for name, each in others),
            f"{row.seconds:,.0f}",
            f"{row.bytes / 1e6:,.1f}",
        )
    return table


def _short(name: str, interval: Interval) -> str:
    """Percentages, their sign left to the heading: ``88.9 (86.8-90.7)``."""
    value, low, high = (_bare(name, x) for x in (interval.value, interval.low, interval.high))
    return f"{value} ({low}-{high})"


def _bare(name: str, value: float) -> str:
    return score_value(name, value).removesuffix("%")


def _closing(found: Comparison) -> Iterator[str]:
    if found.rows:
        yield "in brackets: 95% intervals; those of macro F1 are in the files"
    for name, reason in found.left_out.items():
        yield f"left out: {name}: {reason}"
    path = shlex.quote(str(found.folder / "comparison.md"))
    yield f"the table is in {path}, and as JSON beside it"
    if found.best is not None:
        run = shlex.quote(str(found.runs[found.best]))
        yield f"the best run is that of {found.best}\nnext:"
        yield f"  tightfit predict {run} --data ROWS --out p.csv"
