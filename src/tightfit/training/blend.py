"""How much of what was learned is kept: weights between a training's start and its end.

Half-way there a classifier is often as good on rows like those that it was trained on, and better
on others (arXiv:2109.01903). So ``train.blend=auto`` takes the least of a few scales that the
validation rows cannot tell from the best: leaving the start is what has to be paid for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.config import ASKED, Decision
from tightfit.model.adapters import adapter_pairs
from tightfit.model.classifier import Classifier
from tightfit.progress import Progress
from tightfit.training.frozen_probe import Scores, gain_and_error
from tightfit.training.probe import start_at_probe
from tightfit.training.scored_row import scored_row
from tightfit.training.setup import Fitted, HistoryRow, Setup, merit, no_worse

SCALES = (0.25, 0.5, 0.75, 1.0)
"""That are tried. Without any of it the start itself would be kept, for which there is a rule."""

FROM_RUN = "the rest is that of the run that it goes on from"

State = Mapping[str, torch.Tensor]
"""Trainable tensors by name."""


def choose_blend(
    setup: Setup, before: State, fitted: Fitted, progress: Progress
) -> tuple[Setup, Fitted]:
    """What was trained at the scale that is asked for or chosen, on record in both.

    Of few validation rows a training may be kept that has fewer of them right than its start: then
    as much of it is, where nothing is asked for, as has no fewer right; or all, where none has.

    Args:
        setup: its classifier holds the weights that are kept.
        before: what trains, as it was built.
        fitted: what the training left.
        progress: hears what is decided.
    """
    asked, best = setup.config.train.blend, fitted.counters.best_step
    first, whole = fitted.history[0], next(row for row in fitted.history if row["step"] == best)
    as_good = setup.config.head.start != "probe" or merit(whole, setup) >= merit(first, setup)
    if best == 0 or (asked == 1.0 and as_good):
        return setup, fitted
    if unfit := _why_not(setup):
        if asked != 1.0:
            progress.say(f"all that was learned is kept, whatever train.blend says: {unfit}")
        return setup, fitted
    end, start = setup.classifier.state(), _start(setup, before)
    rows, scores = {1.0: whole}, {}
    for scale in SCALES if asked in (None, 1.0) else (asked, 1.0):
        setup.classifier.load_state(blended(setup.classifier, start, end, scale))
        row, found = _scored(setup)
        # What is sealed is no worse than the start, as the whole is by now.
        if scale == 1.0 or no_worse(row, first, setup):
            rows.setdefault(scale, {**whole, **row})
            scores[scale] = found
    weights_N = setup.eval_subset.weights_N
    if asked is None:
        decision = Decision(smallest_as_good(scores, weights_N), _why(scores, weights_N))
    elif asked == 1.0:
        good = [scale for scale, row in rows.items() if merit(row, setup) >= merit(first, setup)]
        many = f"{len(scores[1.0]):,} validation rows"
        why = f"the most that is no worse than the start on {many}"
        none = f"no less of it is as good as the start on {many}"
        decision = Decision(max(good), why) if good else Decision(1.0, none)
    else:
        decision = Decision(min(scores), _asked(setup, asked, min(scores)))
    chosen = decision.value
    setup.classifier.load_state(blended(setup.classifier, start, end, chosen))
    progress.say(f"of what was learned {chosen:.0%} is kept: {decision.reason}")
    history = [rows[chosen] if row["step"] == best else row for row in fitted.history]
    return setup.with_decisions(blend=decision), replace(fitted, history=history)


def blended(
    classifier: Classifier, start: State, end: State, scale: float
) -> dict[str, torch.Tensor]:
    """Weights at a scale between two states: 0 answers as the first does, 1 is the second.

    The product of an adapter's two matrices is what changes its layer: where it starts at zero,
    scaling B is exactly that. All else lies on the line between the two, as both matrices do where
    a training goes on from another.
    """
    pairs = [pair.name for pair in adapter_pairs(classifier.module)]
    at_zero = [name for name in pairs if not start[f"{name}.lora_B.weight"].any()]
    kept = {f"{name}.lora_A.weight" for name in at_zero}
    return {
        name: tensor.clone() if name in kept else torch.lerp(start[name], tensor, scale)
        for name, tensor in end.items()
    }


def smallest_as_good(
    scores: Mapping[float, Scores], weights_N: NDArray[np.float64] | None = None
) -> float:
    """The least scale whose mean is no more than a standard error of the paired difference below
    the best one's; rows that have weights count by them."""
    best = max(scores, key=lambda scale: (_mean(scores[scale], weights_N), scale))
    for scale in sorted(scores):
        behind, error = gain_and_error(scores[best], scores[scale], weights_N)
        if behind <= error:
            return scale
    return best


def _asked(setup: Setup, asked: float, chosen: float) -> str:
    if chosen != asked:
        return f"{asked:.0%} of it is worse than the start"
    return FROM_RUN if setup.config.head.start == "run" else ASKED


def _mean(scores_N: Scores, weights_N: NDArray[np.float64] | None) -> float:
    return float(np.average(scores_N, weights=weights_N))


def _why(scores: Mapping[float, Scores], weights_N: NDArray[np.float64] | None) -> str:
    told = ", ".join(
        f"{_mean(each, weights_N):.3f} at {scale:.0%}" for scale, each in scores.items()
    )
    return f"the least that {len(scores[1.0]):,} validation rows cannot tell from the best ({told})"


def _why_not(setup: Setup) -> str | None:
    """The reason why there is nothing to choose, or None."""
    if setup.solves:
        return "the head is solved on what was learned"
    if setup.out_of_fold is not None:
        return "no rows are held out"
    return None


def _start(setup: Setup, before: State) -> dict[str, torch.Tensor]:
    """The weights before the first step, made anew: a resumed training has them no more."""
    setup.classifier.load_state(before)
    if setup.config.head.start == "probe":
        start_at_probe(setup, Progress())
    return setup.classifier.state()


def _scored(setup: Setup) -> tuple[HistoryRow, Scores]:
    """What a history row says of the weights as they stand, and the score of each row."""
    logits_NK = setup.subset_logits()
    scores_N = setup.classifier.task.row_scores(logits_NK, setup.eval_subset.targets)
    return scored_row(setup, logits_NK), scores_N
