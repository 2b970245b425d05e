"""Which characters the bytes of a text file mean: found by marks and zeros, guessed by letters."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks; that of UTF-32 begins with that of UTF-16, so it is tried first."""

_ZEROS = 0.01
"""Zeros to a byte from which on bytes are looked at as UTF-16."""

_PLAIN = 0.4
"""More than this of what is not ASCII must be letters of a language, to guess an encoding."""

READ = 24
"""Characters on either side that show how an encoding reads a file."""

LATIN = ("cp1252", "cp1250", "cp1254", "cp1257", "mac_roman", "cp850")

_BEFORE_WINDOWS = ("mac_roman", "cp850")
"""Of machines that few have now: guessed only where cp1252 makes no sense of the same bytes, since
its dots, dashes and blanks are letters there."""

_SURE = 0.8
"""Sense of cp1252 from which on these are not guessed; signs alone have 0.9."""

_WITHIN = "\u2019\u2013\u2014\u2026\xa0\xad\xb4"
"""Signs that may stand between two letters."""

_WEST = (
    "éèàêçùôîâûëïœæ",
    "äöüß",
    "áéíóúñü",
    "ãõáéíóúâêôçà",
    "åäöøæéü",
    "àèéìòù",
    "éëïèöü",
    "þðáéíóúýæö",
)
"""Letters of languages of the west of Europe."""

_ALPHABETS: dict[str, tuple[str, ...]] = {
    "cp1252": _WEST,
    "cp1250": ("áčďéěíňóřšťúůýž", "ąćęłńóśźż", "áéíóöőúüű", "ăâîşţ", "čćđšž", "áäčďéíĺľňóôŕšťúýž"),
    "cp1254": ("çğıöşüâîû",),
    "cp1257": ("āčēģīķļņšūž", "ąčęėįšųūž", "äõöüšž"),
    "mac_roman": _WEST,
    "cp850": _WEST,
    "cp1251": ("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё", "оаіинвертсклудмпьяззбгчйхжїєшюцщґфʼ"),
    "koi8_r": ("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",),
    "cp866": ("оеаинтсрвлкмдпуяыьгзбчйхжшюцщэфъё",),
    "cp1253": ("αοιετσνηυρπκμλςάίόέγωδήχθύφβξζώψ",),
    "cp1255": ("יוהלאמרתבשנחדכעפקטסגצזםןךץף",),
    "cp1256": ("اليمنرتوبهعدكسفقحجشطصخضذزثةىءغأإئظآؤپچژگی",),
    "cp874": ("านรอกเงมยลวดที่้สิัตคปบพแหใไขจช็ุู์ะำึืโฟซผถญณธภศษฉฮฏฐฎฆฬๆฯฝฤฒฌ฿๐๑๒๓๔๕๖๗๘๙",),
}
"""Letters of languages, by the code page they are written in; of alphabets the frequent first."""

_CHINESE = (
    "的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小"
    "么心多天而能好都然没日于起还发成事只作当想看文无开手用主行方又如前所本见经头面公同已老从动很非常太差"
    "這個來國說們為時過學對裡後麼沒於還發當無開經頭從動電機"
)
"""Frequent ones, simplified and traditional."""

_KOREAN = (
    "이다는에을가고하의지로도은기를니한사어나리서자시아들그있요인일정해대만안라수부전보여우제상게것면스주무"
    "좋너과와으했습세오모화비장품질물"
)

_SIGNS = (
    "\u2018\u2019\u201c\u201d\u201e\u2013\u2014\u2026\u20ac\u2022\u2122"
    "\xa0¡¢£¥§©ª«\xad®°²³\xb4·º»¼½¾¿\xd7"
)
"""Quotation marks, dashes and others that stand in texts of any language."""

_EAST = {
    "cp932": "cp932",
    "euc_jp": "euc_jp",
    "gb18030": "gb18030",
    "big5": "big5",
    "cp949": "euc_kr",
}
"""Encodings of two bytes a character, each with the part of it that is in common use."""


def marked(head: bytes) -> str | None:
    """The encoding that a file's first bytes tell: by a mark, or as UTF-16 by its zeros."""
    for bom, name in BOMS.items():
        if head.startswith(bom):
            return name
    return _by_zeros(head)


def _by_zeros(head: bytes) -> str | None:
    """UTF-16 without a mark: line ends are aligned pairs, and no character is a zero.

    Zeros alone would not tell: a text of UTF-8 may hold one, too.
    """
    if head.count(0) < max(2, _ZEROS * len(head)):
        return None
    for name, breaks in (("utf-16-le", b"\n\0"), ("utf-16-be", b"\0\n")):
        text = None
        with suppress(UnicodeDecodeError):
            text = codecs.getincrementaldecoder(name)().decode(head)
        if not text or "\0" in text:
            continue
        pairs = sum(head[i : i + 2] == breaks for i in range(0, len(head) - 1, 2))
        ascii_share = sum(character < "\x80" for character in text) / len(text)
        ends = head.count(b"\n")
        if (2 * pairs > ends) if ends else (ascii_share > 0.5):
            return name
    return None


def guess(sample: bytes) -> str | None:
    """The encoding that makes most sense of bytes that are not UTF-8, or None.

    By the letters of languages: what is read wrongly has letters of none, mixes alphabets in a
    word, or has capitals in its middle. Of equally good ones the more common wins, and cp1252 of
    those of its languages, unless signs of it stand inside words.
    """
    scores = {}
    for encoding in (*_ALPHABETS, *_EAST):
        with suppress(UnicodeDecodeError):
            narrow = _EAST.get(encoding, encoding)
            text = codecs.getincrementaldecoder(narrow)().decode(sample)
            scores[encoding] = _sense(text, encoding)
    best = max(scores, key=scores.__getitem__, default=None)
    if best in _BEFORE_WINDOWS and "cp1252" in scores:
        odd = _odd_signs(codecs.getincrementaldecoder("cp1252")().decode(sample))
        best = "cp1252" if scores["cp1252"] - odd > _SURE else best
    return best if best is not None and scores[best] > _PLAIN else None


def _sense(text: str, encoding: str) -> float:
    """How much of a text is as its languages write it; 1 is all."""
    foreign = [character for character in text if character > "\x7f"]
    if not foreign:
        return 0.0
    if encoding in _EAST:
        return sum(_eastern(character, encoding) for character in foreign) / len(foreign)
    marks = sum(_mark(character) for character in foreign)
    capitals = sum(character.isupper() for character in foreign)
    letters = [character.lower() for character in foreign if not _mark(character)]
    if encoding in ("cp850", "cp866") and not letters:
        return 0.0  # a byte of no meaning in UTF-8 is a blank there
    best = max(_spelt(letters, alphabet, encoding) for alphabet in _ALPHABETS[encoding])
    return (best + 0.9 * marks - 0.3 * capitals - _broken(text, encoding)) / len(foreign)


def _mark(character: str) -> float:
    """Whether it is a sign that stands in texts of any language."""
    return float(character in _SIGNS)


def _spelt(letters: list[str], alphabet: str, encoding: str) -> float:
    if encoding in LATIN:
        return float(sum(letter in alphabet for letter in letters))
    frequent = alphabet[: len(alphabet) // 3 + 1]
    return sum((letter in alphabet) * (1.0 if letter in frequent else 0.4) for letter in letters)


def _broken(text: str, encoding: str) -> float:
    """Places where two neighbours do not fit: alphabets mixed in a word, a capital inside it."""
    faults = 0.0
    for one, other in pairwise(text):
        if one < "\x80" and other < "\x80":
            continue
        if encoding in LATIN:
            faults += 0.5 * (one.isdigit() and other.isalpha()) + 0.5 * (
                other.isdigit() and one.isalpha()
            )
        elif one.isalpha() and other.isalpha() and (one < "\x80") != (other < "\x80"):
            faults += 1
        if one.islower() and other.isupper():
            faults += 1
    return faults


def _odd_signs(text: str) -> float:
    """The share of what is not ASCII that is a sign inside a word, where it cannot stand."""
    odd = sum(
        bool(_mark(sign)) and sign not in _WITHIN and before.isalpha() and after.isalpha()
        for before, sign, after in zip(text, text[1:], text[2:], strict=False)
    )
    return odd / max(1, sum(character > "\x7f" for character in text))


def _eastern(character: str, encoding: str) -> float:
    name = unicodedata.name(character, "")
    if name.startswith(("HIRAGANA", "KATAKANA")):
        return 1.0 if encoding in ("cp932", "euc_jp") else 0.1
    if name.startswith("HANGUL SYLLABLE"):
        return 0.0 if encoding != "cp949" else 1.0 if character in _KOREAN else 0.5
    if name.startswith("CJK UNIFIED"):
        common = 1.0 if character in _CHINESE else 0.55
        return 0.0 if encoding == "cp949" else common
    return 0.6 if name.startswith(("IDEOGRAPHIC", "FULLWIDTH")) else 0.0


def reading(sample: bytes, encoding: str) -> str:
    """What is around the first character beyond ASCII that can be seen, as an encoding reads it."""
    text = sample.decode(encoding, "replace")
    foreign = [place for place, character in enumerate(text) if character > "\x7f"]
    place = next((place for place in foreign if not text[place].isspace()), foreign[0])
    before, after = text[:place].rpartition("\n")[2], text[place:].partition("\n")[0]
    return " ".join((before[-READ:] + after[:READ]).split())


def find_fault(blocks: Iterator[bytes], encoding: str) -> tuple[int, int, int] | None:
    """The first byte that has no meaning in an encoding: its value, line (from 1) and place."""
    decoder = codecs.getincrementaldecoder(encoding)()
    fed, line = 0, 1
    while True:
        block = next(blocks, b"")
        fed += len(block)
        try:
            line += decoder.decode(block, final=not block).count("\n")
        except UnicodeDecodeError as error:
            good = error.object[: error.start].decode(encoding)
            return (
                error.object[error.start],
                line + good.count("\n"),
                fed - len(error.object) + error.start,
            )
        if not block:
            return None
