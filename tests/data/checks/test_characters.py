"""Empty and undecodable texts: what is found, and what only looks strange."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightfit.data.checks.characters import find_decomposed, find_undecodable, is_empty

WRITTEN = [
    "Il dit : «CAFÉ», «À», et s'en va… À bientôt",
    "São Paulo, NÃO, Ângela, Âge d'or, château “Åland”",
    "Größe, Übermaß, ÄÖÜ. „Nein“",
    "Привет, мир. Съешь ещё этих мягких французских булок",
    "今天天气很好。我们去公园。日本語もあります",
    "مرحبا بالعالم",
    "नमस्ते दुनिया, क्\u200dष",
    "Xin chào, Việt Nam ơi",
    "family: 👩\u200d👩\u200d👧 and flag 🇫🇷 and £5 ±2°, ½ cup, naïve résumé",
    "tab\there\nline\r\npage\x0cbreak",
]

MISREAD = [
    "It\u2019s “fine” \u2013 really…",
    "café crème",
    "£5 and 3 °C",
    "🙂 ok",
    "Привет",
    "今天天气",
]


@pytest.mark.parametrize("text", [*WRITTEN, *MISREAD])
def test_real_writing_is_not_undecodable(text: str) -> None:
    """Accents, quotes of many languages, joiners, emoji."""
    assert find_undecodable(text) is None


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("text", MISREAD)
def test_misread_utf8_is_found(text: str, encoding: str) -> None:
    """Whatever marks, letters or emoji it was; a byte that Windows-1252 lacks is kept as it is."""
    misread = "".join(
        bytes([byte]).decode(encoding, "ignore") or chr(byte) for byte in text.encode()
    )
    assert find_undecodable(misread) is not None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lost \ufffd here", (5, "replacement character U+FFFD")),
        ("that\x92s it", (4, "control character U+0092")),
        ("nul \x00", (4, "control character U+0000")),
        ("itâ€™s", (2, "UTF-8 read as another encoding: 'â€™'")),
        ("\ufeffok", None),
    ],
)
def test_the_first_place_is_named(text: str, place: tuple[int, str] | None) -> None:
    """Where it is, and what; a byte order mark at the front is harmless."""
    assert find_undecodable(text) == place


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u200b\u200d\ufeff", "\u00a0\u2003", "\x00"])
def test_nothing_to_see_is_empty(text: str) -> None:
    """Spaces of all widths, zero-width characters, controls."""
    assert is_empty(text)


@pytest.mark.parametrize("text", [".", "🙂", "\u0301", "\ufffd", " a "])
def test_anything_visible_is_not_empty(text: str) -> None:
    """A mark alone will do, even one that stands for a lost character."""
    assert not is_empty(text)


@given(st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20)))
def test_printable_ascii_is_never_undecodable(text: str) -> None:
    """There is nothing to misread in it."""
    assert find_undecodable(text) is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("plain", None),
        ("na\u00efve Vi\u1ec7t", None),
        ("nai\u0308ve", (2, "U+0069 U+0308, in NFC U+00EF")),
        ("\u00ef, then e\u0323\u0302", (8, "U+0065 U+0323 U+0302, in NFC U+1EC7")),
        ("e\u0302\u0323", (0, "U+0065 U+0302 U+0323, in NFC U+1EC7")),
        ("\u1112\u1161\u11ab", (0, "not in NFC")),
        ("x\u0301", None),
        ("", None),
    ],
)
def test_letters_and_marks_apart(text: str, place: tuple[int, str] | None) -> None:
    """Only where Unicode has both in one: x with an accent is always two."""
    assert find_decomposed(text) == place
