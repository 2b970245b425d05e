"""Saved artefacts of toy classifiers that changed everywhere, and transformers' own answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.toy_setups import toy_classifier
from tightfit.data.batches import collate
from tightfit.data.tokens import Tokens
from tightfit.encoder import FrozenClassifier, open_classifier
from tightfit.model.artefact import load_artefact, save_artefact
from tightfit.model.classifier import Classifier
from tightfit.model.locate import locate

Floats = NDArray[np.float32]


def moved(encoder: Path, *settings: str, **more: Any) -> Classifier:
    """A toy classifier whose trainable tensors all differ from how they started."""
    classifier = toy_classifier(encoder, *settings, **more)
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in classifier.trainable().values():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return classifier


def both(
    encoder: Path, folder: Path, *settings: str, **more: Any
) -> tuple[FrozenClassifier, Classifier]:
    """One artefact in ``folder``, opened here and loaded by transformers and peft."""
    classifier = moved(encoder, *settings, **more)
    save_artefact(classifier, folder)
    theirs = load_artefact(folder, locate(str(encoder)), classifier.plan, classifier.task)
    return open_classifier(folder, encoder), theirs


def tokens_of(rows: Sequence[Sequence[int]], max_length: int) -> Tokens:
    """Given token ids as rows."""
    offsets = np.cumsum([0, *map(len, rows)])
    return Tokens(np.concatenate(rows).astype(np.int32), offsets, 0, max_length, pad_id=0)


def random_tokens(lengths: Sequence[int], max_length: int) -> Tokens:
    """Rows of these lengths, with every word, padding's own among them."""
    chance = np.random.default_rng(3)
    return tokens_of([chance.integers(0, 26, n).tolist() for n in lengths], max_length)


@torch.inference_mode()
def padded(classifier: Classifier, tokens: Tokens) -> Floats:
    """Of all rows in one batch of transformers' own forward pass."""
    logits: Any = classifier.logits(collate(tokens, range(len(tokens))))
    return np.asarray(logits.numpy(), np.float32)


def assert_close(ours: Floats, theirs: Floats, share: float = 1e-5) -> None:
    """Equal to a share of the largest logit."""
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * np.abs(theirs).max())
