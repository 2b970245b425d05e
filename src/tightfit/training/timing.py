"""How long the parts of a training take, from a few real steps and forward passes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from tightfit.data.batch_order import count_padded_tokens, length_sorted
from tightfit.data.batches import Batch, collate
from tightfit.data.tokens import Tokens
from tightfit.engines.leave_one_out import PAGE_TEXTS, PAGE_WORDS
from tightfit.model.classifier import build
from tightfit.model.proofs import ROUND_TRIP_ROWS, GradientWatch
from tightfit.progress import Progress
from tightfit.training.blend import SCALES
from tightfit.training.eva_init import start_at_eva
from tightfit.training.loop import Loop
from tightfit.training.setup import Setup
from tightfit.training.solve import ends_solved

REHEARSED_STEPS = 6
"""Optimiser steps that are run to time them, after one on the longest rows."""

LEAST_SHARE = 0.05
"""Of a whole pass, that one from stored states counts as at least. It is timed as the whole less
the frozen layers' part, and the difference of two short measurements may come out at nothing."""

LOADS = 8
"""Loadings of the model that the end takes as long as, forward passes aside: it is loaded anew for
the proof and for the scores, and calibration, report, card and seal took less than six more."""


@dataclass(frozen=True)
class Timing:
    """What the parts of a training cost, in seconds."""

    step: float
    """One optimiser step."""
    evaluation: float
    """One evaluation while training."""
    startup: float = 0.0
    """What is computed once before the first step: where adapters start, frozen layers' states."""
    probe: float = 0.0
    """The features of the probe start."""
    scoring: float = 0.0
    """Scoring all validation rows once training is over."""
    finishing: float = 0.0
    """Proofs, saving, calibration, report and seal."""

    def seconds(self, steps: int, every: int) -> float:
        """Of a whole training, with an evaluation before it, at its end, and every so many.

        What comes after it (scoring, finishing) is left out.
        """
        evaluations = (2 + steps // every) * self.evaluation
        return self.startup + self.probe + steps * self.step + evaluations

    def steps_in(self, seconds: float, every: int) -> int:
        """The most steps that fit, none if not even the evaluations do."""
        left = seconds - self.startup - self.probe - 2 * self.evaluation
        return max(0, int(left / (self.step + self.evaluation / every)))


def rehearse(setup: Setup) -> Timing:
    """Time a few real steps and forward passes; the weights are put back afterwards.

    What is timed is divided by its padded tokens, padding included, and multiplied by those of the
    whole: a few batches are longer or shorter than the mean.
    """
    start = setup.classifier.state()
    started = time.perf_counter()
    if setup.config.adapters.init == "eva":
        start_at_eva(setup, Progress())
    startup = time.perf_counter() - started
    loop = Loop(setup, GradientWatch({}))
    in_step = loop.rehearse(REHEARSED_STEPS) if setup.schedule.total else 0.0
    in_logits = _token_seconds(setup, setup.logits)
    setup.classifier.load_state(start)
    own = in_logits if setup.lean is None else _token_seconds(setup, setup.classifier.logits)
    train, eval_subset, held = (
        _padded_tokens(rows.tokens.flat, setup)
        for rows in (setup.train, setup.eval_subset, setup.validation)
    )
    if setup.lean is not None and setup.keeps_prefix:
        frozen = _token_seconds(setup, setup.lean.prefix)
        startup += frozen * (train + eval_subset)
        in_step, in_logits = (max(LEAST_SHARE * x, x - frozen) for x in (in_step, in_logits))
    probe, every_row = 0.0, in_logits * train
    if setup.config.head.start == "probe":
        probe = every_row * min(1.0, setup.probe_rows / len(setup.train.targets))
    step = in_step * loop.padded_tokens_in_step()
    evaluation, scoring = in_logits * eval_subset, own * held
    # By the model that was trained, and by what was saved of it.
    trip = 2 * scoring * min(1.0, ROUND_TRIP_ROWS / len(setup.validation.tokens))
    finishing = trip + LOADS * _load_seconds(setup)
    # Within minutes the page explains nothing.
    if setup.classifier.task.one_class and setup.config.train.minutes is None:
        length = held / len(setup.validation.tokens.flat)
        finishing += own * length * PAGE_TEXTS * min(PAGE_WORDS, length)
    if setup.config.train.blend is None:
        finishing += probe + len(SCALES) * evaluation
    if ends_solved(setup):
        finishing += every_row + evaluation
    return Timing(step, evaluation, startup, probe, scoring, finishing)


def _load_seconds(setup: Setup) -> float:
    """Seconds that loading the model anew takes, with all that Python imports for it in place."""
    started = time.perf_counter()
    build(setup.source, setup.classifier.plan, setup.config, setup.classifier.task)
    return time.perf_counter() - started


def _padded_tokens(tokens: Tokens, setup: Setup) -> int:
    """Padded tokens when these rows are evaluated."""
    return count_padded_tokens(tokens, _batches(tokens, setup))


def _batches(tokens: Tokens, setup: Setup) -> list[list[int]]:
    return length_sorted(tokens, setup.config.train.eval_batch, setup.padded_tokens)


@torch.inference_mode()
def _token_seconds(setup: Setup, forward: Callable[[Batch], torch.Tensor]) -> float:
    """Seconds that a padded token takes in a forward pass over rows of middling length."""
    tokens = setup.validation.tokens.flat
    batches = _batches(tokens, setup)
    batch = collate(tokens, batches[len(batches) // 2]).to(setup.classifier.device)
    setup.classifier.module.eval()
    seconds = math.inf
    for _ in range(2):  # the better one: the first may load, or another program have its turn
        started = time.perf_counter()
        forward(batch).cpu()  # a GPU has only been asked until then
        seconds = min(seconds, time.perf_counter() - started)
    return seconds / batch.ids_BL.numel()
