"""``tightfit train``: from rows to a sealed run, or (``--dry-run``) to a forecast."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType

import tightfit
from tightfit.cli import options
from tightfit.cli.console import size, tick
from tightfit.cli.front import open_front
from tightfit.cli.plan_command import show_plan
from tightfit.data.text_pair import text_option
from tightfit.display import percent, remarks, score_name, score_value, score_words
from tightfit.errors import UsageError

if TYPE_CHECKING:
    from tightfit import Forecast, Run, TrainResult
    from tightfit.data.many_files import Sources
    from tightfit.metrics.interval import TaskScores
    from tightfit.training.summary import Continued

MEANING = {
    "gates": "plan, model, optimiser and saved file count the same parameters, within the cap",
    "gradients": "every trainable tensor got a gradient",
    "movement": "every adapter changed its layer",
    "no_regression": "no worse than its start, as far as the rows can tell, and no loss far above "
    "that of a constant answer",
    "round_trip": "the saved files, loaded anew, answer as the trained model did",
    "head_solved": "the gradient of the head's own objective is zero",
    "side_solved": "the gradient of the side head's own objective is zero",
}
"""What each proof shows."""

STARTS = {"random": "before the first step", "probe": "head alone", "run": "the run before"}
"""What a training starts from."""

FEW_SCORED = 60
"""Fewer held-out rows leave an interval of some 20 points and more."""

NEW_LABELS = 5
"""Told one by one, where a training goes on from a run."""

in_run = partial(typer.Option, rich_help_panel="Run")
"""Options under a heading of their own."""

EXAMPLES = """\
tightfit train --data sample
tightfit train --data train.csv --budget 100k --out runs/first
tightfit train --data news.csv --text-column title,body --label-column topic
tightfit train --data hf:ag_news --model roberta-base --recipe paper
tightfit train --data train.csv --set optim.lr=5e-4 --set optim.epochs=5
tightfit train --data train.csv --minutes 10
tightfit train --data january.csv --data february.csv
tightfit train --data train.csv --dry-run
tightfit train --data few.csv --unlabelled many.txt
tightfit train --label-names "world news,sports,business,science"
tightfit train --data new.csv --from runs/first --out runs/second
tightfit train --data train.csv --recipe runs/001/config.toml
tightfit train --data train.csv --out runs/first --resume"""


def train(
    *,
    data: options.TrainData = None,
    label_names: Annotated[
        str | None,
        options.in_data(
            metavar="A,B",
            help="Instead of rows: a classifier from the names of its labels alone; a name with a "
            "comma stands in quotation marks. How good it is nobody knows until "
            "'tightfit evaluate'.",
        ),
    ] = None,
    unlabelled: Annotated[
        str | None,
        options.in_data(
            metavar="ROWS",
            help="Texts without a label, in any form of --data: with few rows, or with label names "
            "alone, they help to tell the labels apart.",
        ),
    ] = None,
    validation: options.Validation = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    limit: options.Limit = None,
    model: options.Models = None,
    from_run: Annotated[
        Path | None,
        options.in_settings(
            "--from",
            metavar="RUN",
            help="Go on from a finished run with new rows: its settings, adapters and head are "
            "kept, new labels added, and its validation rows are scored before and after.",
        ),
    ] = None,
    recipe: options.Recipe = None,
    budget: options.Budget = None,
    seed: options.Seed = None,
    max_steps: options.MaxSteps = None,
    minutes: Annotated[
        float | None,
        options.in_settings(
            min=0.01,
            help="The best classifier within this time of the whole command, from its start to the "
            "sealed run: steps are timed, and the schedule is cut to what fits.",
        ),
    ] = None,
    settings: options.Settings = None,
    out: Annotated[
        Path | None,
        in_run(metavar="RUN", help="The run folder; else the next runs/NNN."),
    ] = None,
    resume: Annotated[
        bool,
        in_run("--resume", help="Go on from the newest checkpoint in --out."),
    ] = False,
    overwrite: Annotated[bool, in_run("--overwrite", help="Replace the run in --out.")] = False,
    dry_run: Annotated[
        bool,
        in_run(
            "--dry-run",
            help="Write nothing; show plan, rows, and a forecast of minutes and memory.",
        ),
    ] = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Train a classifier inside a budget, prove that it learned, and seal the run.

    Ctrl-C stops after the step at hand and leaves a checkpoint to resume from.
    """
    from tightfit.training.request import is_first_process

    with open_front(debug=debug) as front:
        if dry_run:
            _refuse_beside_dry_run(label_names, unlabelled, resume=resume)
        rows = _source(data)
        shared: dict[str, Any] = {
            "validation": validation,
            "from_run": from_run,
            "model": model or None,
            **options.recipe_if_given(recipe),
            "budget": budget,
            "seed": seed,
            "max_steps": max_steps,
            "limit": limit,
            "minutes": minutes,
            "started": options.STARTED,
            "text_column": text_column,
            "label_column": label_column,
            "settings": settings or (),
        }
        if dry_run:
            forecast = tightfit.dry_run(rows, **shared)
            front.tell(forecast, lambda: _forecast_words(forecast, front.page), as_json=as_json)
            return
        shared |= {"label_names": label_names, "unlabelled": unlabelled, "out": out}
        result = tightfit.train(rows, resume=resume, overwrite=overwrite, **shared)
        if is_first_process():
            front.tell(result, lambda: _closing_words(result, front.page), as_json=as_json)


def _refuse_beside_dry_run(
    label_names: str | None, unlabelled: str | None, *, resume: bool
) -> None:
    if resume:
        raise UsageError(
            "--dry-run forecasts a whole training, not the rest of one",
            next_step="leave out --resume or --dry-run",
        )
    if label_names or unlabelled:
        raise UsageError(
            "--dry-run forecasts a training on rows that have labels",
            seen="--label-names" if label_names else "--unlabelled",
            next_step="leave it out, or --dry-run: names take seconds",
        )


def _source(data: list[str] | None) -> str | Sources | None:
    """What is meant by ``--data``, which may be there several times."""
    from tightfit.data.many_files import Sources

    if not data:
        return None
    return data[0] if len(data) == 1 else Sources(tuple(data))


def _closing_words(result: TrainResult, console: Console) -> list[RenderableType]:
    """What was reached, what was proven, and what to type next."""
    run, path = tightfit.Run(result.run), shlex.quote(str(result.run))
    idle = _idle(run, result)
    lines = [
        "",
        *_outcome(run),
        _taken(run, result),
        f"{size(sum(file.bytes for file in run.manifest.files))} on disk; the report is "
        f"{shlex.quote(str(run.folder.report))}",
        "",
        *(
            f"- {name}: {idle[name]}"
            if name in idle
            else _proof_line(name, proof, console, gone_on=result.continued is not None)
            for name, proof in result.proofs.items()
        ),
        "",
        "next:",
        f"  tightfit evaluate {path} --data TEST",
        f"  tightfit predict {path} {text_option(pair=run.config.data.pair)}",
        f"  tightfit export {path} --format onnx --out {shlex.quote(f'{result.run}-onnx')}",
    ]
    return [*lines]


def _seen(run: Run, result: TrainResult) -> str:
    """The rows of training, sentences of labels among them, and how often each was seen."""
    rows, named = run.data.train_rows, run.decisions.label_names
    names = len(run.task.names) if named is not None and named.value == "used" else 0
    if result.examples < rows:
        return f"{result.examples:,} of {rows:,} rows, since there was no time or step for more"
    times = f"{result.examples / max(1, rows + names):.2g}"
    beside = f" and {names:,} label names" if names else ""
    return f"{rows:,} rows{beside}, each seen {'once' if times == '1' else f'{times} times'}"


def _taken(run: Run, result: TrainResult) -> str:
    """Steps, texts and time."""
    if all(score is None for score in result.scores.values()):
        names, pool = len(run.task.names), run.data.unlabelled
        beside = f" and {pool:,} text{'s' if pool > 1 else ''} without a label" if pool else ""
        return (
            f"{result.total:,} parameters solved on the names of {names:,} labels{beside}; "
            f"{_duration(result.seconds / 60)}"
        )
    if "head_solved" in result.proofs and not result.steps:
        return (
            f"{result.total:,} parameters solved on {run.data.train_rows:,} rows; "
            f"{_duration(result.seconds / 60)} with evaluations"
        )
    return (
        f"best at step {result.best_step:,} of {result.steps:,}; {result.total:,} parameters "
        f"trained on {_seen(run, result)}, {result.examples_per_second:,.0f} a "
        f"second; {_duration(result.seconds / 60)} with evaluations"
    )


def _outcome(run: Run) -> Iterator[str]:
    """Where it started, what it is worth, and where it is weakest."""
    scores, proof = run.metrics.validation, run.proofs.get("no_regression")
    if scores is None:
        yield "accuracy unknown: no row with a label was there to score it"
        return
    crossed = run.metrics.train.source == "cross_validation"
    if proof is not None:
        start = STARTS[run.config.head.start]
        kept = run.metrics.train.kept_start
        metric = run.task.metric
        end = "no step did better" if kept else f"trained {score_value(metric, proof[metric])}"
        if run.decisions.kept is not None and run.decisions.kept.value == "start":
            end = "kept without adapters: what they learned was no gain"
        watched = "validation rows scored while training"
        if crossed:
            watched = "each row by a training without it"
            if proof[metric] < proof[f"start_{metric}"]:
                watched += ", no more lost than by chance"
        if run.plan.side is not None:
            watched += "; what follows is with the side head"
        if run.config.head.start == "run":
            start, end = _gone_on(run.metrics.train.continued), end.replace("no", "no further")
        before = score_value(metric, proof[f"start_{metric}"])
        named = "" if metric == "accuracy" else f"{score_name(metric)}: "
        yield f"{named}{start} {before} → {end}, on {watched}"
    rows = f"{scores.n:,} {'rows by cross-validation' if crossed else 'validation rows'}"
    if run.decisions.scored_rows is not None:
        rows = f"a sample of {rows}: {run.decisions.scored_rows.reason}"
    yield from _kept(run.metrics.train.continued)
    (first, score), *others = scores.headline().items()
    told = ((score_name(name), score_value(name, each and each.value)) for name, each in others)
    more = "".join(f", {name} {value}" for name, value in told)
    yield f"{score_name(first)} {score_words(first, score)}{more} on {rows}"
    yield from _few_scored(run, scores.n)
    yield from _new_labels(run.metrics.train.continued, scores)
    yield from remarks(scores)


def _few_scored(run: Run, validation_rows: int) -> Iterator[str]:
    """How to have all rows scored, where a default held out so few that they tell little."""
    config = run.config
    train = config.train
    chosen = train.folds is not None or train.minutes is not None or config.data.split == "last"
    if chosen or not run.data.held_out or run.metrics.train.continued is not None:
        return
    rows = min(run.data.rows, run.data.limit or run.data.rows)
    if validation_rows < min(FEW_SCORED, rows):
        yield (
            f"{validation_rows} rows tell little: --set train.folds=4 trains on all "
            f"{rows:,} and scores them, in about four times the time"
        )


def _gone_on(continued: Continued | None) -> str:
    """What a training that goes on from a run starts from."""
    count = 0 if continued is None else len(continued.new_labels)
    new = f" and {count:,} new label{'s' if count > 1 else ''} solved" if count else ""
    return f"the run's knowledge{new}"


def _new_labels(continued: Continued | None, scores: TaskScores) -> Iterator[str]:
    """How well each is found, a few of them."""
    new = () if continued is None else continued.new_labels
    known = {each.name: each for each in scores.each_label()}
    for name in new[:NEW_LABELS]:
        each = known.get(name)
        if each is None or not each.support:
            yield f"new label '{name}': no validation row has it"
            continue
        yield (
            f"new label '{name}': {percent(each.recall.value)} of its {each.support:,} validation "
            f"rows found, F1 {percent(each.f1.value)}"
        )


def _kept(continued: Continued | None) -> Iterator[str]:
    """What became of what the run knew that was gone on from."""
    if continued is None:
        return
    whose = f"of {continued.run}" if continued.kept_apart else f"with labels of {continued.run}"
    if continued.words is None:
        yield f"no validation row shows what became of what {continued.run} knew"
    else:
        yield f"what it knew: {continued.words}, on {continued.rows:,} validation rows {whose}"


def _idle(run: Run, result: TrainResult) -> dict[str, str]:
    """Proofs that had nothing to look at, with the reason: a tick would say that adapters moved."""
    found = {} if result.steps else {"gradients": "nothing was trained by steps"}
    if not run.plan.adapters and not run.plan.everything:
        found["movement"] = "no adapter is there"
    return found


def _proof_line(name: str, proof: Mapping[str, bool], console: Console, *, gone_on: bool) -> str:
    if gone_on and proof.get("kept_start") and not proof["ok"]:
        return (
            f"- {name}: the adapters stay as the run had learned them; no further step did better"
        )
    meaning = MEANING[name]
    if not proof["ok"]:
        meaning = "does not hold: the recipe declares that these adapters stay dead"
        if proof.get("kept_start"):
            meaning = "no trained part moved: the start was kept, since no step did better"
    return f"{tick(proof['ok'], console)} {name.replace('_', ' ')}: {meaning}"


def _forecast_words(forecast: Forecast, console: Console) -> list[RenderableType]:
    lines = [
        "",
        f"{_shared_out(forecast)}; {forecast.truncated:,} texts would be cut",
        f"{forecast.steps:,} steps, about {_duration(forecast.minutes)}, "
        f"{size(forecast.memory_bytes)} of memory",
        "nothing was trained or written; leave out --dry-run to train",
    ]
    return [*show_plan(forecast.plan, console), *lines]


def _shared_out(forecast: Forecast) -> str:
    """Which rows would train and which validate."""
    if forecast.folds:
        return (
            f"{forecast.rows:,} rows to train on, each scored by one of {forecast.folds} trainings "
            "without it"
        )
    return f"{forecast.rows:,} rows to train on, {forecast.validation_rows:,} to validate on"


def _duration(minutes: float) -> str:
    if minutes < 1.5:
        return f"{minutes * 60:.2g} seconds"
    if minutes < 120:
        return f"{minutes:.1f} minutes" if minutes < 10 else f"{minutes:.0f} minutes"
    return f"{minutes / 60:.1f} hours"
