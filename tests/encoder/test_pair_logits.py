"""Logits of pairs: numpy and torch against transformers and peft, in every family."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.data.test_pair_tokens import random_pairs
from tests.encoder.artefacts import assert_close, both, moved, padded
from tests.fixtures import Encoders
from tests.toys import SMALL, toy_encoder
from tightfit.data.batches import collate
from tightfit.data.text_pair import TextPair
from tightfit.data.text_tokenizer import tokenise
from tightfit.encoder.on_torch import all_logits
from tightfit.families import COMPUTED, reads_segments
from tightfit.families.sizes import read_object
from tightfit.model.lean import LeanEncoder

PAIRS = [TextPair("", ""), *random_pairs(6, 40), TextPair("goal " * 60, "bank " * 60)]
"""Of length 3, short, and as long as the encoder reads."""

each_family = pytest.mark.parametrize("family", COMPUTED)


@each_family
@pytest.mark.parametrize("recipe", ["tight", "full"])
def test_files_alone_answer_pairs_as_transformers_does(
    family: str, recipe: str, encoders: Encoders, tmp_path: Path
) -> None:
    """Padded there, unpadded here; the tokenizer is the saved one."""
    ours, theirs = both(encoders(family), tmp_path, recipe=recipe)
    assert ours.longest is not None
    tokens = ours.tokens(PAIRS, ours.longest)
    assert tokens.ids.tolist() == tokenise(theirs.tokenizer, PAIRS, ours.longest).ids.tolist()
    assert (tokens.segments is not None) == (family in ("bert", "electra"))
    expected = padded(theirs, tokens)
    assert_close(ours.logits(tokens), expected)
    assert_close(all_logits(ours.on_torch(), tokens), expected)


@each_family
def test_what_trains_computes_pairs_alike(family: str, encoders: Encoders) -> None:
    """The lean pass, whole and half-way."""
    classifier = moved(encoders(family))
    tokens = tokenise(classifier.tokenizer, PAIRS, 40)
    batch = collate(tokens, range(len(tokens)))
    lean = LeanEncoder(classifier.module, torch.float32, classifier.plan.pooling)
    found = lean.logits(batch).detach().numpy()
    assert_close(found, padded(classifier, tokens))


@pytest.mark.parametrize("family", sorted(SMALL))
def test_segments_are_what_the_model_of_transformers_takes(family: str, encoders: Encoders) -> None:
    """Where a family is told them they change the answer; no other is given any."""
    classifier = moved(encoders(family))
    told = reads_segments(read_object(encoders(family) / "config.json"))
    tokens = tokenise(classifier.tokenizer, PAIRS, 40)
    batch = collate(tokens, range(len(tokens)))
    with torch.inference_mode():
        out = classifier.module(**batch.inputs).logits
        plain = classifier.module(input_ids=batch.ids_BL, attention_mask=batch.mask_BL).logits
    assert ("token_type_ids" in batch.inputs) == told == (not torch.equal(out, plain))


def test_a_table_of_one_segment_is_not_asked_for_a_second(tmp_path: Path) -> None:
    """Its type_vocab_size says so."""
    ours, theirs = both(toy_encoder(tmp_path / "one", type_vocab_size=1), tmp_path / "run")
    tokens = ours.tokens(PAIRS, 30)
    assert tokens.segments is None
    assert_close(ours.logits(tokens), padded(theirs, tokens))
