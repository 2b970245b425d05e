"""Every kind of data that can be given, and every fault that rows can have."""

from __future__ import annotations

import bz2
import csv
import errno
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.texts import iter_texts, put
from tightfit.data import sources
from tightfit.data.hub import HubName, parse_hub
from tightfit.data.sources import Columns, open_rows, read_table
from tightfit.data.table import Table
from tightfit.data.text_files import TextForm
from tightfit.errors import DataError, MachineError

AG_NAMES = ("World", "Sports", "Business", "Sci/Tech")
TEXTS = ["plain", 'with "quotes", and commas', "two\nlines\r\nand\ttabs", "émoji 🙂 \x00", " "]
LABELS = [2, 0, 1, 1, 0]
EVERY_ROW = Columns()

Writer = Callable[[Path, Sequence[Any], Sequence[Any]], Path]


def write_csv(path: Path, texts: Sequence[Any], labels: Sequence[Any]) -> Path:
    """A CSV, or a TSV where the name says so, as Python's own writer makes it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerows([("label", "text"), *zip(labels, texts, strict=True)])
    return path


def write_jsonl(path: Path, texts: Sequence[Any], labels: Sequence[Any]) -> Path:
    """One object a line, with escapes."""
    rows = [{"text": t, "label": x} for t, x in zip(texts, labels, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def write_parquet(path: Path, texts: Sequence[Any], labels: Sequence[Any]) -> Path:
    """As pyarrow infers the types; small row groups, so that there are several."""
    pq.write_table(pa.table({"label": labels, "text": texts}), path, row_group_size=2)
    return path


FILES: dict[str, Writer] = {
    "rows.csv": write_csv,
    "rows.tsv": write_csv,
    "rows.CSV": write_csv,
    "rows.jsonl": write_jsonl,
    "rows.ndjson": write_jsonl,
    "rows.parquet": write_parquet,
}
each_file = pytest.mark.parametrize("name", FILES)


def labelled(data: sources.DataLike, columns: Columns = EVERY_ROW) -> Table:
    """Texts and labels."""
    return read_table(data, columns, labelled=True)


def unlabelled(data: sources.DataLike, columns: Columns = EVERY_ROW) -> Table:
    """Texts alone."""
    return read_table(data, columns, labelled=False)


class_labelled = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
)


def spam(labels: Sequence[int] = (1, 0, 1)) -> datasets.Dataset:
    """Three rows whose labels have names."""
    return datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": labels}, class_labelled)


# Files that are right


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_labels_are_taken_where_there_are_any(tmp_path: Path, name: str) -> None:
    """The column is looked for; a text column that is missing is still a fault."""
    path = FILES[name](tmp_path / name, ["a", "b"], [1, 0])
    assert read_table(path, Columns(), labelled=None).labels == [1, 0]
    assert read_table(path, Columns(label="other"), labelled=None).labels is None
    with pytest.raises(DataError, match="has no column 'other'"):
        read_table(path, Columns(text=("other",)), labelled=None)


def test_labels_are_taken_where_a_column_stands_for_them(tmp_path: Path) -> None:
    """AG News's own form has them under another name; a table in memory as it is."""
    (tmp_path / "ag.csv").write_text(AG_ROWS, "utf-8")
    assert read_table(tmp_path / "ag.csv", Columns(), labelled=None).labels == [2, 0, 3, 1]
    bare = Table(["a"])
    assert read_table(bare, Columns(), labelled=None) is bare


@each_file
def test_a_file_gives_back_what_was_written(name: str, tmp_path: Path) -> None:
    """Quotes, line breaks, NUL, emoji and integers survive every format."""
    path = FILES[name](tmp_path / name, TEXTS, LABELS)
    assert labelled(str(path)) == Table(TEXTS, list(LABELS), None, str(path))
    assert unlabelled(path) == Table(TEXTS, None, None, str(path))


@each_file
def test_streamed_texts_are_the_table_in_pieces(name: str, tmp_path: Path) -> None:
    """The same rows, no more than asked for at a time."""
    pieces = list(iter_texts(FILES[name](tmp_path / name, TEXTS, LABELS), EVERY_ROW, 2))
    assert [*chain(*pieces)] == TEXTS
    assert max(map(len, pieces)) == 2


def test_streaming_a_parquet_file_does_not_fetch_the_whole(tmp_path: Path) -> None:
    """Even if all is one row group. Random digits: compression halves them at best."""
    digits = random.Random(1)
    texts = pa.array([f"{digits.getrandbits(4_000):x}" for _ in range(20_000)])
    pq.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", use_dictionary=False)
    del texts
    before = pa.total_allocated_bytes()
    pieces = iter_texts(tmp_path / "a.parquet", EVERY_ROW, 10)
    assert len(next(pieces)) == 10
    assert (tmp_path / "a.parquet").stat().st_size > 9_000_000
    assert pa.total_allocated_bytes() - before < 5_000_000


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
@given(rows=st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1))
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl"])
def test_any_texts_survive_a_text_file(name: str, tmp_path: Path, rows: list[str]) -> None:
    """Whatever characters there are, in whatever order; a program that wrote it quoted them."""
    path = FILES[name](tmp_path / name, rows, ["x"] * len(rows))
    form = TextForm("utf-8", "\t" if name == "rows.tsv" else ",", "double")
    assert labelled(path, Columns(form=form)) == Table(rows, ["x"] * len(rows), None, str(path))


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    """As spreadsheet programs write it; line ends of Windows too."""
    table = labelled(put(tmp_path / "a.csv", b"\xef\xbb\xbftext,label\r\nhi,1\r\n\r\nho,2\r\n"))
    assert (table.texts, table.labels) == (["hi", "ho"], [1, 2])
    assert unlabelled(put(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "hi"}\n')).texts == ["hi"]


@each_file
def test_a_text_of_a_megabyte_is_a_text(name: str, tmp_path: Path) -> None:
    """The csv module by itself stops at 131,072 characters."""
    long = "long " * 200_000
    assert unlabelled(FILES[name](tmp_path / name, [long, "b"], [0, 1])).texts == [long, "b"]


def test_columns_are_joined_with_a_space_in_the_order_asked_for(tmp_path: Path) -> None:
    """The published text is title, space, description."""
    path = put(tmp_path / "a.csv", "body,kind,head\nB,x,A\nD,y,C\n")
    table = labelled(path, Columns(("head", "body"), "kind"))
    assert (table.texts, table.labels) == (["A B", "C D"], ["x", "y"])


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["0", "12", "-1"], [0, 12, -1]),
        (["1.0", "2.0"], [1, 2]),
        (["007", "012"], ["007", "012"]),
        (["1", "one"], ["1", "one"]),
        (["9" * 5000, "1"], ["9" * 5000, "1"]),
    ],
)
def test_csv_labels_are_integers_if_all_look_like_it(
    cells: list[str], labels: list[int | str], tmp_path: Path
) -> None:
    """Codes with leading zeros stay names, and so does what no integer type holds."""
    assert labelled(write_csv(tmp_path / "a.csv", ["t"] * len(cells), cells)).labels == labels


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_typed_files_keep_strings_and_mend_whole_floats(name: str, tmp_path: Path) -> None:
    """A gap in an integer column makes pandas write 1.0 for 1."""
    texts = ["a", "b"]
    assert labelled(FILES[name](tmp_path / name, texts, ["1", "2"])).labels == ["1", "2"]
    assert labelled(FILES[name](tmp_path / name, texts, [1.0, 2.0])).labels == [1, 2]


def test_numbers_in_a_text_column_are_their_own_words(tmp_path: Path) -> None:
    """Also where strings and numbers are mixed."""
    assert unlabelled(write_jsonl(tmp_path / "a.jsonl", ["a", 3, 2.5], [0, 0, 0])).texts == [
        "a",
        "3",
        "2.5",
    ]
    assert unlabelled(write_parquet(tmp_path / "a.parquet", [3, 4], [0, 0])).texts == ["3", "4"]


def test_prediction_looks_at_the_texts_only(tmp_path: Path) -> None:
    """Neither a lack of labels nor faults in them matter, in any format."""
    assert unlabelled(put(tmp_path / "a.csv", "id,text\n1,hi\n2,ho\n")).texts == ["hi", "ho"]
    assert unlabelled(write_jsonl(tmp_path / "a.jsonl", ["a"], [[None]])).texts == ["a"]
    assert unlabelled(write_parquet(tmp_path / "a.parquet", ["a", "b"], [None, 0.5])).texts == [
        "a",
        "b",
    ]


def test_only_parquet_and_memory_know_their_rows_beforehand(tmp_path: Path) -> None:
    """Counting the rows of a text file would mean reading it."""
    sources: list[Any] = [write_parquet(tmp_path / "a.parquet", TEXTS, LABELS), spam()]
    sources += [pd.DataFrame({"text": TEXTS[:3]}), Table(TEXTS)]
    sources += [write_csv(tmp_path / "a.csv", TEXTS, LABELS), "sample"]
    opened = [open_rows(source, Columns())[0] for source in sources]
    assert [rows.count for rows in opened] == [5, 3, 3, 5, None, None]


# AG News's own form

AG_ROWS = (
    '"3","Wall St.","Stocks, ""again"""\n"1","Talks","Peace\\now"\n"4","Mars","Rover"\n'
    '"2","Cup","Final"\n'
)


@pytest.mark.parametrize(
    "content",
    [AG_ROWS, AG_ROWS.replace('"3"', "3"), "Class Index,Title,Description\n" + AG_ROWS],
    ids=["headless", "class without quotes", "header"],
)
def test_the_form_of_ag_news_is_recognised(content: str, tmp_path: Path) -> None:
    """Text is title + space + description; class 1 is label 0, World."""
    table = labelled(put(tmp_path / "train.csv", content))
    assert table.texts[:3] == ['Wall St. Stocks, "again"', "Talks Peace\\now", "Mars Rover"]
    assert (table.labels, table.label_names) == ([2, 0, 3, 1], AG_NAMES)


def test_columns_of_the_ag_news_form_can_be_chosen(tmp_path: Path) -> None:
    """A headless file has them too."""
    path = put(tmp_path / "train.csv", AG_ROWS)
    assert unlabelled(path, Columns(("Description",))).texts[2] == "Rover"
    assert unlabelled(path).labels is None


def test_other_classes_than_those_of_ag_news_are_another_file(tmp_path: Path) -> None:
    """Other sets of that family have the same columns, and more classes or fewer."""
    more, fewer = AG_ROWS + "5,a,b\n", AG_ROWS.rpartition('"2"')[0]
    for content, classes in ((more, "1, 2, 3, 4, 5"), (fewer, "1, 3, 4")):
        with pytest.raises(DataError, match=rf"no header(.|\n)*label \({classes}\)") as caught:
            labelled(put(tmp_path / "train.csv", content))
        assert caught.value.next_step == "put this line at its top: label,title,text"
    late = AG_ROWS * 20_000 + "5,a,b\n"
    with pytest.raises(DataError, match=r"label '5' is not one of(.|\n)*line 80001; 1 of"):
        labelled(put(tmp_path / "train.csv", late))


def test_three_columns_that_are_no_ag_news_keep_their_header(tmp_path: Path) -> None:
    """Only a first cell of 1 to 4 gives the form away."""
    table = labelled(put(tmp_path / "a.csv", "0,text,label\n1,a,x\n2,b,y\n"))
    assert (table.texts, table.labels) == (["a", "b"], ["x", "y"])


def test_the_sample_names_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows carry names; they become integers in AG News's order, and are answered by name."""
    monkeypatch.setattr(sources, "SAMPLE_FOLDER", tmp_path)
    write_jsonl(tmp_path / "train.jsonl", ["a", "b"], ["Sci/Tech", "World"])
    write_jsonl(tmp_path / "test.jsonl", ["c"], ["Sports"])
    assert labelled("sample") == Table(["a", "b"], [3, 0], AG_NAMES, "sample", AG_NAMES)
    assert labelled("sample:test") == Table(["c"], [1], AG_NAMES, "sample:test", AG_NAMES)


# Rows in memory


def test_a_data_frame_is_read_without_its_index() -> None:
    """Categories are strings again, and numbers among strings are texts."""
    frame = pd.DataFrame(
        {"text": ["a", 5, "c"], "label": pd.Categorical(["x", "y", "x"])}, index=[7, 7, 9]
    )
    assert labelled(frame) == Table(["a", "5", "c"], ["x", "y", "x"], None, "a DataFrame")
    assert list(iter_texts(frame, EVERY_ROW, 2)) == [["a", "5"], ["c"]]


@pytest.mark.parametrize("gap", [None, float("nan"), pd.NA, pd.NaT])
def test_each_sign_of_pandas_for_missing_is_missing(gap: object) -> None:
    """Rows of a frame are counted from 0, whatever its index says."""
    frame = pd.DataFrame({"text": ["a", gap]}, index=[10, 20], dtype=object)
    with pytest.raises(DataError, match=r"without a text(.|\n)*row 1 \(counted from 0\)"):
        unlabelled(frame)


def test_a_data_set_keeps_its_order_and_its_names() -> None:
    """Selecting leaves the rows where they are in the Arrow table underneath."""
    table = labelled(spam().select([2, 1]))
    assert table == Table(["c", "b"], [1, 0], ("ham", "spam"), "a Dataset")


def test_an_arrow_table_may_have_several_chunks() -> None:
    """And dictionary types, which are how Arrow writes categories."""
    kinds = pa.chunked_array([["x"], ["y", "x"]]).dictionary_encode()
    table = pa.table({"text": pa.chunked_array([["a", "b"], ["c"]]), "label": kinds})
    assert labelled(table) == Table(["a", "b", "c"], ["x", "y", "x"], None, "a Table")


def test_a_table_stays_as_it_is() -> None:
    """Unless labels are needed and missing."""
    table = Table(["a", "b"], ["x", "y"])
    assert labelled(table) is table
    assert list(iter_texts(table, EVERY_ROW, 1)) == [["a"], ["b"]]
    with pytest.raises(DataError, match="labels are needed"):
        labelled(Table(["a"]))


@pytest.mark.parametrize("data", [{"a", "b"}, 3, None])
def test_other_objects_are_refused(data: Any) -> None:
    """With all that is taken."""
    with pytest.raises(DataError, match=rf"cannot be read\n.*{type(data).__name__}\n.*one split"):
        unlabelled(data)


# Names of classes


def test_names_in_the_metadata_of_parquet_are_found(tmp_path: Path) -> None:
    """The datasets library writes them into the schema."""
    spam().to_parquet(tmp_path / "a.parquet")
    assert labelled(tmp_path / "a.parquet").label_names == ("ham", "spam")
    assert labelled(tmp_path / "a.parquet").labels == [1, 0, 1]


def test_a_pickle_takes_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader gives an Arrow table with the same metadata."""
    path = put(tmp_path / "a.pkl", b"x")
    monkeypatch.setattr(sources, "read_pickle", lambda _: spam().data.table)
    assert labelled(path) == Table(["a", "b", "c"], [1, 0, 1], ("ham", "spam"), str(path))


def test_damaged_names_are_reported() -> None:
    """Rather than training on numbers that the user knows by name."""
    table = pa.table({"text": ["a"], "label": [0]}).replace_schema_metadata({"huggingface": "{}"})
    with pytest.raises(DataError, match=r"ClassLabel names cannot be read\n.*\{\}"):
        labelled(table)
    assert unlabelled(table).texts == ["a"]


def test_minus_one_is_a_row_without_a_label() -> None:
    """Published test splits hide their labels this way."""
    with pytest.raises(DataError, match=r"label -1 \(the sign for a row without label\)") as caught:
        labelled(spam([0, -1, -1]))
    assert caught.value.allowed == "ham, spam"
    assert "rows 1, 2 (counted from 0); 2 of 3 rows" in str(caught.value)


# The Hub


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("hf:ag_news", HubName("ag_news")),
        ("hf:a/b@main", HubName("a/b", revision="main")),
        ("hf:a/b@refs/pr/1:c", HubName("a/b", "refs/pr/1", "c")),
        ("hf:a/b:c:test", HubName("a/b", config="c", split="test")),
        ("hf:a/b::test", HubName("a/b", split="test")),
        ("hf:a/b@1.0:c:train[:10%]", HubName("a/b", "1.0", "c", "train[:10%]")),
    ],
)
def test_a_hub_name_is_taken_apart(spec: str, name: HubName) -> None:
    """Each optional part on its own, and all together."""
    assert parse_hub(spec) == name


@pytest.mark.parametrize(
    "spec", ["hf:", "hf:@main", "hf::c", "hf:a@", "hf:a@:c", "hf:a:", "hf:a:c:"]
)
def test_a_hub_name_with_an_empty_part_is_refused(spec: str) -> None:
    """An announced part that is missing is a slip of the hand."""
    with pytest.raises(DataError, match=rf"seen: +{spec}\n +allowed: hf:NAME\[@REVISION\]"):
        read_table(spec, EVERY_ROW, labelled=False)


def test_every_part_of_a_hub_name_reaches_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is fetched here: the library's loader is replaced."""
    calls = []

    def load(*args: object, **options: object) -> datasets.Dataset:
        calls.append((args, options))
        return spam()

    monkeypatch.setattr(datasets, "load_dataset", load)
    assert labelled("hf:a/b@v1:c:test").label_names == ("ham", "spam")
    assert calls == [(("a/b", "c"), {"split": "test", "revision": "v1"})]


def test_a_folder_is_loaded_as_the_hub_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the library itself, split and ClassLabel included."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "toy").mkdir()
    spam().to_parquet(tmp_path / "toy" / "test.parquet")
    name = f"hf:{tmp_path / 'toy'}::test"
    assert labelled(name) == Table(["a", "b", "c"], [1, 0, 1], ("ham", "spam"), name)
    with pytest.raises(DataError, match=r"could not be loaded(.|\n)*Unknown split(.|\n)*next: "):
        labelled(f"hf:{tmp_path / 'toy'}::dev")


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library raises."""

    def load(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach the Hub\nlong story")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(DataError, match="ConnectionError: Couldn't reach the Hub\n") as caught:
        unlabelled("hf:ag_news")
    assert "without network, give the path of a file" in str(caught.value)


# Files that cannot be opened


def test_a_missing_file_suggests_a_neighbour(tmp_path: Path) -> None:
    """Most are slips of the hand."""
    put(tmp_path / "train.csv", "text\na\n")
    with pytest.raises(DataError, match=r"no such file\n.*trian\.csv\n.*did you mean 'train\.csv'"):
        unlabelled(tmp_path / "trian.csv")
    with pytest.raises(DataError, match=r"no such file\n.*nowhere"):
        unlabelled(tmp_path / "nowhere" / "train.csv")
    with pytest.raises(DataError, match=r"no such file\n.*sampel\n.*did you mean 'sample'"):
        unlabelled("sampel")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Whatever its suffix."""
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match="a folder instead of a file"):
        unlabelled(tmp_path / "a.csv")


class Failing(io.RawIOBase):
    """A file on a disk that breaks after its first block."""

    def __init__(self, first: bytes) -> None:
        self.blocks = [first]

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The block, then the fault."""
        if not self.blocks:
            raise OSError(errno.EIO, "Input/output error")
        block = self.blocks.pop()
        buffer[: len(block)] = block
        return len(block)


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.csv.bz2"])
def test_a_disk_that_breaks_is_the_machines_fault(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a file too, compressed or not."""
    content = b'{"text": "goal"}\n' * 9 if "jsonl" in name else b"text\n" + b"goal\n" * 9
    packed = bz2.compress(content)[:20] if "bz2" in name else content
    (tmp_path / name).write_bytes(packed)
    monkeypatch.setattr(bz2, "_builtin_open", lambda *_: io.BufferedReader(Failing(packed)))
    monkeypatch.setattr(Path, "open", lambda *_, **__: io.BufferedReader(Failing(packed)))
    with pytest.raises(MachineError, match="Input/output error") as caught:
        read_table(tmp_path / name, Columns(), labelled=False)
    assert caught.value.exit_code == 9


def test_an_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    """And the other ways to name data."""
    with pytest.raises(
        DataError, match=r"\.npy\n.*\.csv, \.tsv, .*\.pickle.*; text also.*; or hf:.*; or sample"
    ):
        unlabelled(put(tmp_path / "a.npy", "x"))


def test_a_forbidden_file_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked of the system, which a test run by root cannot be denied."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(MachineError, match=r"no permission to read the file\n.*a\.csv"):
        unlabelled(put(tmp_path / "a.csv", "text\na\n"))


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "a.pkl"])
def test_an_empty_file_is_refused(name: str, tmp_path: Path) -> None:
    """No bytes at all."""
    with pytest.raises(DataError, match=rf"{name} is empty"):
        unlabelled(put(tmp_path / name, b""))


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "\n\n"), ("a.csv", "\ufeff"), ("a.jsonl", " \n\n")]
)
def test_a_file_of_blank_lines_is_empty(name: str, content: str, tmp_path: Path) -> None:
    """A byte order mark alone does not fill it either."""
    with pytest.raises(DataError, match=rf"{name} is empty"):
        unlabelled(put(tmp_path / name, content))


def test_columns_without_rows_are_refused(tmp_path: Path) -> None:
    """Read whole or streamed."""
    path = put(tmp_path / "a.csv", "text,label\n")
    for data in (path, pd.DataFrame({"text": []}), pa.table({"text": pa.array([], pa.string())})):
        with pytest.raises(DataError, match="has no rows"):
            unlabelled(data)
        with pytest.raises(DataError, match=r"has no rows\n.*'text'"):
            list(iter_texts(data, EVERY_ROW))


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    """Also one that was cut off, or damaged inside, where only reading its rows finds it."""
    whole = write_parquet(tmp_path / "a.parquet", ["abc" * 50], [1]).read_bytes()
    broken = whole[:4] + b"\xff" * 60 + whole[64:]
    for content in (b"text,label\na,b\n", whole[:-20], broken):
        with pytest.raises(DataError, match=r"not a Parquet file, or is damaged\n.*seen: +\S"):
            labelled(put(tmp_path / "b.parquet", content))


# Columns


@each_file
def test_a_missing_column_names_those_there_are(name: str, tmp_path: Path) -> None:
    """And the nearest one, and the option that chooses another; streamed, at once."""
    path = FILES[name](tmp_path / name, TEXTS, LABELS)
    with pytest.raises(DataError, match=r"no column 'Txet'\n.*'text'") as caught:
        iter_texts(path, Columns(("text", "Txet")))
    assert "did you mean 'text'? choose a column with text_column" in str(caught.value)
    with pytest.raises(DataError, match=r"no column 'klass'(.|\n)*label_column"):
        labelled(path, Columns(label="klass"))


def test_spaces_around_a_heading_are_overlooked(tmp_path: Path) -> None:
    """Unless two columns differ in nothing else."""
    file = tmp_path / "a.csv"
    file.write_text("Review Text ,label\ngood,1\nbad,0\n")
    for name in ("Review Text", "Review Text "):
        assert read_table(file, Columns((name,)), labelled=True).texts == ["good", "bad"]
    file.write_text("text, label\ngood,1\nbad,0\n")
    assert read_table(file, Columns(), labelled=None).labels == [1, 0]
    file.write_text("a , a,label\ngood,bad,1\n")
    with pytest.raises(DataError, match="no column 'a'"):
        read_table(file, Columns(("a",)), labelled=True)


def test_a_long_list_of_columns_is_cut(tmp_path: Path) -> None:
    """A file without a header has its first text among them."""
    header = ",".join(["a long first text " * 9, *(f"c{i}" for i in range(30))])
    with pytest.raises(
        DataError, match=r"'a long first text a long first text a lo'.* and 11 more"
    ):
        unlabelled(put(tmp_path / "a.csv", header + "\n"))


def test_two_columns_of_the_same_name_are_refused(tmp_path: Path) -> None:
    """In each kind of source that can have them."""
    arrow = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["text", "text"])
    pq.write_table(arrow, tmp_path / "a.parquet")
    frame = pd.DataFrame([["a", "b"]], columns=["text", "text"])
    text = put(tmp_path / "a.csv", "text,label,text\na,1,b\n")
    for data in (text, tmp_path / "a.parquet", arrow, frame):
        with pytest.raises(DataError, match=r"columns have the same name\n.*'text'"):
            unlabelled(data)


# Rows that are wrong


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_bytes_that_are_not_utf8_are_found(name: str, tmp_path: Path) -> None:
    """Line and byte as an editor counts them, beyond the decoder's first block too."""
    good = b'{"text": "ok"}\n' if name == "a.jsonl" else b"text\n"
    content = good * 20_000 + b"caf\xe9\n"
    place = f"byte 0xe9 in line 20,001, at byte {len(good) * 20_000 + 3:,} of the file"
    with pytest.raises(DataError, match=rf"not UTF-8\n.*{place}(.|\n)*data.encoding.*cp1252"):
        unlabelled(put(tmp_path / name, content))


def test_strings_of_parquet_that_are_not_utf8_are_found() -> None:
    """Arrow reads them without a word."""
    texts = pa.array([b"ok", b"\xff", b"ok"], pa.binary()).view(pa.string())
    with pytest.raises(DataError, match=r"a string is not UTF-8(.|\n)*row 1 \(counted from 0\)"):
        unlabelled(pa.table({"text": texts}))


def test_ragged_rows_are_counted_by_the_line_they_begin_on(tmp_path: Path) -> None:
    """A quoted line break makes lines and rows differ."""
    rows = 'text,label\n"two\nlines",1\na,b,1\n\nc,1\nd\n' + "e,f,1\n" * 5
    with pytest.raises(DataError, match="a row with 3 cells under a header with 2") as caught:
        unlabelled(put(tmp_path / "a.csv", rows))
    assert "lines 4, 7, 8, 9, 10 and 2 more; 7 of 9 rows read" in str(caught.value)


@pytest.mark.parametrize("row", ['"never, closed,1\nb,2\n', '"closed" early, again,1\n'])
def test_broken_quotes_are_refused(row: str, tmp_path: Path) -> None:
    """They would swallow the rest of the file as one text."""
    with pytest.raises(
        DataError, match=r"row that begins on line 3 has broken quotes\n.*seen: +\S"
    ):
        unlabelled(put(tmp_path / "a.csv", "text,label\na,1\n" + row))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"text": ', "Expecting value"),
        ("[1, 2]", "a (list|int), not an object"),
        ('"text"', "a str, not an object"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_lines_that_are_no_objects_are_counted(line: str, why: str, tmp_path: Path) -> None:
    """On the first line, which names the columns, as on any other."""
    good = '{"text": "a"}\n'
    with pytest.raises(DataError, match=rf"not a JSON object: .*{why}(.|\n)*line 3; 1 of 3 rows"):
        unlabelled(put(tmp_path / "a.jsonl", f"{good}\n{line}\n{good}"))
    first = "row 0" if line[0] == "[" else "line 1"  # an array, whatever the ending
    with pytest.raises(DataError, match=rf"(.|\n)*{why}(.|\n)*{first}"):
        unlabelled(put(tmp_path / "a.jsonl", f"{line}\n{good}"))


@each_file
def test_a_row_without_a_text_is_refused_or_empty(name: str, tmp_path: Path) -> None:
    """As the setting says; lines of text files are counted from 1 and have a header to skip."""
    path = FILES[name](tmp_path / name, ["a", None, "c", None], [0, 1, 0, 1])
    places = {"CSV": "lines 3, 5;", "jsonl": "lines 2, 4;", "parquet": r"rows 1, 3 \(counted"}
    kind = {"csv": "CSV", "tsv": "CSV", "ndjson": "jsonl"}.get(name[5:], name[5:])
    with pytest.raises(DataError, match=rf"without a text\n.*{places[kind]}.*2 of 4(.|\n)*drop"):
        unlabelled(path)
    empty = Columns(missing_text="empty")
    assert unlabelled(path, empty).texts == ["a", "", "c", ""]
    assert [*chain(*iter_texts(path, empty))] == ["a", "", "c", ""]
    dropped = unlabelled(path, Columns(missing_text="drop"))
    assert (dropped.texts, dropped.left_out) == (["a", "c"], {"text": 2})


@each_file
def test_both_kinds_of_gaps_are_told_at_once(name: str, tmp_path: Path) -> None:
    """With the options of one command; dropped, texts and labels stay together."""
    path = FILES[name](tmp_path / name, ["a", None, "c", "d", "e"], ["x", "y", None, "y", "x"])
    with pytest.raises(DataError, match=r"without a text; .* without a label; 5 rows") as caught:
        read_table(path, Columns(), labelled=True)
    assert caught.value.add == "--set data.missing_text=drop --set data.missing_label=drop"
    kept = Columns(missing_text="drop", missing_label="drop")
    table = read_table(path, kept, labelled=True)
    assert (table.texts, table.labels) == (["a", "d", "e"], ["x", "y", "x"])
    assert table.left_out == {"text": 1, "label": 1}


def test_nothing_is_left(tmp_path: Path) -> None:
    """No row is no data."""
    path = put(tmp_path / "a.csv", "text,label\na,\nb,\n")
    with pytest.raises(DataError, match="no row has a label"):
        read_table(path, Columns(missing_label="drop"), labelled=True)


def test_a_key_that_a_json_line_lacks_is_a_missing_value(tmp_path: Path) -> None:
    """The first line says which columns there are."""
    path = put(tmp_path / "a.jsonl", '{"text": "a", "label": 1}\n{"text": "b"}\n{"label": 1}\n')
    with pytest.raises(DataError, match=r"without a text\n.*line 3"):
        unlabelled(path)
    with pytest.raises(DataError, match=r"without a label\n.*line 2; 1 of 3"):
        labelled(path, Columns(missing_text="empty"))


@pytest.mark.parametrize("text", [True, ["a"], {"a": 1}])
def test_a_text_must_be_a_string(text: object, tmp_path: Path) -> None:
    """Or a number; a truth value is a column that was not meant."""
    path = write_jsonl(tmp_path / "a.jsonl", ["a", text], [0, 1])
    with pytest.raises(
        DataError, match=rf"not a string but .*\({type(text).__name__}\)\n.*line 2;"
    ):
        unlabelled(path)


def test_half_a_surrogate_pair_is_refused(tmp_path: Path) -> None:
    """JSON can escape what no file can hold; an escaped whole pair is a character."""
    good = put(tmp_path / "a.jsonl", '{"text": "\\ud83d\\ude42", "label": "x"}\n')
    assert unlabelled(good).texts == ["🙂"]
    half = put(tmp_path / "b.jsonl", '{"text": "a", "label": "\\ud800"}\n{"text": "\\ude42"}\n')
    with pytest.raises(DataError, match=r"a text holds half of a surrogate(.|\n)*line 2;"):
        unlabelled(half)
    with pytest.raises(DataError, match=r"a label holds half of a surrogate(.|\n)*line 1;"):
        labelled(put(tmp_path / "c.jsonl", half.read_bytes().splitlines()[0]))


@pytest.mark.parametrize("gap", [None, float("nan"), "", "  "])
def test_rows_without_a_label_are_counted(gap: object, tmp_path: Path) -> None:
    """The first few by number, all of them in the sum."""
    path = write_jsonl(tmp_path / "a.jsonl", ["a"] * 9, ["x", *[gap] * 7, "x"])
    with pytest.raises(
        DataError, match=r"without a label\n.*lines 2, 3, 4, 5, 6 and 2 more; 7 of 9"
    ):
        labelled(path)


@pytest.mark.parametrize("label", [float("inf"), b"a", {1}])
def test_a_label_is_an_integer_or_a_string(label: object, tmp_path: Path) -> None:
    """Anything else is the wrong column, or another task."""
    rows = pd.DataFrame({"text": ["a", "b"], "label": [1, label]}, dtype=object)
    with pytest.raises(DataError, match=rf"a label is .*\({type(label).__name__}\)\n.*row 1 ") as e:
        labelled(rows)
    assert e.value.allowed == "integers, or strings"


def test_integers_and_strings_do_not_mix(tmp_path: Path) -> None:
    """Whether 1 and "1" are one class is not ours to guess."""
    path = write_jsonl(tmp_path / "a.jsonl", ["a", "b"], [1, "1"])
    with pytest.raises(DataError, match=r"partly numbers, partly strings such as '1'\n.*line 2;"):
        labelled(path)


# The table itself


def test_a_fingerprint_tells_rows_apart() -> None:
    """Text from label, row from row, 1 from "1", labels from none; the source does not matter."""
    tables = [
        Table(["ab", "c"], [1, 2]),
        Table(["a", "bc"], [1, 2]),
        Table(["c", "ab"], [2, 1]),
        Table(["ab", "c"], ["1", "2"]),
        Table(["ab", "c"]),
        Table(["ab"], [1]),
    ]
    assert len({table.fingerprint() for table in tables}) == len(tables)
    assert Table(["ab", "c"], [1, 2], source="x").fingerprint() == tables[0].fingerprint()


def test_selected_rows_keep_their_labels_and_names() -> None:
    """In the order asked for."""
    table = Table(["a", "b", "c"], [1, 0, 1], ("ham", "spam"), "x")
    assert table.select([2, 1]) == Table(["c", "b"], [1, 0], ("ham", "spam"), "x")
    assert Table(["a", "b"]).select([1]) == Table(["b"])


def test_labels_come_one_for_each_text() -> None:
    """A shifted column would train on nonsense."""
    with pytest.raises(DataError, match="2 texts and 1 labels"):
        Table(["a", "b"], [1])
