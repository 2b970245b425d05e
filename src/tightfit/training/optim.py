"""AdamW (arXiv:1711.05101) over the plan's parameters, and the cosine schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tightfit.budget.gates import check_count
from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Optim
from tightfit.data.batch_order import batch_order
from tightfit.model.adapters import NEAR_IDENTITY

RATE = "rate"
"""Key of a group of the optimiser: what multiplies the learning rate of its tensors."""

FUSED = ("cpu", "cuda")
"""Devices for which torch has AdamW as one kernel."""

SHORT_RUN_WARMUP = 0.1
"""With ``train.max_steps`` warm-up takes at most this share of the steps."""


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up from zero, then half a cosine down to zero."""

    total: int
    """Optimiser steps."""
    warmup: int
    steps_per_epoch: float
    """A whole number where batches go through the rows; else as many as draw so many rows, on
    average."""
    turn: int = 0
    """Steps, warm-up included, after which the number of those to come was changed; or never."""
    first_total: int = 0
    """What had been the total until then."""
    lead: int = 0
    """Steps of the total that the contrastive phase takes before cross-entropy, which has a warm-up
    and a cosine of its own."""

    def epochs(self, step: int) -> float:
        """Passes over the rows that so many steps make; those of the lead draw rows as they like,
        and are not among them."""
        return max(0, step - self.lead) / self.steps_per_epoch

    def led_by(self, lead: int) -> Schedule:
        """The same behind so many steps of a contrastive phase."""
        return replace(self, total=self.total + lead, lead=lead)

    def scale(self, step: int) -> float:
        """Factor on the learning rate of the optimiser step that follows ``step`` others."""
        if step < self.lead:
            return contrastive_schedule(self.lead).scale(step)
        if self.lead:
            return self._behind_lead().scale(step - self.lead)
        if step < self.warmup:
            return step / max(1, self.warmup)
        place, total = float(step), self.total
        if self.turn:
            total = self.first_total
            if step > self.turn:  # what was left of the cosine, over more steps or fewer
                place = self.turn + (total - self.turn) * (step - self.turn) / (
                    self.total - self.turn
                )
        progress = (place - self.warmup) / max(1, total - self.warmup)
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))

    def turned(self, step: int, total: int) -> Schedule:
        """The same up to ``step``, from where the rate goes on down to zero at another total."""
        return replace(self, total=total, turn=step, first_total=self.total)

    def _behind_lead(self) -> Schedule:
        counted = {name: getattr(self, name) for name in ("total", "turn", "first_total")}
        less = {name: max(0, steps - self.lead) for name, steps in counted.items()}
        return replace(self, **less, lead=0)


def contrastive_schedule(steps: int, steps_per_epoch: float = 1) -> Schedule:
    """The schedule of a contrastive phase."""
    return Schedule(steps, round(SHORT_RUN_WARMUP * steps), steps_per_epoch)


def epoch_order(config: Config, lengths: NDArray[np.int64], *, epoch: int) -> list[list[int]]:
    """The forward passes of an epoch, as lists of rows; see :func:`batch_order`."""
    return batch_order(
        lengths,
        batch=config.optim.batch,
        seed=config.seed,
        epoch=epoch,
        group_by_length=config.train.group_by_length,
        by_tokens=config.train.batch_by == "tokens",
    )


def make_schedule(
    config: Config,
    epochs: float,
    batches_per_epoch: int,
    max_steps: int | None = None,
    *,
    lead: int = 0,
) -> tuple[Schedule, str | None]:
    """The schedule of a run, and what about it people should know.

    Args:
        config: its ``optim`` and ``train.max_steps``.
        epochs: passes over the training rows.
        batches_per_epoch: forward passes in one epoch.
        max_steps: that fit into a time; None takes the setting.
        lead: steps of a contrastive phase before them, as far as both limits allow.
    """
    per_epoch = math.ceil(batches_per_epoch / config.optim.accumulate)
    total = max(1, round(epochs * per_epoch))
    warmup = config.optim.warmup_steps
    note = None
    for most in filter(None, (config.train.max_steps, max_steps)):
        lead = min(lead, most - 1)
        total = min(total, most - lead)
    steps = round(warmup * total) if warmup < 1 else int(warmup)
    if steps > SHORT_RUN_WARMUP * total and warmup >= 1:
        steps = int(SHORT_RUN_WARMUP * total)
        note = f"warm-up shortened from {warmup:.0f} to {steps} steps, 10% of the {total} in all"
    return Schedule(total, steps, per_epoch).led_by(lead), note


def make_optimizer(
    trainable: Mapping[str, nn.Parameter], settings: Optim, plan: Plan
) -> torch.optim.AdamW:
    """AdamW with weight decay on matrices only; its groups are the third gate.

    Raises:
        BudgetError: the groups do not add up to the plan.
    """
    # Behind a hidden layer of s times the identity weights are 1 / s times as large as they would
    # be on the states themselves, and so are their steps: AdamW then trains the same function.
    output = plan.head_layers[-1] if plan.frozen_constants else None
    scaled = [f"{output.name}.{'weight' if output.rank is None else 'down'}"] if output else []
    # Biases and the scales of norms are the tensors of one dimension; PEFT's factors have two.
    planned = {vector.name for vector in plan.vectors}
    flat = {name for name, p in trainable.items() if p.ndim <= 1 or name in planned}
    # LoRA+ (arXiv:2402.12354): with one rate for both, wide layers learn A and hardly B.
    faster = set() if settings.lora_plus == 1 else {f"{x.name}.lora_B.weight" for x in plan.layers}
    others = {*flat, *scaled, *faster}
    matrices = [p for name, p in trainable.items() if name not in others]
    vectors = [p for name, p in trainable.items() if name in flat]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay, RATE: 1.0},
        {"params": vectors, "weight_decay": 0.0, RATE: 1.0},
        {
            "params": [p for name, p in trainable.items() if name in faster],
            "weight_decay": settings.weight_decay,
            RATE: settings.lora_plus,
        },
        {
            "params": [trainable[name] for name in scaled],
            "weight_decay": settings.weight_decay * NEAR_IDENTITY,
            RATE: 1.0 / NEAR_IDENTITY,
        },
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        # One kernel in place of a hundred, to the last digit but one; elsewhere torch's own choice.
        fused=True if all(p.device.type in FUSED for p in trainable.values()) else None,
    )
    counted = {
        f"group {i}, tensor {j}": p.numel()
        for i, group in enumerate(optimizer.param_groups)
        for j, p in enumerate(group["params"])
    }
    check_count(plan, counted, "the optimiser's groups")
    return optimizer
