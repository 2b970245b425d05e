"""The contrastive loss against one written with loops, and the steps that lower it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from tests.fixtures import Encoders
from tests.toy_setups import FEW, toy_job
from tightfit.training.contrastive import contrastive_loss, nearest_are_right
from tightfit.training.gradients import watch_over
from tightfit.training.loop import Loop
from tightfit.training.probe import frozen_features
from tightfit.training.setup import Setup

TARGETS = torch.tensor([0, 1, 0, 2, 1, 0])
"""The one row of class 2 is no anchor."""


def by_loops(features_BF: torch.Tensor, targets_B: torch.Tensor, temperature: float) -> float:
    """As equation 2 of the paper has it, one anchor and one positive after the other."""
    unit_BF = normalize(features_BF, dim=1)
    losses = []
    for i in range(len(targets_B)):
        others = [j for j in range(len(targets_B)) if j != i]
        scores = {j: float(unit_BF[i] @ unit_BF[j]) / temperature for j in others}
        whole = math.log(sum(map(math.exp, scores.values())))
        same = [j for j in others if targets_B[j] == targets_B[i]]
        if same:
            losses.append(-sum(scores[j] - whole for j in same) / len(same))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_loss_is_that_of_the_paper(temperature: float) -> None:
    """Whatever the lengths of the features."""
    features_BF = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 7
    found = contrastive_loss(features_BF, TARGETS, temperature)
    assert float(found) == pytest.approx(by_loops(features_BF, TARGETS, temperature), rel=1e-5)


def test_without_two_rows_of_a_class_there_is_nothing_to_learn() -> None:
    """A loss of zero with a gradient of zero, no NaN."""
    features_BF = torch.randn(3, 4).requires_grad_()
    loss = contrastive_loss(features_BF, torch.tensor([0, 1, 2]), 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert features_BF.grad is not None
    assert not features_BF.grad.any()


def test_the_nearest_rows_are_counted() -> None:
    """All but row 2, which is nearest to one of another class."""
    features_BF = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.3], [-1.0, 0.0]])
    assert int(nearest_are_right(features_BF, torch.tensor([0, 0, 1, 1]))) == 3


@pytest.mark.parametrize("forward", ["auto", "own"])
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_steps_lower_the_loss(family: str, forward: str, encoders: Encoders) -> None:
    """By the lean forward pass and by the model's own: the same steps to rounding."""
    steps = ("contrastive.lr=3e-2", "contrastive.steps=20", f"train.forward={forward}")
    setup = toy_job(encoders(family), *FEW, "train.folds=0", *steps, rows=24)
    assert setup.objective == "contrastive"
    before = loss_of(setup)
    Loop(setup, watch_over(setup)).fit()
    assert loss_of(setup) < before - 0.1


def test_both_forward_passes_take_the_same_steps(bert: Path) -> None:
    """Parts of a batch that are computed apart are compared with one another all the same."""
    losses = []
    for forward in ("auto", "own"):
        setup = toy_job(bert, *FEW, "train.folds=0", f"train.forward={forward}", rows=24)
        Loop(setup, watch_over(setup)).fit()
        losses.append(loss_of(setup))
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def loss_of(setup: Setup) -> float:
    """On all training rows."""
    features_NF = frozen_features(setup, np.arange(len(setup.train.targets)))
    targets_N = torch.from_numpy(setup.train.targets)
    return float(contrastive_loss(torch.from_numpy(features_NF), targets_N, 0.1))


def test_anchors_count_by_their_weights() -> None:
    """The mean over anchors, each as often as it weighs; weights of one change nothing."""
    features_BF = torch.randn(len(TARGETS), 5, generator=torch.Generator().manual_seed(0))
    plain = contrastive_loss(features_BF, TARGETS, 0.5)
    torch.testing.assert_close(
        contrastive_loss(features_BF, TARGETS, 0.5, torch.ones(len(TARGETS))), plain
    )
    each_B = torch.stack(
        [contrastive_loss(features_BF, TARGETS, 0.5, one_B) for one_B in torch.eye(len(TARGETS))]
    )
    weights_B = torch.arange(1.0, len(TARGETS) + 1)
    paired_B = (TARGETS[:, None] == TARGETS[None, :]).sum(1) > 1
    due = (weights_B * each_B)[paired_B].sum() / weights_B[paired_B].sum()
    torch.testing.assert_close(contrastive_loss(features_BF, TARGETS, 0.5, weights_B), due)
