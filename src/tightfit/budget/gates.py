"""Gates after the plan: whatever was built, optimised or saved must hold exactly its total."""

from __future__ import annotations

from collections.abc import Mapping

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import SIDE_HEAD
from tightfit.errors import BudgetError

SHOWN = 5
"""Differences that one message lists."""


def check_count(plan: Plan, counted: Mapping[str, int], where: str) -> int:
    """Refuse tensors that do not add up to the plan; returns their sum, the plan's total.

    Args:
        plan: what may train.
        counted: number of parameters of each tensor. Names serve only to tell where a difference
            lies; a prefix that a library puts before the layer's name does no harm.
        where: what was counted, for the message.

    Raises:
        BudgetError: the sum differs, with the first layers that do not match.
    """
    total = sum(counted.values())
    if total == plan.total:
        return total
    raise BudgetError(
        f"{where} holds {total:,} trainable parameters, {total - plan.total:+,} against the plan",
        seen="\n           ".join(_differences(plan, counted)) or None,
        allowed=f"exactly {plan.total:,}: {plan.adapters:,} + {plan.head:,} of the head"
        + (f" + {plan.side.parameters:,} of the side head" if plan.side else ""),
        next_step="this is a fault of tightfit, not of your settings: report it with the model",
    )


def _differences(plan: Plan, counted: Mapping[str, int]) -> list[str]:
    """Layers that hold more or less than planned, and tensors that belong to none."""
    planned = {layer.name: layer.parameters for layer in plan.layers}
    planned |= {vector.name: vector.parameters for vector in plan.vectors}
    planned |= {layer.name: layer.parameters for layer in plan.head_layers}
    planned |= {SIDE_HEAD: plan.side.parameters} if plan.side else {}
    found = dict.fromkeys(planned, 0)
    strays = {}
    for tensor, parameters in counted.items():
        # Whole path components: "classifier" must not claim "pre_classifier.weight".
        owner = next((name for name in planned if f".{name}." in f".{tensor}."), None)
        if owner is None:
            strays[tensor] = parameters
        else:
            found[owner] += parameters
    if not any(found.values()) or plan.record.whole:
        # The names are not those of layers, or the plan does not list the layers.
        return []
    lines = [
        f"{name}: {found[name]:,} instead of {parameters:,}"
        for name, parameters in planned.items()
        if found[name] != parameters
    ]
    lines += [f"{name}: {parameters:,}, not planned" for name, parameters in strays.items()]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return lines[:SHOWN] + more
