"""``tightfit plan``: what would train, to the last parameter."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

from rich.console import Console, RenderableType

import tightfit
from tightfit.cli import options
from tightfit.cli.console import add_row, bar, new_table
from tightfit.cli.front import open_front
from tightfit.display import percent

if TYPE_CHECKING:
    from tightfit.budget.parameter_plan import Plan

EXAMPLES = """\
tightfit plan
tightfit plan --model roberta-base --budget 1M
tightfit plan --model roberta-base --recipe paper --labels 20
tightfit plan --set adapters.rank=8 --set adapters.targets=query,key,value
tightfit plan --set adapters.layers=3
tightfit plan --model ./my-encoder --json"""


def plan(
    *,
    model: options.Model = None,
    labels: Annotated[int, options.in_data(min=2, help="Number of classes.")] = 4,
    budget: options.Budget = None,
    recipe: options.Recipe = None,
    settings: options.Settings = None,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Show what would train in a model and what each part costs, against the cap.

    Needs no weights, and for well-known models no network.
    """
    with open_front(debug=debug) as front:
        made = tightfit.plan(
            model,
            labels=labels,
            budget=budget,
            settings=settings or (),
            **options.recipe_if_given(recipe),
        )
        front.tell(made, lambda: show_plan(made, front.page), as_json=as_json)


def show_plan(plan: Plan, console: Console) -> list[RenderableType]:
    """The plan as a table, like layers in one row, and the cap as a bar."""
    outputs = "a rating" if plan.num_labels == 1 else f"{plan.num_labels} labels"
    title = f"{plan.model}, {outputs}"
    table = new_table(title, "trains", "rank x (in + out)", ">parameters", "share")
    for part, price, parameters in _parts(plan):
        share = parameters / max(plan.total, 1)
        add_row(table, part, price, f"{parameters:,}", bar(share, console))
    table.add_section()
    add_row(table, "total", "", f"{plan.total:,}")
    why = [f"Ranks: {plan.why}."] if plan.why else []
    if plan.budget is None or plan.headroom is None:
        return [table, "No cap holds: nothing limits what trains.", *why]
    add_row(table, "cap", "", f"{plan.budget:,}")
    add_row(table, "headroom", "", f"{plan.headroom:,}")
    return [table, _cap_line(plan.total, plan.budget, console), *why]


def _parts(plan: Plan) -> list[tuple[str, str, int]]:
    """Name, price and parameters of each kind of layer and of each layer of the head."""
    kinds = Counter((layer.label, layer.price, layer.parameters) for layer in plan.layers)
    parts = [
        (f"{count} x {kind}", price, count * parameters)
        for (kind, price, parameters), count in kinds.items()
    ]
    if plan.record.whole:
        parts.append(("the encoder", "every weight", plan.adapters))
    if plan.vectors:
        # VeRA has two vectors a layer, the other methods one.
        count = len({vector.name.rpartition(".")[0] for vector in plan.vectors})
        rank = f" + {plan.vectors[-1].parameters}" if plan.record.kinds else ""
        parts.append((f"{count} x {plan.record.unit}", f"width out{rank}", plan.adapters))
    return (
        parts
        + [
            (f"head: {layer.name}", f"rank {layer.rank}" if layer.rank else "", layer.parameters)
            for layer in plan.head_layers
        ]
        + ([("side head", plan.side.price, plan.side.parameters)] if plan.side else [])
    )


def _cap_line(total: int, cap: int, console: Console) -> str:
    share = total / cap
    return f"{bar(share, console, width=40)} {percent(share)} of the cap is spent"
