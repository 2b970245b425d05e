"""Tokens by the ``tokenizers`` library alone are those of ``AutoTokenizer``."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import transformers
from transformers import AutoTokenizer

from tests.toys import toy_tokenizer
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.data.tokens import Tokens
from tightfit.errors import ModelError

TEXTS = [
    *("Stocks fell for a third day.", "  İstanbul Ünïcode ﬁ ", "日本語 text 한국어"),
    *("<s> hi </s> [SEP] <pad> [PAD] [MASK] <mask> <unk>", "a\u0301 \u200b\n\ttabs", "😀👍🏽"),
    *("", "I'm don't", "x" * 300, "Hello   world, hello   WORLD"),
]
CLASSES = [
    *("BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer"),
    *("RobertaTokenizer", "XLMRobertaTokenizer", "CamembertTokenizer"),
]


def rows_of(tokens: Tokens) -> list[list[int]]:
    """Ids of each text."""
    ends = zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True)
    return [tokens.ids[start:end].tolist() for start, end in ends]


@pytest.mark.filterwarnings("ignore")  # of tokenizers that are made empty and then trained
@pytest.mark.parametrize("name", CLASSES)
def test_tokens_are_those_of_the_class(name: str, tmp_path: Path) -> None:
    """Every kind of tokenizer that the families use, trained on a few words; cut and whole."""
    made = getattr(transformers, name)()
    made.train_new_from_iterator(TEXTS * 20, 300).save_pretrained(tmp_path)
    theirs, ours = AutoTokenizer.from_pretrained(tmp_path), TextTokenizer.of(tmp_path)
    for length in (8, 64):
        expected = theirs(TEXTS, truncation=True, max_length=length)["input_ids"]
        assert rows_of(ours.tokens(TEXTS, length)) == expected
    assert (ours.pad_id, ours.longest) == (theirs.pad_token_id, None)


def rewrite(folder: Path, **settings: Any) -> None:
    """Other values in ``tokenizer_config.json``."""
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_what_the_configuration_says(tmp_path: Path) -> None:
    """The longest text, the side that is cut, and a padding token written out."""
    toy_tokenizer().save_pretrained(tmp_path)
    pad = {"__type": "AddedToken", "content": "<pad>", "lstrip": False}
    rewrite(tmp_path, truncation_side="left", pad_token=pad)
    ours, theirs = TextTokenizer.of(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    text = "goal match team coach season"
    expected = theirs(text, truncation=True, max_length=4)["input_ids"]
    assert rows_of(ours.tokens([text], 4)) == [expected]
    assert (ours.pad_id, ours.longest) == (0, 64)


def test_a_tokenizer_without_padding_is_refused(tmp_path: Path) -> None:
    """No batch can be made."""
    toy_tokenizer().save_pretrained(tmp_path)
    rewrite(tmp_path, pad_token=None)
    with pytest.raises(ModelError, match="no padding token"):
        TextTokenizer.of(tmp_path)


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    """By the name of the folder."""
    toy_tokenizer().save_pretrained(tmp_path)
    (tmp_path / name).write_text("{")
    with pytest.raises(ModelError, match="no usable tokenizer"):
        TextTokenizer.of(tmp_path)


def saved(folder: Path, **settings: Any) -> Path:
    """The toys' tokenizer in a folder of its own."""
    toy_tokenizer().save_pretrained(folder)
    rewrite(folder, **settings)
    return folder


def test_equal_files_share_a_tokenizer(tmp_path: Path) -> None:
    """And others do not; one that is handed to another process is its own there."""
    one, same = (TextTokenizer.shared(saved(tmp_path / name)) for name in "ab")
    left = TextTokenizer.shared(saved(tmp_path / "c", truncation_side="left"))
    assert one is same is not left
    assert left.truncation_side == "left"
    other = pickle.loads(pickle.dumps(one))
    assert rows_of(other.tokens(TEXTS, 8)) == rows_of(one.tokens(TEXTS, 8))


def test_threads_may_cut_elsewhere(tmp_path: Path) -> None:
    """Each has its own longest row, though the library remembers one for all."""
    tokenizer = TextTokenizer.shared(saved(tmp_path))
    lengths = [4, 6, 8, 10] * 100
    expected = {most: rows_of(tokenizer.tokens(TEXTS, most)) for most in set(lengths)}
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda most: rows_of(tokenizer.tokens(TEXTS, most)), lengths)
        assert list(found) == [expected[most] for most in lengths]
