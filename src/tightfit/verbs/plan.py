"""``tightfit plan``: what would train, and what it would cost. Needs neither torch nor weights."""

from __future__ import annotations

from dataclasses import replace

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.plan_settings import plan_by
from tightfit.config import DEFAULT_RECIPE, Settings, load_config
from tightfit.errors import UsageError
from tightfit.model.candidates import planned_name
from tightfit.model.locate import shapes_by_name

PUBLISHED_LABELS = 4
"""AG News has four labels; a plan without data is for as many unless it is told."""


def plan(
    model: str | None = None,
    *,
    labels: int = PUBLISHED_LABELS,
    budget: int | str | None = None,
    recipe: str = DEFAULT_RECIPE,
    settings: Settings = (),
) -> Plan:
    """Which parameters a recipe would train in a model, and how many.

    Args:
        model: Hub name, folder, or the embedded model; None takes the recipe's.
        labels: number of classes; with ``data.task=rating`` it is one output all the same.
        budget: the cap; None takes the recipe's.
        recipe: where the settings start from.
        settings: typed values by dotted name, or assignments such as ``adapters.rank=8``.

    Raises:
        BudgetError: it does not fit under the cap; the message has the whole sum.
        ModelError: the model is unknown or unreachable.
        SettingsError: the settings are mistaken.
        UsageError: there are fewer than two labels.
    """
    config = load_config(recipe, settings, model=model, budget=budget)
    name = planned_name(config.model)
    outputs = 1 if config.data.task == "rating" else labels
    if config.data.task != "rating" and labels < 2:
        raise UsageError(
            "a classifier needs at least two labels",
            seen=labels,
            allowed="2 or more",
            next_step="give the number of classes, such as --labels 4",
        )
    made = plan_by(config, shapes_by_name(name, outputs), model=name, num_labels=outputs)
    if config.budget.allocation == "importance" and made.layers:
        return replace(made, why="equal for want of rows; training rows will decide, by importance")
    return made
