"""The words of a refused plan: the whole sum, and what would fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tightfit.budget.parts import (
    HeadLayer,
    LayerPlan,
    SidePlan,
    largest_uniform_rank,
    price_at,
)
from tightfit.errors import BudgetError
from tightfit.methods import HEAD_ONLY, LORA, PLAIN, Method


def over_budget(
    layers: Sequence[LayerPlan],
    head_layers: Sequence[HeadLayer],
    *,
    total: int,
    cap: int,
    method: Method,
    side: SidePlan | None,
) -> BudgetError:
    """The error for a total over the cap.

    Args:
        layers: all adapters, none where the head trains alone or the whole model does.
        head_layers: all layers of the head.
        total: what would train, with what adapters and head do not explain.
        cap: most trainable parameters allowed.
        method: what trains besides the head.
        side: the side head, if there is to be one.
    """
    head = sum(layer.parameters for layer in head_layers)
    beside = side.parameters if side else 0
    own = total - head - beside - sum(layer.parameters for layer in layers)
    lines = _layer_lines(layers)
    lines += [f"{method.words} of the encoder: {own:,}"] if own else []
    lines += [f"head, {head_words(layer)}: {layer.parameters:,}" for layer in head_layers]
    lines += [f"side head: {side.price} = {beside:,}"] if side else []
    lines += [f"total: {total:,}", f"cap: {cap:,}", f"excess: {total - cap:,}"]
    whole = all(layer.rank is None for layer in head_layers)
    if side and total - beside <= cap:
        fits = max(0, (cap - total + beside) // side.labels - 1)
        fits = 0 if side.reads == "pairs" else fits  # whose size is the encoder's
        allowed = f"a side head of {fits:,} n-grams" if fits else "no side head"
        next_step = f"set head.side={fits or 'off'}, or raise budget.cap (--budget)"
    else:
        allowed, next_step = _way_out(layers, head, total=total - beside, cap=cap, whole=whole)
        next_step = f"set head.side=off; {next_step}" if side else next_step
    return BudgetError(
        f"{total:,} parameters would train, {total - cap:,} more than the cap allows",
        seen="\n           ".join(lines),
        allowed=allowed,
        next_step=next_step,
    )


def head_words(layer: HeadLayer) -> str:
    """Its name, and the rank where it has one."""
    return layer.name if layer.rank is None else f"{layer.name} (rank {layer.rank})"


def _layer_lines(layers: Sequence[LayerPlan]) -> list[str]:
    """One line for all layers of a kind: their count, what one costs, and what all cost."""
    # Listed one by one, the layers of a deep model would bury the sum.
    kinds = Counter((x.label.replace(" + ", "+"), x.price, x.parameters) for x in layers)
    return [
        f"{count} x {label}: {price} = {count * parameters:,}"
        for (label, price, parameters), count in kinds.items()
    ]


def _way_out(
    layers: Sequence[LayerPlan], head: int, *, total: int, cap: int, whole: bool
) -> tuple[str, str]:
    """What is allowed, and the next step."""
    if not layers and total > head:
        # The encoder's own weights: the head alone would be another method altogether.
        allowed = f"a cap of {total:,} for every weight that trains"
        return allowed, f"raise budget.cap (--budget), or adapters.method={LORA.name}"
    kind = layers[0].kind if layers else PLAIN
    best = largest_uniform_rank(layers, head=head, cap=cap, kind=kind) if layers else 0
    if best:
        return (
            f"largest uniform rank that fits: {best}",
            f"set adapters.rank={best}, adapt fewer layers, or raise budget.cap (--budget)",
        )
    allowed = f"a cap of {head:,} for the head alone (adapters.method={HEAD_ONLY.name})"
    if layers:
        first = head + price_at(1, layers, kind)
        allowed += f", of {first:,} for rank 1 on these layers; no rank fits"
    if head > cap:
        narrow = "set head.kind=auto (a head of low rank where need be), " if whole else ""
        cure = f"raise budget.cap (--budget), {narrow}or choose a model of smaller hidden width"
        return allowed, f"the cap is smaller than the head: {cure}"
    fewer = "set adapters.rank=auto, which adapts what the cap can pay"
    return allowed, f"{fewer}, use the recipe head-only, or raise budget.cap (--budget)"
