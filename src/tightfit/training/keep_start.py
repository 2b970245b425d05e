"""Whether what trained is kept, or where it started: the encoder as it is under a solved head."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tightfit.config import Decision
from tightfit.progress import Progress
from tightfit.training.cross_validate import cross_validate
from tightfit.training.importance import HEAD_ALONE
from tightfit.training.objective import why_unsolved
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.setup import Setup


def choose_by_folds(setup: Setup, progress: Progress) -> Setup:
    """The setup with the scores of its rows, without adapters where those are no gain to them.

    Few rows tell little by how many of them are right, and more by how sure each answer is. So
    what trained goes only where it is worse by both.
    """
    setup = cross_validate(setup, progress)
    found, decided = setup.out_of_fold, setup.decisions.kept
    assert found is not None
    if decided is not None or setup.objective == "probe" or why_unsolved(setup.classifier.plan):
        return setup
    task, targets_N = setup.classifier.task, setup.validation.targets
    right, before = (
        int(task.right(logits_NK, targets_N).sum())
        for logits_NK in (found.logits_NK, found.start_NK)
    )
    loss, loss_before = (
        task.fit_temperature(logits_NK, targets_N).log_loss_after
        for logits_NK in (found.logits_NK, found.start_NK)
    )
    words = (
        f"out of fold {right} of {len(targets_N)} rows are right with a log loss of {loss:.2f}, by "
        f"the probe on the frozen encoder {before} with {loss_before:.2f}"
    )
    progress.say(words)
    if right >= before or loss < loss_before:
        kept: Decision[Literal["trained", "start"]] = Decision("trained", words)
        return replace(setup, decisions=replace(setup.decisions, kept=kept))
    return cross_validate(start_of(setup, words), progress)


def start_of(setup: Setup, why: str) -> Setup:
    """The setup of what a training starts from: no adapters, and a head that is solved."""
    alone = setup.config.with_values(HEAD_ALONE)
    pooling = setup.classifier.plan.pooling
    plan = plan_for(alone, setup.source, setup.classifier.task.outputs, pooling=pooling)
    decided = replace(
        setup.decisions,
        objective=Decision("probe", "what trained is no better than its start"),
        kept=Decision("start", why),
        prefix_cache=None,
        epochs=None,
    )
    plan = replace(plan, why="no adapters: what they learned is no gain on these rows")
    return prepare(
        setup.config, setup.dataset, setup.source, plan, decided=decided, progress=Progress()
    )
