"""``tightfit evaluate``: what a run is worth on labelled rows, alone or against another."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len, set_cell_size
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, new_table
from tightfit.cli.front import open_front
from tightfit.display import (
    UNDEFINED,
    percent,
    remarks,
    score_name,
    score_value,
    share_words,
)

if TYPE_CHECKING:
    from tightfit import Evaluation
    from tightfit.metrics.interval import Interval
    from tightfit.metrics.scores import Scores
    from tightfit.verbs.evaluation import OverSeeds

MATRIX_COLUMNS = 8
"""A wider confusion matrix does not fit a terminal; its largest confusions are listed instead."""

LISTED_CONFUSIONS = 10

NAME_WIDTH = 14
"""Places of the terminal; longer label names are cut in the columns of a table."""

EXAMPLES = """\
tightfit evaluate runs/001 --data sample:test
tightfit evaluate runs/001 --data test.csv
tightfit evaluate runs/002 --data test.csv --against runs/001
tightfit evaluate runs/001 --data test.csv --also runs/002 --also runs/003
tightfit evaluate runs/001 --data test.parquet --json > scores.json
tightfit evaluate runs/001 --recall spam=0.95
tightfit evaluate runs/001 --cost spam:ham=5 --data rows.csv"""

in_thresholds = partial(typer.Option, rich_help_panel="Thresholds")
"""Options under a heading of their own."""


def evaluate(
    run: options.Run,
    *,
    data: Annotated[
        str | None,
        options.in_data(
            metavar="ROWS",
            help="Labelled rows, in any form that train takes; for a threshold the run's own "
            "validation rows will do.",
        ),
    ] = None,
    recall: Annotated[
        list[str] | None,
        in_thresholds(
            metavar="LABEL=SHARE",
            help="Find at least this share of a label's rows, such as spam=0.95.",
        ),
    ] = None,
    precision: Annotated[
        list[str] | None,
        in_thresholds(
            metavar="LABEL=SHARE",
            help="Let at least this share of a label's answers be right, such as spam=0.9.",
        ),
    ] = None,
    cost: Annotated[
        list[str] | None,
        in_thresholds(
            metavar="LABEL:TAKEN=COST",
            help="Keep costs down where taking one label for another, such as spam:ham=5, costs "
            "more than any other mistake, which costs 1.",
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Another run, compared on the same rows by a paired test."
        ),
    ] = None,
    also: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="A run with another seed; may be repeated. Means over all of them are shown too.",
        ),
    ] = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    settings: options.Reading = None,
    missing_text: options.MissingText = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Score a run on labelled rows: every number with its 95% interval.

    The scores are also kept beside the run, in its folder derived/. With --recall, --precision or
    --cost it says from which probability on a label is to be answered, keeps that there too, and
    predict answers by it.
    """
    with open_front(debug=debug) as front:
        found = tightfit.evaluate(
            run,
            data,
            recall=options.parse_shares(recall, "--recall"),
            precision=options.parse_shares(precision, "--precision"),
            cost=options.parse_costs(cost),
            against=against,
            also=also or (),
            text_column=text_column,
            label_column=label_column,
            settings=settings or (),
            missing_text=missing_text,
        )
        front.tell(
            found,
            lambda: _show(found, f"{run} on {data or 'its rows'}", f"{run} against {against}"),
            as_json=as_json,
        )


def _show(found: Evaluation, title: str, pair: str) -> list[RenderableType]:
    scores = found.scores
    tables = [_score_table(found, title)]
    if hasattr(scores, "confusion"):
        tables += [_class_table(scores), _confusions(scores)]
    elif scores.each_label():
        tables.append(_class_table(scores))
    tests = {"": found.paired, ", macro F1": found.paired_macro_f1}
    paired = [f"{pair}{of}: {test.sentence}" for of, test in tests.items() if test]
    seeds = [] if found.seeds is None else [_seed_table(found.seeds)]
    reason = found.calibration and found.calibration.reason
    why = [f"temperature scaling did not halve the calibration error: {reason}"] if reason else []
    applied = []
    if found.confusion_at:
        at = replace(scores, confusion=found.confusion_at)
        applied = [_confusions(at, ", with the thresholds")]
    return [*tables, *why, *remarks(scores), *seeds, *paired, *_thresholds(found), *applied]


def _thresholds(found: Evaluation) -> list[RenderableType]:
    if not found.thresholds:
        return []
    table = new_table("thresholds", "label", "asked", ">from", ">recall", ">precision")
    lines = ["recall and precision are of rows kept apart from the choice; predict answers so now"]
    lines += [words for each in found.thresholds if (words := each.verdict())]
    for each in found.thresholds:
        asked = each.goal if each.least is None else f"{each.goal} {each.least:g}"
        shares = [share_words(each.recall), share_words(each.precision)]
        add_row(table, _short(each.label), asked, f"{each.threshold:.4f}", *shares)
        if each.mean_cost is not None:
            mean = each.mean_cost
            cost = f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})"
            lines.append(f"cost a row: {cost}; {each.usual_cost:.3f} without a threshold")
            if each.usual_cost is not None and mean.value >= each.usual_cost:
                lines.append("so these rows do not show that the threshold saves anything")
    return [table, *map(Text, lines)]


def _score_table(found: Evaluation, title: str) -> Table:
    from tightfit.tasks.calibrate import scale_words

    scores, calibration = found.scores, found.calibration
    table = new_table(f"{title}: {scores.n:,} rows", "score", ">value", "95% interval")
    for name, score in scores.headline().items():
        if score is None:
            add_row(table, score_name(name), UNDEFINED)
        else:
            add_row(table, score_name(name), score_value(name, score.value), _ends(score, name))
    if found.coverage is not None:
        share = percent(found.coverage.value)
        add_row(table, "in the 90% interval", share, _ends(found.coverage))
    if calibration is None:
        return table
    add_row(table, "log loss", f"{scores.log_loss:.3f}")
    add_row(table, "calibration error", percent(scores.ece))
    add_row(table, "  before calibration", percent(calibration.ece_before))
    add_row(table, "temperature", scale_words(calibration.temperature))
    return table


def _seed_table(seeds: OverSeeds) -> Table:
    title = f"mean of {len(seeds.runs)} runs on the same rows"
    table = new_table(title, "score", ">mean", "95% interval over seeds")
    for name, score in seeds.scores.items():
        add_row(table, score_name(name), score_value(name, score.value), _ends(score, name))
    return table


def _class_table(scores: Scores) -> Table:
    table = new_table(
        "each label", "label", ">rows", ">precision", ">recall", ">F1", "95% interval"
    )
    for each in scores.each_label():
        values = [percent(x.value) for x in (each.precision, each.recall, each.f1)]
        add_row(table, _short(each.name), f"{each.support:,}", *values, _ends(each.f1))
    return table


def _confusions(scores: Scores, how: str = "") -> Table:
    """Which labels are taken for which, all of them where there is room."""
    return (_matrix if len(scores.labels) <= MATRIX_COLUMNS else _worst_confusions)(scores, how)


def _matrix(scores: Scores, how: str) -> Table:
    names = [_short(name) for name in scores.labels]
    table = new_table(f"true label by predicted label{how}", "true")
    for name in names:
        # Not through new_table: a label may itself begin with ">".
        table.add_column(Text(name), justify="right", no_wrap=True)
    for name, row in zip(names, scores.confusion, strict=True):
        add_row(table, name, *(f"{count:,}" for count in row))
    return table


def _worst_confusions(scores: Scores, how: str) -> Table:
    """The pairs of labels that are taken for each other most often."""
    table = new_table(f"most frequent confusions{how}", "true label", "predicted", ">rows")
    for each in scores.confusions()[:LISTED_CONFUSIONS]:
        add_row(table, _short(each.true), _short(each.predicted), f"{each.count:,}")
    return table


def _ends(interval: Interval, name: str = "") -> str:
    return f"{score_value(name, interval.low)} to {score_value(name, interval.high)}"


def _short(name: str) -> str:
    return (
        name if cell_len(name) <= NAME_WIDTH else set_cell_size(name, NAME_WIDTH - 1).rstrip() + "…"
    )
