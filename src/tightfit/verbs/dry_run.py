"""``tightfit train --dry-run``: everything but the training, and what it would take."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils import set_seed

from tightfit.budget.parameter_plan import Plan
from tightfit.config import DEFAULT_RECIPE
from tightfit.model.locate import locate
from tightfit.progress import Progress, RichProgress
from tightfit.training.importance import decide_plan
from tightfit.training.prepare import gather, make_setup, tell_about
from tightfit.training.time_budget import TimeLimit, fit_into, rehearse
from tightfit.verbs.plan import settings_of


@dataclass(frozen=True)
class Forecast:
    """What a training would do, and take."""

    plan: Plan
    rows: int
    """To train on."""
    validation_rows: int
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
        return {
            "plan": self.plan.to_json(),
            "rows": self.rows,
            "validation_rows": self.validation_rows,
            "truncated": self.truncated,
            "steps": self.steps,
            "minutes": self.minutes,
            "memory_bytes": self.memory_bytes,
            "notes": list(self.notes),
        }


def dry_run(
    data: Any,
    *,
    validation: Any = None,
    model: str | None = None,
    recipe: str = DEFAULT_RECIPE,
    budget: int | None = None,
    seed: int | None = None,
    max_steps: int | None = None,
    limit: int | None = None,
    minutes: float | None = None,
    started: float | None = None,
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    settings: Sequence[str] = (),
    progress: Progress | None = None,
) -> Forecast:
    """What :func:`train` would do with these arguments, measured on a few steps.

    Nothing is written. The arguments, and what is raised, are those of :func:`train`.
    """
    progress, began = progress or RichProgress(), time.monotonic() if started is None else started
    config = settings_of(
        recipe,
        settings,
        model=model,
        budget=budget,
        seed=seed,
        max_steps=max_steps,
        minutes=minutes,
        text_column=text_column,
        label_column=label_column,
    )
    dataset = gather(config, data, validation, limit)
    tell_about(dataset, progress)
    source = locate(config.model.name)
    set_seed(config.seed)  # here as well: deciding by importance builds a model
    plan = decide_plan(config, dataset, source, progress)
    set_seed(config.seed)
    setup, facts = make_setup(config, dataset, source, plan, progress=progress)
    if config.train.minutes is not None:
        setup = fit_into(setup, TimeLimit(config.train.minutes, began), progress)
    prepared = time.monotonic() - began
    pace = rehearse(setup)
    training = pace.seconds(setup.schedule.total, setup.config.train.eval_every)
    precision = setup.config.choices["precision"]
    notes = [
        dataset.facts["note"],
        f"computing in {precision.value}: {precision.reason}",
        *dataset.facts["warnings"],
    ]
    return Forecast(
        plan=plan,
        rows=len(dataset.train_texts),
        validation_rows=len(dataset.validation_texts),
        truncated=facts["tokens"]["truncated"],
        steps=setup.schedule.total,
        minutes=(prepared + training + pace.scoring) / 60,
        memory_bytes=_peak_memory(),
        notes=tuple(note for note in notes if note),
    )


def _peak_memory() -> int:
    """Bytes; Linux counts in kibibytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
