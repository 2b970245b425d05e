"""Words before every text, which the tokenizer puts there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tokenizers import processors
from transformers import AutoTokenizer

from tests.toys import toy_rows, toy_tokenizer
from tightfit.data.text_prefix import prefixed, put_prefix
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.errors import ModelError

TEXTS = [row["text"] for row in toy_rows(20)]


def test_it_is_as_if_the_words_stood_in_the_text(tmp_path: Path) -> None:
    """The very ids, also once ``transformers`` has saved and loaded it."""
    due = toy_tokenizer()([f"the team {text}" for text in TEXTS]).input_ids
    tokenizer = toy_tokenizer()
    put_prefix(tokenizer.backend_tokenizer, "the team ")
    assert tokenizer(TEXTS).input_ids == due
    tokenizer.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path)(TEXTS).input_ids == due
    own = TextTokenizer.of(tmp_path).tokens(TEXTS, 64)
    ends = own.offsets.tolist()
    assert [own.ids[a:b].tolist() for a, b in pairwise(ends)] == due


@pytest.mark.parametrize("prefix", ["", "the"])
def test_padding_that_a_tokenizer_comes_with_is_no_prefix(prefix: str) -> None:
    """As that of all-MiniLM-L6-v2, whose file pads every text to 128 tokens."""
    due = toy_tokenizer()([f"{prefix} {text}" for text in TEXTS]).input_ids
    backend = toy_tokenizer().backend_tokenizer
    backend.enable_padding(length=12)
    put_prefix(backend, prefix)
    backend.no_padding()
    assert [encoding.ids for encoding in backend.encode_batch(TEXTS)] == due


@pytest.mark.parametrize("long_text", ["head", "head+tail", "windows"])
def test_what_is_cut_keeps_it(long_text: str) -> None:
    """Every window, and whatever is left of a long text, begins with it."""
    tokenizer = toy_tokenizer()
    put_prefix(tokenizer.backend_tokenizer, "the team")
    reader = TextTokenizer(tokenizer.backend_tokenizer, 0)
    cut = reader.tokens(["goal " * 30], 8, long_text=long_text).flat  # type: ignore[arg-type]
    begin = tokenizer("", add_special_tokens=True).input_ids[:3]
    assert all(cut.ids[start : start + 3].tolist() == begin for start in cut.offsets[:-1])
    assert cut.lengths.max() == 8


def test_for_a_while(tmp_path: Path) -> None:
    """Then everything is as it was; an empty prefix changes nothing."""
    tokenizer, before = toy_tokenizer(), toy_tokenizer()(TEXTS).input_ids
    with prefixed(tokenizer.backend_tokenizer, "the"):
        assert tokenizer(TEXTS).input_ids != before
    assert tokenizer(TEXTS).input_ids == before
    put_prefix(tokenizer.backend_tokenizer, "")
    assert tokenizer(TEXTS).input_ids == before


def test_a_tokenizer_without_room_for_it_is_refused() -> None:
    """Only frames made of parts have it."""
    backend = toy_tokenizer().backend_tokenizer
    backend.post_processor = processors.BertProcessing(("</s>", 3), ("<s>", 2))
    with pytest.raises(ModelError, match="cannot put a prefix before every text") as raised:
        put_prefix(backend, "the")
    assert "BertProcessing" in str(raised.value)
