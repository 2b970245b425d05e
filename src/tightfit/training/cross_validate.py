"""Scores without rows held out: trainings that leave out a part of the rows, each in turn.

Every row is scored once, by a classifier that did not see it, so that all rows can train the one
that is kept (Stone 1974, Cross-validatory choice and assessment of statistical predictions).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from accelerate.utils import set_seed
from numpy.typing import NDArray

from tightfit.model.classifier import predict_logits
from tightfit.model.proofs import GradientWatch
from tightfit.progress import Progress
from tightfit.training.answers import Answers, OutOfFold
from tightfit.training.callbacks import Callback, TrainingState
from tightfit.training.loop import Loop
from tightfit.training.optim import epoch_order, make_schedule
from tightfit.training.setup import Setup


def cross_validate(setup: Setup, progress: Progress) -> Setup:
    """The setup with the scores of its rows; the classifier is as it was.

    Args:
        setup: its rows are in parts.
        progress: shows which part is at hand.
    """
    parts_N = setup.validation.parts_N
    assert parts_N is not None
    start = setup.classifier.state()
    shape = len(parts_N), setup.classifier.task.outputs
    trained_NK, start_NK = (np.empty(shape, np.float32) for _ in range(2))
    parts = np.unique(parts_N).tolist()
    with progress.track("cross-validation", len(parts)) as bar:
        for part in parts:
            without = _without(setup, part)
            set_seed(setup.config.seed)
            setup.classifier.load_state(start)
            begun = _StartLogits()
            Loop(without, GradientWatch({}), [begun]).fit()
            start_NK[parts_N == part] = begun.logits_NK
            trained_NK[parts_N == part] = _held_logits(without)
            bar.advance()
    setup.classifier.load_state(start)
    set_seed(setup.config.seed)
    held = setup.validation
    answers = partial(
        Answers, setup.classifier.task, targets_N=held.targets, weights_N=held.weights_N
    )
    found = OutOfFold(answers(logits_NK=trained_NK), answers(logits_NK=start_NK))
    return replace(setup, out_of_fold=found, chooses=False)


class _StartLogits(Callback):
    """Keeps what the classifier says of its validation rows before the first step."""

    logits_NK: NDArray[np.float32]

    def on_train_begin(self, state: TrainingState) -> None:
        """The head is where it starts."""
        self.logits_NK = _held_logits(state.setup)


def _held_logits(setup: Setup) -> NDArray[np.float32]:
    tokens, batch = setup.validation.tokens, setup.config.train.eval_batch
    return predict_logits(setup.classifier, tokens, batch=batch)


def _without(setup: Setup, part: int) -> Setup:
    """The same training on all rows but a part, which validates it."""
    train, held = setup.train, setup.validation
    assert train.parts_N is not None
    assert held.parts_N is not None
    kept = train.select(np.flatnonzero(train.parts_N != part).tolist())
    left = held.select(np.flatnonzero(held.parts_N == part).tolist())
    fewer = replace(setup, train=kept, validation=left, eval_subset=left, chooses=False)
    epochs = setup.decisions.epochs
    if setup.solves or epochs is None:
        return fewer
    limit = setup.decisions.max_steps
    most = None if limit is None else limit.value
    batches = len(epoch_order(setup.config, kept.tokens.lengths, epoch=0))
    schedule, _ = make_schedule(setup.config, epochs.value, batches, most, lead=fewer.lead)
    return replace(fewer, schedule=schedule)
