"""Tokens that fits share: the same as ever, each text once, within a limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toys import WORDS, toy_tokenizer
from tightfit.config import KeptText
from tightfit.data.shared_work import (
    OVERHEAD_BYTES,
    BoundedMemory,
    SharedTokens,
    SharedWork,
    once,
    shared_work,
    sharing,
)
from tightfit.data.text_tokenizer import tokenise
from tightfit.data.tokens import TextTokens

TEXTS = [" ".join(WORDS[i : i + 1 + i % 9]) for i in range(20)]


def one_token(texts: Sequence[str]) -> list[TextTokens]:
    """A token a text, and a note of what was asked."""
    asked.append(list(texts))
    return [TextTokens(np.array([len(text)], np.int32), (1,), False) for text in texts]


asked: list[list[str]] = []


@pytest.mark.parametrize("long_text", ["head", "head+tail", "windows"])
def test_shared_tokens_are_the_same(long_text: KeptText) -> None:
    """Counts of cut texts and windows too, whether they are found or made."""
    tokenizer, shared = toy_tokenizer(), SharedWork()
    plain = tokenise(tokenizer, TEXTS, 6, long_text=long_text)
    for texts in (TEXTS[:8], TEXTS, TEXTS):
        with sharing(shared):
            found = tokenise(tokenizer, texts, 6, long_text=long_text)
    assert shared_work() is None
    assert found.ids.tolist() == plain.ids.tolist()
    assert found.offsets.tolist() == plain.offsets.tolist()
    assert (found.truncated, found.max_length) == (plain.truncated, 6)
    assert found.truncated > 0 or long_text == "windows"
    assert (found.windows is None) == (plain.windows is None)
    assert found.windows is None or found.windows.tolist() == plain.windows.tolist()  # type: ignore[union-attr]  # both or neither


def test_another_length_is_another_way() -> None:
    """And so is another tokenizer."""
    shared, tokenizer = SharedWork(), toy_tokenizer()
    with sharing(shared):
        assert tokenise(tokenizer, TEXTS, 6).lengths.max() == 6
        assert tokenise(tokenizer, TEXTS, 5).lengths.max() == 5
        assert len(shared.tokens) == 2 * len(set(TEXTS))
        tokenizer.backend_tokenizer.add_tokens(["goal match"])
        tokenise(tokenizer, TEXTS, 5)
    assert len(shared.tokens) == 3 * len(set(TEXTS))


def test_each_text_is_encoded_once() -> None:
    """Also where it stands twice in one call; another way of encoding is asked again."""
    asked.clear()
    shared = SharedTokens()
    rows = shared.rows("a", ["x", "yy", "x"], one_token)
    assert [int(row.ids[0]) for row in rows] == [1, 2, 1]
    shared.rows("a", ["yy", "zzz"], one_token)
    shared.rows("b", ["yy"], one_token)
    assert asked == [["x", "yy"], ["zzz"], ["yy"]]


def test_what_was_used_least_recently_goes_first() -> None:
    """Within the limit; what alone is beyond it drives nothing out."""
    asked.clear()
    entry = OVERHEAD_BYTES + 1 + 4
    shared = SharedTokens(2 * entry)
    for texts in (["a"], ["b"], ["a"], ["c"], ["a"]):
        shared.rows("way", texts, one_token)
    assert asked == [["a"], ["b"], ["c"]]
    assert (len(shared), shared.bytes) == (2, 2 * entry)
    shared.rows("way", ["d" * 3 * entry], one_token)
    assert (len(shared), shared.bytes) == (2, 2 * entry)


def test_a_result_is_made_once_where_work_is_shared() -> None:
    """By its key; elsewhere every time. Large ones go first, by their bytes."""
    made: list[int] = []

    def make() -> NDArray[np.float64]:
        made.append(1)
        return np.zeros(10)

    work = SharedWork(results=BoundedMemory(OVERHEAD_BYTES + 80))
    for key in ("a", "a", "b", "b", "a"):
        once(lambda: 1 / 0, make)
        with sharing(work):
            assert once(lambda key=key: key, make).shape == (10,)  # type: ignore[misc]
    assert len(made) == 5 + 3
    assert (len(work.results), work.results.bytes) == (1, OVERHEAD_BYTES + 80)
