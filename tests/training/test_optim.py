"""The optimiser's groups, the schedule of the published run, and a loss that weighs rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from tests.toy_setups import toy_classifier
from tests.toys import SMALL
from tightfit.config import load_config
from tightfit.errors import BudgetError
from tightfit.model.classifier import Classifier
from tightfit.training.optim import (
    Schedule,
    make_optimizer,
    make_schedule,
)


def reference_scales(warmup: int, total: int) -> list[float]:
    """What the schedule of ``transformers`` multiplies the rate with, step by step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_cosine_schedule_with_warmup(optimizer, warmup, total)
    scales = []
    for _ in range(total):
        scales.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return scales


@pytest.mark.parametrize(("warmup", "total"), [(0, 40), (1, 1), (5, 5), (7, 100), (500, 1_200)])
def test_the_schedule_is_that_of_transformers(warmup: int, total: int) -> None:
    """At every step; the first one of a warm-up has a rate of zero."""
    schedule = Schedule(total, warmup, 1)
    assert [schedule.scale(step) for step in range(total)] == reference_scales(warmup, total)


@given(st.integers(1, 400), st.floats(0, 0.99), st.integers(0, 500))
def test_a_scale_is_a_share(total: int, share: float, step: int) -> None:
    """Never negative, never above one, zero at the end."""
    schedule = Schedule(total, int(share * total), 1)
    assert 0.0 <= schedule.scale(step) <= 1.0
    assert schedule.scale(total) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("total", [40, 100, 300])
def test_a_turned_schedule_goes_on_down(total: int) -> None:
    """What was left of the cosine, at another pace: no jump, and zero at the new end."""
    planned = Schedule(100, 10, 50)
    turned = planned.turned(25, total)
    assert [turned.scale(s) for s in range(26)] == [planned.scale(s) for s in range(26)]
    pace = (100 - 25) / (total - 25)
    for step in range(25, total + 1):
        place = 25 + (step - 25) * pace
        assert turned.scale(step) == pytest.approx(
            0.5 + 0.5 * math.cos(math.pi * (place - 10) / 90)
        )
    assert turned.scale(total) == pytest.approx(0.0, abs=1e-12)


def published(*settings: str) -> tuple[Schedule, str | None]:
    """The schedule of the recipe ``paper`` on AG News less its 640 validation rows."""
    return make_schedule(load_config("paper", settings), 8, math.ceil(119_360 / 16))


def test_the_published_schedule() -> None:
    """3,730 steps an epoch, 29,840 in all, of which 500 warm up, with nothing to remark."""
    assert published() == (Schedule(29_840, 500, 3_730), None)


def test_max_steps_shortens_schedule_and_warm_up_and_says_so() -> None:
    """To 10% of the steps."""
    schedule, note = published("train.max_steps=300")
    assert schedule == Schedule(300, 30, 3_730)
    assert note == "warm-up shortened from 500 to 30 steps, 10% of the 300 in all"


def test_max_steps_beyond_the_schedule_do_not_lengthen_it() -> None:
    """They end training early, or not at all."""
    assert published("train.max_steps=99999")[0].total == 29_840


def test_a_warm_up_that_is_short_enough_stays() -> None:
    """30 of 300 steps are no more than a tenth."""
    assert published("train.max_steps=300", "optim.warmup_steps=30") == (
        Schedule(300, 30, 3_730),
        None,
    )


def test_a_share_of_the_steps_warms_up() -> None:
    """It shrinks with the schedule by itself."""
    assert published("optim.warmup_steps=0.06", "train.max_steps=50")[0].warmup == 3
    assert published("optim.warmup_steps=0.5", "train.max_steps=50") == (
        Schedule(50, 25, 3_730),
        None,
    )


@pytest.mark.parametrize(
    ("batches", "accumulate", "epochs", "total", "per_epoch"),
    [
        (10, 1, 3, 30, 10),
        (10, 4, 2, 6, 3),
        (10, 1, 0.25, 2, 10),
        (1, 8, 1, 1, 1),
        (3, 1, 0.1, 1, 3),
    ],
)
def test_steps_follow_from_batches(
    batches: int, accumulate: int, epochs: float, total: int, per_epoch: int
) -> None:
    """The last step of an epoch may be smaller, and there is always one step."""
    settings = [f"optim.accumulate={accumulate}", f"optim.epochs={epochs}"]
    schedule, _ = make_schedule(load_config("tight", settings), epochs, batches)
    assert (schedule.total, schedule.steps_per_epoch) == (total, per_epoch)


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("recipe", ["tight", "head-only", "full"])
def test_the_groups_add_up_to_the_plan(
    family: str, recipe: str, encoders: Callable[[str], Path]
) -> None:
    """The third gate, in every family; each tensor once."""
    classifier = toy_classifier(encoders(family), recipe=recipe)
    groups = optimizer_of(classifier).param_groups
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids))
    assert sum(p.numel() for group in groups for p in group["params"]) == classifier.plan.total


def optimizer_of(classifier: Classifier, *settings: str) -> torch.optim.AdamW:
    """The optimiser of the recipe ``paper``."""
    optim = load_config("paper", settings).optim
    return make_optimizer(classifier.trainable(), optim, classifier.plan)


def test_only_matrices_decay(roberta: Path) -> None:
    """Adapters and the head's matrices at 0.01; biases and norms not at all."""
    classifier = toy_classifier(roberta, recipe="full")
    names = {id(p): name for name, p in classifier.trainable().items()}
    decay = {
        names[id(p)]: group["weight_decay"]
        for group in optimizer_of(classifier).param_groups
        for p in group["params"]
    }
    assert decay["classifier.dense.weight"] == 0.01
    still = {name for name, rate in decay.items() if rate == 0}
    assert still == {n for n in decay if n.endswith(".bias") or "LayerNorm" in n}


def test_the_published_optimiser(bert: Path) -> None:
    """AdamW with the defaults that the report leaves unsaid."""
    optimizer = optimizer_of(toy_classifier(bert))
    assert type(optimizer) is torch.optim.AdamW
    assert {(g["lr"], g["betas"], g["eps"]) for g in optimizer.param_groups} == {
        (1e-5, (0.9, 0.999), 1e-8)
    }


def test_settings_reach_the_optimiser(bert: Path) -> None:
    """Each of them."""
    settings = ["optim.betas=[0.8, 0.9]", "optim.eps=1e-6", "optim.lr=0.5", "optim.weight_decay=0"]
    group = optimizer_of(toy_classifier(bert), *settings).param_groups[0]
    assert (group["betas"], group["eps"], group["lr"]) == ((0.8, 0.9), 1e-6, 0.5)
    assert group["weight_decay"] == 0


@pytest.mark.parametrize("change", ["drop", "add"])
def test_groups_that_differ_from_the_plan_are_refused(change: str, bert: Path) -> None:
    """A tensor that is forgotten, and one that is smuggled in."""
    classifier = toy_classifier(bert)
    tensors = classifier.trainable()
    if change == "drop":
        del tensors["classifier.bias"]
    else:
        tensors["stray"] = nn.Parameter(torch.zeros(2))
    with pytest.raises(BudgetError, match=r"groups holds .* [+-]2 against the plan"):
        make_optimizer(tensors, load_config("tight").optim, classifier.plan)


def test_a_plan_without_matrices_or_vectors_has_one_group(bert: Path) -> None:
    """An empty group is not given to the optimiser."""
    classifier = toy_classifier(bert)
    tensors = {n: p for n, p in classifier.trainable().items() if p.ndim > 1}
    plan = replace(classifier.plan, head_layers=())
    tensors.pop("classifier.weight")
    assert len(make_optimizer(tensors, load_config("tight").optim, plan).param_groups) == 1
