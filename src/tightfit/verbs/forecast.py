"""What a training would take, from a rehearsal of it."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

from accelerate.utils import set_seed

from tightfit.budget.parameter_plan import Plan
from tightfit.progress import Progress
from tightfit.training.prepare import prepare
from tightfit.training.time_budget import TimeLimit, fit_into, trainings
from tightfit.training.timing import rehearse
from tightfit.verbs.chosen import choose_plan
from tightfit.verbs.origin import ReadRequest


@dataclass(frozen=True)
class Forecast:
    """What a training would do, and take."""

    plan: Plan
    rows: int
    """To train on."""
    validation_rows: int
    """Held out, and no row to train on; none in a cross-validation."""
    folds: int | None
    """Trainings of a cross-validation, each of which validates on the rows that it leaves out."""
    truncated: int
    """Training texts that would be cut."""
    steps: int
    minutes: float
    """Of the whole command, from reading the rows to final scoring."""
    memory_bytes: int
    """Highest memory use of this process in the rehearsal, the longest rows included."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit train --dry-run --json`` prints."""
        return {**vars(self), "plan": self.plan.to_json(), "notes": list(self.notes)}


def forecast(read: ReadRequest, progress: Progress) -> Forecast:
    """What would come of a request; see :func:`dry_run`."""
    request, dataset = read.request, read.dataset
    config, chosen = request.config, choose_plan(read, progress)
    plan = chosen.plan
    set_seed(config.seed)
    setup = prepare(
        config, dataset, chosen.source, plan, chosen=chosen.decisions, progress=progress
    )
    timing = None
    if config.train.minutes is not None:
        limit = TimeLimit(config.train.minutes, request.started)
        setup, timing = fit_into(setup, limit, progress)
    prepared = time.monotonic() - request.started
    if timing is None:  # else it is what the schedule was cut by, which another would contradict
        with progress.work("timing a few steps"):
            timing = rehearse(setup)
    training = trainings(setup) * timing.seconds(setup.schedule.total, setup.eval_every)
    notes = [
        dataset.facts.note,
        f"computing in {setup.precision.format}: {setup.precision.reason}",
        *dataset.facts.warnings,
    ]
    folds = dataset.facts.folds
    return Forecast(
        plan=plan,
        rows=len(dataset.train),
        validation_rows=0 if folds else len(dataset.validation),
        folds=folds,
        truncated=setup.train.tokens.truncated,
        steps=setup.schedule.total,
        minutes=(prepared + training + timing.scoring + timing.finishing) / 60,
        memory_bytes=_peak_memory(),
        notes=tuple(note for note in notes if note),
    )


def _peak_memory() -> int:
    """Bytes; Linux counts in kibibytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
