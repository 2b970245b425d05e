"""From settings to a plan, the same way for whoever asks."""

from __future__ import annotations

from tightfit.budget.allocate import Allocate, largest_that_fits
from tightfit.budget.parameter_plan import Plan, make_plan
from tightfit.budget.shapes import EncoderShapes
from tightfit.config import Config


def plan_by(
    config: Config,
    shapes: EncoderShapes,
    *,
    model: str,
    num_labels: int,
    allocate: Allocate = largest_that_fits,
) -> Plan:
    """The plan that the settings ask for; see :func:`make_plan`.

    Raises:
        BudgetError: it does not fit under the cap.
        SettingsError: the settings do not suit the model.
    """
    return make_plan(
        shapes,
        model=model,
        num_labels=num_labels,
        budget=config.budget.cap,
        method=config.adapters.method,
        rank=config.adapters.rank,
        targets=config.adapters.targets,
        uppermost=config.adapters.layers,
        head=config.head.kind,
        dora=config.adapters.dora,
        allocate=allocate,
    )
