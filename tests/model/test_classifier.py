"""A built classifier: counted, copied, switched and asked for logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.toy_setups import LABELS, TEXTS, toy_classifier
from tests.toys import SMALL
from tightfit.data.batches import Batch, collate
from tightfit.data.text_tokenizer import tokenise
from tightfit.data.tokens import Tokens
from tightfit.errors import BudgetError
from tightfit.model.adapters import adapter_dropouts, base_model
from tightfit.model.classifier import Classifier, count_built, predict_logits

each_family = pytest.mark.parametrize("family", SMALL)


@pytest.fixture
def classifier(roberta: Path) -> Classifier:
    """A classifier that a test may change."""
    return toy_classifier(roberta, "adapters.dropout=0.1")


def tokens_of(classifier: Classifier) -> Tokens:
    """A few texts of different lengths."""
    return tokenise(classifier.tokenizer, TEXTS, 32)


def test_the_gate_counts_the_plan(classifier: Classifier) -> None:
    """Adapters of 4 x (32 + 32) on four layers, and the head of RoBERTa."""
    assert count_built(classifier) == 4 * 4 * 64 + (32 * 32 + 32) + (32 * 2 + 2)


def test_the_gate_sees_a_frozen_layer_that_was_thawed(classifier: Classifier) -> None:
    """One layer norm more than declared."""
    norm = base_model(classifier.module).get_submodule("roberta.embeddings.LayerNorm")
    norm.requires_grad_(True)
    with pytest.raises(BudgetError, match="trains other parameters") as caught:
        count_built(classifier)
    assert "14 tensors require gradients, 12 are declared" in str(caught.value)


def test_the_gate_sees_a_head_that_was_frozen(classifier: Classifier) -> None:
    """One tensor fewer than declared."""
    classifier.trainable()["classifier.dense.bias"].requires_grad_(False)
    with pytest.raises(BudgetError, match="11 tensors require gradients, 12 are declared"):
        count_built(classifier)


def test_a_state_is_a_copy_that_can_be_put_back(classifier: Classifier) -> None:
    """Later changes do not reach it, and loading undoes them bit for bit."""
    before = classifier.state()
    with torch.no_grad():
        for parameter in classifier.trainable().values():
            parameter.add_(1.0)
    assert not any(torch.equal(before[n], p) for n, p in classifier.trainable().items())
    classifier.load_state(before)
    assert all(torch.equal(before[n], p) for n, p in classifier.trainable().items())


def test_a_state_of_another_plan_is_our_own_mistake(classifier: Classifier) -> None:
    """It is asserted, not half loaded."""
    state = classifier.state()
    del state["classifier.dense.bias"]
    with pytest.raises(AssertionError, match="another plan"):
        classifier.load_state(state)


def test_the_same_seed_builds_the_same_classifier(roberta: Path) -> None:
    """New layers and adapters draw from torch's generator and from nothing else."""
    first, second = toy_classifier(roberta).state(), toy_classifier(roberta).state()
    assert all(torch.equal(first[name], second[name]) for name in first)


def active(module: nn.Module) -> set[str]:
    """Names of the dropouts that act."""
    return {n for n, m in module.named_modules() if isinstance(m, nn.Dropout) and m.training}


def test_quiet_training_keeps_the_frozen_dropouts_off(classifier: Classifier) -> None:
    """Only the adapters' own and the head's act (PEFT's unused copy of the head aside)."""
    classifier.train_mode(frozen_dropout=False)
    names = {n for n in active(classifier.module) if "original_module" not in n}
    assert len(names) == len(adapter_dropouts(classifier.module)) + 1
    assert all("lora_dropout" in name or ".classifier." in name for name in names)


def test_the_published_run_had_all_dropouts_on(classifier: Classifier) -> None:
    """Those of the frozen encoder as well."""
    classifier.train_mode(frozen_dropout=True)
    assert any("embeddings" in name for name in active(classifier.module))
    classifier.train_mode(frozen_dropout=False)
    assert not any("embeddings" in name for name in active(classifier.module))


def test_where_everything_trains_all_dropouts_act(roberta: Path) -> None:
    """Nothing is frozen, so ``model.frozen_dropout`` has nothing to say."""
    classifier = toy_classifier(roberta, recipe="full")
    classifier.train_mode(frozen_dropout=False)
    assert all(module.training for module in classifier.module.modules())


def test_prediction_switches_every_dropout_off(classifier: Classifier) -> None:
    """Two predictions agree to the bit."""
    classifier.train_mode(frozen_dropout=True)
    first = predict_logits(classifier, tokens_of(classifier), batch=2)
    assert active(classifier.module) == set()
    np.testing.assert_array_equal(first, predict_logits(classifier, tokens_of(classifier), batch=2))


@each_family
def test_padding_and_company_do_not_matter(family: str, encoders: Callable[[str], Path]) -> None:
    """A text has the logits that it has alone, in the order of the texts."""
    classifier = toy_classifier(encoders(family))
    tokens = tokens_of(classifier)
    together = predict_logits(classifier, tokens, batch=len(tokens))
    for row, logits_K in enumerate(together):
        alone = predict_logits(classifier, tokens.select([row]), batch=1)[0]
        np.testing.assert_allclose(logits_K, alone, rtol=0, atol=1e-5)


def test_no_texts_have_no_logits(classifier: Classifier) -> None:
    """An empty input is an empty output, with its columns."""
    tokens = tokenise(classifier.tokenizer, [], 32)
    assert predict_logits(classifier, tokens, batch=4).shape == (0, 2)


def test_logits_are_fp32_under_autocast(classifier: Classifier) -> None:
    """The loss is always computed in full precision, though the products were not."""
    classifier.module.eval()
    batch = collate(tokens_of(classifier), [0, 1])
    plain = classifier.logits(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = classifier.logits(batch)
    assert rounded.dtype == torch.float32
    assert 0 < float((rounded - plain).detach().abs().max()) < 0.1


def test_recomputation_is_switched_on_by_the_settings(roberta: Path) -> None:
    """The same logits, while the layers keep nothing but their inputs."""
    plain = toy_classifier(roberta)
    saving = toy_classifier(roberta, "train.checkpointing=on")
    batch = collate(tokens_of(plain), [0, 1])
    assert saved_bytes(saving, batch) < saved_bytes(plain, batch) / 2
    torch.testing.assert_close(saving.logits(batch), plain.logits(batch))


def saved_bytes(classifier: Classifier, batch: Batch) -> int:
    """What autograd keeps of a forward pass, weights aside."""
    classifier.module.eval()
    kept: dict[int, int] = {}
    weights = {p.data_ptr() for p in classifier.module.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        classifier.logits(batch)
    return sum(kept.values())


def test_label_names_travel_with_the_classifier(classifier: Classifier) -> None:
    """In the order of their logits, also inside the model's own settings."""
    assert classifier.task.names == LABELS
    assert base_model(classifier.module).config.id2label == dict(enumerate(LABELS))
