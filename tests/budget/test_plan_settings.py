"""What settings and an encoder's sizes make of a plan: what the head reads, what of it trains."""

from __future__ import annotations

import pytest

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.plan_settings import plan_by, why_not_mean
from tightfit.budget.published import published_config
from tightfit.budget.shapes import EncoderShapes, encoder_shapes
from tightfit.config import load_config
from tightfit.errors import ArtefactError, SettingsError, UsageError
from tightfit.families import Pooling
from tightfit.methods import METHODS

DEBERTA = {
    "model_type": "deberta-v2",
    "vocab_size": 128_100,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "max_position_embeddings": 512,
    "type_vocab_size": 0,
}


def shapes_of(name: str, labels: int = 4) -> EncoderShapes:
    """A published encoder, with its head."""
    return encoder_shapes(published_config(name) or DEBERTA, labels, None)


def planned(name: str, *settings: str, labels: int = 4, pooling: Pooling = "first") -> Plan:
    """The default recipe's plan."""
    config, shapes = load_config("tight", settings), shapes_of(name, labels)
    return plan_by(config, shapes, model=name, num_labels=labels, pooling=pooling)


@pytest.mark.parametrize(
    ("asked", "decided", "read"),
    [("auto", "first", "first"), ("auto", "mean", "mean"), ("first", "mean", "first")],
)
def test_what_was_asked_for_is_read(asked: str, decided: Pooling, read: str) -> None:
    """What was decided counts where nothing was asked for; a block is listed for the mean alone."""
    plan = planned("bert-base-uncased", f"head.pooling={asked}", pooling=decided)
    assert plan.pooling == read
    assert ("mean_block" in plan.to_json()) == (read == "mean")
    assert Plan.from_json(plan.to_json()) == plan
    assert planned("bert-base-uncased", "head.pooling=mean").pooling == "mean"


@pytest.mark.parametrize(
    ("name", "pooling", "loads"),
    [
        ("bert-base-uncased", "first", True),
        ("bert-base-uncased", "mean", True),
        ("roberta-base", "first", True),
        ("roberta-base", "mean", False),
    ],
)
def test_plain_peft_adds_a_block_to_bert_alone(name: str, pooling: Pooling, loads: bool) -> None:
    """Of what does not train as PEFT has it, it loads nothing."""
    assert planned(name, pooling=pooling).peft_loads == loads
    assert not planned("bert-base-uncased", "adapters.method=full", "budget.cap=none").peft_loads


def test_where_no_mean_can_be_read_the_reason_is_told() -> None:
    """Of the family, or of the method."""
    deberta, bert = shapes_of("deberta"), shapes_of("bert-base-uncased")
    unknown = "no block of deberta-v2 is known to compute the mean"
    assert why_not_mean(deberta, METHODS["lora"]) == unknown
    assert why_not_mean(bert, METHODS["lora"]) is None
    without = [method for method in METHODS.values() if not method.takes_block]
    assert all("has no place" in (why_not_mean(bert, method) or "") for method in without)
    assert without
    with pytest.raises(SettingsError, match=f"(?s)cannot read the mean.*{unknown}"):
        planned("deberta", "head.pooling=mean")


def test_a_pooler_of_the_first_token_is_replaced_for_the_mean() -> None:
    """Of BERT, whose checkpoint brings one: it stands still either way, the classifier trains."""
    first, mean = planned("bert-base-uncased"), planned("bert-base-uncased", pooling="mean")
    assert first.frozen_constants == ()
    assert mean.frozen_constants == ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
    assert {layer.name for plan in (first, mean) for layer in plan.head_layers} == {"classifier"}


def test_a_narrow_head_says_what_it_would_cost_whole() -> None:
    """The layer that gives the labels, also where another trains beside it."""
    plan = planned("distilbert-base-uncased", "budget.cap=650000", labels=150)
    assert plan.head_layers[-1].rank is not None
    assert f"whole it would cost {768 * 150 + 150:,}" in plan.why
    assert plan.total <= 650_000


def test_one_output_is_a_plan_and_none_is_not() -> None:
    """A rating has one."""
    assert planned("roberta-base", labels=1).num_labels == 1
    with pytest.raises(UsageError, match="a head needs an output"):
        planned("roberta-base", labels=0)


def test_what_does_not_go_with_a_method_names_those_that_do() -> None:
    """Each by its name."""
    record = {**planned("roberta-base", "adapters.method=bias").to_json(), "method": "none"}
    with pytest.raises(ArtefactError, match=r"ia3 and bias|bias and ia3"):
        Plan.from_json(record)
