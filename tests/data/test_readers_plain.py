"""Text files without columns: fastText's form and one text a line; archives of any text file."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import pytest

from tests.data.texts import LABELS, TEXTS, Told, delimited, iter_texts, put
from tightfit.data.compressed import BOMB_BYTES
from tightfit.data.sources import Columns, check_source, read_table
from tightfit.errors import DataError

FASTTEXT = "".join(f"__label__{x} {t}\n" for t, x in zip(TEXTS, LABELS, strict=True))

SECONDS, MEMORY = 5, 500 * 2**20
"""What a bomb may take."""


@pytest.mark.parametrize("name", ["a.txt", "cooking.train", "cooking.valid", "a.ft.txt.gz"])
@pytest.mark.parametrize("space", [" ", "\t", "  "])
def test_fasttext_is_known_by_its_first_line(name: str, space: str, tmp_path: Path) -> None:
    """Whatever the ending; labels are what stands after the prefix."""
    content = FASTTEXT.replace(" ", space, 1).encode()
    path = put(tmp_path / name, gzip.compress(content) if name.endswith("gz") else content)
    table, told = read_table(path, Columns(), labelled=True), Told()
    assert (table.texts, table.labels) == (TEXTS, LABELS)
    assert [*chain(*iter_texts(path, Columns(), 3))] == TEXTS
    check_source(path, Columns(), progress=told)
    assert "__label__NAME before each text" in told.lines[0]


def test_rows_of_fasttext_may_have_several_labels_or_none(tmp_path: Path) -> None:
    """Named with their lines where labels are needed, and nowhere else."""
    path = put(tmp_path / "a.txt", "__label__a __label__b one\n\n__label__c two\n")
    assert read_table(path, Columns(), labelled=False).texts == ["one", "two"]
    several = read_table(path, Columns(), labelled=True)
    assert several.label_sets == [("a", "b"), ("c",)]
    with pytest.raises(DataError, match=r"without a label\n.*line 2"):
        read_table(put(path, "__label__a one\ntwo\n"), Columns(), labelled=True)
    with pytest.raises(DataError, match=r"without a text\n.*line 2"):
        read_table(put(path, "__label__a one\n__label__b\n"), Columns(), labelled=True)


def test_any_other_lines_are_texts(tmp_path: Path) -> None:
    """With delimiters in them, and quotation marks; a first line ``text`` is a header."""
    lines = ["yes, it is", "no", 'she said "no, no"', '"open', "a; b", "c\td"]
    for head in ("", "text\n"):
        path = put(tmp_path / "a.txt", head + "\r\n".join(lines))
        assert read_table(path, Columns(), labelled=False).texts == lines
        check_source(path, Columns(), labelled=False, progress=(told := Told()))
        assert any("that is not empty is read as a text" in x for x in told.lines) == (not head)
    with pytest.raises(DataError, match="has no column 'label'"):
        read_table(path, Columns(), labelled=True)


def test_commas_in_every_line_make_no_table(tmp_path: Path) -> None:
    """Of a .txt only what begins with a header is one."""
    lines = [f"yes, it is number {i}, and yes" for i in range(9)]
    path = put(tmp_path / "a.txt", "\n".join(["yes, 4, 5", *lines]))
    assert len(read_table(path, Columns(), labelled=False)) == 10


# Archives


def archive(path: Path, files: Mapping[str, str]) -> Path:
    """A .zip of these."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def test_the_one_file_in_an_archive_is_read(tmp_path: Path) -> None:
    """By its own ending, in its own form, beside what a Mac leaves there."""
    left = {"__MACOSX/data/._rows.csv": "x", "data/.DS_Store": "x", "data/": ""}
    path = archive(tmp_path / "a.zip", {"data/rows.csv": delimited(";"), **left})
    for name in (path, Path(f"{path}#data/rows.csv")):
        table = read_table(name, Columns(), labelled=True)
        assert (table.texts, table.source) == (TEXTS, f"{path}#data/rows.csv")
    shards = archive(tmp_path / "b.zip", {"rows.txt": FASTTEXT})
    assert len(read_table(shards, Columns(), labelled=True)) == 10
    assert len(read_table(tmp_path / "[a].zip", Columns(), labelled=True)) == 10


def test_of_several_files_one_is_chosen(tmp_path: Path) -> None:
    """By the name after the sign."""
    path = archive(tmp_path / "A.ZIP", {"train.csv": delimited(","), "test.csv": "text\na\n"})
    with pytest.raises(
        DataError, match=r"holds 2 files(.|\n)*train.csv, test.csv(.|\n)*#train.csv"
    ):
        read_table(path, Columns(), labelled=True)
    assert read_table(f"{path}#test.csv", Columns(), labelled=False).texts == ["a"]
    with pytest.raises(DataError, match=r"no file 'tset.csv'\n.*train.csv, test.csv"):
        read_table(f"{path}#tset.csv", Columns(), labelled=False)
    with pytest.raises(DataError, match="holds 0 files"):
        read_table(archive(tmp_path / "b.zip", {}), Columns(), labelled=False)
    with pytest.raises(DataError, match="of a kind that cannot be read"):
        read_table(archive(tmp_path / "c.zip", {"a.parquet": "PAR1"}), Columns(), labelled=False)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    """Cut short, changed inside, closed by a password, or none at all."""
    path = archive(tmp_path / "a.zip", {"rows.csv": delimited(",") * 50})
    whole = path.read_bytes()
    changed = bytearray(whole)
    changed[60:70] = b"\xff" * 10
    locked = bytearray(whole)
    for sign, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        locked[whole.index(sign) + place] |= 1
    for content in (whole[:-30], bytes(changed), bytes(locked), b"text\na\n"):
        put(path, content)
        with pytest.raises(DataError, match="cannot be decompressed"):
            read_table(path, Columns(), labelled=False)


BOMB = """
import sys, time
from tests.peak import peak_bytes
from tightfit.data.sources import Columns, read_table
from tightfit.errors import DataError
started = time.process_time()
try:
    read_table(sys.argv[1], Columns(), labelled=True)
except DataError as error:
    print(error.what.rpartition(" expands")[2], time.process_time() - started, peak_bytes())
"""


@pytest.mark.parametrize(("name", "row"), [("a.zip", b"hello,1\n"), ("a.csv.gz", b"hello,1\n")])
def test_a_bomb_is_refused(name: str, row: bytes, tmp_path: Path) -> None:
    """In a process of its own, where memory can be measured."""
    path, content = tmp_path / name, b"text,label\n" + row * (16 * BOMB_BYTES // len(row))
    if name == "a.zip":
        archive(path, {"a.csv": content.decode()})
    else:
        path.write_bytes(gzip.compress(content, 6))
    command = [sys.executable, "-c", BOMB, str(path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words, seconds, peak = told.rsplit(maxsplit=2)
    assert words.strip() == "to more than 150 times its size"
    assert (float(seconds) < SECONDS, int(peak) < MEMORY) == (True, True)
