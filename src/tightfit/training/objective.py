"""What a training minimises, decided by the rows that there are.

The thresholds come from the trials in docs/experiments/few-rows.md.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.budget.parameter_plan import Plan
from tightfit.config import ASKED, Config, Decision, Objective
from tightfit.config.sections import Contrastive
from tightfit.data.label_strata import rows_a_class
from tightfit.errors import SettingsError
from tightfit.methods import HEAD_ONLY
from tightfit.tasks import Task
from tightfit.tasks.dataset import FEW_IN_ALL, FEW_ROWS
from tightfit.training.optim import Schedule, contrastive_schedule

CONTRASTIVE = ("contrastive", "contrastive-first")
"""Objectives with a contrastive phase."""

CLASSES = 4
"""In a step of the contrastive phase, where nobody asks for other batches."""

LEAST_CLASS_ROWS, STEP_ROWS = 4, 64
"""Of each of them at least, and in a step, where nobody asks for others."""

MOST_STEP_TOKENS = 8_192
"""Of a step, as far as the least rows allow: a graph holds all of them at once."""

MOST_LED = 600
"""Training rows up to which a contrastive phase comes before cross-entropy: of more a gain was not
shown. See docs/experiments/few-rows.md."""

LEAST_LED_CLASSES = 3
"""Two classes gain nothing by that."""

MOST_CLASSES = 50
"""So many classes, or more, are told apart better by cross-entropy: a batch shows few of them."""


@dataclass(frozen=True)
class ContrastiveSteps:
    """What the contrastive phase consists of.

    Attributes:
        steps: that each class takes part in.
        class_rows: most rows of each class in a step.
        classes: most classes in a step.
    """

    steps: int
    class_rows: int
    classes: int

    @classmethod
    def of(cls, settings: Contrastive, class_rows: int) -> ContrastiveSteps:
        """Those that were asked for, or that suit so many rows of a class in a step."""
        steps = settings.steps or (15 if class_rows <= LEAST_CLASS_ROWS else 20)
        # One class by itself has none to be told from.
        classes = CLASSES if settings.batch is None else max(2, settings.batch // class_rows)
        return cls(steps, class_rows, classes)

    def schedule(self, targets_N: NDArray[Any], most: int | None = None) -> Schedule:
        """The phase's schedule, in which every class has as many steps.

        Args:
            targets_N: of the training rows.
            most: steps in all.
        """
        _, rows_P = np.unique(targets_N, return_counts=True)
        turns = max(1.0, len(rows_P) / self.classes)
        steps = math.ceil(self.steps * turns)
        # Of a step, on average: a class may have fewer rows than are drawn of one.
        rows = float(np.minimum(rows_P, self.class_rows).mean()) * min(self.classes, len(rows_P))
        return contrastive_schedule(min(steps, most or steps), len(targets_N) / rows)


def decide_class_rows(
    settings: Contrastive, targets_N: NDArray[Any], longest: int, *, crowded: bool
) -> Decision[int]:
    """Most rows of each class in a step of the contrastive phase.

    Of many rows a few in each step leave some unseen, and hardly teach; of few rows more of them
    cost time and are worth nothing.

    Args:
        settings: what was asked for.
        targets_N: of the training rows.
        longest: tokens of the longest text.
        crowded: see :class:`tightfit.model.embedded.Embedded`; more rows part them less.
    """
    if settings.class_rows is not None:
        return Decision(settings.class_rows, ASKED)
    each = rows_a_class(targets_N.tolist())
    why = f"{each:.3g} rows a class"
    if each <= FEW_ROWS:
        return Decision(LEAST_CLASS_ROWS, why)
    if crowded:
        return Decision(LEAST_CLASS_ROWS, f"{why} of an encoder whose texts lie close together")
    limits = {"": STEP_ROWS, f" of up to {longest} tokens": MOST_STEP_TOKENS // longest}
    if settings.batch is not None:
        limits[f", {settings.batch} rows in a step"] = settings.batch
    limit, room = min(limits.items(), key=lambda each: each[1])
    shared = room // min(CLASSES, len(np.unique(targets_N)))
    return Decision(max(LEAST_CLASS_ROWS, shared), why + limit)


def decide_objective(
    config: Config, plan: Plan, task: Task, targets_N: NDArray[Any], *, crowded: bool = False
) -> Decision[Objective] | None:
    """What the steps minimise, or that there are none; None where the settings leave no choice.

    Args:
        config: what was asked for.
        plan: what trains.
        task: what a target is.
        targets_N: of the training rows.
        crowded: see :class:`tightfit.model.embedded.Embedded`.

    Raises:
        SettingsError: what was asked for needs one class a row.
    """
    if not len(targets_N):
        return Decision("probe", "no row has a label, so that the head is solved by their names")
    if config.optim.objective == "cross-entropy":
        return None
    if not task.one_class:
        if config.optim.objective != "auto":
            raise SettingsError(
                "a contrastive loss is offered for one label a text",
                seen=f"optim.objective={config.optim.objective} with data.task={task.kind}",
                next_step="leave out optim.objective",
            )
        return None
    asked: Objective | None = None if config.optim.objective == "auto" else config.optim.objective
    counts, each = np.unique(targets_N, return_counts=True)[1], rows_a_class(targets_N.tolist())
    if unfit := why_unsolved(plan):
        return Decision("cross-entropy", unfit)
    if asked == "contrastive-first" and counts.max() > 1 and plan.method != HEAD_ONLY.name:
        return Decision(asked, ASKED)
    if asked is None and (many := _why_many(len(targets_N), each, len(counts))):
        led = None if crowded or config.train.max_steps else _why_led(counts, plan)
        return Decision("contrastive-first", led) if led else Decision("cross-entropy", many)
    if counts.max() < 2:
        return Decision("probe", "no class has two rows that could be brought together")
    if plan.method == HEAD_ONLY.name:
        return Decision("probe", "nothing but the head trains, and a few rows solve it")
    few = f"{each:.3g} rows a class" if each <= FEW_ROWS else f"{len(targets_N):,} rows"
    return Decision("contrastive", ASKED if asked else f"{few} are few")


def _why_many(rows: int, each: float, classes: int) -> str | None:
    # Up to so few the contrastive loss is better. Its steps do not grow with the rows; those of
    # cross-entropy do.
    if each > FEW_ROWS and rows > FEW_IN_ALL:
        return f"{rows:,} rows are enough for it"
    if classes >= MOST_CLASSES:
        return f"it tells {classes} classes apart better"
    return None


def _why_led(counts_P: NDArray[Any], plan: Plan) -> str | None:
    """Why a contrastive phase comes before cross-entropy, or None where it does not."""
    rows, classes = int(counts_P.sum()), len(counts_P)
    gains = rows <= MOST_LED and LEAST_LED_CLASSES <= classes < MOST_CLASSES
    adapted = plan.method != HEAD_ONLY.name
    return f"{rows:,} rows of {classes} classes gain by both" if gains and adapted else None


def why_unsolved(plan: Plan) -> str | None:
    """Why the head cannot be solved, or None where it can."""
    if plan.record.whole:
        return "every weight trains"
    if len(plan.head_layers) > 1:
        return "the head has a hidden layer that trains"
    if plan.head_layers[0].rank is not None:
        return "the head is a product of two narrow layers"
    # Each process would see a part of a batch, whose rows are compared with one another.
    return "several processes train" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None
