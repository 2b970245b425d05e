"""The gate that compares tensors with the plan, on names as each of its callers gives them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.budget.gates import check_count
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import HeadLayer, LayerPlan
from tightfit.errors import BudgetError

PLAN = Plan(
    model="toy",
    num_labels=3,
    budget=1000,
    method="lora",
    layers=(LayerPlan("block.0.query", 2, 8, 8), LayerPlan("block.1.query", 2, 8, 8)),
    head_layers=(HeadLayer("pre_classifier", 72), HeadLayer("classifier", 27)),
    head_modules=("pre_classifier", "classifier"),
)
COUNTED = {
    **{f"block.{i}.query.lora_{letter}.weight": 16 for i in (0, 1) for letter in "AB"},
    **{"pre_classifier.weight": 64, "pre_classifier.bias": 8},
    **{"classifier.weight": 24, "classifier.bias": 3},
}


def refusal(counted: dict[str, int], plan: Plan = PLAN) -> BudgetError:
    """The error that the gate raises."""
    with pytest.raises(BudgetError) as caught:
        check_count(plan, counted, "the built model")
    return caught.value


def test_the_planned_tensors_pass() -> None:
    """The sum that is returned is the plan's, under whatever names."""
    assert check_count(PLAN, COUNTED, "the built model") == PLAN.total == 163
    assert check_count(PLAN, {"group 0": 100, "group 1": 63}, "the optimiser's groups") == 163


@pytest.mark.parametrize("prefix", ["", "base_model.model."])
def test_a_difference_is_named(prefix: str) -> None:
    """The layer, what it holds and should hold, also under the prefix of a saved file."""
    counted = {prefix + name: size for name, size in COUNTED.items()}
    counted[f"{prefix}block.1.query.lora_B.weight"] = 32
    assert str(refusal(counted)).splitlines() == [
        "the built model holds 179 trainable parameters, +16 against the plan",
        "  seen:    block.1.query: 48 instead of 32",
        "  allowed: exactly 163: 64 + 99 of the head",
        "  next:    this is a fault of tightfit, not of your settings: report it with the model",
    ]


def test_a_lost_layer_and_a_stray_tensor_are_named() -> None:
    """A classifier is not taken for a pre_classifier, which ends in the same word."""
    counted = {name: size for name, size in COUNTED.items() if not name.startswith("classifier")}
    error = refusal({**counted, "embeddings.weight": 1000})
    assert "holds 1,136 trainable parameters, +973 against the plan" in str(error)
    assert str(error.seen).split("\n           ") == [
        "classifier: 0 instead of 27",
        "embeddings.weight: 1,000, not planned",
    ]


def test_a_long_list_is_cut() -> None:
    """Five differences are shown, the others counted."""
    strays = {f"stray.{i}": 1 for i in range(8)}
    lines = str(refusal({**COUNTED, **strays}).seen).split("\n           ")
    assert lines[4:] == ["stray.4: 1, not planned", "and 3 more"]


def test_names_that_tell_nothing_are_not_listed() -> None:
    """Numbered tensors belong to no layer, and a full plan lists no layers to compare with."""
    assert refusal({"group 0, tensor 0": 162}).seen is None
    full = replace(PLAN, method="full", layers=(), everything=500)
    error = refusal(COUNTED, full)
    assert error.seen is None
    assert error.allowed == "exactly 500: 401 + 99 of the head"


@given(st.sampled_from(sorted(COUNTED)), st.integers(-40, 40).filter(bool))
def test_any_single_change_is_caught(name: str, change: int) -> None:
    """Whichever tensor it is in, the gate closes and names its layer."""
    error = refusal({**COUNTED, name: COUNTED[name] + change})
    layer = name.rpartition(".lora_")[0] or name.rpartition(".")[0]
    assert str(error.seen).startswith(f"{layer}: ")
