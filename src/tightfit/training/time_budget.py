"""How long a training takes, from a few real steps; and how much of it fits into a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from tightfit.config import Decision
from tightfit.data.batches import Batch, collate, count_padded_tokens, length_sorted
from tightfit.data.tokens import Tokens
from tightfit.errors import UsageError
from tightfit.model.proofs import GradientWatch
from tightfit.progress import Progress
from tightfit.training.eva_init import start_at_directions
from tightfit.training.loop import Loop
from tightfit.training.optim import make_schedule
from tightfit.training.setup import Setup

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


def rehearse(setup: Setup) -> Pace:
    """Time a few real steps and forward passes; the weights are put back afterwards.

    What is timed is divided by its padded tokens, padding included, and multiplied by those of the
    whole: a few batches are longer or shorter than the mean.
    """
    start = setup.classifier.state()
    started = time.perf_counter()
    if setup.config.adapters.init == "eva":
        start_at_directions(setup, Progress())
    beginning = time.perf_counter() - started
    loop = Loop(setup, GradientWatch({}))
    in_step = loop.rehearse(REHEARSED_STEPS) if setup.schedule.total else 0.0
    in_logits = _place_seconds(setup, setup.logits)
    setup.classifier.load_state(start)
    own = in_logits if setup.lean is None else _place_seconds(setup, setup.classifier.logits)
    train, eval_subset, held = (
        _places(rows.tokens.flat, setup)
        for rows in (setup.train, setup.eval_subset, setup.validation)
    )
    if setup.lean is not None and _keeps_prefix(setup):
        frozen = _place_seconds(setup, setup.lean.prefix)
        beginning += frozen * (train + eval_subset)
        in_step, in_logits = (max(LEAST_SHARE * x, x - frozen) for x in (in_step, in_logits))
    probe = 0.0
    if setup.config.head.start == "probe":
        probe = in_logits * train * min(1.0, setup.probe_rows / len(setup.train.targets))
    step = in_step * loop.places_in_step()
    return Pace(step, in_logits * eval_subset, beginning, probe, own * held)


def _places(tokens: Tokens, setup: Setup) -> int:
    """Padded tokens when these rows are evaluated."""
    return count_padded_tokens(tokens, _batches(tokens, setup))


def _batches(tokens: Tokens, setup: Setup) -> list[list[int]]:
    return length_sorted(tokens, setup.config.train.eval_batch, setup.padded_tokens)


@torch.inference_mode()
def _place_seconds(setup: Setup, forward: Callable[[Batch], torch.Tensor]) -> float:
    """Seconds that a token place takes in a forward pass over rows of middling length."""
    tokens = setup.validation.tokens.flat
    batches = _batches(tokens, setup)
    batch = collate(tokens, batches[len(batches) // 2]).to(setup.classifier.device)
    setup.classifier.module.eval()
    started = time.perf_counter()
    forward(batch).cpu()  # a GPU has only been asked until then
    return (time.perf_counter() - started) / batch.ids_BL.numel()


def fit_into(setup: Setup, limit: TimeLimit, progress: Progress) -> Setup:
    """The setup with a schedule that ends in time: fewer steps, and so fewer rows, where need be.

    What is decided goes on record, so that a resumed run keeps to the schedule it began with.

    Raises:
        UsageError: there is no time left for a single step.
    """
    if setup.solves:  # its few steps are worth more than what could be saved on them
        return replace(setup, deadline=limit.deadline)
    if setup.decisions.max_steps is None:
        setup = _decide(setup, limit)
    decisions = setup.decisions
    steps, epochs = decisions.max_steps, decisions.epochs
    assert steps is not None
    assert epochs is not None
    progress.say(f"{steps.value} steps: {steps.reason}")
    schedule, _ = make_schedule(
        setup.config,
        epochs.value,
        setup.schedule.steps_per_epoch * setup.config.optim.accumulate,
        steps.value,
    )
    return replace(_with_fewer(setup), schedule=schedule, deadline=limit.deadline)


def _decide(setup: Setup, limit: TimeLimit) -> Setup:
    """The setup with what fits on record: rows of the probe and of evaluations, states, and steps.

    Frozen layers' states are not kept where no row would be seen twice: then the same time brings
    more rows.
    """
    chosen, pace, fitting = _fitting(setup, limit)
    if _keeps_prefix(setup) and fitting <= setup.schedule.steps_per_epoch:
        once: Decision[Literal["on", "off"]] = Decision(
            "off", "no row is seen twice within this time"
        )
        setup = replace(setup, decisions=replace(setup.decisions, prefix_cache=once))
        chosen, pace, fitting = _fitting(setup, limit)
    steps = _steps(chosen, limit, pace, fitting)
    return replace(chosen, decisions=replace(chosen.decisions, max_steps=steps))


def _fitting(setup: Setup, limit: TimeLimit) -> tuple[Setup, Pace, int]:
    """What is set aside for probe and evaluations, the pace with that, and the steps that fit."""
    pace = rehearse(setup)
    left = limit.left * (1 - RESERVE)
    setup, pace = _set_aside(setup, pace, left)
    return setup, pace, pace.steps_in(left, setup.config.train.eval_every)


def _set_aside(setup: Setup, pace: Pace, left: float) -> tuple[Setup, Pace]:
    """Fewer rows on record for probe and evaluations, where they would take too much of it."""
    decisions = setup.decisions
    probe = min(setup.probe_rows, len(setup.train.targets))
    watched = len(setup.eval_subset.targets)
    fewer = _rows_in(PROBE_ASIDE * left, probe, pace.probe)
    if fewer < probe:
        decisions = replace(decisions, probe_rows=_fewer(fewer, probe, PROBE_ASIDE))
        pace = replace(pace, probe=pace.probe * fewer / probe)
    fewer = _rows_in(WATCH_ASIDE * left, watched, 2 * pace.evaluation)
    if fewer < watched:
        decisions = replace(decisions, eval_rows=_fewer(fewer, watched, WATCH_ASIDE))
        pace = replace(pace, evaluation=pace.evaluation * fewer / watched)
    return replace(setup, decisions=decisions), pace


def _rows_in(seconds: float, rows: int, needed: float) -> int:
    """How many rows fit into this time, when all of them need that."""
    if needed <= max(0.0, seconds):
        return rows
    return min(rows, max(LEAST_ROWS, int(rows * seconds / needed)))


def _fewer(value: int, rows: int, share: float) -> Decision[int]:
    return Decision(value, f"{rows:,} would take over {share:.0%} of the time left")


def _with_fewer(setup: Setup) -> Setup:
    """The setup with the rows of probe and evaluations that are on record."""
    probe, watched = setup.decisions.probe_rows, setup.decisions.eval_rows
    if probe is not None:
        setup = replace(setup, probe_rows=probe.value)
    if watched is not None:
        subset = setup.eval_subset.sample(watched.value, setup.config.seed)
        setup = replace(setup, eval_subset=subset)
    return setup


def _keeps_prefix(setup: Setup) -> bool:
    kept = setup.decisions.prefix_cache
    return kept is not None and kept.value == "on"


def _steps(setup: Setup, limit: TimeLimit, pace: Pace, fitting: int) -> Decision[int]:
    whole, every = setup.schedule.total, setup.config.train.eval_every
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
        return Decision(whole, f"all of them fit into {limit.minutes:g} minutes")
    epochs = fitting / setup.schedule.steps_per_epoch
    rows = len(setup.train.targets)
    extent = f"{epochs:.2g} epochs" if epochs >= 1 else f"{int(epochs * rows):,} of {rows:,} rows"
    return Decision(
        fitting,
        f"{extent}, the most that fits into {limit.minutes:g} minutes "
        f"at {pace.step:.3g} seconds a step",
    )
