"""``tightfit train --dry-run``: everything but the training, and what it would take."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from accelerate.utils import set_seed

from tightfit.budget.plan import Plan
from tightfit.config import DEFAULT_RECIPE
from tightfit.model.locate import locate
from tightfit.pipeline.planning import settings_of
from tightfit.training.importance import decide_plan
from tightfit.training.pace import TimeLimit, fit_into, rehearse
from tightfit.training.prepare import gather, make_job, tell_about
from tightfit.voice import RichVoice, Voice


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
    voice: Voice | None = None,
) -> Forecast:
    """What :func:`train` would do with these arguments, measured on a few steps.

    Nothing is written. The arguments, and what is raised, are those of :func:`train`.
    """
    voice, began = voice or RichVoice(), time.monotonic() if started is None else started
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
    material = gather(config, data, validation, limit)
    tell_about(material, voice)
    source = locate(config.model.name)
    set_seed(config.seed)  # here as well: deciding by importance builds a model
    plan = decide_plan(config, material, source, voice)
    set_seed(config.seed)
    job, facts = make_job(config, material, source, plan, voice=voice)
    if config.train.minutes is not None:
        job = fit_into(job, TimeLimit(config.train.minutes, began), voice)
    prepared = time.monotonic() - began
    pace = rehearse(job)
    training = pace.seconds(job.schedule.total, job.config.train.eval_every)
    precision = job.config.choices["precision"]
    notes = [
        material.facts["note"],
        f"computing in {precision.value}: {precision.reason}",
        *material.facts["warnings"],
    ]
    return Forecast(
        plan=plan,
        rows=len(material.train_ids),
        validation_rows=len(material.validation_ids),
        truncated=facts["tokens"]["truncated"],
        steps=job.schedule.total,
        minutes=(prepared + training + pace.scoring) / 60,
        memory_bytes=_peak_memory(),
        notes=tuple(note for note in notes if note),
    )


def _peak_memory() -> int:
    """Bytes; Linux counts in kibibytes, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
