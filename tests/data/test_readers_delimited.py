"""Delimited files in all their forms: what is found out, told, set and refused."""

from __future__ import annotations

import csv
import io
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.texts import LABELS, TEXTS, Told, delimited, iter_texts, put
from tightfit.config import Quoting
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.data.text_files import TextForm
from tightfit.errors import DataError, TightfitError


def read(path: Path, **form: Any) -> tuple[list[str], list[int | str] | None]:
    """Texts and labels, read whole and in chunks of three, which are the same."""
    columns = Columns(form=TextForm(**form))
    table = read_table(path, columns, labelled=True)
    assert [*chain(*iter_texts(path, columns, 3))] == table.texts
    return table.texts, table.labels


def refused(path: Path, **form: Any) -> TightfitError:
    """The error."""
    with pytest.raises(TightfitError) as caught:
        read(path, **form)
    return caught.value


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".tab", ".txt"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "^", "~", "¦", ":", "\x1f"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_delimiter_stands_behind_any_ending(
    ending: str, delimiter: str, end: str, tmp_path: Path
) -> None:
    """Texts hold all of them; what the ending does not say is told, and may be set."""
    path = put(tmp_path / f"rows{ending}", delimited(delimiter, end))
    assert read(path) == read(path, delimiter=delimiter) == (TEXTS, LABELS)
    told = Told()
    check_source(path, Columns(), progress=told)
    usual = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": None}[ending]
    assert [("divided by" in line) for line in told.lines] == ([] if delimiter == usual else [True])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_sep_line_is_no_row(encoding: str, tmp_path: Path) -> None:
    """As Excel writes and reads it; the setting comes before it."""
    for line in ("sep=|", '"sep=|"', "SEP=|"):
        content = f"{line}\r\n{delimited('|', chr(13) + chr(10))}"
        path = put(tmp_path / "rows.csv", content.encode(encoding))
        assert read(path) == (TEXTS, LABELS)
        assert read(path, delimiter="|") == (TEXTS, LABELS)


def test_the_delimiter_is_that_of_the_header(tmp_path: Path) -> None:
    """Commas in texts, and in a heading, are fewer or more from row to row."""
    path = put(tmp_path / "a.csv", "Review, full;label\nfine, really, fine;a\nbad;b\n")
    table = read_table(path, Columns(("Review, full",)), labelled=True)
    assert table.texts == ["fine, really, fine", "bad"]
    lone = put(tmp_path / "b.csv", "text\nyes; it is\nno; not\n")
    assert read_table(lone, Columns(), labelled=False).texts == ["yes; it is", "no; not"]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize(("head", "rows"), [(1, 1), (0, 1), (1, 0), (3, 3), (0, 2)])
def test_empty_last_cells_are_none(delimiter: str, head: int, rows: int, tmp_path: Path) -> None:
    """In the header, in the rows, or in both."""
    first, *rest = delimited(delimiter).splitlines()
    lines = [first + head * delimiter, *(line + rows * delimiter for line in rest)]
    assert read(put(tmp_path / "a.csv", "\n".join(lines))) == (TEXTS, LABELS)


def test_a_cell_too_many_is_refused_where_it_is_not_always_empty(tmp_path: Path) -> None:
    """A comma in a text without quotes shifts the label."""
    path = put(tmp_path / "a.csv", "text,label,\nfine,a,\nbad,b,\ngood, but,b\n")
    assert read(path)[1] == ["a", "b", "but"]  # as many cells as the header: nothing can be seen
    path = put(tmp_path / "a.csv", "text,label\nfine,a,\nbad,b,\ngood, but,b,\n")
    error = refused(path)
    assert "a row with 4 cells under a header with 2" in str(error)
    assert "line 4; 1 of 3 rows" in str(error)


def test_nameless_columns_disturb_nobody(tmp_path: Path) -> None:
    """An index, as pandas writes it, and notes beside the table."""
    path = put(tmp_path / "a.csv", ",text,label,,\n0,fine,a,,x\n1,bad,b,,\n")
    assert read(path) == (["fine", "bad"], ["a", "b"])
    assert "columns 'text', 'label'" in str(refused(put(path, ",text,label\n")))


@pytest.mark.parametrize(
    "again", ["text,label", " text , label ", "\ufefftext,label", "Text,LABEL"]
)
def test_a_header_that_stands_again_is_refused(again: str, tmp_path: Path) -> None:
    """With its lines; of one column it may as well be a text."""
    path = put(tmp_path / "a.csv", f"text,label\nfine,a\n{again}\nbad,b\n{again}\n")
    assert "header stands again among the rows\n  seen:    lines 3, 5; 2 of 4" in str(refused(path))
    alone = put(tmp_path / "b.csv", "text\nfine\ntext\n")
    assert read_table(alone, Columns(), labelled=False).texts == ["fine", "text"]


# Quotation marks


def swallowing(delimiter: str) -> str:
    """Twenty rows, the fifth and the fifteenth of which hold a quotation mark."""
    rows = [f"row {i}{delimiter}{'ab'[i % 2]}" for i in range(20)]
    rows[5] = f'"row 5{delimiter}b'
    rows[15] = f'row 15"{delimiter}b'
    return "\n".join([f"text{delimiter}label", *rows, ""])


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
def test_no_row_is_swallowed(delimiter: str, tmp_path: Path) -> None:
    """Refused with the line; as the setting says, twenty rows, or ten."""
    path = put(tmp_path / "a.tsv", swallowing(delimiter))
    error = refused(path)
    assert "on line 7 may be one, or many rows" in str(error)
    assert (error.exit_code, error.add) == (4, "--set data.quoting=none")
    texts, _ = read(path, quoting="none")
    assert (len(texts), texts[5], texts[15]) == (20, '"row 5', 'row 15"')
    assert len(read(path, quoting="double")[0]) == 10


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
def test_marks_that_only_decorate_lose_no_row(delimiter: str, tmp_path: Path) -> None:
    """Words in quotes at the beginning, inches, a lone mark at the end."""
    texts = ['"Wow" she said', '5" screen', 'said "no"', "plain", '"A" and "B"', 'open "']
    rows = "".join(f"{text}{delimiter}x{i % 2}\n" for i, text in enumerate(texts))
    path = put(tmp_path / "a.csv", f"text{delimiter}label\n{rows}")
    assert read(path)[0] == read(path, quoting="none")[0] == texts


def test_tabs_keep_cells_of_many_lines(tmp_path: Path) -> None:
    """Where their lines could not be rows; beside marks that are part of a text."""
    rows = 'text\tlabel\n"two\nlines"\ta\n"open\tb\n"say ""hi"""\ta\n"a\tb"\tb\n"Wow" this\ta\n'
    path = put(tmp_path / "a.tsv", rows)
    assert read(path)[0] == ["two\nlines", '"open', 'say "hi"', "a\tb", '"Wow" this']
    assert "line 2 may be" in str(refused(put(path, 'text\tlabel\n"a\tb\nc"\td\n')))


def test_a_mark_that_nothing_closes_is_found_soon(tmp_path: Path) -> None:
    """However many rows come after it, and however often."""
    rows = "".join(f'"open {i}\tx\n' + "plain\ty\n" * 1_500 for i in range(20))
    texts, _ = read(put(tmp_path / "a.tsv", "text\tlabel\n" + rows))
    assert len(texts) == 20 * 1_501


@pytest.mark.parametrize(
    ("content", "quoting"),
    [
        ('text,label\n"say \\"hi\\", ""ho""",a\n"b",b\n', "backslash"),
        ("'text','label'\n'it''s, well','a'\n'b','b'\n", "single"),
    ],
)
def test_other_ways_to_quote(content: str, quoting: Quoting, tmp_path: Path) -> None:
    """Found out, told, and set."""
    path, told = put(tmp_path / "a.csv", content), Told()
    assert read(path) == read(path, quoting=quoting)
    assert read(path)[0][0] in ('say "hi", "ho"', "it's, well")
    check_source(path, Columns(), progress=told)
    assert f"(data.quoting={quoting})" in str(told.lines)


def test_broken_quotes_name_the_setting_only_where_it_helps(tmp_path: Path) -> None:
    """Each line must be a row of its own without them."""
    good = put(tmp_path / "a.csv", 'text,label\na,b\n"never closed,1\nb,2\n')
    assert refused(good).add == "--set data.quoting=none"
    assert read(good, quoting="none")[0] == ["a", '"never closed', "b"]
    bad = put(tmp_path / "a.csv", 'text,label\na,b\n"never, closed,1\nb,2\n')
    assert "row that begins on line 3 has broken quotes" in str(refused(bad))
    assert refused(bad).add is None


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(
    rows=st.lists(st.text(st.sampled_from('ab"\t,\n \\'), min_size=1), min_size=1),
    style=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_no_tab_separated_file_loses_a_row(rows: list[str], style: Any, tmp_path: Path) -> None:
    """What a program wrote is read as it was, or refused."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=style)
    writer.writerows([("label", "text"), *(("x", row) for row in rows)])
    path = put(tmp_path / "a.tsv", file.getvalue())
    try:
        found = read_table(path, Columns(), labelled=False).texts
    except DataError as error:
        found = rows if "may be one, or many rows" in str(error) else [str(error)]
    assert found == rows


# Without a header


@pytest.mark.parametrize(
    ("row", "line", "add"),
    [
        ('"{c}","title {i}","a text of row {i}"', "label,title,text", "--text-column title,text"),
        ('"a text of row {i}",{s}', "text,label", None),
        ("{s}\ta text of row {i}", "label\ttext", None),
        ('"{c}",14678{i},NO_QUERY,user{i},"a text of row {i}"', None, None),
    ],
)
def test_the_header_that_is_lacking_is_told(
    row: str, line: str | None, add: str | None, tmp_path: Path
) -> None:
    """With the line to add and the command after it, which then read the file."""
    content = "".join(row.format(c=i % 5 + 1, s="ab"[i % 2], i=i) + "\n" for i in range(30))
    path = put(tmp_path / "a.csv", content)
    error = refused(path)
    line = line or "label,column2,column3,column4,text"
    assert (error.exit_code, error.add) == (4, add)
    assert str(error.next_step).endswith(f": {line}")
    columns = Columns((add.split()[1],) if add else ("text",))
    assert len(read_table(put(path, f"{line}\n{content}"), columns, labelled=True)) == 30


def test_a_header_of_questions_is_one(tmp_path: Path) -> None:
    """Long headings, and those that are numbers, as pandas writes them."""
    question = "How satisfied are you with this product, all in all, and why is it that you are?"
    path = put(tmp_path / "a.csv", f'"{question}",Team\n' + '"It was a fine thing",x\n' * 5)
    assert f"columns '{question[:40]}', 'Team'" in str(refused(path))
    numbers = put(tmp_path / "b.csv", "0,1\nIt was a fine thing,2\nIt was a bad thing,3\n")
    assert "has no column 'text'" in str(refused(numbers))


def test_headings_in_capitals_are_known(tmp_path: Path) -> None:
    """And in another Unicode form; where two are alike, none is meant."""
    path = put(tmp_path / "a.csv", " Text ;LABEL\nfine;a\nbad;b\n")
    assert read(path) == (["fine", "bad"], ["a", "b"])
    told = Told()
    check_source(path, Columns(), progress=told)
    taken = ["column ' Text ' is taken for 'text'", "column 'LABEL' is taken for 'label'"]
    assert [line.partition(": ")[2] for line in told.lines][1:] == taken
    cafe = put(tmp_path / "b.csv", "cafe\u0301,label\nfine,a\n")
    assert read_table(cafe, Columns(("café",)), labelled=True).texts == ["fine"]
    assert "has no column 'text'" in str(refused(put(path, "Text,TEXT,label\na,b,c\n")))
