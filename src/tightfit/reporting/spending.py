"""Where each parameter went, and whether it learned."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, replace

from tightfit.budget.budget_errors import head_words
from tightfit.budget.parts import LayerPlan
from tightfit.reporting.drawing import Axis, Bar, Chart, nice_range, x_axis, y_axis
from tightfit.run import Run

TONES = ("tone-1", "tone-2", "tone-3", "tone-4", "tone-5", "tone-6")
"""Four shades of one colour and two of another, which the eye tells apart: see the style sheet."""


@dataclass(frozen=True)
class Part:
    """A share of a bar, and its line in the sum below it."""

    name: str
    parameters: int
    share: float
    """Of the whole bar, 0 to 1."""
    tone: str
    sum: str = ""
    """How the number comes about."""


@dataclass(frozen=True)
class Spending:
    """The budget as two bars and a sum, then the adapters layer by layer."""

    words: str
    parts: tuple[Part, ...]
    """Of the cap, or of what trains where no cap holds."""
    model: tuple[Part, ...]
    """Of the whole model: what trained and what stayed frozen."""
    charts: tuple[Chart, ...]
    dead: tuple[str, ...]


def spending(run: Run) -> Spending:
    """The budget of a run."""
    plan = run.plan
    groups = _groups(run)
    whole = plan.budget or plan.total
    tones = {group: TONES[min(i, len(TONES) - 1)] for i, group in enumerate(groups)}
    parts = [
        Part(name, count, count / whole, tones[name], _sum(layers))
        for name, layers in groups.items()
        if (count := sum(layer.parameters for layer in layers))
    ]
    if plan.record.whole:
        parts.append(Part("encoder", plan.adapters, plan.adapters / whole, TONES[0]))
    if plan.vectors:
        words = f"{len(plan.vectors)} {plan.record.words} of the encoder"
        parts.append(Part(plan.record.words, plan.adapters, plan.adapters / whole, TONES[0], words))
    head = " + ".join(f"{head_words(layer)} {layer.parameters:,}" for layer in plan.head_layers)
    parts.append(Part("head", plan.head, plan.head / whole, "head", head))
    if plan.side is not None:
        share = plan.side.parameters / whole
        parts.append(Part("side head", plan.side.parameters, share, "side", plan.side.price))
    if plan.headroom is not None:
        parts.append(Part("left under the cap", plan.headroom, plan.headroom / whole, "free"))
    return Spending(
        words=_words(run),
        parts=tuple(parts),
        model=_model(run),
        charts=_charts(run, groups, tones),
        dead=tuple(dead_layers(run)),
    )


def weight_changes(run: Run) -> dict[str, float]:
    """Norm of what each adapter changed in its layer's weight, by layer."""
    return run.proofs.get("movement", {}).get("adapters", {})


def dead_layers(run: Run) -> list[str]:
    """Layers whose adapter never changed anything.

    None where an earlier run had taught them, and no further step was kept.
    """
    if run.metrics.train.kept_knowledge:
        return []
    return [name for name, change in weight_changes(run).items() if not change > 0]


def frozen_parameters(run: Run) -> int | None:
    """Parameters that did not train, where that was recorded."""
    return run.proofs.get("gates", {}).get("frozen")


def adapter_words(run: Run) -> str:
    """Whether the adapters learned, in a few words."""
    count, dead = len(run.plan.layers), len(dead_layers(run))
    if run.metrics.train.kept_knowledge:
        return "no further step did better than what the run before knew, which was kept"
    if run.metrics.train.kept_start:
        return "no step did better than the start, which was kept"
    if run.plan.record.whole:
        return "every weight trained"
    if run.plan.vectors:
        return f"{len(run.plan.vectors)} {run.plan.record.words} of the encoder and the head"
    if not count:
        return "no adapters, the head alone"
    if not weight_changes(run):
        return f"{count} adapters, unproven"
    if dead:
        return f"{dead} of {count} adapters never learned"
    return f"all {count} adapters learned" if count > 1 else "the one adapter learned"


def _words(run: Run) -> str:
    plan = run.plan
    if plan.budget is None:
        return f"{plan.total:,} parameters trained; no cap was set."
    rest = " The rest of the model stayed as it was." if frozen_parameters(run) else ""
    return f"{plan.total:,} of {plan.budget:,} parameters were spent.{rest}"


def _model(run: Run) -> tuple[Part, ...]:
    frozen = frozen_parameters(run)
    if not frozen:
        return ()
    trained, whole = run.plan.total, run.plan.total + frozen
    return (
        Part("trained", trained, trained / whole, TONES[0]),
        Part("frozen", frozen, frozen / whole, "free"),
    )


def _groups(run: Run) -> dict[str, list[LayerPlan]]:
    """The adapters by what their layers do, in the order of the model."""
    groups: dict[str, list[LayerPlan]] = defaultdict(list)
    for layer in run.plan.layers:
        groups[" + ".join(layer.duties)].append(layer)
    return dict(groups)


def _sum(layers: list[LayerPlan]) -> str:
    kinds = Counter(layer.price for layer in layers)
    if len(kinds) > 3:
        ranks = [layer.rank for layer in layers]
        return f"{len(layers)} layers of rank {min(ranks)} to {max(ranks)}"
    return " + ".join(
        f"{n} x ({price})" if layers[0].kind.lengths else f"{n} x {price}"
        for price, n in kinds.items()
    )


def _depth(layer: LayerPlan) -> int:
    """The number of its layer in the encoder, counted from 0."""
    numbers = re.findall(r"\.(\d+)\.", layer.name)
    return int(numbers[0]) if numbers else 0


def _charts(
    run: Run, groups: dict[str, list[LayerPlan]], tones: dict[str, str]
) -> tuple[Chart, ...]:
    """Parameters and change of weight, for each layer of the encoder."""
    if not groups:
        return ()
    prices = {layer.name: float(layer.parameters) for layer in run.plan.layers}
    changes = {layer.name: weight_changes(run).get(layer.name, 0.0) for layer in run.plan.layers}
    charts = [
        _columns("Parameters by layer", "parameters", _stacked(groups, tones, prices), tones),
        _columns("Change of weight by layer", "norm", _beside(groups, tones, changes), tones),
    ]
    # Where the start was kept, nothing changed against it.
    changed = weight_changes(run) and not run.metrics.train.kept_start
    return tuple(charts if changed else charts[:1])


@dataclass(frozen=True)
class _Column:
    """One column in the units of its chart; ``left`` and ``width`` are shares of a layer's slot."""

    layer: int
    left: float
    width: float
    base: float
    value: float
    tone: str
    hint: str


def _stacked(
    groups: dict[str, list[LayerPlan]], tones: dict[str, str], prices: dict[str, float]
) -> list[_Column]:
    """Parameters, one group on top of another."""
    reached: dict[int, float] = defaultdict(float)
    columns = []
    for name, layer in _each(groups):
        at, value = _depth(layer), prices[layer.name]
        hint = f"layer {at}, {name}: rank {layer.rank}, {value:,.0f} parameters"
        columns.append(_Column(at, 0.14, 0.72, reached[at], value, tones[name], hint))
        reached[at] += value
    return columns


def _beside(
    groups: dict[str, list[LayerPlan]], tones: dict[str, str], changes: dict[str, float]
) -> list[_Column]:
    """Norms of the change, one group beside another; a dead one is marked."""
    width = 0.72 / len(groups)
    columns = []
    for name, layer in _each(groups):
        at, value = _depth(layer), changes[layer.name]
        dead = not value > 0
        hint = f"layer {at}, {name}: " + ("dead" if dead else f"weight changed by {value:.3g}")
        left = 0.14 + width * list(groups).index(name)
        tone = "alert" if dead else tones[name]
        columns.append(_Column(at, left, width, 0.0, value, tone, hint))
    return columns


def _each(groups: dict[str, list[LayerPlan]]) -> list[tuple[str, LayerPlan]]:
    return [(name, layer) for name, layers in groups.items() for layer in layers]


def _columns(
    title: str,
    y_name: str,
    columns: list[_Column],
    tones: dict[str, str],
) -> Chart:
    """The columns in one chart, a slot for each layer of the encoder."""
    depth = 1 + max(column.layer for column in columns)
    tops = [column.base + column.value for column in columns]
    every = -(-depth // 12)
    numbers = {i + 0.5: str(i) for i in range(0, depth, every)}  # below the middle of each slot
    across = replace(x_axis("layer of the encoder", (0, depth)), labels=numbers)
    up = y_axis(y_name, nice_range([0.0, max(tops) or 1.0], floor=0.0))
    return Chart(
        title=title,
        about=f"{len(columns)} adapters in {depth} layers",
        x=across,
        y=up,
        bars=tuple(_bar(column, across, up) for column in columns),
        legend=tuple((tone, name) for name, tone in tones.items()),
    )


def _bar(column: _Column, across: Axis, up: Axis) -> Bar:
    left = across(column.layer + column.left)
    right = across(column.layer + column.left + column.width)
    bottom, top = up(column.base), up(column.base + column.value)
    # A dead adapter has no height to be seen by.
    height = max(bottom - top, 6.0 if column.tone == "alert" else 0.0)
    return Bar(
        x=left,
        y=round(bottom - height, 1),
        width=round(max(right - left - 0.8, 1.0), 1),
        height=round(height, 1),
        tone=column.tone,
        hint=column.hint,
    )
