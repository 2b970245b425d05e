"""The lean forward pass gives what the model's own gives, with less work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.fixtures import Encoders
from tests.toy_setups import TEXTS, toy_classifier, toy_job, toy_loop
from tests.toys import toy_encoder
from tightfit.data.batches import Batch, collate
from tightfit.data.text_tokenizer import tokenise
from tightfit.encoder.packed import packing_pays
from tightfit.families import COMPUTED
from tightfit.model import projections
from tightfit.model.classifier import Classifier
from tightfit.model.lean import LeanEncoder, why_not_lean

ALL_LINEAR = "adapters.targets=query,key,value,attention-output,mlp-in,mlp-out"


def busy_classifier(encoder: Path, *settings: str) -> Classifier:
    """A toy whose adapters all change something: B is drawn at random."""
    classifier = toy_classifier(encoder, *settings)
    for name, tensor in classifier.trainable().items():
        if name.endswith("lora_B.weight"):
            torch.nn.init.normal_(tensor, std=0.2)
    classifier.module.eval()
    return classifier


TARGETS_N = np.array([0, 1, 1, 0])


def batch_of(classifier: Classifier, texts: list[str]) -> Batch:
    """All texts in one batch."""
    return collate(tokenise(classifier.tokenizer, texts, 32), range(len(texts)), TARGETS_N)


def gradients(classifier: Classifier, logits_BK: torch.Tensor) -> dict[str, torch.Tensor]:
    """Of everything that trains, for a loss on these logits."""
    classifier.module.zero_grad()
    F.cross_entropy(logits_BK, torch.tensor([0, 1, 1, 0])).backward()
    return {
        n: torch.zeros(1) if p.grad is None else p.grad for n, p in classifier.trainable().items()
    }


@pytest.mark.parametrize("family", COMPUTED)
@pytest.mark.parametrize("targets", ["adapters.targets=query,value", ALL_LINEAR])
def test_logits_and_gradients_are_those_of_the_own_path(
    family: str, targets: str, encoders: Encoders
) -> None:
    """Padded rows, every kind of adapter, every family whose inside is known."""
    classifier = busy_classifier(encoders(family), targets)
    batch = batch_of(classifier, TEXTS)
    own = classifier.logits(batch)
    expected = gradients(classifier, own)
    lean = LeanEncoder(classifier.module, torch.float32).logits(batch)
    torch.testing.assert_close(lean, own, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradients(classifier, lean), expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("texts", [["goal"] * 4, [TEXTS[0]] * 4])
def test_batches_without_padding_agree_too(texts: list[str], bert: Path) -> None:
    """Then no mask is made at all."""
    classifier = busy_classifier(bert)
    batch = batch_of(classifier, texts)
    lean = LeanEncoder(classifier.module, torch.float32).logits(batch)
    torch.testing.assert_close(lean, classifier.logits(batch), atol=1e-6, rtol=1e-5)


def test_a_head_alone_needs_no_graph_in_the_encoder(bert: Path) -> None:
    """Without adapters every layer is below the lowest one."""
    classifier = busy_classifier(bert, "adapters.method=none")
    lean = LeanEncoder(classifier.module, torch.float32)
    batch = batch_of(classifier, TEXTS)
    assert lean.frozen_depth == 2
    torch.testing.assert_close(lean.logits(batch), classifier.logits(batch), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("family", COMPUTED)
def test_below_the_lowest_adapter_nothing_trains(family: str, encoders: Encoders) -> None:
    """Logits and gradients of a plan for the upper half are still those of the own path."""
    classifier = busy_classifier(encoders(family), "adapters.layers=1")
    batch = batch_of(classifier, TEXTS)
    own = classifier.logits(batch)
    expected = gradients(classifier, own)
    lean = LeanEncoder(classifier.module, torch.float32)
    assert lean.frozen_depth == 1
    torch.testing.assert_close(lean.logits(batch), own, atol=1e-6, rtol=1e-5)
    found = gradients(classifier, lean.logits(batch))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_bf16_is_close_and_trains_the_same_tensors(family: str, encoders: Encoders) -> None:
    """Half precision keeps two digits; masked padded_tokens stay without weight."""
    classifier = busy_classifier(encoders(family))
    batch = batch_of(classifier, TEXTS)
    own = classifier.logits(batch)
    lean = LeanEncoder(classifier.module, torch.bfloat16).logits(batch)
    torch.testing.assert_close(lean, own, atol=0.03, rtol=0.03)
    grads = gradients(classifier, lean)
    assert all(g.dtype == torch.float32 and bool(g.any()) for g in grads.values())


@pytest.mark.parametrize("settings", [ALL_LINEAR, "adapters.targets=value", "adapters.method=ia3"])
def test_packed_weights_change_no_digit_that_counts(
    settings: str, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bf16 with frozen weights as oneDNN wants them, against plain ones: adapted or not."""
    if not packing_pays(torch.device("cpu"), torch.bfloat16):
        pytest.skip("packing needs AVX512")
    classifier = busy_classifier(bert, settings)
    batch, found = batch_of(classifier, TEXTS), []
    for packs in (True, False):
        monkeypatch.setattr(projections, "packing_pays", lambda *_, packs=packs: packs)
        logits_BK = LeanEncoder(classifier.module, torch.bfloat16).logits(batch)
        found.append((logits_BK.detach(), gradients(classifier, logits_BK)))
    torch.testing.assert_close(*found, atol=2e-2, rtol=2e-2)
    assert any(bool(g.any()) for n, g in found[0][1].items() if "classifier" not in n)


def test_losses_stay_the_same_over_a_hundred_steps(bert: Path, tmp_path: Path) -> None:
    """Rounding does not pile up: every training loss of 100 steps agrees to 1e-4."""
    losses = {}
    for path in ("own", "auto"):
        settings = ["train.max_steps=100", "optim.epochs=100", "train.eval_every=1"]
        setup = toy_job(bert, f"train.forward={path}", "optim.lr=1e-2", *settings)
        assert (setup.lean is None) == (path == "own")
        history = toy_loop(setup, tmp_path / path).fit().history
        losses[path] = [row["train_loss"] for row in history[1:]]
    assert len(losses["own"]) == 100
    assert losses["auto"] == pytest.approx(losses["own"], abs=1e-4)


@pytest.mark.parametrize(
    ("family", "settings", "reason"),
    [
        ("deberta-v2", [], "deberta-v2 has blocks that only transformers computes"),
        ("bert", ["adapters.method=full"], "every weight trains"),
    ],
)
def test_why_a_model_uses_its_own_path(
    family: str, settings: list[str], reason: str, encoders: Encoders
) -> None:
    """The reason is kept with the run, so it has to be a sentence."""
    module = toy_classifier(encoders(family), *settings).module
    assert why_not_lean(module, frozen_dropout=False) == reason


def test_a_decoder_uses_its_own_path(tmp_path: Path) -> None:
    """None of its tokens sees those behind it, which no lean pass heeds."""
    module = toy_classifier(toy_encoder(tmp_path, is_decoder=True)).module
    assert why_not_lean(module, frozen_dropout=False) == "the encoder is set up as a decoder"


def test_noise_in_the_block_that_stands_for_the_mean(bert: Path) -> None:
    """The lean path leaves that block out."""
    module = toy_classifier(bert).module
    assert why_not_lean(module, frozen_dropout=True) is None
    assert why_not_lean(module, frozen_dropout=False, pooling="mean") is None
    assert "for the mean" in str(why_not_lean(module, frozen_dropout=True, pooling="mean"))
