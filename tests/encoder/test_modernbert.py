"""ModernBERT as its configurations may say: files alone and the lean pass against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.encoder.artefacts import assert_close, both, moved, padded, random_tokens
from tests.toy_setups import toy_classifier
from tests.toys import toy_encoder
from tightfit.data.batches import collate
from tightfit.encoder import FrozenEncoder, UnknownInside
from tightfit.encoder.on_torch import all_logits
from tightfit.model.lean import LeanEncoder, why_not_lean

EVERYWHERE = "adapters.targets=query,attention-output,mlp-in,mlp-out"

WAYS: dict[str, dict[str, Any]] = {
    "first-token": {},
    "average": {"classifier_pooling": "mean"},
    "biases": dict.fromkeys(("attention_bias", "mlp_bias", "norm_bias", "classifier_bias"), True),
    "other-bases": {"global_rope_theta": 500.0, "local_rope_theta": 40.0},
    "other-layers": {"layer_types": ["sliding_attention"] * 2 + ["full_attention"]},
    "narrow": {"global_attn_every_n_layers": 2, "local_attention": 3},
    "other-norms": {"norm_eps": 1e-2, "classifier_activation": "silu"},
}

LENGTHS = ([1, 5, 64, 2], [9, 9], [1])
"""Padded up to the longest that it reads, and beyond what local attention sees; unpadded; one."""


def stirred(folder: Path) -> Path:
    """No tensor is as the library first sets it: norms, and what biases there are."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    torch.manual_seed(5)
    tensors = {name: x + 0.2 * torch.randn_like(x) for name, x in tensors.items()}
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


@pytest.fixture(params=WAYS)
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Three layers, of which one at least attends to neighbours alone."""
    more = {"num_hidden_layers": 3, **WAYS[request.param]}
    return stirred(toy_encoder(tmp_path / "encoder", "modernbert", **more))


def test_files_alone_answer_as_transformers_does(encoder: Path, tmp_path: Path) -> None:
    """Unmerged by numpy, merged by torch."""
    ours, theirs = both(encoder, tmp_path / "run", EVERYWHERE)
    for lengths in LENGTHS:
        tokens = random_tokens(lengths, 64)
        expected = padded(theirs, tokens)
        assert_close(ours.logits(tokens), expected)
        assert_close(all_logits(ours.on_torch(), tokens), expected)


@pytest.mark.parametrize("settings", [(EVERYWHERE,), (EVERYWHERE, "adapters.dora=true")])
@pytest.mark.parametrize("lengths", LENGTHS)
def test_lean_logits_and_gradients_are_those_of_the_stock_class(
    lengths: list[int], settings: tuple[str, ...], encoder: Path
) -> None:
    """To a share of the largest of each tensor."""
    classifier = moved(encoder, *settings)
    classifier.module.eval()
    batch = collate(random_tokens(lengths, 64), range(len(lengths)))
    found = []
    for way in (LeanEncoder(classifier.module, torch.float32).logits, classifier.logits):
        classifier.module.zero_grad()
        logits_BK = way(batch)
        logits_BK.square().sum().backward()
        grads = {n: p.grad.numpy() for n, p in classifier.trainable().items() if p.grad is not None}
        found.append({"logits": logits_BK.detach().numpy(), **grads})
    lean, own = found
    assert lean.keys() == own.keys()
    for name, expected in own.items():
        assert_close(lean[name], expected, 3e-5)


def test_in_bf16_what_blocks_add_up_stays_in_fp32(tmp_path: Path) -> None:
    """A head that computes in fp32 then answers closer than autocast's: here ten times."""
    classifier = toy_classifier(toy_encoder(tmp_path, "modernbert", num_hidden_layers=4))
    classifier.module.eval()
    batch = collate(random_tokens(range(1, 33), 64), range(32))
    with torch.inference_mode():
        due = classifier.logits(batch)
        with torch.autocast("cpu", torch.bfloat16):
            cast = classifier.logits(batch)
        lean = LeanEncoder(classifier.module, torch.bfloat16).logits(batch)
    assert 0 < (lean - due).norm() < 0.3 * (cast - due).norm()


def test_scaled_positions_are_left_to_transformers(tmp_path: Path) -> None:
    """Both ways round, with the same reason."""
    scaled = {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}
    more = {"rope_parameters": {"full_attention": scaled, "sliding_attention": scaled}}
    folder = toy_encoder(tmp_path / "scaled", "modernbert", **more)
    with pytest.raises(UnknownInside, match="its rotary positions are scaled"):
        FrozenEncoder.of(folder)
    module = moved(folder).module
    assert why_not_lean(module, frozen_dropout=False) == "its rotary positions are scaled"


def test_the_dropout_inside_its_mlp_is_left_to_transformers(tmp_path: Path) -> None:
    """Where there is any, and it is to act."""
    module = moved(toy_encoder(tmp_path / "drops", "modernbert", mlp_dropout=0.1)).module
    assert why_not_lean(module, frozen_dropout=False) is None
    assert "acts inside the MLP" in str(why_not_lean(module, frozen_dropout=True))
