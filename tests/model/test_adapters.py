"""LoRA exactly as planned, and what trains asked of the adapters and the head themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer

from tests.toy_setups import TASK, toy_classifier, toy_plan, toy_settings
from tests.toys import SMALL
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import LayerPlan
from tightfit.errors import SettingsError
from tightfit.model.adapters import (
    AdapterPair,
    adapter_dropouts,
    adapter_pairs,
    attach,
    base_model,
    quiet_peft,
    trainable_tensors,
)
from tightfit.model.classifier import Classifier
from tightfit.model.encoders import layer_stack, load_encoder, load_tokenizer
from tightfit.model.locate import locate

each_family = pytest.mark.parametrize("family", SMALL)
IDS_BL = torch.tensor([[2, 5, 6, 7, 3]])


def attached(folder: Path, plan: Plan, *settings: str) -> Classifier:
    """A classifier whose plan was made by hand."""
    source, adapters = locate(str(folder)), toy_settings(folder, *settings).adapters
    module = attach(load_encoder(source, plan, TASK), plan, adapters)
    return Classifier(module, plan, load_tokenizer(source), TASK)


def required(classifier: Classifier) -> dict[int, int]:
    """Identity and size of every parameter that requires a gradient."""
    return {id(p): p.numel() for p in classifier.module.parameters() if p.requires_grad}


@each_family
@pytest.mark.parametrize("method", ["lora", "none", "full"])
def test_exactly_the_plan_requires_gradients(
    family: str, method: str, encoders: Callable[[str], Path]
) -> None:
    """Declared, required and planned are one thing, in every family."""
    recipe = {"lora": "tight", "none": "head-only", "full": "full"}[method]
    classifier = toy_classifier(encoders(family), recipe=recipe)
    declared = trainable_tensors(classifier.module, classifier.plan)
    assert required(classifier) == {id(p): p.numel() for p in declared.values()}
    assert sum(required(classifier).values()) == classifier.plan.total


@pytest.mark.parametrize("role", ["query", "key", "value", "attention-output", "mlp-in", "mlp-out"])
@each_family
def test_any_role_can_be_adapted(family: str, role: str, encoders: Callable[[str], Path]) -> None:
    """The names in the plan are those of the layers that PEFT adapts, and no others."""
    classifier = toy_classifier(encoders(family), f"adapters.targets={role}")
    named = [pair.name for pair in adapter_pairs(classifier.module)]
    assert named == [layer.name for layer in classifier.plan.layers]


@each_family
def test_upper_layers_alone_can_be_adapted(family: str, encoders: Callable[[str], Path]) -> None:
    """What requires gradients is the plan's, and nothing of the lower block is among it."""
    if family == "albert":
        with pytest.raises(SettingsError, match="share one block"):
            toy_plan(encoders(family), "adapters.layers=1")
        return
    classifier = toy_classifier(encoders(family), "adapters.layers=1")
    upper = layer_stack(base_model(classifier.module))[1]
    named = [pair.name for pair in adapter_pairs(classifier.module)]
    assert named == [layer.name for layer in classifier.plan.layers]
    assert sum(isinstance(m, LoraLayer) for m in upper.modules()) == len(named) > 0
    assert sum(required(classifier).values()) == classifier.plan.total


def test_each_layer_has_its_own_rank(roberta: Path) -> None:
    """A plan may spend more on some layers; alpha stays, so the scale differs."""
    plan = toy_plan(roberta)
    ranks = [1, 2, 3, 5]
    layers = tuple(replace(layer, rank=r) for layer, r in zip(plan.layers, ranks, strict=True))
    classifier = attached(roberta, replace(plan, layers=layers), "adapters.alpha=6")
    pairs = adapter_pairs(classifier.module)
    assert [pair.name for pair in pairs] == [layer.name for layer in layers]
    assert [len(pair.a_RI) for pair in pairs] == ranks
    assert [pair.scale for pair in pairs] == [6.0, 3.0, 2.0, 1.2]
    assert sum(required(classifier).values()) == classifier.plan.total


def test_one_of_two_like_named_layers_can_be_adapted(roberta: Path) -> None:
    """Names are whole paths: a layer is not adapted because its name ends like another's."""
    plan = toy_plan(roberta)
    name = "roberta.encoder.layer.1.attention.self.value"
    one = replace(plan, layers=(LayerPlan(name, 2, 32, 32),))
    assert [pair.name for pair in adapter_pairs(attached(roberta, one).module)] == [name]


def test_an_untouched_adapter_changes_nothing(roberta: Path) -> None:
    """B is zero at first, so logits are those of the model without adapters."""
    classifier = toy_classifier(roberta)
    classifier.module.eval()
    assert isinstance(classifier.module, PeftModel)
    with classifier.module.disable_adapter():
        # The head is PEFT's copy, switched off as well; it starts as the original.
        plain = classifier.module(input_ids=IDS_BL).logits
    torch.testing.assert_close(classifier.module(input_ids=IDS_BL).logits, plain, rtol=0, atol=0)


def test_a_layer_computes_what_the_paper_says(roberta: Path) -> None:
    """h = W x + b + (alpha / r) B A x, against the products written out."""
    classifier = toy_classifier(roberta)
    pair = adapter_pairs(classifier.module)[0]
    layer = base_model(classifier.module).get_submodule(pair.name)
    x, b_OR = torch.randn(3, 32), torch.randn(32, 4)
    with torch.no_grad():
        pair.b_OR.copy_(b_OR)
        wanted = x @ layer.weight.T + layer.bias + (8.0 / 4) * (x @ pair.a_RI.T) @ b_OR.T
        torch.testing.assert_close(layer(x), wanted)


def test_dropout_is_on_the_adapter_s_input_alone(roberta: Path) -> None:
    """One for each adapter, with the rate of the settings; none where the rate is zero."""
    classifier = toy_classifier(roberta, "adapters.dropout=0.05")
    dropouts = adapter_dropouts(classifier.module)
    assert len(dropouts) == len(classifier.plan.layers)
    rates = [m.p for d in dropouts for m in d.modules() if isinstance(m, torch.nn.Dropout)]
    assert rates == [0.05] * 4


def test_tensors_are_named_as_they_are_saved(roberta: Path) -> None:
    """The base model's own names, without any of PEFT's prefixes."""
    names = set(toy_classifier(roberta).trainable())
    assert "roberta.encoder.layer.0.attention.self.query.lora_A.weight" in names
    assert "classifier.out_proj.bias" in names
    assert len(names) == 4 * 2 + 4


def test_full_training_declares_every_tensor(roberta: Path) -> None:
    """The whole model by its own names."""
    classifier = toy_classifier(roberta, recipe="full")
    assert classifier.trainable().keys() == dict(classifier.module.named_parameters()).keys()
    assert adapter_pairs(classifier.module) == []


def test_the_base_model_is_found_with_adapters_and_without(roberta: Path) -> None:
    """It is the same class either way."""
    for recipe in ("tight", "head-only"):
        inner = base_model(toy_classifier(roberta, recipe=recipe).module)
        assert type(inner).__name__ == "RobertaForSequenceClassification"


@pytest.mark.parametrize("rank", [1, 3, 7])
def test_the_change_is_measured_as_if_it_were_written_out(rank: int) -> None:
    """The trick with traces gives the norm of the whole out x in matrix."""
    torch.manual_seed(rank)
    pair = AdapterPair("x", torch.randn(rank, 11), torch.randn(13, rank), -1.5)
    assert pair.change_norm() == pytest.approx(float((1.5 * pair.b_OR @ pair.a_RI).norm()))


def test_a_dead_adapter_changes_nothing_by_measure() -> None:
    """Exactly zero, whatever A is."""
    assert AdapterPair("x", torch.randn(4, 9), torch.zeros(9, 4), 2.0).change_norm() == 0.0


def test_peft_s_warning_is_silenced_and_no_other() -> None:
    """Only the renamed question, and only inside."""
    with quiet_peft():
        warnings.warn("`is_gradient_checkpointing` is deprecated", FutureWarning, stacklevel=1)
        with pytest.raises(FutureWarning):
            warnings.warn("something else", FutureWarning, stacklevel=1)
    with pytest.raises(FutureWarning):
        warnings.warn("`is_gradient_checkpointing` is deprecated", FutureWarning, stacklevel=1)
