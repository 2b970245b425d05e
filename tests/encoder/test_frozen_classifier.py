"""Own logits against those of transformers and peft: every family, every method, every length."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.encoder.artefacts import assert_close, both, padded, random_tokens
from tests.fixtures import Encoders
from tests.toy_setups import TEXTS, toy_classifier
from tests.toys import toy_encoder
from tightfit.data.text_tokenizer import tokenise
from tightfit.encoder import frozen_classifier as home
from tightfit.encoder.on_torch import all_logits
from tightfit.encoder.padded_ops import ACTIVATIONS
from tightfit.families import COMPUTED

each_family = pytest.mark.parametrize("family", COMPUTED)

METHODS: dict[str, tuple[str, ...]] = {
    "lora": ("adapters.rslora=false",),
    "rslora": ("adapters.rslora=true",),
    "everywhere": ("adapters.targets=query,key,value,attention-output,mlp-in,mlp-out",),
    "dora": ("adapters.dora=true",),
    "pissa": ("adapters.init=pissa",),
    "vera": ("adapters.method=vera",),
    "ia3": ("adapters.method=ia3",),
    "bias": ("adapters.method=bias",),
    "none": ("adapters.method=none",),
    "stock-head": ("head.kind=stock",),
    "linear-head": ("head.kind=linear",),
}


@each_family
@pytest.mark.parametrize("method", METHODS)
def test_numpy_and_torch_answer_as_transformers_and_peft(
    family: str, method: str, encoders: Encoders, tmp_path: Path
) -> None:
    """Of length 1, short, and as long as the encoder reads; padded there, unpadded here."""
    if family in ("distilbert", "electra", "modernbert") and method == "linear-head":
        pytest.skip("a head whose activation is no tanh cannot be linear")
    if (family, method) == ("modernbert", "bias"):
        pytest.skip("it has no biases")
    ours, theirs = both(encoders(family), tmp_path, *METHODS[method])
    assert ours.longest is not None
    tokens = random_tokens([1, 5, ours.longest, 2], ours.longest)
    expected = padded(theirs, tokens)
    assert_close(ours.logits(tokens), expected)
    assert_close(all_logits(ours.on_torch(), tokens), expected)


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.parametrize("settings", [(), ("head.pooling=mean",)])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("family", ["bert", "mpnet"])
def test_packed_weights_answer_as_plain_ones(
    family: str, activation: str, settings: tuple[str, ...], tmp_path: Path
) -> None:
    """Numbers of tokens that oneDNN's products are given, and others; one row, and several."""
    encoder = toy_encoder(tmp_path / "encoder", family, hidden_act=activation)
    ours, _ = both(encoder, tmp_path / "run", *settings)
    for lengths in ([16], [1, 5, 7], [8, 8], [3]):
        tokens = random_tokens(lengths, 64)
        plain, packed = (all_logits(ours.on_torch(packed=way), tokens) for way in (False, True))
        assert_close(packed, plain)


def test_embeddings_may_be_as_wide_as_the_blocks(tmp_path: Path) -> None:
    """Then nothing widens them: ELECTRA's larger ones."""
    ours, theirs = both(toy_encoder(tmp_path / "wide", "electra", embedding_size=32), tmp_path)
    assert ours.network.embedding_projection is None
    tokens = random_tokens([1, 5], 64)
    assert_close(ours.logits(tokens), padded(theirs, tokens))


@each_family
def test_a_whole_model_is_its_own_encoder(family: str, encoders: Encoders, tmp_path: Path) -> None:
    """After full fine-tuning the artefact is all there is."""
    ours, theirs = both(encoders(family), tmp_path, recipe="full")
    tokens = random_tokens([3, 9], 64)
    assert ours.encoder.folder == tmp_path
    assert_close(ours.logits(tokens), padded(theirs, tokens))


@each_family
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_files_are_read_in_full(family: str, dtype: str, tmp_path: Path) -> None:
    """As transformers reads them for us: in fp32."""
    encoder = toy_encoder(tmp_path / "encoder", family)
    file = encoder / "model.safetensors"
    tensors = {k: v.to(getattr(torch, dtype)) for k, v in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    ours, theirs = both(encoder, tmp_path / "run")
    tokens = random_tokens([3, 9], 64)
    assert_close(ours.logits(tokens), padded(theirs, tokens))
    assert_close(all_logits(ours.on_torch(), tokens), padded(theirs, tokens))


def test_a_head_of_low_rank(bert: Path, tmp_path: Path) -> None:
    """Saved as the product of its factors."""
    labels = [str(i) for i in range(40)]
    settings = ("adapters.method=none", "head.kind=auto", "budget.cap=800")
    assert toy_classifier(bert, *settings, labels=labels).plan.head_ranks
    ours, theirs = both(bert, tmp_path, *settings, labels=labels)
    tokens = random_tokens([3, 9], 64)
    assert_close(ours.logits(tokens), padded(theirs, tokens))


def test_texts_become_the_same_tokens(bert: Path, tmp_path: Path) -> None:
    """By the tokenizer that was saved, cut at the same length."""
    ours, theirs = both(bert, tmp_path)
    texts = [*TEXTS, "", "goal " * 100]
    for long_text in ("head", "head+tail", "windows"):
        own = ours.tokens(texts, 12, long_text=long_text)
        expected = tokenise(theirs.tokenizer, texts, 12, long_text=long_text)
        assert own.ids.tolist() == expected.ids.tolist()
        assert own.flat.offsets.tolist() == expected.flat.offsets.tolist()
        assert (own.truncated, own.pad_id) == (expected.truncated, expected.pad_id)


@pytest.mark.parametrize("pays", [0, 10**12])
def test_few_rows_and_many_rows_answer_alike(
    pays: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several passes either way, told row by row, and windows joined to texts."""
    monkeypatch.setattr(home, "PAYS_FOR_MERGING", pays)
    monkeypatch.setattr(home, "NUMPY_TOKENS", 40)
    ours, theirs = both(bert, tmp_path)
    told: list[int] = []
    texts = [*TEXTS, "goal match " * 30] * 3
    tokens = ours.tokens(texts, 12, long_text="windows")
    logits_NK = ours.logits(tokens, advance=told.append)
    assert_close(logits_NK, tokens.by_text(padded(theirs, tokens.flat)))
    assert sum(told) == len(tokens.flat) > len(texts) == len(logits_NK)


def test_no_texts_have_no_logits(bert: Path, tmp_path: Path) -> None:
    """Of as many columns as ever."""
    ours, _ = both(bert, tmp_path)
    assert ours.logits(ours.tokens([], 12)).shape == (0, 2)
