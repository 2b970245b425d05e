"""Markup: found where it is, decoded to what it stands for, and nothing else touched."""

from __future__ import annotations

import html
import time

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.planted import sample
from tightfit.data.checks.markup import decode_markup, find_markup

DECODED = [
    ("the Web #39;s No. 1 search company", "the Web's No. 1 search company"),
    ("brothers #39; deal", "brothers' deal"),
    ("an  quot;intelligence vacuum quot; in the area", 'an "intelligence vacuum" in the area'),
    ("Deloitte  amp; Touche", "Deloitte & Touche"),
    ("AT amp;T pays  #36;2 bln", "AT&T pays $2 bln"),
    ("Corp. &lt;MSFT.O&gt; said", "Corp. <MSFT.O> said"),
    ("&lt;b&gt;Opinion&lt;/b&gt; SAP &amp;amp; co", "Opinion SAP & co"),
    ("one<br />two <BR> three</p>", "one two three"),
    ("caf&eacute;&nbsp;&#8212; &#x41;", "café — A"),
    ('see <a href="http://a.example/x?a=1">here</a>', "see here"),
    ('cut at <A HREF="http://a.example/quote.aspx?tick', "cut at"),
    ('quote href="http://a.example/?s=AAPL" here', "quote  here"),
    ("<p>one<div class='x'>two</div><img src='a.png'>", "one two"),
    ("before<!-- hidden -->after", "beforeafter"),
    ("H<sub>2</sub>O", "H2O"),
]

CLEAN = [
    "plain; simple, a < b and c > d",
    "if a <b and c> d then",
    "he plugged in his amp; the crowd roared",
    "AT&T; R&D; Q&A; &notathing; &;",
    "ranked #10; she was #12; they #1;",
    "<bob@mail.example> wrote <MSFT.O> and <3",
    "http://a.example/?src=rss&href=x",
    "x = y; the source = 'unknown'",
    "5 &amp 6",
]


@pytest.mark.parametrize(("raw", "decoded"), DECODED)
def test_markup_is_decoded(raw: str, decoded: str) -> None:
    """Entities, also without their ampersand, become characters; tags go."""
    assert find_markup(raw) is not None
    assert decode_markup(raw) == decoded


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_markup_stays(text: str) -> None:
    """Comparisons, mail addresses, ticker symbols, unknown names, words that end in a semicolon."""
    assert find_markup(text) is None
    assert decode_markup(text) == text


def test_the_place_is_that_of_the_first_one() -> None:
    """Position and piece, for an example."""
    assert find_markup("it is Web #39;s and &lt;") == (9, "#39;")
    assert find_markup("so <b>this</b>") == (3, "<b>")


@pytest.mark.parametrize("lost", [False, True])
def test_every_item_comes_back_from_its_escaped_form(lost: bool) -> None:
    """As HTML writes it, and as AG News does, with a space for each ampersand."""
    for text in sample().texts:
        escaped = html.escape(text).replace("&#x27;", "&#39;")
        raw = escaped.replace("&", " ") if lost else escaped
        assert decode_markup(raw) == text


@given(st.text())
@example("&amp;lt;b&amp;gt;")
@example("<<b>b>")
@example("<b<b>r>&#60;b&#62;")
def test_nothing_is_left_after_decoding(text: str) -> None:
    """Decoding goes on until there is nothing to decode, and ends."""
    decoded = decode_markup(text)
    assert find_markup(decoded) is None
    assert decode_markup(decoded) == decoded


@given(st.text(st.sampled_from("ab <>&;#=/\"'39lthrefb")))
def test_decoding_ends_on_fragments(text: str) -> None:
    """Pieces of tags and entities in any order."""
    assert find_markup(decode_markup(text)) is None


@given(st.text())
def test_escaping_is_undone(text: str) -> None:
    """For every text without markup of its own."""
    text = text.strip(" ")
    assume(find_markup(text) is None)
    assert decode_markup(html.escape(text)).strip(" ") == text


@pytest.mark.parametrize("piece", ["<a ", "<a x=", "href=", " ", "<!--", "&", "<br", "#39"])
def test_long_texts_take_linear_time(piece: str) -> None:
    """A megabyte that nearly matches; the square of it would take hours."""
    started = time.perf_counter()
    find_markup(piece * (1_000_000 // len(piece)) + ";<=")
    assert time.perf_counter() - started < 5
