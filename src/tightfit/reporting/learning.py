"""How training went: loss and accuracy against the optimiser's steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from tightfit.display import NUMBERS, score_name, score_value
from tightfit.reporting.drawing import (
    Chart,
    Line,
    Point,
    Tick,
    nice_range,
    percent_tick,
    short,
    thinned,
    x_axis,
    y_axis,
)
from tightfit.run import Run

SERIES = (("eval", "accent", "validation"), ("train", "quiet", "training"))
"""Prefix in the history, tone, and name of each line."""


@dataclass(frozen=True)
class Learning:
    """Two charts and the sentence above them."""

    words: str
    charts: tuple[Chart, ...]


def learning(run: Run) -> Learning:
    """The learning curves of a run."""
    if not run.history:
        return Learning("No step was taken: the head was solved on one sentence a label.", ())
    optim = run.config.optim
    notes = []
    objective = _contrastive_objective(run)
    if objective == "contrastive":
        notes.append("is contrastive")
    elif objective:
        notes.append("is contrastive at first")
    if optim.label_smoothing and objective != "contrastive":
        notes.append(f"smooths its labels by {optim.label_smoothing:g}")
    if optim.class_weights != "none":
        notes.append("weighs rows by class")
    smoothed = f"The training loss {' and '.join(notes)}, unlike the validation loss."
    near = "Training: rows whose nearest other row in the batch is of their class."
    of_metric = short if run.task.metric in NUMBERS else percent_tick
    charts = (
        _chart(run, "loss", ceiling=math.inf, label=short, note=smoothed if notes else ""),
        _chart(
            run,
            run.task.metric,
            ceiling=1.0,
            label=of_metric,
            note=near * (objective == "contrastive"),
        ),
    )
    train = run.metrics.train
    extent = f"over {train.epochs:.3g} epochs"
    if objective == "contrastive":  # draws as many rows of every class, and knows no epochs
        extent = f"of {train.examples / max(train.steps, 1):.0f} texts"
    words = (
        f"{train.steps:,} steps {extent} took {_duration(train.seconds)}, "
        f"{train.examples_per_second:,.0f} texts a second. {_kept(run)}"
    )
    return Learning(words, tuple(chart for chart in charts if chart is not None))


def _contrastive_objective(run: Run) -> str:
    """The objective where it has a contrastive phase, else nothing."""
    objective = run.decisions.objective
    return objective.value if objective and objective.value.startswith("contrastive") else ""


def _kept(run: Run) -> str:
    """Which weights were kept, and why."""
    train, fell = run.metrics.train, fall(run)
    if train.source != "validation":
        kept = " The start was kept: they did no better." * train.kept_start
        return (
            "No row was held out: before and after, validation is what trainings said of rows "
            f"that they did not see.{kept}"
        )
    if train.kept_knowledge:
        return "What the run before knew was kept: no further step did better."
    if train.kept_start:
        return "The start was kept: no step did better on the validation rows."
    anew = (
        " Then the head was solved anew, by logistic regression on what the encoder had learned; "
        "what validation says of that step is of this head."
    ) * run.decisions.head_solved_anew
    if fell is not None:
        return f"The weights of step {train.best_step:,} were kept.{anew} {fell}"
    by = run.config.train.metric
    told = "" if by == "accuracy" else f" by {score_name(by)}"
    kept = f"The weights of step {train.best_step:,} were kept, the best on the validation rows"
    return f"{kept}{told}.{anew}"


def fall(run: Run) -> str | None:
    """That the validation rows speak for the start, though not beyond chance; None where not."""
    proof, metric = run.proofs.get("no_regression", {}), run.task.metric
    before, after = proof.get(f"start_{metric}"), proof.get(metric)
    if run.config.train.metric != "accuracy" or before is None or after >= before:
        return None
    return (
        f"Of the validation rows its start has {score_value(metric, before)} right, and what was "
        f"kept {score_value(metric, after)}: chance explains that."
    )


def _chart(
    run: Run, what: str, *, ceiling: float, label: Callable[[float], str], note: str = ""
) -> Chart | None:
    """One quantity; None where it was never a number."""
    series = {name: _points(run, f"{prefix}_{what}") for prefix, _, name in SERIES}
    values = [y for points in series.values() for _, y in points]
    if not values:
        return None
    steps = max(run.metrics.train.steps, 1)
    places = [place for place in nice_range([0, steps], floor=0, ceiling=steps) if place % 1 == 0]
    across = x_axis("step", places, _step_word)
    up = y_axis("", nice_range(values, ceiling=ceiling), label)
    lines = tuple(
        Line(name, tone, tuple((across(x), up(y)) for x, y in thinned(series[name])))
        for _, tone, name in SERIES
    )
    best, title = run.metrics.train.best_step, score_name(what)
    last = run.history[-1]
    return Chart(
        title=title[:1].upper() + title[1:],
        about=f"{what} while training; at the end {label(last[f'eval_{what}'])} in validation",
        x=across,
        y=up,
        lines=lines,
        legend=tuple((tone, name) for _, tone, name in SERIES),
        mark=Tick(across(best), "kept"),
        note=note,
    )


def _points(run: Run, key: str) -> list[Point]:
    """Finite values by step."""
    found = [(float(row["step"]), row.get(key)) for row in run.history]
    return [(step, value) for step, value in found if value is not None and math.isfinite(value)]


def _step_word(step: float) -> str:
    return f"{step:,.0f}" if step < 1e4 else short(step)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
