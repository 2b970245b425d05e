"""Weights of rows, from the table to gradients, the head's start and the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy_setups import FEW, TASK, toy_job, toy_loop, toy_settings, toy_table
from tightfit.data.table import Table
from tightfit.errors import DataError
from tightfit.model.adapters import output_layer
from tightfit.tasks.dataset import read_dataset
from tightfit.training.answers import Answers
from tightfit.training.blend import smallest_as_good
from tightfit.training.frozen_probe import gain_and_error
from tightfit.training.gradients import watch_over
from tightfit.training.loop import Loop
from tightfit.training.probe import frozen_features
from tightfit.training.scored_row import weighted_mean
from tightfit.training.setup import Setup
from tightfit.training.side_choice import weigh_side
from tightfit.training.solve import solve_head

STEP = [
    *("optim.clip=0", "train.group_by_length=false", "optim.warmup_steps=0", "optim.epochs=1"),
    *("train.max_steps=1", "optim.batch=200"),
]
"""All rows in one step, and its gradient as it is."""

COUNTS_N = np.arange(48) % 3 + 1
"""How often each training row is there, or how much it weighs."""


def gradients(setup: Setup, folder: Path) -> dict[str, torch.Tensor]:
    """Of the first step, before the optimiser takes it."""
    for module in setup.classifier.module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    found: dict[str, torch.Tensor] = {}
    loop = toy_loop(setup, folder).loop
    clip = loop._clip

    def kept() -> bool:
        found.update({n: p.grad.clone() for n, p in loop._trainable.items() if p.grad is not None})
        return clip()

    loop._clip = kept  # type: ignore[method-assign]  # seen where all of a step is added up
    loop.fit()
    return found


@pytest.mark.parametrize("kind", ["balanced", "none"])
def test_the_gradient_is_that_of_repeated_rows(kind: str, bert: Path, tmp_path: Path) -> None:
    """In whatever unit the weights are."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, unit in (("repeated", 0.0), ("weighted", 1.0), ("unit", 250.0), ("plain", 0.0)):
        setup = toy_job(bert, *STEP, f"optim.class_weights={kind}")
        rows = np.repeat(np.arange(48), COUNTS_N) if name == "repeated" else np.arange(48)
        train = setup.train.select(rows.tolist())
        train = replace(train, weights_N=np.float64(unit) * COUNTS_N if unit else None)
        found[name] = gradients(replace(setup, train=train), tmp_path / name)
    assert found["repeated"]
    for name, due in found["repeated"].items():
        for other in ("weighted", "unit"):
            torch.testing.assert_close(found[other][name], due, rtol=1e-4, atol=1e-6)
    name = "classifier.weight"
    assert not torch.allclose(found["plain"][name], found["repeated"][name], rtol=1e-2, atol=1e-6)


def test_a_solved_head_balances_classes(bert: Path) -> None:
    """By weights of rows, which go with those that rows have of their own."""
    found = {}
    for kind in ("balanced", "none"):
        setup = toy_job(bert, *FEW, "optim.objective=contrastive", f"optim.class_weights={kind}")
        few = np.flatnonzero(setup.train.targets == 0)[:2]
        rows = setup.train.select([*few, *np.flatnonzero(setup.train.targets == 1)[:6]])
        own_N = np.array([1.0, 2, 1, 1, 1, 1, 1, 1])
        by_hand_N = own_N * np.where(rows.targets == 0, 9 / (2 * 3), 9 / (2 * 6))
        rows = replace(rows, weights_N=own_N if kind == "balanced" else by_hand_N)
        solve_head(replace(setup, train=rows), frozen=False)
        found[kind] = output_layer(setup.classifier.module, setup.classifier.plan).weight.detach()
    torch.testing.assert_close(found["balanced"], found["none"])


def test_a_table_hands_its_weights_on(bert: Path) -> None:
    """To the side that each row is on; without weights nothing is there."""
    config = toy_settings(bert, "data.validation_rows=16")
    plain = read_dataset(config, toy_table(), None, None)
    assert plain.train.weights_N is plain.validation.weights_N is None
    weights = {text: float(i + 1) for i, text in enumerate(toy_table().texts)}
    table = replace(toy_table(), weights=list(weights.values()))
    found = read_dataset(config, table, None, None)
    for texts, held in (
        (found.train.texts, found.train.weights_N),
        (found.validation.texts, found.validation.weights_N),
    ):
        assert held is not None
        assert held.tolist() == [weights[text] for text in texts]
    assert found.facts.train_fingerprint != plain.facts.train_fingerprint


@pytest.mark.parametrize(
    ("weights", "words"),
    [([1.0], "one weight for each"), ([1.0, 0.0], "above 0"), ([1.0, float("nan")], "above 0")],
)
def test_weights_that_are_none(weights: list[float], words: str) -> None:
    """A row that is left out is not in the table."""
    with pytest.raises(DataError, match=words):
        Table(["a", "b"], [0, 1], weights=weights)


def test_evaluations_count_rows_by_their_weights() -> None:
    """Plain means where there are no weights."""
    values_N = torch.tensor([1.0, 0.0, 0.0, 1.0])
    assert weighted_mean(values_N, None) == weighted_mean(values_N, np.ones(4)) == 0.5
    assert weighted_mean(values_N > 0, np.array([3.0, 1.0, 1.0, 1.0])) == pytest.approx(4 / 6)
    logits_NK = np.array([[2.0, 0.0], [2.0, 0.0]], dtype=np.float32)
    answers = Answers(TASK, logits_NK, np.array([0, 1]), np.array([3.0, 1.0]))
    assert answers.scores[1] == 0.75


def weighted_job(bert: Path, *settings: str) -> Setup:
    """A setup over toy rows of which those of one label weigh a hundred times as much."""
    setup = toy_job(bert, *settings)
    both: dict[str, Any] = {}
    for name in ("train", "validation", "eval_subset"):
        rows = getattr(setup, name)
        both[name] = replace(rows, weights_N=np.where(rows.targets == 1, 100.0, 1.0))
    return replace(setup, **both)


def test_weights_reach_where_the_head_starts_and_the_history(bert: Path, tmp_path: Path) -> None:
    """Of a label that weighs a hundred times as much every row is right, whatever it costs."""
    settings = ["head.kind=linear", "head.start=probe", "train.max_steps=1", "optim.lr=1e-9"]
    setup = weighted_job(bert, *settings)
    toy_loop(setup, tmp_path / "probe").fit()
    features_NF = frozen_features(setup, np.arange(len(setup.train.targets)))
    layer = setup.classifier.module.classifier
    logits_NK = features_NF @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    assert (logits_NK.argmax(1)[setup.train.targets == 1] == 1).all()
    assert toy_loop(setup, tmp_path / "again").fit().history[0]["eval_accuracy"] > 0.9


def test_weights_reach_a_head_that_is_solved(bert: Path) -> None:
    """And the contrastive steps before it."""
    losses = []
    for job in (toy_job, weighted_job):
        setup = job(bert, *FEW, "train.folds=0")
        assert setup.objective == "contrastive"
        losses.append(Loop(setup, watch_over(setup)).fit().history[-1])
    assert losses[0]["train_loss"] != losses[1]["train_loss"]
    assert losses[1]["eval_accuracy"] > 0.9


def test_weights_reach_the_side_head_and_the_loss_at_the_best_temperature() -> None:
    """What rows that are there twice say, rows of weight 2 do."""
    chance = np.random.default_rng(0)
    targets_N, weights_N = chance.integers(0, 2, 200), chance.integers(1, 4, 200).astype(float)
    rows_N = np.repeat(np.arange(200), weights_N.astype(int))
    truth_NK, noise_2NK = np.eye(2)[targets_N], chance.normal(size=(2, 200, 2))
    logits_NK, side_NK = (truth_NK + noise_2NK[0]).astype(np.float32), 2 * truth_NK + noise_2NK[1]
    again_NK, ids_N = logits_NK[rows_N], targets_N[rows_N]
    due = weigh_side(TASK, again_NK, side_NK[rows_N], ids_N)
    plain = weigh_side(TASK, logits_NK, side_NK, targets_N)
    found = weigh_side(TASK, logits_NK, side_NK, targets_N, weights_N=weights_N)
    assert found.value == pytest.approx(due.value)
    assert found.value != pytest.approx(plain.value)
    answers = Answers(TASK, logits_NK, targets_N, weights_N)
    assert answers.scores == pytest.approx(Answers(TASK, again_NK, ids_N).scores)


def test_a_gain_is_a_weighted_mean_and_its_error_that_of_fewer_rows() -> None:
    """What weighs next to nothing is next to not there."""
    chance = np.random.default_rng(0)
    more_N, less_N = chance.normal(size=(2, 60))
    weights_N = np.repeat([1.0, 1e-12], 30)
    few = gain_and_error(more_N[:30], less_N[:30])
    assert gain_and_error(more_N, less_N, weights_N) == pytest.approx(few, rel=0.02)
    assert smallest_as_good({0.5: less_N, 1.0: less_N}, weights_N) == 0.5
    gained = np.where(weights_N == 1, less_N + 1, less_N - 9)
    assert smallest_as_good({0.5: less_N, 1.0: gained}, weights_N) == 1.0
    assert smallest_as_good({0.5: less_N, 1.0: gained}) == 0.5
