"""A dense head as a linear one: fewer parameters, the same classes, the same function."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from tests.fixtures import Encoders
from tests.toy_setups import toy_classifier, toy_job, toy_loop, toy_plan, toy_settings
from tightfit.data.batches import collate
from tightfit.errors import SettingsError
from tightfit.model.adapter_audit import audit_folder
from tightfit.model.adapters import NEAR_IDENTITY, base_model, output_layer
from tightfit.model.artefact import load_artefact, save_artefact
from tightfit.model.locate import locate
from tightfit.training.optim import make_optimizer

LINEAR = "head.kind=linear"
TANH = ["roberta", "xlm-roberta", "camembert", "mpnet"]
OTHERS = ["electra", "distilbert", "deberta-v2"]


@pytest.mark.parametrize("family", [*TANH, "bert", "albert"])
def test_only_the_output_layer_trains(family: str, encoders: Encoders) -> None:
    """(width + 1) parameters a label, whatever the model's own head would cost."""
    plan = toy_plan(encoders(family), LINEAR)
    width = base_model(toy_classifier(encoders(family), LINEAR).module).config.hidden_size
    assert plan.head == 2 * (width + 1)
    assert plan.head <= toy_plan(encoders(family), "head.kind=stock").head


@pytest.mark.parametrize("family", OTHERS)
def test_a_head_without_tanh_stays_as_it_is(family: str, encoders: Encoders) -> None:
    """``auto`` leaves it, and ``linear`` says what is in the way."""
    stock = toy_plan(encoders(family), "head.kind=stock")
    assert toy_plan(encoders(family), "head.kind=auto") == stock
    with pytest.raises(SettingsError, match="what follows is no tanh"):
        toy_plan(encoders(family), LINEAR)


@pytest.mark.parametrize("family", TANH)
def test_logits_are_linear_in_the_first_state(family: str, encoders: Encoders) -> None:
    """Against a linear layer on the encoder's own output, to the curvature of the tanh."""
    classifier = toy_classifier(encoders(family), LINEAR)
    setup = toy_job(encoders(family), LINEAR)
    classifier.module.eval()
    batch = collate(setup.train.tokens, [0, 1, 2])
    layer = output_layer(classifier.module, classifier.plan)
    with torch.no_grad():
        layer.weight.normal_(std=1 / NEAR_IDENTITY)
        states = base_model(classifier.module).base_model(
            input_ids=batch.ids_BL, attention_mask=batch.mask_BL
        )
        first_BH = states.last_hidden_state[:, 0]
        due_BK = nn.functional.linear(NEAR_IDENTITY * first_BH, layer.weight, layer.bias)
        torch.testing.assert_close(classifier.logits(batch), due_BK, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("family", ["roberta", "mpnet"])
@pytest.mark.parametrize("method", ["lora", "none"])
def test_the_artefact_holds_the_constants(
    family: str, method: str, encoders: Encoders, tmp_path: Path
) -> None:
    """Loaded anew it answers alike, and the constants are in the file and not in the sum."""
    settings = (LINEAR, f"adapters.method={method}", "optim.lr=1e-2", "optim.epochs=1")
    setup = toy_job(encoders(family), *settings)
    toy_loop(setup, tmp_path / "checkpoints").fit()
    trained = setup.classifier
    assert save_artefact(trained, tmp_path / "artefact") == trained.plan.total
    source = locate(str(encoders(family)))
    anew = load_artefact(tmp_path / "artefact", source, trained.plan, trained.task)
    dense = base_model(anew.module).get_parameter(trained.plan.frozen_constants[0])
    assert torch.equal(dense, NEAR_IDENTITY * torch.eye(len(dense)))
    assert audit_folder(tmp_path / "artefact").trainable == trained.plan.total
    trained.module.eval()
    batch = collate(setup.validation.tokens, [0, 1, 2, 3])
    torch.testing.assert_close(anew.logits(batch), trained.logits(batch), atol=1e-5, rtol=1e-5)


def test_plain_transformers_knows_the_merged_model(roberta: Path, tmp_path: Path) -> None:
    """The stock class holds the whole function: no code of ours is needed to run it."""
    classifier = toy_classifier(roberta, LINEAR, "adapters.method=none")
    base_model(classifier.module).save_pretrained(tmp_path)
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    batch = collate(toy_job(roberta).train.tokens, [0, 1])
    out = plain(input_ids=batch.ids_BL, attention_mask=batch.mask_BL).logits
    classifier.module.eval()
    torch.testing.assert_close(out, classifier.logits(batch))


def steps_of(
    layer: nn.Linear, optimizer: torch.optim.Optimizer, x_BH: torch.Tensor
) -> torch.nn.Linear:
    """The layer after 20 steps towards alternating labels."""
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(layer(x_BH), torch.arange(len(x_BH)) % 2).backward()
        optimizer.step()
    return layer


def test_the_step_is_that_of_a_linear_layer_on_the_states(roberta: Path) -> None:
    """AdamW at 1 / s times the rate on weights 1 / s times as large: the same function."""
    classifier = toy_classifier(roberta, LINEAR)
    layer = output_layer(classifier.module, classifier.plan)
    plain = nn.Linear(layer.in_features, 2)
    with torch.no_grad():
        plain.weight.copy_(layer.weight * NEAR_IDENTITY)
        plain.bias.copy_(layer.bias)
    settings = toy_settings(roberta, "optim.lr=0.05", "optim.weight_decay=0.1").optim
    optimizer = make_optimizer(classifier.trainable(), settings, classifier.plan)
    for group in optimizer.param_groups:
        group["lr"] = 0.05 * group["rate"]
    groups = [{"params": [plain.weight], "weight_decay": 0.1}, {"params": [plain.bias]}]
    peer = torch.optim.AdamW(groups, lr=0.05, weight_decay=0.0)
    states_BH = torch.randn(8, 32, generator=torch.Generator().manual_seed(3))
    found = steps_of(layer, optimizer, NEAR_IDENTITY * states_BH).weight * NEAR_IDENTITY
    torch.testing.assert_close(found, steps_of(plain, peer, states_BH).weight, atol=1e-3, rtol=1e-3)
