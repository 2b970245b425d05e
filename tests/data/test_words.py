"""Words of any script, as parts of a text that can be left out."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.words import merged, without, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Don't stop: 3.5 million e-mails!", ["Don't", "stop", "3.5", "million", "e-mails"]),
        ("(so…much) #tag @user a_b", ["so", "much", "tag", "user", "a_b"]),
        (
            "I \u2764\ufe0f it \U0001f469\u200d\U0001f467 now",
            [
                "I",
                "\u2764\ufe0f",
                "it",
                "\U0001f469\u200d\U0001f467",
                "now",
            ],
        ),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعالم"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("今日は良い天気。GDP", ["今日", "は", "良", "い", "天気", "GDP"]),
        ("ราคาหุ้นตก", ["ราคา", "หุ้นตก"]),
        ("", []),
        (" \n!?", []),
    ],
)
def test_words_of_many_scripts(text: str, found: list[str]) -> None:
    """Blanks divide most; others are cut into short runs, never between a letter and its mark."""
    assert [text[start:end] for start, end in words(text)] == found


@given(st.text(max_size=60), st.integers(1, 5))
def test_words_stand_apart_and_in_order(text: str, most: int) -> None:
    """Whatever is written: none is empty, none overlaps; merged ones hold all of them."""
    spans = words(text)
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert end <= start
    assert all(start < end for start, end in spans)
    few = merged(spans, most)
    assert len(few) == min(most, len(spans))
    assert {span for span in spans if any(a <= span[0] and span[1] <= b for a, b in few)} == {
        *spans
    }


@pytest.mark.parametrize(
    ("text", "span", "left"),
    [
        ("a big dog", (2, 5), "a dog"),
        ("big dog", (0, 3), " dog"),
        ("a big", (2, 5), "a "),
        ("a big, dog", (2, 5), "a , dog"),
        ("天気です", (0, 2), "です"),
    ],
)
def test_a_word_is_left_out_with_one_blank(text: str, span: tuple[int, int], left: str) -> None:
    """Two blanks would be a change of their own."""
    assert without(text, span) == left
