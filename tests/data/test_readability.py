"""Whether a tokenizer shows that an encoder does not read the texts."""

from __future__ import annotations

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from tightfit.data.readability import readability
from tightfit.data.text_tokenizer import TextTokenizer

KNOWN = ("goal", "match", "the", "7", "4")


def by_letters() -> TextTokenizer:
    """Known words are a token, others fall into letters; only e, o and digits are unknown."""
    letters = [c for c in "abcdfghijklmnpqrstuvwxyz一丁丂\u0947\u200c"]
    scores = [("<unk>", 0.0), *((w, -1.0) for w in KNOWN), *((c, -5.0) for c in letters)]
    backend = Tokenizer(models.Unigram(scores, unk_id=0))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s"), "removed")
    return TextTokenizer(backend, 0, unknown_id=0)


@pytest.mark.parametrize(
    ("text", "verdict", "figure"),
    [
        ("goal the match", "reads", "1.0 tokens a word"),
        ("goal the swift", "reads poorly", "2.3 tokens a word"),
        ("goal the eeee", "cannot read", "33% of their tokens are unknown"),
        # Numbers fall into digits for everybody, which says nothing of the words.
        ("goal 7474 the 4747", "reads", "1.0 tokens a word"),
        # A vowel sign and a joiner are within a word, and no words of their own.
        ("goal match ab\u0947\u200ccd", "reads poorly", "2.7 tokens a word"),
        # Where blanks do not part words a token for each character is as good as a word.
        ("一丁丂" * 12, "reads", "1.0 tokens a character"),
        ("", "reads", "0.0 tokens a"),
    ],
)
def test_the_verdict_and_its_figure(text: str, verdict: str, figure: str) -> None:
    """Unknown tokens first, then pieces of words."""
    found = readability(by_letters(), [text])
    assert (found.verdict, figure in str(found)) == (verdict, True), str(found)


def test_it_looks_at_some_rows_only() -> None:
    """The rest of a large file would tell the same, later."""
    assert readability(by_letters(), ["goal"] * 200 + ["eee"] * 200).unknown == 0


@pytest.mark.parametrize(
    ("text", "verdict"), [("goal the swift", "reads"), ("goal swift swift", "reads poorly")]
)
def test_in_a_vocabulary_that_many_share_words_fall_into_more_pieces(
    text: str, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2.3 and 3.7 tokens a word."""
    monkeypatch.setattr("tightfit.data.readability.SHARED", 20)
    assert readability(by_letters(), [text]).verdict == verdict
