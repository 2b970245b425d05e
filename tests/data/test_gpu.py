"""The GPU: where models compute, and how large its batches are."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.encoder.artefacts import both
from tests.toy_setups import TEXTS, Notes, toy_classifier, toy_settings
from tightfit.data import gpu
from tightfit.data.batches import most_padded_tokens
from tightfit.data.gpu import best_device
from tightfit.encoder import FrozenClassifier, open_classifier
from tightfit.encoder.on_torch import TorchForward
from tightfit.engines import engine
from tightfit.engines.engine import through_transformers, torch_engine
from tightfit.verbs import predict


@pytest.mark.parametrize(("seen", "name"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_comes_first(seen: bool, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch sees one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    assert best_device().type == name


def test_a_gpu_answers_few_rows_too(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By weights that are brought there once, and stay here when the classifier travels."""
    made: list[TorchForward] = []

    def on_torch(self: FrozenClassifier) -> TorchForward:
        made.append(TorchForward(self.network, device=torch.device("cpu")))
        return made[-1]

    ours, _ = both(bert, tmp_path)
    tokens = ours.tokens(TEXTS, 12)
    expected = ours.logits(tokens)
    monkeypatch.setattr(gpu, "best_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(FrozenClassifier, "on_torch", on_torch)
    for _ in range(2):
        np.testing.assert_allclose(ours.logits(tokens), expected, atol=1e-5)
    assert len(made) == 1
    assert not {"network", "_on_gpu"} & set(vars(pickle.loads(pickle.dumps(ours))))


def test_what_transformers_computes_moves(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all of its weights."""
    monkeypatch.setattr(engine, "best_device", lambda: torch.device("meta"))
    classifier = toy_classifier(bert)
    through_transformers(classifier, None)
    assert {p.device.type for p in classifier.module.parameters()} == {"meta"}


def test_the_padded_tokens_of_a_batch_can_be_set(bert: Path, tmp_path: Path) -> None:
    """In place of what suits the device, whichever way computes."""
    both(bert, tmp_path)
    for most in (77, None):
        ways = (
            open_classifier(tmp_path, bert, padded_tokens=most),
            through_transformers(toy_classifier(bert), None, most),
        )
        suited = most_padded_tokens(torch.device("cpu"))
        assert [torch_engine(way).padded_tokens for way in ways] == [most or suited] * 2


@pytest.mark.parametrize(
    ("seen", "most", "told"),
    [
        ("cuda", 500, ["batches of at most 500 tokens"]),
        ("cuda", "none", ["batches by its free memory"]),
        ("cpu", "none", []),
    ],
)
def test_people_hear_of_a_gpu(
    seen: str, most: object, told: list[str], bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of what sizes its batches."""
    monkeypatch.setattr(gpu, "best_device", lambda: torch.device(seen))
    notes = Notes()
    predict._tell_device(toy_settings(bert, f"predict.padded_tokens={most}"), notes)
    assert all(words in said for words, said in zip(told, notes.said, strict=True))
