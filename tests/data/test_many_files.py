"""Compressed files, and folders and patterns of files: read as if they were one plain file."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.texts import iter_texts, put
from tests.toys import toy_rows, write_jsonl
from tightfit.data.compressed import COMPRESSED, plain_suffix
from tightfit.data.many_files import Sources
from tightfit.data.sources import Columns, check_source, open_rows, read_table
from tightfit.data.table import Table
from tightfit.errors import DataError

Compress = Callable[[bytes], bytes]

COMPRESS: dict[str, Compress] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}

TEXT = 'text,label\n"a, ""quoted""\ncell",x\nemoji 🙂,y\n'


def squeeze(path: Path, suffix: str) -> Path:
    """The same file, compressed."""
    out = path.with_name(path.name + suffix)
    out.write_bytes(COMPRESS[suffix](path.read_bytes()))
    return out


def test_the_known_endings() -> None:
    """Those that the tests below cover, in any case."""
    assert set(COMPRESSED) == {*COMPRESS, ".zip"}
    names = ["a.csv", "a.csv.gz", "a.b.JSONL.XZ", "a.gz", "a.tar.bz2"]
    assert [plain_suffix(Path(name)) for name in names] == [".csv", ".csv", ".jsonl", "", ".tar"]


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("form", [".csv", ".jsonl"])
def test_compressed_rows_are_the_plain_ones(form: str, suffix: str, tmp_path: Path) -> None:
    """Texts, labels and their order; whole or in chunks."""
    path = tmp_path / f"rows{form}"
    if form == ".csv":
        path.write_text(TEXT, "utf-8")
    else:
        write_jsonl(path, toy_rows(30))
    packed = squeeze(path, suffix)
    plain, found = (read_table(p, Columns(), labelled=True) for p in (path, packed))
    assert (found.texts, found.labels) == (plain.texts, plain.labels)
    assert [t for chunk in iter_texts(packed, Columns(), 7) for t in chunk] == plain.texts


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_damaged_file_is_named(suffix: str, tmp_path: Path) -> None:
    """Cut short, or not compressed at all."""
    path = squeeze(write_jsonl(tmp_path / "rows.jsonl", toy_rows(3000)), suffix)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b'{"text": "plain"}\n'):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be decompressed") as caught:
            read_table(path, Columns(), labelled=False)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["rows.parquet.gz", "rows.pkl.gz", "rows.gz"])
def test_what_is_no_text_is_not_decompressed(name: str, tmp_path: Path) -> None:
    """With the formats that are."""
    (tmp_path / name).write_bytes(gzip.compress(b"x"))
    with pytest.raises(DataError, match="of a kind that cannot be read") as caught:
        read_table(tmp_path / name, Columns(), labelled=False)
    assert ".gz, .bz2, .xz" in str(caught.value)


def test_bytes_that_are_no_text_have_their_place(tmp_path: Path) -> None:
    """In the file as it would be, decompressed."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text\ngood\nb\xe9d\n")
    with pytest.raises(DataError, match="byte 0xe9 in line 3"):
        read_table(squeeze(path, ".gz"), Columns(), labelled=False)


# --- several files ---------------------------------------------------------------------------


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder of three files of ten rows, one of them compressed, and what Spark leaves."""
    folder = tmp_path / "shards"
    folder.mkdir()
    rows = toy_rows(30)
    for i in range(3):
        write_jsonl(folder / f"part-{i}.jsonl", rows[10 * i : 10 * i + 10])
    squeeze(folder / "part-1.jsonl", ".gz")
    (folder / "part-1.jsonl").unlink()
    (folder / "_SUCCESS").touch()
    (folder / ".part-0.jsonl.crc").touch()
    return folder


@pytest.mark.parametrize("pattern", ["", "*.jsonl*", "part-[0-9].*", "../*/part-?.*"])
def test_files_are_read_in_the_order_of_their_names(pattern: str, shards: Path) -> None:
    """A folder, or a pattern of names."""
    wanted = [row["text"] for row in toy_rows(30)]
    table = read_table(str(shards / pattern), Columns(), labelled=True)
    assert table.texts == wanted
    assert table.labels == [row["label"] for row in toy_rows(30)]
    assert [t for chunk in iter_texts(shards / pattern, Columns(), 4) for t in chunk] == wanted


def test_a_fault_names_its_own_file(shards: Path) -> None:
    """And the line in it."""
    write_jsonl(shards / "part-2.jsonl", [{"text": "a", "label": "x"}, {"text": None}])
    with pytest.raises(DataError, match=r"part-2\.jsonl(.|\n)*line 2"):
        list(iter_texts(shards, Columns()))


def test_rows_of_several_files_say_which_is_theirs(tmp_path: Path) -> None:
    """Their lines are counted anew in each."""
    put(tmp_path / "a.csv", "text,label\na,x\nb,y\n")
    put(tmp_path / "b.csv", "text,label\nc,x\n,y\n")
    with pytest.raises(DataError, match=r"line 3 of b\.csv; 1 of 4 rows read"):
        read_table(tmp_path, Columns(), labelled=True)
    table = read_table(tmp_path / "?.csv", Columns(missing_text="empty"), labelled=True)
    assert table.place(3) == f"line 3 of {tmp_path / 'b.csv'}"
    assert table.select([3, 0]).say([0]) == table.place(3)


def test_each_file_counts_as_its_own_kind_does(tmp_path: Path) -> None:
    """Lines from 1, where the file before has rows from 0."""
    put(
        tmp_path / "a.json", json.dumps([{"text": "a", "label": "x"}, {"text": "b", "label": None}])
    )
    put(tmp_path / "b.jsonl", json.dumps({"text": "c", "label": None}) + "\n")
    told = r"row 1 of a\.json, line 1 of b\.jsonl \(rows counted from 0\); 2 of 3"
    with pytest.raises(DataError, match=told):
        read_table(tmp_path, Columns(), labelled=True)


def test_a_column_may_come_further_down(tmp_path: Path) -> None:
    """As in one file of JSON: beyond the first rows of each, if it is asked for."""
    for i in range(2):
        rows = [{"text": "a"}] * 1000 + [{"text": "b", "label": f"{i}"}]
        write_jsonl(tmp_path / f"{i}.jsonl", rows)
    table = read_table(tmp_path, Columns(missing_label="drop"), labelled=True)
    assert (table.texts, table.labels) == (["b", "b"], ["0", "1"])


def test_parquet_files_are_counted_together(tmp_path: Path) -> None:
    """From their footers."""
    for i in range(3):
        pq.write_table(pa.table({"text": ["a"] * (i + 1)}), tmp_path / f"{i}.parquet")
    assert open_rows(tmp_path / "*.parquet", Columns())[0].count == 6
    assert len(read_table(tmp_path, Columns(), labelled=False)) == 6


@pytest.mark.parametrize("extra", [{"topic": "x", "label": "b"}, {"label": "b"}])
def test_columns_that_nobody_reads_may_differ(extra: dict[str, str], shards: Path) -> None:
    """As keys of records do in one file."""
    write_jsonl(shards / "part-9.jsonl", [{"text": "a", **extra}])
    write_jsonl(shards / "part-0.jsonl", [{"id": 1, "text": "c", "label": "b"}])
    table = read_table(shards, Columns(), labelled=True)
    assert (table.texts[0], table.texts[-1]) == ("c", "a")
    assert (table.labels or [])[-1] == "b"


def test_tables_lack_columns_that_nobody_reads(tmp_path: Path) -> None:
    """Parquet and CSV name all of theirs."""
    put(tmp_path / "a.csv", "text,label\na,x\n")
    put(tmp_path / "b.csv", "id,label,text\n1,y,b\n")
    table = read_table(tmp_path, Columns(), labelled=True)
    assert (table.texts, table.labels) == (["a", "b"], ["x", "y"])
    with pytest.raises(DataError, match=r"have different columns(.|\n)*no 'id' in .*a\.csv"):
        read_table(tmp_path, Columns(text=("id",)), labelled=True)


def test_files_must_be_alike(shards: Path) -> None:
    """What is read stands in each of them, as the same kind of cells."""
    write_jsonl(shards / "part-9.jsonl", [{"text": "a", "topic": "x"}])
    assert len(read_table(shards, Columns(), labelled=False).texts) == 31
    with pytest.raises(DataError, match=r"different columns(.|\n)*no 'label' in .*part-9\.jsonl"):
        read_table(shards, Columns(missing_label="drop"), labelled=True)
    (shards / "part-9.jsonl").unlink()
    (shards / "part-9.csv").write_text("text,label\na,x\n")
    with pytest.raises(DataError, match="are of different kinds"):
        read_table(shards, Columns(), labelled=False)


def test_a_strange_file_is_named(shards: Path) -> None:
    """Rather than passed over: its rows might be missed."""
    (shards / "notes.docx").touch()
    with pytest.raises(DataError, match=r"'notes\.docx'") as caught:
        read_table(shards, Columns(), labelled=False)
    assert "*.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"), [("empty", "no files in it"), ("*.csv", "no file matches the pattern")]
)
def test_nothing_there(name: str, words: str, tmp_path: Path) -> None:
    """An empty folder, or a pattern of nothing."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=words) as caught:
        read_table(tmp_path / name, Columns(), labelled=False)
    assert caught.value.exit_code == 4


def test_a_file_whose_name_looks_like_a_pattern(tmp_path: Path) -> None:
    """Is that file."""
    write_jsonl(tmp_path / "rows[1].jsonl", toy_rows(3))
    assert len(read_table(tmp_path / "rows[1].jsonl", Columns(), labelled=False)) == 3


# --- sources that are named one by one -------------------------------------------------------


@pytest.fixture
def january(tmp_path: Path) -> Path:
    """Three rows of a CSV, behind a column that nobody asks for."""
    path = tmp_path / "january.csv"
    path.write_text("day,text,label\n1,a,x\n1,b,y\n2,c,x\n")
    return path


def joined_with(january: Path, name: str, content: str) -> Table:
    """The rows of that file and of another."""
    other = january.with_name(name)
    other.write_text(content)
    return read_table(Sources((str(january), str(other))), Columns(), labelled=True)


def test_rows_of_several_sources_are_joined(january: Path) -> None:
    """Whatever their formats and their other columns."""
    table = joined_with(january, "more.jsonl", '{"text": "d", "label": "z"}\n')
    assert (table.texts, table.labels) == (["a", "b", "c", "d"], ["x", "y", "x", "z"])
    assert table.source == f"{january} + {january.with_name('more.jsonl')}"


def test_classes_with_names_of_their_own_are_joined_by_name(january: Path) -> None:
    """Where only one source knows them, or all know the same."""
    table = read_table(Sources(("sample", str(january))), Columns(), labelled=True)
    assert set(table.labels or ()) == {"World", "Sports", "Business", "Sci/Tech", "x", "y"}
    table = read_table(Sources(("sample", "sample:test")), Columns(), labelled=True)
    assert table.label_names == ("World", "Sports", "Business", "Sci/Tech")


def test_labels_of_other_kinds_are_not_joined(january: Path) -> None:
    """Numbers and names would become classes side by side."""
    with pytest.raises(DataError, match=r"january\.csv: names; .*more\.csv: integers"):
        joined_with(january, "more.csv", "text,label\nd,1\ne,2\n")


def test_a_fault_of_one_of_several_names_it(january: Path) -> None:
    """And its line; before all rows are read, a column that it lacks."""
    with pytest.raises(DataError, match=r"more\.csv: rows without a label\n.*line 3"):
        joined_with(january, "more.csv", "text,label\nd,x\ne,\n")
    both = Sources((str(january), "sample"))
    with pytest.raises(DataError, match="sample has no column 'day'"):
        check_source(both, Columns(text=("day",)))
