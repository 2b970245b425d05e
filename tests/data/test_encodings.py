"""Encodings: found by marks and zeros, guessed by letters, named with the setting for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.texts import LABELS, TEXTS, Told, delimited, put
from tests.toys import toy_rows
from tightfit.data.encodings import find_fault, guess, marked
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.data.text_files import TextForm
from tightfit.errors import DataError

# ruff: noqa: RUF001, since letters that look alike are what this is about

SAMPLES = {
    "cp1252": [
        "the awful smell, only £5\nCafé très déçu\n",
        "Das ist schön und größer, überhaupt nicht gut\n",
        "El teléfono llegó roto mañana\nNão gostei, é péssimo\n",
        "it\u2019s \u201cgreat\u201d \u2013 really\n",
        "Det är väldigt bra på många sätt\n",
        "price is 20°C, naïve Zoë\u2019s résumé\n",
        "I waited\u2026 and waited,\xa0bad\n",
        "no dash\u2014or \u2022 this\u2026one\n",
    ],
    "cp1250": ["velmi dobrý telefon, žluťoučký kůň\n", "bardzo dobry, zażółć gęślą jaźń\n"],
    "cp1251": ["Очень хороший телефон\nНЕ ПОКУПАЙТЕ, плохо\n", "Телефон не працює, дуже погано\n"],
    "koi8_r": ["Очень хороший телефон\nУжасное качество\n"],
    "cp866": ["Очень хороший телефон\nУжасное качество\n"],
    "cp1253": ["Το κινητό ήρθε σπασμένο και δεν λειτουργεί\n"],
    "mac_roman": [
        "Très déçu, c\u2019est arrivé cassé\n",
        "Das ist schön und größer, überhaupt nicht gut\n",
        "El teléfono llegó roto mañana\n",
        "it\u2019s \u201cgreat\u201d \u2013 really\n",
    ],
    "cp850": ["Très déçu, il est arrivé cassé\n", "Das ist schön, überhaupt nicht gut, größer\n"],
    "cp1254": ["çok güzel bir telefon, ığdır şişe\n"],
    "cp1255": ["המסך היה שבור והמשלוח איחר\n"],
    "cp1256": ["الشاشة مكسورة والخدمة سيئة\n"],
    "cp1257": ["Šis telefonas labai geras, ačiū, ėjo į mišką\n"],
    "cp874": ["โทรศัพท์ดีมาก\n"],
    "cp932": ["とても良い電話です\n画面が割れていた。返品します\n"],
    "euc_jp": ["とても良い電話です\n壊れていました\n"],
    "gb18030": ["非常好的手机，质量太差了\n", "屏幕破了，退货\n送货很快，服务好\n"],
    "big5": ["非常好的手機，品質太差了\n"],
    "cp949": ["아주 좋은 전화기\n품질이 나빠요\n"],
}


@pytest.mark.parametrize(("encoding", "text"), [(e, t) for e, ts in SAMPLES.items() for t in ts])
def test_the_language_tells_the_encoding(encoding: str, text: str) -> None:
    """A line or two are enough, beside ASCII and cut in a character."""
    found = guess(f"a plain line,x\n{text}".encode(encoding) * 3)
    assert found is not None
    assert text.encode(encoding).decode(found) == text


def test_the_guess_shows_what_it_reads(tmp_path: Path) -> None:
    """Around the first character that can be seen, and of its line alone: whoever reads it knows
    whether the guess is right."""
    rows = "text,label\nplain\xa0enough,a\nSo I waited\u2026 and waited for it to come,b\n"
    path = put(tmp_path / "a.csv", rows.encode("cp1252"))
    with pytest.raises(DataError) as caught:
        check_source(path, Columns())
    wanted = "it looks like cp1252, which reads 'So I waited\u2026 and waited for it to c'"
    assert wanted in str(caught.value)


def test_what_is_no_text_has_no_encoding() -> None:
    """Bytes at random, and none."""
    assert guess(bytes(range(0x80, 0xA0)) * 9) is None
    assert guess(b"plain") is None
    assert guess(b"a bad \xff byte") is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "script", ["a great phone", "Очень хороший", "とても良い", "טוב מאוד", "😀 🙂"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_zeros_tell_utf_16_without_a_mark(encoding: str, script: str, end: str) -> None:
    """In any script, wherever the sample ends; the same in UTF-8 has none."""
    content = "".join(f"{script} {i},x{end}" for i in range(40))
    assert {marked(content.encode(encoding)[:n]) for n in (300, 301, 302, 303)} == {encoding}
    assert marked(content.encode()) is None


# A text that has zeros itself, behind every line break, cannot be told from UTF-16.
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_zeros_in_utf_8_are_characters(text: str) -> None:
    """A few of them do not make it UTF-16; a mark always tells."""
    assert marked(f"text,label\n{text}\0,x\n{text}\0\0,y\n".encode()) is None
    assert marked(f"\ufeff{text}".encode()) == "utf-8-sig"
    assert marked(text.encode("utf-32")) == "utf-32"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt"])
def test_unicode_is_read_as_it_is(encoding: str, ending: str, tmp_path: Path) -> None:
    """Told where it is another than UTF-8, and read so whatever the setting says."""
    path, told = put(tmp_path / f"a{ending}", delimited(",").encode(encoding)), Told()
    for form in (TextForm(), TextForm("cp1252"), TextForm("utf-8")):
        table = read_table(path, Columns(form=form), labelled=True)
        assert (table.texts, table.labels) == (TEXTS, LABELS)
    check_source(path, Columns(), progress=told)
    assert any("data.encoding" in line for line in told.lines) == (encoding != "utf-8-sig")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_json_lines_of_windows_are_read(encoding: str, tmp_path: Path) -> None:
    """As its shell writes them."""
    lines = "".join(f'{{"text": "{row["text"]}", "label": "é"}}\r\n' for row in toy_rows(20))
    table = read_table(put(tmp_path / "a.jsonl", lines.encode(encoding)), Columns(), labelled=True)
    assert table.texts == [row["text"] for row in toy_rows(20)]


@pytest.mark.parametrize("encoding", ["cp1252", "cp1251", "cp932", "gb18030"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_whole_command_is_told(encoding: str, delimiter: str, tmp_path: Path) -> None:
    """Its options read the file; columns are named as they are seen in that encoding."""
    word = SAMPLES[encoding][0].splitlines()[-1 if encoding == "cp1252" else 0].replace(",", "")
    rows = "".join(f'"{word} {i}"{delimiter}{"ab"[i % 2]}\n' for i in range(20))
    path = put(tmp_path / "a.csv", f"{word[:3]}{delimiter}topic\n{rows}".encode(encoding))
    with pytest.raises(DataError, match="is not UTF-8") as caught:
        check_source(path, Columns())
    name = word[:3] if word[:3].isascii() else f"'{word[:3]}'"
    name = f"'{word[:3]}'" if " " in name else name
    wanted = f"--set data.encoding={encoding} --text-column {name} --label-column topic"
    assert caught.value.add == wanted
    columns = Columns((word[:3],), "topic", form=TextForm(encoding))
    assert read_table(path, columns, labelled=True).texts[7] == f"{word} 7"


def test_columns_that_compete_are_told_with_the_encoding(tmp_path: Path) -> None:
    """The command takes the first of them, and says that it may be the wrong one."""
    rows = "".join(
        f"größer als gedacht, Nummer {i};{'ab'[i % 2]};{'xy'[i % 2]}\n" for i in range(9)
    )
    path = put(tmp_path / "a.csv", f"Nachricht;Thema;Stimmung\n{rows}".encode("cp1252"))
    with pytest.raises(
        DataError, match=r"no column 'text'\n.*'Thema' or 'Stimmung': name the right"
    ):
        check_source(path, Columns())


def test_utf_8_is_not_read_as_something_else(tmp_path: Path) -> None:
    """A run that was trained on other files keeps their setting; letters tell."""
    path, told = put(tmp_path / "a.csv", "text\ncafé\n"), Told()
    columns = Columns(form=TextForm("cp1252"))
    assert read_table(path, columns, labelled=False).texts == ["café"]
    check_source(path, columns, labelled=False, progress=told)
    assert told.lines == [f"{path}: read as utf-8 (data.encoding)"]


def test_a_setting_that_does_not_fit_names_the_byte(tmp_path: Path) -> None:
    """As for UTF-8."""
    path = put(tmp_path / "a.csv", "text\nгод\n".encode("cp1251") + b"\x98\n")
    with pytest.raises(DataError, match=r"is not cp1251\n.*byte 0x98 in line 3, at byte 9 "):
        read_table(path, Columns(form=TextForm("cp1251")), labelled=False)


@given(st.binary(max_size=40), st.integers(1, 9), st.sampled_from(["utf-8", "utf-16-le", "cp932"]))
def test_the_fault_is_that_of_the_whole(content: bytes, size: int, encoding: str) -> None:
    """Read in blocks, its place is what decoding at once tells."""
    blocks = (content[i : i + size] for i in range(0, len(content), size))
    wanted = None
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].decode(encoding).count("\n") + 1
        wanted = (content[error.start], line, error.start)
    assert find_fault(blocks, encoding) == wanted
