"""Scores without rows held out: trainings that leave out a part of the rows, each in turn.

Every row is scored once, by a classifier that did not see it, so that all rows can train the one
that is kept (Stone 1974, Cross-validatory choice and assessment of statistical predictions).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from accelerate.utils import set_seed

from tightfit.model.classifier import predict_logits
from tightfit.model.proofs import GradientWatch
from tightfit.progress import Progress
from tightfit.training.loop import Loop
from tightfit.training.optim import epoch_order, make_schedule
from tightfit.training.setup import OutOfFold, Setup


def cross_validate(setup: Setup, progress: Progress) -> Setup:
    """The setup with the scores of its rows; the classifier is as it was.

    Args:
        setup: its rows are in parts.
        progress: shows which part is at hand.
    """
    parts_N = setup.validation.parts_N
    assert parts_N is not None
    start = setup.classifier.state()
    count = len(parts_N)
    logits_NK = np.empty((count, setup.classifier.task.outputs), dtype=np.float32)
    begun = {"eval_loss": 0.0, "eval_accuracy": 0.0}
    parts = np.unique(parts_N).tolist()
    with progress.track("cross-validation", len(parts)) as bar:
        for part in parts:
            without = _without(setup, part)
            set_seed(setup.config.seed)
            setup.classifier.load_state(start)
            fitted = Loop(without, GradientWatch({})).fit()
            held = without.validation
            logits_NK[parts_N == part] = predict_logits(
                setup.classifier, held.tokens, batch=setup.config.train.eval_batch
            )
            for name in begun:
                begun[name] += fitted.history[0][name] * len(held.targets) / count
            bar.advance()
    setup.classifier.load_state(start)
    set_seed(setup.config.seed)
    found = OutOfFold(logits_NK, begun["eval_loss"], begun["eval_accuracy"])
    return replace(setup, out_of_fold=found)


def _without(setup: Setup, part: int) -> Setup:
    """The same training on all rows but a part, which validates it."""
    train, held = setup.train, setup.validation
    assert train.parts_N is not None
    assert held.parts_N is not None
    kept = train.select(np.flatnonzero(train.parts_N != part).tolist())
    left = held.select(np.flatnonzero(held.parts_N == part).tolist())
    fewer = replace(setup, train=kept, validation=left, eval_subset=left)
    epochs = setup.decisions.epochs
    if setup.solves or epochs is None:
        return fewer
    limit = setup.decisions.max_steps
    most = None if limit is None else limit.value
    batches = len(epoch_order(setup.config, kept.tokens.lengths, epoch=0))
    schedule, _ = make_schedule(setup.config, epochs.value, batches, most)
    return replace(fewer, schedule=schedule)
