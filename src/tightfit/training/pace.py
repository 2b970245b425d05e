"""How long a training takes, from a few real steps; and how much of it fits into a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from tightfit.config import Choice
from tightfit.data.batches import Batch, Tokens, collate, count_places, length_sorted
from tightfit.errors import UsageError
from tightfit.model.proofs import GradientWatch
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.directions import start_at_directions
from tightfit.training.job import Job
from tightfit.training.loop import Loop
from tightfit.training.optim import make_schedule
from tightfit.voice import Voice

REHEARSED_STEPS = 6
"""Optimiser steps that are run to time them, after one on the longest rows."""

RESERVE = 0.1
"""Share of the time left that is kept for proofs, saving, and a machine that slows down."""

PROBE_ASIDE = 0.15
"""Most of the time left that the probe start may take."""

WATCH_ASIDE = 0.05
"""And the evaluations before and after training, on which nothing is learned."""

LEAST_SHARE = 0.05
"""Of a whole pass, that one from stored states counts as at least. It is timed as the whole less
the frozen layers' part, and the difference of two short measurements may come out at nothing."""

LEAST_ROWS = 200
"""For either of them, however short the time is."""


@dataclass(frozen=True)
class Pace:
    """What the parts of a training cost, in seconds."""

    step: float
    """One optimiser step."""
    evaluation: float
    """One evaluation while training."""
    beginning: float = 0.0
    """What is computed once before the first step: where adapters start, frozen layers' states."""
    probe: float = 0.0
    """The features of the probe start."""
    scoring: float = 0.0
    """Scoring all validation rows once training is over."""

    def seconds(self, steps: int, every: int) -> float:
        """Of a whole training, with an evaluation before it, at its end, and every so many.

        Final scoring is left out.
        """
        evaluations = (2 + steps // every) * self.evaluation
        return self.beginning + self.probe + steps * self.step + evaluations

    def steps_in(self, seconds: float, every: int) -> int:
        """The most steps that fit, none if not even the evaluations do."""
        left = seconds - self.beginning - self.probe - 2 * self.evaluation
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
    """Time a few real steps and forward passes; the weights are put back afterwards.

    What is timed is divided by its token places, padding included, and multiplied by those of the
    whole: a few batches are longer or shorter than the mean.
    """
    start = job.classifier.state()
    started = time.perf_counter()
    if job.config.adapters.init == "eva":
        start_at_directions(job, Voice())
    beginning = time.perf_counter() - started
    with TemporaryDirectory() as nowhere:
        loop = Loop(job, CheckpointStore(Path(nowhere)), GradientWatch({}))
        in_step, in_logits = loop.rehearse(REHEARSED_STEPS), _place_seconds(job, job.logits)
    job.classifier.load_state(start)
    own = in_logits if job.lean is None else _place_seconds(job, job.classifier.logits)
    train, watched, held = (
        _places(rows.tokens.flat, job) for rows in (job.train, job.watched, job.validation)
    )
    if job.lean is not None and job.config.choices["prefix_cache"].value == "on":
        frozen = _place_seconds(job, job.lean.prefix)
        beginning += frozen * (train + watched)
        in_step, in_logits = (max(LEAST_SHARE * x, x - frozen) for x in (in_step, in_logits))
    probe = 0.0
    if job.config.head.start == "probe":
        probe = in_logits * train * min(1.0, job.probe_rows / len(job.train.labels))
    step = in_step * loop.places_in_step()
    return Pace(step, in_logits * watched, beginning, probe, own * held)


def _places(tokens: Tokens, job: Job) -> int:
    """Token places when these rows are evaluated."""
    return count_places(tokens, _batches(tokens, job))


def _batches(tokens: Tokens, job: Job) -> list[list[int]]:
    return length_sorted(tokens, job.config.train.eval_batch, job.places)


@torch.inference_mode()
def _place_seconds(job: Job, forward: Callable[[Batch], torch.Tensor]) -> float:
    """Seconds that a token place takes in a forward pass over rows of middling length."""
    tokens = job.validation.tokens.flat
    batches = _batches(tokens, job)
    batch = collate(tokens, batches[len(batches) // 2]).to(job.classifier.device)
    job.classifier.module.eval()
    started = time.perf_counter()
    forward(batch).cpu()  # a GPU is only asked until then
    return (time.perf_counter() - started) / batch.ids_BL.numel()


def fit_into(job: Job, limit: TimeLimit, voice: Voice) -> Job:
    """The job with a schedule that ends in time: fewer steps, and so fewer rows, where need be.

    The choice goes on record, so that a resumed run keeps to the schedule that it began with.

    Raises:
        UsageError: there is no time left for a single step.
    """
    if "max_steps" not in job.config.choices:
        job = _choose(job, limit)
    choice = job.config.choices["max_steps"]
    voice.say(f"{choice.value} steps: {choice.reason}")
    job = _with_fewer(job)
    config = job.config.with_values({"train.max_steps": int(choice.value)})
    schedule, _ = make_schedule(config, job.schedule.steps_per_epoch * config.optim.accumulate)
    return replace(job, schedule=schedule, deadline=limit.deadline)


def _choose(job: Job, limit: TimeLimit) -> Job:
    """The job with what fits on record: rows of the probe and of evaluations, states, and steps.

    Frozen layers' states are not kept where no row would be seen twice: then the same time brings
    more rows.
    """
    chosen, pace, fitting = _fitting(job, limit)
    kept = job.config.choices["prefix_cache"].value == "on"
    if kept and fitting <= job.schedule.steps_per_epoch:
        once = Choice(value="off", reason="no row is seen twice within this time")
        job = replace(job, config=job.config.with_choice("prefix_cache", once))
        chosen, pace, fitting = _fitting(job, limit)
    choice = _steps(chosen, limit, pace, fitting)
    return replace(chosen, config=chosen.config.with_choice("max_steps", choice))


def _fitting(job: Job, limit: TimeLimit) -> tuple[Job, Pace, int]:
    """What is set aside for probe and evaluations, the pace with that, and the steps that fit."""
    pace = rehearse(job)
    left = limit.left * (1 - RESERVE)
    job, pace = _set_aside(job, pace, left)
    return job, pace, pace.steps_in(left, job.config.train.eval_every)


def _set_aside(job: Job, pace: Pace, left: float) -> tuple[Job, Pace]:
    """Fewer rows on record for probe and evaluations, where they would take too much of it."""
    config = job.config
    probe, watched = min(job.probe_rows, len(job.train.labels)), len(job.watched.labels)
    fewer = _rows_in(PROBE_ASIDE * left, probe, pace.probe)
    if fewer < probe:
        config = config.with_choice("probe_rows", _fewer(fewer, probe, PROBE_ASIDE))
        pace = replace(pace, probe=pace.probe * fewer / probe)
    fewer = _rows_in(WATCH_ASIDE * left, watched, 2 * pace.evaluation)
    if fewer < watched:
        config = config.with_choice("watched_rows", _fewer(fewer, watched, WATCH_ASIDE))
        pace = replace(pace, evaluation=pace.evaluation * fewer / watched)
    return replace(job, config=config), pace


def _rows_in(seconds: float, rows: int, needed: float) -> int:
    """How many rows fit into this time, when all of them need that."""
    if needed <= max(0.0, seconds):
        return rows
    return min(rows, max(LEAST_ROWS, int(rows * seconds / needed)))


def _fewer(value: int, rows: int, share: float) -> Choice:
    return Choice(value=str(value), reason=f"{rows:,} would take over {share:.0%} of the time left")


def _with_fewer(job: Job) -> Job:
    """The job with the rows of probe and evaluations that are on record."""
    choices = job.config.choices
    if "probe_rows" in choices:
        job = replace(job, probe_rows=int(choices["probe_rows"].value))
    if "watched_rows" in choices:
        most = int(choices["watched_rows"].value)
        job = replace(job, watched=job.watched.sample(most, job.config.seed))
    return job


def _steps(job: Job, limit: TimeLimit, pace: Pace, fitting: int) -> Choice:
    whole, every = job.schedule.total, job.config.train.eval_every
    if fitting < 1:
        spent = limit.minutes - limit.left / 60
        needed = spent + pace.seconds(1, every) / (1 - RESERVE) / 60
        raise UsageError(
            f"{limit.minutes:g} minutes leave no time to train",
            seen=f"{spent:.2g} minutes for reading, tokenising and loading",
            allowed=f"{math.ceil(10 * needed) / 10:g} minutes or more on this machine",
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
