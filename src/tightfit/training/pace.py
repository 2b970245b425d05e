"""How long a training takes, from a few real steps; and how much of it fits into a time."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tightfit.config import Choice
from tightfit.errors import UsageError
from tightfit.model.classifier import predict_logits
from tightfit.model.proofs import GradientWatch
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.directions import start_at_directions
from tightfit.training.job import Job
from tightfit.training.loop import Loop
from tightfit.training.optim import make_schedule
from tightfit.training.probe import MOST_ROWS
from tightfit.voice import Voice

REHEARSED_STEPS = 6
"""Optimiser steps that are run to time them, after one on the longest rows."""

RESERVE = 0.1
"""Share of the time left that is kept for proofs, saving, and a machine that slows down."""


@dataclass(frozen=True)
class Pace:
    """What the parts of a training cost, in seconds."""

    step: float
    """One optimiser step."""
    evaluation: float
    """One evaluation while training."""
    probe: float
    """Where the head and the adapters start."""

    def seconds(self, steps: int, every: int) -> float:
        """Of a whole training, with an evaluation before it, at its end, and every so many."""
        return self.probe + steps * self.step + (2 + steps // every) * self.evaluation

    def steps_in(self, seconds: float, every: int) -> int:
        """The most steps that fit, none if not even the evaluations do."""
        left = seconds - self.probe - 2 * self.evaluation
        return max(0, int(left / (self.step + self.evaluation / every)))


@dataclass(frozen=True)
class TimeLimit:
    """Wall clock of a whole command, final scoring excluded."""

    minutes: float
    started: float
    """Reading of :func:`time.monotonic` when the command began."""

    @property
    def deadline(self) -> float:
        """Reading of :func:`time.monotonic` at which training must be over."""
        return self.started + 60 * self.minutes

    @property
    def left(self) -> float:
        """Seconds until then; negative once it has passed."""
        return self.deadline - time.monotonic()


def rehearse(job: Job) -> Pace:
    """Time a few real steps and forward passes; the weights are put back afterwards."""
    start = job.classifier.state()
    started = time.perf_counter()
    if job.config.adapters.init == "eva":
        start_at_directions(job, Voice())
    directions = time.perf_counter() - started
    with TemporaryDirectory() as nowhere:
        loop = Loop(job, CheckpointStore(Path(nowhere)), GradientWatch({}))
        step = loop.rehearse(REHEARSED_STEPS)
    job.classifier.load_state(start)
    tokens = job.watched.tokens
    # A middling stretch of lengths stands for all of them.
    order: list[int] = np.argsort(tokens.lengths).tolist()
    middle = order[len(order) // 2 :][: job.config.train.eval_batch]
    started = time.perf_counter()
    predict_logits(job.classifier, tokens.select(middle), batch=len(middle), forward=job.logits)
    row = (time.perf_counter() - started) / len(middle)
    probed = min(MOST_ROWS, len(job.train.labels)) if job.config.head.start == "probe" else 0
    return Pace(step, row * len(tokens), directions + row * probed)


def fit_into(job: Job, limit: TimeLimit, voice: Voice) -> Job:
    """The job with a schedule that ends in time: fewer steps, and so fewer rows, where need be.

    The choice goes on record, so that a resumed run keeps to the schedule that it began with.

    Raises:
        UsageError: there is no time left for a single step.
    """
    if "max_steps" not in job.config.choices:
        job = replace(job, config=job.config.with_choice("max_steps", _choose(job, limit)))
    choice = job.config.choices["max_steps"]
    voice.say(f"{choice.value} steps: {choice.reason}")
    config = job.config.with_values({"train.max_steps": int(choice.value)})
    schedule, _ = make_schedule(config, job.schedule.steps_per_epoch * config.optim.accumulate)
    return replace(job, schedule=schedule, deadline=limit.deadline)


def _choose(job: Job, limit: TimeLimit) -> Choice:
    pace = rehearse(job)
    whole, every = job.schedule.total, job.config.train.eval_every
    left = limit.left * (1 - RESERVE)
    fitting = pace.steps_in(left, every)
    if fitting < 1:
        spent = limit.minutes - limit.left / 60
        needed = spent + pace.seconds(1, every) / (1 - RESERVE) / 60
        raise UsageError(
            f"{limit.minutes:g} minutes leave no time to train",
            seen=f"{spent:.2g} minutes for reading, tokenising and loading",
            allowed=f"{needed:.2g} minutes or more on this machine",
            next_step="raise --minutes, or give a smaller --model",
        )
    if fitting >= whole:
        return Choice(value=str(whole), reason=f"all of them fit into {limit.minutes:g} minutes")
    epochs = fitting / job.schedule.steps_per_epoch
    rows = len(job.train.labels)
    extent = f"{epochs:.2g} epochs" if epochs >= 1 else f"{int(epochs * rows):,} of {rows:,} rows"
    return Choice(
        value=str(fitting),
        reason=f"{extent}, the most that fits into {limit.minutes:g} minutes "
        f"at {pace.step:.3g} seconds a step",
    )
