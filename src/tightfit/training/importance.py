"""Which layers are worth adapting, by the gradient of the loss at the frozen weights.

Near its start a LoRA adapter of rank r can follow the gradient G of its layer's weight in r
directions; the best r are G's leading singular vectors, and the loss then falls in proportion to
the sum of their squared singular values (LoRA-GA, arXiv:2407.05000, starts adapters there). So the
i-th rank of a layer is worth the square of the i-th singular value, and the budget goes where the
next rank is worth the most (compare GoRA, arXiv:2502.12171).

Shapes: O and I widths of a layer out and in.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from tightfit.budget.allocate import Allocation, same_rank
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import largest_rank
from tightfit.budget.shapes import LinearShape
from tightfit.budget.targets import targeted
from tightfit.config import Config
from tightfit.data.batches import collate
from tightfit.families import Pooling
from tightfit.methods import HEAD_ONLY, PLAIN, AdapterKind
from tightfit.model.adapters import base_model
from tightfit.model.locate import Source
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.labelled_rows import numbered
from tightfit.training.objective import decide_objective
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.probe import start_at_probe
from tightfit.training.setup import Setup

PROBED_ROWS = 1000
"""Rows that the head is fitted on, so that the gradient is not that of a random head."""

GRADIENT_ROWS = 128
"""Rows that the gradient is summed over."""

HEAD_ALONE = {
    **HEAD_ONLY.idle,
    "adapters.method": HEAD_ONLY.name,
    "head.start": "probe",
    "optim.objective": "cross-entropy",
}
"""Settings of the classifier whose gradients say what a rank is worth."""


def decide_plan(
    config: Config,
    dataset: Dataset,
    source: Source,
    progress: Progress,
    *,
    pooling: Pooling = "first",
) -> Plan:
    """What trains: by the settings alone, or where the gradient says that a rank is worth the most.

    Args:
        config: the settings.
        dataset: the rows.
        source: the encoder.
        progress: hears what is decided.
        pooling: what ``head.pooling=auto`` has come to.

    Raises:
        BudgetError: not even the head fits under the cap.
    """
    plan = plan_for(config, source, dataset.task.outputs, pooling=pooling)
    objective = decide_objective(config, plan, dataset.task, dataset.train.targets)
    adapted = plan.method != HEAD_ONLY.name
    if adapted and objective is not None and objective.value == "probe":
        return replace(head_alone(config, source, plan), why=f"no adapters: {objective.reason}")
    layers = targeted(source.shapes(dataset.task.outputs), config.adapters)
    if config.budget.allocation == "uniform" or not layers or plan.budget is None:
        return plan
    alone, head = config.with_values(HEAD_ALONE), head_alone(config, source, plan)
    sample = _sample(dataset, config.seed)
    setup = prepare(alone, sample, source, head, progress=Progress())
    start_at_probe(setup, progress)
    gains = layer_gains(setup, layers, progress)
    if not any(map(any, gains.values())):
        # As where only one class is among the sampled rows, which the head then always answers.
        progress.warn("no layer has a gradient on the sampled rows; ranks are equal instead")
        return plan

    def allocate(
        layers: Sequence[LinearShape], *, head: int, cap: int | None, kind: AdapterKind
    ) -> Allocation:
        assert cap is not None
        assert kind.weighed
        return most_valuable(layers, gains, head=head, cap=cap)

    return plan_for(config, source, dataset.task.outputs, allocate, pooling=pooling)


def head_alone(config: Config, source: Source, plan: Plan) -> Plan:
    """What trains where nothing but the head of a plan does."""
    alone = config.with_values(HEAD_ALONE)
    return plan_for(alone, source, plan.num_labels, pooling=plan.pooling)


def layer_gains(
    setup: Setup, layers: Sequence[LinearShape], progress: Progress
) -> dict[str, list[float]]:
    """By layer, the squared singular values of the loss's gradient, largest first."""
    model = base_model(setup.classifier.module)
    weights = {x.name: model.get_parameter(f"{x.name}.weight") for x in layers}
    for weight in weights.values():
        weight.requires_grad_(True)
    setup.classifier.module.eval()
    rows = np.arange(min(GRADIENT_ROWS, len(setup.train.targets)))
    parts = np.array_split(rows, max(1, len(rows) // setup.config.optim.batch))
    with progress.track("importance", len(rows)) as bar:
        for part in parts:
            batch = collate(setup.train.tokens, part.tolist(), setup.train.targets)
            batch = batch.to(setup.classifier.device)
            assert batch.targets_B is not None
            logits_BK = setup.classifier.logits(batch)
            setup.classifier.task.row_losses(logits_BK, batch.targets_B).sum().backward()
            bar.advance(len(part))
    gains = {name: _squares(weight) for name, weight in weights.items()}
    for weight in weights.values():
        weight.requires_grad_(False)
        weight.grad = None
    return gains


def _squares(weight_OI: nn.Parameter) -> list[float]:
    """Squared singular values of the gradient: the eigenvalues of its smaller Gram matrix."""
    gradient_OI = weight_OI.grad
    assert gradient_OI is not None
    wide = gradient_OI.double()
    gram = wide @ wide.T if wide.shape[0] <= wide.shape[1] else wide.T @ wide
    values: list[float] = torch.linalg.eigvalsh(gram).clamp(min=0).flip(0).tolist()
    return values[: PLAIN.most_rank]


def _sample(dataset: Dataset, seed: int) -> Dataset:
    """A few training rows in random order; the validation rows are not looked at."""
    drawn_N = np.random.default_rng(seed).permutation(len(dataset.train))[:PROBED_ROWS]
    train, first = dataset.train.select(drawn_N), dataset.validation.select([0])
    return replace(
        dataset,
        # Nothing is held out of them, so that no groups stay together.
        train=replace(train, alike_N=numbered(train.texts), parts_N=None),
        validation=replace(first, parts_N=None),
        folds=None,
    )


def most_valuable(
    layers: Sequence[LinearShape], gains: Mapping[str, Sequence[float]], *, head: int, cap: int
) -> Allocation:
    """The ranks whose gains add up to the most under the cap: a knapsack, solved exactly.

    Each rank of each layer is an item that costs in + out; dynamic programming over the affordable
    parameters, in units of the prices' greatest common divisor.

    Args:
        layers: what the settings name.
        gains: by layer, what its first rank is worth, its second, and so on, never rising; ranks
            beyond the list are worth nothing.
        head: parameters of the head, which are spent first.
        cap: most trainable parameters allowed.
    """
    prices = [x.in_features + x.out_features for x in layers]
    unit = math.gcd(*prices)
    items = [
        (index, prices[index] // unit, gain)
        for index, layer in enumerate(layers)
        for gain in list(gains[layer.name])[: min(PLAIN.most_rank, largest_rank([layer]))]
        if gain > 0
    ]
    # Under a cap of billions the table need be no wider than all items together.
    room = min(max(0, cap - head) // unit, sum(price for _, price, _ in items))
    best, taken = np.zeros(room + 1), np.zeros((len(items), room + 1), dtype=bool)
    for row, (_, price, gain) in enumerate(items):
        if price <= room:
            with_it = best[: room + 1 - price] + gain
            taken[row, price:] = with_it > best[price:]
            best[price:] = np.maximum(best[price:], with_it)
    ranks, left = Counter[int](), room
    for row in reversed(range(len(items))):
        if taken[row, left]:
            index, price, _ = items[row]
            ranks[index] += 1
            left -= price
    chosen = tuple(
        adapter
        for index, layer in enumerate(layers)
        for adapter in (same_rank([layer], ranks[index]) if ranks[index] else ())
    )
    return Allocation(
        chosen, f"the most valuable ranks under the cap, on {len(chosen)} of {len(layers)} layers"
    )
