"""The mean of all tokens: numpy, torch and the lean pass against a block of the stock classes."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from tests.encoder.artefacts import assert_close, both, moved, padded, random_tokens
from tests.fixtures import Encoders
from tests.model.test_lean import batch_of, busy_classifier, gradients
from tests.toy_setups import TEXTS, toy_classifier, toy_plan
from tests.toys import WITH_MEAN
from tightfit.encoder import AdapterWeights
from tightfit.encoder.on_torch import all_logits
from tightfit.encoder.tensors import Stored
from tightfit.families import FAMILIES, mean_block
from tightfit.model.encoders import layer_stack
from tightfit.model.lean import LeanEncoder

MEAN = "head.pooling=mean"

METHODS: dict[str, tuple[str, ...]] = {
    "lora": (),
    "everywhere": ("adapters.targets=query,key,value,attention-output,mlp-in,mlp-out",),
    "dora": ("adapters.dora=true",),
    "pissa": ("adapters.init=pissa",),
    "bias": ("adapters.method=bias",),
    "none": ("adapters.method=none",),
    "auto-head": ("head.kind=auto",),
}

each_family = pytest.mark.parametrize("family", WITH_MEAN)


@each_family
@pytest.mark.parametrize("method", METHODS)
def test_numpy_and_torch_answer_as_the_stock_classes_with_a_block(
    family: str, method: str, encoders: Encoders, tmp_path: Path
) -> None:
    """Of length 1, short, and as long as the encoder reads; padded there, unpadded here."""
    ours, theirs = both(encoders(family), tmp_path, MEAN, *METHODS[method])
    assert ours.network.reading == theirs.plan.pooling == "mean"
    assert ours.longest is not None
    tokens = random_tokens([1, 5, ours.longest, 2], ours.longest)
    expected = padded(theirs, tokens)
    assert_close(ours.logits(tokens), expected)
    assert_close(all_logits(ours.on_torch(), tokens), expected)


@each_family
@pytest.mark.parametrize("method", ["lora", "everywhere", "none", "auto-head"])
@pytest.mark.parametrize("texts", [TEXTS, ["goal"] * 4, [TEXTS[0]] * 4])
def test_the_lean_pass_has_logits_and_gradients_of_the_stock_classes(
    family: str, method: str, texts: list[str], encoders: Encoders
) -> None:
    """Padded, of one word, and unpadded."""
    classifier = busy_classifier(encoders(family), MEAN, *METHODS[method])
    batch = batch_of(classifier, texts)
    own = classifier.logits(batch)
    expected = gradients(classifier, own)
    lean = LeanEncoder(classifier.module, torch.float32, "mean").logits(batch)
    torch.testing.assert_close(lean, own, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradients(classifier, lean), expected, atol=1e-6, rtol=1e-4)


@each_family
def test_the_state_is_a_mean_of_all_tokens(family: str, encoders: Encoders) -> None:
    """By the definition, from the states that transformers gives (weighted alike without a table
    of position biases)."""
    if family == "mpnet":
        pytest.skip("its positions weigh")
    classifier = toy_classifier(encoders(family), MEAN, "adapters.method=none")
    batch = batch_of(classifier, TEXTS)
    model, inside = classifier.module.base_model, FAMILIES[family].inside
    assert inside is not None
    with torch.no_grad():
        out = model(batch.ids_BL, batch.mask_BL, output_hidden_states=True)
        found_BH = LeanEncoder(classifier.module, torch.float32, "mean").prefix(batch)[:, 0]
    rows = zip(out.hidden_states[-2], batch.mask_BL.bool(), strict=True)
    state_BH = torch.stack([x[keep].mean(0) + x[0] / 128 for x, keep in rows])
    eps = inside.eps or model.config.layer_norm_eps
    due_BH = layer_norm(layer_norm(state_BH, (32,), eps=eps / 128**2), (32,), eps=eps)
    torch.testing.assert_close(found_BH, due_BH, atol=1e-5, rtol=1e-5)


def test_the_block_is_frozen_and_listed(bert: Path) -> None:
    """It trains nothing, costs nothing, and the plan names each of its tensors."""
    classifier = moved(bert, MEAN, "head.kind=auto")
    plan = classifier.plan
    block = dict(layer_stack(classifier.module)[-1].named_parameters())
    assert {f"bert.encoder.layer.2.{name}" for name in block} == set(plan.mean_block)
    assert not any(p.requires_grad for p in block.values())
    assert set(plan.mean_block) <= set(plan.saved_constants)
    assert plan.total == toy_plan(bert, "head.kind=auto").total
    assert type(plan).from_json(plan.to_json()) == plan


def _half(name: str, value: float) -> Stored:
    """Such a tensor of the block, in fp16."""
    matrix = name.endswith(".weight") and "LayerNorm" not in name
    return Stored((np.eye(512) if matrix else np.ones(512)).astype("<f2") * value, "F16")


def test_the_block_is_told_without_a_copy() -> None:
    """A first answer waits for it; one number that is another makes it no such block."""
    bert = FAMILIES["bert"]
    stored = {name: _half(name, value) for name, value in mean_block(bert, 0).items()}
    tracemalloc.start()
    assert AdapterWeights(tensors=stored).mean_block(bert, 0) == tuple(stored)
    assert tracemalloc.get_traced_memory()[1] < 512 * 512
    tracemalloc.stop()
    next(x for x in stored.values() if x.raw.ndim == 2).raw[3, 5] = 0.5
    assert AdapterWeights(tensors=stored).mean_block(bert, 0) == ()


def test_bf16_is_close(bert: Path) -> None:
    """Half precision keeps two digits."""
    classifier = busy_classifier(bert, MEAN)
    batch = batch_of(classifier, TEXTS)
    lean = LeanEncoder(classifier.module, torch.bfloat16, "mean").logits(batch)
    np.testing.assert_allclose(lean.detach(), classifier.logits(batch).detach(), atol=0.05)
