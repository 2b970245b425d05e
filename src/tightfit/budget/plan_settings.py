"""From settings to a plan, the same way for whoever asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tightfit.budget.allocate import (
    HEAD_SHARE,
    Allocate,
    Allocation,
    largest_that_fits,
    narrow_head,
    same_rank,
)
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import HeadLayer, SidePlan, SideReads, VectorPlan
from tightfit.budget.shapes import EncoderShapes
from tightfit.budget.targets import targeted
from tightfit.config import Config
from tightfit.errors import SettingsError
from tightfit.families import FAMILIES, Pooling, mean_block
from tightfit.methods import HEAD_ONLY, METHODS, Method


def plan_by(
    config: Config,
    shapes: EncoderShapes,
    *,
    model: str,
    num_labels: int,
    allocate: Allocate = largest_that_fits,
    pooling: Pooling = "first",
) -> Plan:
    """The plan that gives every targeted layer the same rank, or spends the cap as it is told.

    Args:
        config: where no rank is set the cap is spent as ``allocate`` says; where it cannot pay a
            single adapter the head trains alone.
        shapes: the model, with a head for ``num_labels``.
        model: its name, as the user wrote it.
        num_labels: logits that the head gives.
        allocate: chooses layers and ranks where no rank is set.
        pooling: what ``head.pooling=auto`` has come to.

    Raises:
        BudgetError: the plan is over the cap.
        SettingsError: a rank is too large for a layer, or the model has no layer of that role, not
            so many blocks, a head that cannot be linear, or no way to the mean of its tokens.
    """
    method, cap = METHODS[config.adapters.method], config.budget.cap
    side = _side(config, num_labels)
    budget = cap - side.parameters if cap is not None and side else cap
    pooling = pooling if config.head.pooling == "auto" else config.head.pooling
    block = _mean_block(shapes, method) if pooling == "mean" else ()
    if block:
        # What the checkpoint brings was trained on the first token.
        shapes = replace(shapes, head=shapes.stored_head + shapes.head, stored_head=())
    constants = () if method.whole else _constants(shapes, config.head.kind)
    whole = _head_layers(shapes, constants)
    widths = (shapes.hidden, num_labels)
    pays = budget is not None and budget > 0  # else what is too much is the side head
    most = budget if pays and config.head.kind == "auto" and not method.whole else None
    kept = whole if most is None else narrow_head(whole, widths, most, HEAD_SHARE)
    layers, chosen = targeted(shapes, config.adapters), Allocation((), "")
    if method.kinds:
        kind = method.kinds[-1 if config.adapters.dora else 0]
        if config.adapters.rank is None:
            spent = sum(layer.parameters for layer in kept)
            chosen = allocate(layers, head=spent, cap=budget, kind=kind)
            method = method if chosen.layers else HEAD_ONLY
        else:
            chosen = Allocation(same_rank(layers, config.adapters.rank, kind), "")
    elif method.vectors:
        chosen = Allocation(same_rank(layers, 1), "")
    vectors = tuple(
        VectorPlan(f"{layer.name}.{name}", width)
        for layer in chosen.layers
        for name, width in zip(method.vectors, (layer.out_features, layer.rank), strict=False)
    )
    chosen = replace(chosen, layers=()) if vectors else chosen
    if most is not None and kept[-1].rank is not None:
        spent = sum(x.parameters for x in chosen.layers) + sum(x.parameters for x in vectors)
        kept = narrow_head(whole, widths, most - spent)
    return Plan(
        model=model,
        num_labels=num_labels,
        budget=cap,
        method=method.name,
        layers=chosen.layers,
        head_layers=kept,
        head_modules=tuple(module.module for module in shapes.head),
        everything=shapes.parameters if method.whole else 0,
        frozen_constants=constants,
        why="; ".join(filter(None, [chosen.why, _why_narrow(whole[-1], kept[-1])])),
        vectors=vectors,
        mean_block=block,
        side=side,
    )


def _side(config: Config, num_labels: int) -> SidePlan | None:
    """Where its size is set; what suits rows and cap is for a training to decide."""
    reads: SideReads = "pairs" if config.data.pair else "characters"
    asked = config.head.side
    return SidePlan(asked, num_labels, reads) if isinstance(asked, int) else None


def why_not_mean(shapes: EncoderShapes, method: Method) -> str | None:
    """The reason why the head can only read the first token, or None."""
    if not mean_block(FAMILIES[shapes.model_type], shapes.depth):
        return f"no block of {shapes.model_type} is known to compute the mean"
    if not method.takes_block:
        return f"what adapters.method={method.name} leaves has no place for one more block"
    return None


def _mean_block(shapes: EncoderShapes, method: Method) -> tuple[str, ...]:
    reason = why_not_mean(shapes, method)
    if reason is not None:
        raise SettingsError(
            "the head cannot read the mean of all tokens here",
            seen=f"head.pooling=mean; {reason}",
            allowed="first or auto",
            next_step="set head.pooling=auto",
        )
    return tuple(mean_block(FAMILIES[shapes.model_type], shapes.depth))


def _why_narrow(whole: HeadLayer, kept: HeadLayer) -> str:
    if kept.rank is None:
        return ""
    return f"the head's weight has rank {kept.rank}: whole it would cost {whole.parameters:,}"


def _constants(shapes: EncoderShapes, kind: str) -> tuple[str, ...]:
    """The head's tensors that stand frozen near the identity; empty where its own layers train."""
    output = shapes.head[-1].tensors[-1][0].rpartition(".")[0]
    hidden = [n for m in shapes.head for n, _ in m.tensors if not n.startswith(f"{output}.")]
    replaceable = tuple(name for module in shapes.head for name in module.replaceable)
    fixed = sorted(set(hidden) - set(replaceable))
    if kind == "linear" and fixed:
        raise SettingsError(
            f"the head of {shapes.model_type} cannot be linear",
            seen=f"{', '.join(fixed)}: what follows is no tanh",
            allowed="stock or auto",
            next_step="set head.kind=auto",
        )
    return () if kind == "stock" or fixed else replaceable


def _head_layers(shapes: EncoderShapes, constants: Sequence[str]) -> tuple[HeadLayer, ...]:
    """The head's trained tensors joined to the layers that own them."""
    layers = Counter[str]()
    for tensor, parameters in (pair for module in shapes.head for pair in module.tensors):
        if tensor not in constants:
            layers[tensor.rpartition(".")[0]] += parameters
    return tuple(HeadLayer(name, parameters) for name, parameters in layers.items())
