"""Whether what trained is kept, or where it started: the encoder as it is under a solved head."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tightfit.config import Decision
from tightfit.display import score_name
from tightfit.progress import Progress
from tightfit.training.cross_validate import cross_validate
from tightfit.training.importance import head_alone
from tightfit.training.objective import why_unsolved
from tightfit.training.prepare import prepare
from tightfit.training.setup import Setup


def choose_by_folds(setup: Setup, progress: Progress) -> Setup:
    """The setup with the scores of its rows, without adapters where those are no gain to them."""
    setup = cross_validate(setup, progress)
    found, decided = setup.out_of_fold, setup.decisions.kept
    assert found is not None
    task, unsolved = setup.classifier.task, why_unsolved(setup.classifier.plan)
    if decided is not None or setup.objective == "probe" or unsolved:
        return setup
    if task.one_class:
        words = (
            f"out of fold {found.trained.right:g} of {len(setup.validation.targets)} rows are "
            f"right with a log loss of {found.trained.scores[0]:.2f}, by the probe on the frozen "
            f"encoder {found.start.right:g} with {found.start.scores[0]:.2f}"
        )
    else:
        words = (
            f"out of fold the {score_name(task.metric)} is {found.trained.scores[1]:.3f}, by the "
            f"probe on the frozen encoder {found.start.scores[1]:.3f}"
        )
    trained = setup.as_good_as_start
    progress.say(words if trained else f"{words}: the start is kept, without adapters")
    if trained:
        kept: Decision[Literal["trained", "start"]] = Decision("trained", words)
        return setup.with_decisions(kept=kept)
    return cross_validate(start_of(setup, words), progress)


def start_of(setup: Setup, why: str) -> Setup:
    """The setup of what a training starts from: no adapters, and a head that is solved."""
    plan = head_alone(setup.config, setup.source, setup.classifier.plan)
    decided = replace(
        setup.decisions,
        objective=Decision("probe", "what trained is no better than its start"),
        kept=Decision("start", why),
        prefix_cache=None,
        class_rows=None,
        epochs=None,
    )
    plan = replace(
        plan, side=setup.plan.side, why="no adapters: what they learned is no gain on these rows"
    )
    return prepare(
        setup.config, setup.dataset, setup.source, plan, decided=decided, progress=Progress()
    )
