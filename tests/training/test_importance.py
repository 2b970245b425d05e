"""The budget by importance: exact against brute force, and gradients against autograd's own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tightfit
from tests.toy_setups import SHORT, Notes, toy_job, toy_settings, toy_table
from tightfit.budget.shapes import LinearShape
from tightfit.budget.targets import targeted
from tightfit.config import load_config
from tightfit.data.batches import collate
from tightfit.errors import SettingsError
from tightfit.model.adapters import base_model
from tightfit.model.locate import locate
from tightfit.tasks.dataset import read_dataset
from tightfit.training.importance import _sample, decide_plan, layer_gains, most_valuable

IMPORTANCE = ("budget.allocation=importance", "adapters.rank=auto")


def linear(index: int, widths: tuple[int, int]) -> LinearShape:
    """One layer of these widths, in a block of its own."""
    return LinearShape(f"x.{index}", ("query",), *widths, bias=True, block=index)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.tuples(st.integers(1, 9), st.integers(1, 9)),
            st.lists(st.integers(0, 50), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 60),
    st.integers(0, 10),
)
def test_the_knapsack_is_solved_exactly(
    drawn: list[tuple[tuple[int, int], list[int]]], cap: int, head: int
) -> None:
    """No choice of ranks under the cap is worth more."""
    layers = [linear(i, widths) for i, (widths, _) in enumerate(drawn)]
    gains = {f"x.{i}": sorted(map(float, own), reverse=True) for i, (_, own) in enumerate(drawn)}
    chosen = most_valuable(layers, gains, head=head, cap=cap).layers
    found = {layer.name: layer.rank for layer in chosen}
    ranks = tuple(found.get(x.name, 0) for x in layers)
    most = [range(1 + min(x.in_features, x.out_features, len(gains[x.name]))) for x in layers]
    affordable = [r for r in product(*most) if price(layers, r) <= max(0, cap - head)]
    assert ranks in affordable
    assert worth(layers, gains, ranks) == max(worth(layers, gains, r) for r in affordable)


def worth(
    layers: list[LinearShape], gains: dict[str, list[float]], ranks: tuple[int, ...]
) -> float:
    """Of these ranks together."""
    return sum(sum(gains[x.name][:r]) for x, r in zip(layers, ranks, strict=True))


def price(layers: list[LinearShape], ranks: tuple[int, ...]) -> int:
    """In parameters."""
    pairs = zip(layers, ranks, strict=True)
    return sum(r * (x.in_features + x.out_features) for x, r in pairs)


def test_a_gain_is_a_squared_singular_value(bert: Path) -> None:
    """Against the gradient of one batch with all rows, and torch's own SVD."""
    setup = toy_job(bert, "adapters.method=none", rows=16)
    config = toy_settings(bert)
    layers = targeted(locate(str(bert)).shapes(2), config.adapters)
    gains = layer_gains(setup, layers, Notes())
    batch = collate(setup.train.tokens, range(len(setup.train.targets)), setup.train.targets)
    name = layers[0].name
    weight = base_model(setup.classifier.module).get_parameter(f"{name}.weight")
    weight.requires_grad_(True)
    logits_BK = setup.classifier.logits(batch)
    torch.nn.functional.cross_entropy(logits_BK, batch.targets_B, reduction="sum").backward()
    assert weight.grad is not None
    due = torch.linalg.svdvals(weight.grad.double()) ** 2
    assert gains[name] == pytest.approx(due.tolist(), rel=1e-4, abs=1e-9)
    assert len(gains) == len(layers)


def test_nothing_of_the_look_stays_behind(bert: Path) -> None:
    """Frozen weights are frozen again, without gradients."""
    setup = toy_job(bert, "adapters.method=none", rows=16)
    layers = targeted(locate(str(bert)).shapes(2), toy_settings(bert).adapters)
    layer_gains(setup, layers, Notes())
    for layer in layers:
        weight = base_model(setup.classifier.module).get_parameter(f"{layer.name}.weight")
        assert (weight.requires_grad, weight.grad) == (False, None)


def test_rows_that_are_looked_at_keep_their_weights() -> None:
    """They are drawn in another order than that of the file."""
    table = toy_table()
    weights = [float(len(text)) for text in table.texts]
    config = load_config("tight", SHORT)
    dataset = read_dataset(config, replace(table, weights=weights), None, None)
    drawn = _sample(dataset, seed=1)
    assert drawn.train.texts != dataset.train.texts
    assert drawn.train.weights_N is not None
    assert drawn.train.weights_N.tolist() == [len(text) for text in drawn.train.texts]


@pytest.mark.parametrize("cap", [70, 300, 1_000, 5_000])
def test_any_cap_is_kept(bert: Path, cap: int) -> None:
    """From the head alone to ranks on every layer; what is left pays for no rank of use."""
    config = toy_settings(bert, *IMPORTANCE, f"budget.cap={cap}")
    dataset = read_dataset(config, toy_table(), None, None)
    plan = decide_plan(config, dataset, locate(str(bert)), Notes())
    assert plan.total <= cap
    assert plan.method == ("lora" if plan.layers else "none")
    assert "the most valuable ranks under the cap" in plan.why
    again = decide_plan(config, dataset, locate(str(bert)), Notes())
    assert again == plan


def test_beside_a_head_of_low_rank(bert: Path) -> None:
    """Half of the cap for the head, the rest where it is worth the most, what is left to the head.

    Two labels on 32 features: 66 parameters as a whole, 34 r + 2 as a product.
    """
    config = toy_settings(bert, *IMPORTANCE, "head.kind=auto", "budget.cap=65")
    dataset = read_dataset(config, toy_table(), None, None)
    plan = decide_plan(config, dataset, locate(str(bert)), Notes())
    assert plan.head_layers[-1].rank == 1
    assert plan.total == 36
    assert "rank 1: whole it would cost 66" in plan.why


def test_without_a_gradient_ranks_are_equal(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One class among the sampled rows, and no layer is worth anything."""
    monkeypatch.setattr("tightfit.training.importance.PROBED_ROWS", 1)
    config = toy_settings(bert, *IMPORTANCE, "budget.cap=5000")
    dataset, progress = read_dataset(config, toy_table(), None, None), Notes()
    plan = decide_plan(config, dataset, locate(str(bert)), progress)
    assert len({layer.rank for layer in plan.layers}) == 1
    assert progress.warned == [
        "no layer has a gradient on the sampled rows; ranks are equal instead"
    ]


def test_a_cap_of_billions_is_no_table_of_billions() -> None:
    """Everything fits, and at once."""
    layers = [linear(i, (384, 384)) for i in range(4)]
    gains = {layer.name: [2.0, 1.0] for layer in layers}
    chosen = most_valuable(layers, gains, head=0, cap=10**12).layers
    assert [layer.rank for layer in chosen] == [2] * 4


def test_a_run_by_importance_trains(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """Its ranks are in the plan, and every proof holds."""
    values = ["data.max_length=32", "optim.lr=1e-2", *IMPORTANCE]
    result = tightfit.train(
        rows_file,
        model=str(bert),
        out=tmp_path / "run",
        budget=2_000,
        settings=values,
        progress=Notes(),
    ).to_json()
    assert result["total"] <= 2_000
    assert all(proof["ok"] for proof in result["proofs"].values())


@pytest.mark.parametrize("setting", ["adapters.init=eva", "optim.lora_plus=4"])
def test_other_variants_go_with_it(bert: Path, setting: str) -> None:
    """The classifier whose gradients are asked has no adapters, and so nothing of theirs."""
    config = toy_settings(bert, *IMPORTANCE, setting, "budget.cap=2000")
    dataset = read_dataset(config, toy_table(), None, None)
    assert decide_plan(config, dataset, locate(str(bert)), Notes()).layers


def test_an_explicit_rank_contradicts_importance(bert: Path) -> None:
    """One of the two must decide."""
    with pytest.raises(SettingsError, match="importance decides the ranks"):
        toy_settings(bert, "budget.allocation=importance", "adapters.rank=2")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("adapters.method=vera", "allocation is for LoRA's matrices"),
        ("adapters.method=none", "allocation is for LoRA's matrices"),
        ("budget.cap=none", "spends a cap"),
    ],
)
def test_what_importance_cannot_decide(bert: Path, setting: str, words: str) -> None:
    """Refused, rather than put on record and not done."""
    with pytest.raises(SettingsError, match=words):
        toy_settings(bert, *IMPORTANCE, setting)


def test_a_plan_without_rows_says_what_it_lacks() -> None:
    """The command that needs no data shows equal ranks, and that rows will decide."""
    made = tightfit.plan(settings=["budget.allocation=importance"])
    assert made.why.endswith("training rows will decide, by importance")
