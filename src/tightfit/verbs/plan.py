"""``tightfit plan``: what would train, and what it would cost. Needs neither torch nor weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.plan_settings import plan_by
from tightfit.config import DEFAULT_RECIPE, Config, load_config
from tightfit.model.locate import shapes_by_name

PUBLISHED_LABELS = 4
"""AG News has four labels; a plan without data is for as many unless it is told."""


def settings_of(
    recipe: str = DEFAULT_RECIPE, settings: Sequence[str] = (), **named: object
) -> Config:
    """Settings of a recipe, with assignments, then with the named values that are not None.

    Args:
        recipe: where the settings start from.
        settings: dotted assignments such as ``optim.lr=1e-4``.
        named: values for the settings that have an option of their own; see ``OPTIONS``.

    Raises:
        SettingsError: with every mistake.
    """
    return load_config(recipe, [*settings, *assignments(**named)])


def assignments(**named: object) -> list[str]:
    """The named values that are not None, as assignments; see ``OPTIONS`` for the names."""
    return [f"{OPTIONS[k]}={_word(v)}" for k, v in named.items() if v is not None]


OPTIONS = {
    "model": "model.name",
    "budget": "budget.cap",
    "seed": "seed",
    "max_steps": "train.max_steps",
    "minutes": "train.minutes",
    "text_column": "data.text_column",
    "label_column": "data.label_column",
}
"""The settings that have an option of their own."""


def plan(
    model: str | None = None,
    *,
    labels: int = PUBLISHED_LABELS,
    budget: int | None = None,
    recipe: str = DEFAULT_RECIPE,
    settings: Sequence[str] = (),
) -> Plan:
    """Which parameters a recipe would train in a model, and how many.

    Args:
        model: Hub name, folder, or the embedded model; None takes the recipe's.
        labels: number of classes.
        budget: the cap; None takes the recipe's.
        recipe: where the settings start from.
        settings: dotted assignments such as ``adapters.rank=8``.

    Raises:
        BudgetError: it does not fit under the cap; the message has the whole sum.
        ModelError: the model is unknown or unreachable.
        SettingsError: the settings are mistaken.
    """
    config = settings_of(recipe, settings, model=model, budget=budget)
    name = config.model.name
    made = plan_by(config, shapes_by_name(name, labels), model=name, num_labels=labels)
    if config.budget.allocation == "importance" and made.layers:
        return replace(made, why="equal for want of rows; training rows will decide, by importance")
    return made


def _word(value: object) -> str:
    """How an assignment writes a value."""
    return ",".join(value) if isinstance(value, tuple | list) else str(value)
