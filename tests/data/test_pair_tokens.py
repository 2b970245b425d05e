"""Tokens of pairs against transformers' own encoding of pairs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from tests.toys import WORDS, toy_tokenizer
from tightfit.data import text_tokenizer as home
from tightfit.data.batches import collate
from tightfit.data.text_pair import TextPair, mapped
from tightfit.data.text_tokenizer import SEGMENTS, TextTokenizer, tokenise
from tightfit.data.token_cache import TokenCache, fingerprint
from tightfit.data.tokens import Tokens


def words_of(chance: random.Random, longest: int) -> str:
    """Some words, or none."""
    return " ".join(chance.choices(WORDS, k=chance.randint(0, longest)))


def random_pairs(count: int = 200, longest: int = 20) -> list[TextPair]:
    """Pairs of which either text is longer, or both are empty."""
    chance = random.Random(1)
    return [TextPair(words_of(chance, longest), words_of(chance, longest)) for _ in range(count)]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """Of a family that is told segments."""
    made = toy_tokenizer()
    made.model_input_names = ["input_ids", "attention_mask", SEGMENTS]
    return made


def theirs(
    tokenizer: PreTrainedTokenizerFast, pairs: list[TextPair], max_length: int
) -> dict[str, Any]:
    """As transformers encodes them, padded."""
    sides: Any = [pair.first for pair in pairs], [pair.second for pair in pairs]
    found = tokenizer(*sides, truncation="longest_first", max_length=max_length, padding=True)
    return dict(found)


@pytest.mark.parametrize("max_length", [4, 9, 12, 13, 60])
@pytest.mark.parametrize("side", ["right", "left"])
def test_pairs_are_encoded_and_cut_as_by_transformers(
    max_length: int, side: str, tokenizer: PreTrainedTokenizerFast
) -> None:
    """The longer text loses its end first; batches are padded alike."""
    tokenizer.truncation_side = side
    pairs = random_pairs()
    found = tokenise(tokenizer, pairs, max_length)
    batch, wanted = collate(found, range(len(pairs))), theirs(tokenizer, pairs, max_length)
    assert {name: tensor.tolist() for name, tensor in batch.inputs.items()} == wanted
    whole = [len(pair.split()) + 3 for pair in pairs]
    assert found.truncated == sum(length > max_length for length in whole)


def test_families_without_segments_are_given_none(tokenizer: PreTrainedTokenizerFast) -> None:
    """Their own separators tell the texts apart."""
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    found = tokenise(tokenizer, random_pairs(3), 12)
    assert found.segments is None
    assert list(collate(found, [0, 1]).inputs) == ["input_ids", "attention_mask"]


def test_single_texts_have_no_segments(tokenizer: PreTrainedTokenizerFast) -> None:
    """All are of the first, which encoders take for granted."""
    assert tokenise(tokenizer, ["goal", "bank"], 12).segments is None


@pytest.mark.parametrize("text", ["goal " * 9_000, "x" * 90_000, " " * 90_000 + "goal " * 20])
def test_very_long_texts_are_read_far_enough(
    text: str, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is never looked at, and changes nothing; the library by itself would keep all
    combinations of what it cuts off, and run out of memory.
    """
    monkeypatch.setattr(home, "SPARE_TOKENS", 4)
    pairs = [TextPair(text, "bank profit"), TextPair("bank", text), TextPair(text, text)]
    found = tokenise(tokenizer, pairs, 12)
    short = [mapped(pair, lambda each: " ".join(each.split()[:30])) for pair in pairs]
    wanted = theirs(tokenizer, [each for each in short if isinstance(each, TextPair)], 12)
    assert collate(found, [0, 1, 2]).ids_BL.tolist() == wanted["input_ids"]


def test_chosen_rows_keep_their_segments(tokenizer: PreTrainedTokenizerFast) -> None:
    """In any order, and none at all."""
    found = tokenise(tokenizer, random_pairs(9), 12)
    chosen = found.select([7, 2])
    whole, part = (collate(each, rows) for each, rows in ((found, [7, 2]), (chosen, [0, 1])))
    assert part.inputs[SEGMENTS].tolist() == whole.inputs[SEGMENTS].tolist()
    empty = found.select([]).segments
    assert empty is not None
    assert len(empty) == 0


def same(one: Tokens, other: Tokens) -> bool:
    """Whether tokens and segments are alike."""
    parts = [(each.ids, each.segments) for each in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*parts, strict=True))


def test_the_cache_keeps_segments_and_tells_pairs_from_texts(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One with a tab in it among them."""
    monkeypatch.setattr("tightfit.data.token_cache.MANY_CHARACTERS", 0)
    pairs = random_pairs(5)
    cache = TokenCache(10**9, pytest.fail)
    first, again = (cache.tokenise(tokenizer, pairs, 12) for _ in range(2))
    assert same(first, tokenise(tokenizer, pairs, 12))
    assert same(first, again)
    others = (["a\tb"], [TextPair("a", "b")], [TextPair("a\tb", "")])
    assert len({fingerprint(tokenizer, each, 12, "head") for each in others}) == 3


def test_a_folder_says_whether_segments_are_told(tmp_path: Path) -> None:
    """By its encoder; a run's adapter by what its tokenizer was saved with."""
    made = toy_tokenizer()
    made.save_pretrained(tmp_path)
    assert not TextTokenizer.of(tmp_path).segments
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert TextTokenizer.of(tmp_path).segments
    (tmp_path / "config.json").write_text('{"model_type": "roberta", "type_vocab_size": 2}')
    assert not TextTokenizer.of(tmp_path).segments
