"""Pairs of texts: strings to whoever does not ask, two texts to whoever does."""

from __future__ import annotations

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.checks.repeats import text_key
from tightfit.data.text_pair import TextPair, as_bytes, mapped
from tightfit.data.words import without, words

SIDES = st.text("ab \t", max_size=4)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_pairs_are_the_same_if_both_of_their_texts_are(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Also where a tab inside would make the strings equal; and a pair is no single text."""
    pairs = TextPair(*one), TextPair(*other)
    assert (pairs[0] == pairs[1]) == (one == other) != (pairs[0] != pairs[1])
    assert (as_bytes(pairs[0]) == as_bytes(pairs[1])) == (one == other)
    assert (len(set(pairs)) == 1) == (one == other)
    assert pairs[0] != "\t".join(one)
    assert as_bytes(pairs[0]) != as_bytes("\t".join(one))


def test_a_pair_survives_copies_and_other_processes() -> None:
    """With both of its texts."""
    pair = TextPair("a\tb", "c")
    for other in (copy.deepcopy(pair), pickle.loads(pickle.dumps(pair))):
        assert (other, other.first, other.second) == (pair, "a\tb", "c")


def test_spacing_changes_no_pair_but_the_border_does() -> None:
    """What repeats is told by both texts."""
    assert text_key(TextPair(" a  b", "c")) == text_key(TextPair("a b", "c "))
    assert text_key(TextPair("a b", "c")) != text_key(TextPair("a", "b c"))
    assert text_key(TextPair(" ", "\n")) == ""


def test_words_are_left_out_of_the_text_that_they_are_in() -> None:
    """A part that reaches over the border is taken from both."""
    pair = TextPair("a dog runs", "an animal")
    assert [pair[a:b] for a, b in words(pair)] == ["a", "dog", "runs", "an", "animal"]
    assert without(pair, (2, 5)) == TextPair("a runs", "an animal")
    assert without(pair, (11, 13)) == TextPair("a dog runs", " animal")
    assert without(pair, (6, 13)) == TextPair("a dog ", " animal")
    assert mapped(pair, str.upper) == TextPair("A DOG RUNS", "AN ANIMAL")
