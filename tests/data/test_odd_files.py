"""Files as people have them: what reads them all the same, and what stops with which words."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tightfit.data import readers_delimited
from tightfit.data.checks.quick import quick_warnings
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.data.text_files import TextForm
from tightfit.errors import DataError

TEXTS = [f"a text, the {word}" for word in ("first", "second", "third", "fourth")]
LABELS = ["good", "bad", "good", "bad"]
ROWS = list(zip(TEXTS, LABELS, strict=True))
LINES = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
SPACED = "".join(f'{i}, "{text}", "{label}"\n' for i, (text, label) in enumerate(ROWS))
PLAIN = "".join(f'"{text}",{label}\n' for text, label in ROWS)

READ = {
    "ends.jsonl": "".join(line + "\n\r"[i % 2] for i, line in enumerate(LINES)),
    "ends.csv": "text,label\r" + PLAIN.replace("\n", "\r\n", 2),
    "marks.csv": "\ufeff\ufefftext,label\n" + PLAIN,
    "spaced.csv": "id, text, label\n" + SPACED,
    "quoted.csv": 'id, "text", "label"\n' + SPACED,
    "fasttext.csv": "".join(f"__label__{label} {text}\n" for text, label in ROWS),
}

STOPS = {
    "ids.csv": (
        "".join(f'{i},"{text} {i}",{label}\n' for i, (text, label) in enumerate(ROWS * 9)),
        "column1,text,label",
    ),
    "blanks.csv": (",,\n,,\ntext,label,\n" + PLAIN, "line 3 has 'text', 'label'"),
    "hash.csv": ("text#label\na#b\n", "if '#' divides.*\n?.*--set data.delimiter='#'"),
    "blank.csv": ("text label\na b\n", "--set data.delimiter=space"),
    "lines.csv": ("\n".join(LINES), "first bytes are those of JSON"),
    "array.txt": (f"[\n{LINES[0]}]", "first bytes are those of JSON"),
    "page.csv": ("\n<!DOCTYPE html>\n<html>", "a page of the web(.|\n)*fetch the file itself"),
    "title.csv": ("My rows,\n,\ntext,label\n" + PLAIN, "above its header\n.*line 3 has 'te"),
    "comment.csv": ("# of today\ntext,label\n" + PLAIN, "line 2 has 'text', 'label'"),
    "joined.csv": ("text,label\n" + PLAIN + "label,text\ngood,a\n", "header stands again(.|\n)*6"),
    "nothing.csv": ("\n \n\n", "is empty"),
}


def written(folder: Path, name: str, content: str) -> Path:
    """The file, its line ends as they are."""
    (folder / name).write_bytes(content.encode())
    return folder / name


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name: str, tmp_path: Path) -> None:
    """All rows, without a mark or a blank more."""
    table = read_table(written(tmp_path, name, READ[name]), Columns(), labelled=True)
    assert (table.texts, table.labels) == (TEXTS, LABELS)


@pytest.mark.parametrize("name", STOPS)
def test_it_stops(name: str, tmp_path: Path) -> None:
    """With words that mend it."""
    content, words = STOPS[name]
    path = written(tmp_path, name, content)
    with pytest.raises(DataError) as caught:
        _ = check_source(path, Columns()), read_table(path, Columns(), labelled=True)
    assert re.search(words, f"{caught.value} {caught.value.add}")


@pytest.mark.parametrize("after", [0, 1, 5, 1500])
def test_a_stray_mark_swallows_no_row_up_to_the_end(after: int, tmp_path: Path) -> None:
    """Of a file of tabs, all of whose lines are read in search of the mark's other half."""
    rows = ["a\tx", '"b\ty', *(f"{i}\tx" for i in range(after))]
    path = written(tmp_path, "rows.tsv", "\n".join(["text\tlabel", *rows]))
    table = read_table(path, Columns(), labelled=True)
    assert table.texts == ["a", '"b', *map(str, range(after))]


def marked(cell: list[str]) -> str:
    """Rows of which some need their quotation marks, and a cell of many lines among them."""
    rows = [f"a text {i},{'xy'[i % 2]}" for i in range(40)]
    rows[::7] = [f'"a text, {i}",x' for i in range(0, 40, 7)]
    rows[8:8] = cell
    return "\n".join(["text,label", *rows, ""])


STRAY = ['"stray,x', "text a,y", "text b,y", "text c,x", 'a pipe of 5",x']
FAR = ['"stray,x', "words 1,y", "words 2,y", 'a pipe of 5",x']
LETTER = ['"Hello,', "a thought, a line", "another, as long", 'bye",x']


def test_stray_marks_swallow_no_rows_between_quoted_ones(tmp_path: Path) -> None:
    """What looks like rows stops; what is a letter of several lines is read."""
    path = written(tmp_path, "rows.csv", marked(STRAY))
    with pytest.raises(DataError, match="quotation mark on line 10 may be one, or many rows"):
        check_source(path, Columns())
    table = read_table(path, Columns(form=TextForm(quoting="double")), labelled=True)
    assert len(table) == 41
    table = read_table(written(tmp_path, "b.csv", marked(LETTER)), Columns(), labelled=True)
    assert (len(table), table.texts[8][-4:]) == (41, "\nbye")


@pytest.mark.parametrize("quoted", ["a text", '"a text, which needs them"'])
def test_a_stray_mark_far_down_swallows_no_rows(
    quoted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the beginning by which the form of a file is found out."""
    monkeypatch.setattr(readers_delimited, "SAMPLE_CHARACTERS", 200)
    rows = [f"{quoted},{'xy'[i % 2]}" for i in range(100)]
    path = written(tmp_path, "rows.csv", "\n".join(["text,label", *rows, *FAR, ""]))
    check_source(path, Columns())
    with pytest.raises(DataError, match=f"mark on line {len(rows) + 2:,} may be one, or many"):
        read_table(path, Columns(), labelled=True)
    table = read_table(path, Columns(form=TextForm(quoting="double")), labelled=True)
    assert len(table) == len(rows) + 1


@pytest.mark.parametrize("word", ["nan", "NaN", "NULL", "None", "N/A", "?", " nan "])
def test_among_numbers_a_word_for_nothing_is_no_label(word: str, tmp_path: Path) -> None:
    """It is told as an empty cell is, and left out like one."""
    path = written(tmp_path, "rows.csv", f"text,label\na,0\nb,{word}\nc,1\n")
    with pytest.raises(DataError, match=r"without a label\n.*line 3"):
        read_table(path, Columns(), labelled=True)
    table = read_table(path, Columns(missing_label="drop"), labelled=True)
    assert (table.texts, table.labels) == (["a", "c"], [0, 1])


def test_among_names_it_is_a_name_and_told() -> None:
    """Of texts likewise; ``None`` may well be one."""
    texts = ["nan", "good day", "bad day", "no"]
    told = quick_warnings(texts, strata=[0, 1, 2, 0], counts={"nan": 2, "good": 1, "None": 1})
    assert "label 'nan' is a class with 2" in told[1]
    assert told[0].startswith("1 of 4 training rows have a text such as 'nan'")
    assert len(told) == 2
