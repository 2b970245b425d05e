"""Folders of ``save_to_disk``, and files in Arrow's own format."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import datasets
import pandas as pd
import pyarrow as pa
import pytest

from tests.data.texts import iter_texts
from tightfit.data.sources import Columns, read_table
from tightfit.errors import DataError

NAMES = datasets.Features(
    {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["ham", "spam"])}
)
ROWS = datasets.Dataset.from_dict(
    {"text": [f"text {i}" for i in range(10)], "label": [0, 1] * 5}, NAMES
)


def test_a_saved_data_set_keeps_order_and_names(tmp_path: Path) -> None:
    """Through several files, of which the names are sorted otherwise than the rows."""
    mixed = ROWS.shuffle(seed=1)
    mixed.save_to_disk(tmp_path / "saved", num_shards=3)
    table = read_table(tmp_path / "saved", Columns(), labelled=True)
    assert (table.texts, table.labels) == (mixed["text"][:], mixed["label"][:])
    assert table.label_names == ("ham", "spam")
    assert [len(chunk) for chunk in iter_texts(tmp_path / "saved", Columns(), 3)] == [3, 1, 3, 3]


def test_of_several_splits_one_must_be_named(tmp_path: Path) -> None:
    """And where there is one, it is taken."""
    splits = {"train": ROWS, "test": ROWS.select(range(4))}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "two")
    datasets.DatasetDict({"all": ROWS}).save_to_disk(tmp_path / "one")
    with pytest.raises(DataError, match=r"several splits\n.*train, test\n.*two#train'"):
        read_table(tmp_path / "two", Columns(), labelled=True)
    assert len(read_table(f"{tmp_path / 'two'}#test", Columns(), labelled=True)) == 4
    assert len(read_table(tmp_path / "one", Columns(), labelled=True)) == 10
    with pytest.raises(DataError, match=r"no split 'tset'\n.*train, test\n.*two#test'"):
        read_table(f"{tmp_path / 'two'}#tset", Columns(), labelled=True)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("{", "is damaged"),
        ('{"_data_files": []}', "is damaged"),
        ('{"_data_files": [{"filename": "none.arrow"}]}', "lacks files"),
        ('{"_data_files": [{"filename": "../other.arrow"}]}', "lacks files"),
    ],
)
def test_a_damaged_folder_is_refused(state: str, words: str, tmp_path: Path) -> None:
    """Nor may it point to files outside of it."""
    ROWS.save_to_disk(tmp_path / "saved")
    (tmp_path / "saved" / "data-00000-of-00001.arrow").rename(tmp_path / "other.arrow")
    (tmp_path / "saved" / "state.json").write_text(state)
    with pytest.raises(DataError, match=words):
        read_table(tmp_path / "saved", Columns(), labelled=True)


@pytest.mark.parametrize("name", ["a.feather", "a.arrow", "stream.arrow"])
def test_arrow_files_are_read(name: str, tmp_path: Path) -> None:
    """Compressed as pandas writes them, as a file, and as a stream."""
    table = pa.table({"text": ["a", "b"], "label": [1, 0]})
    if name == "a.feather":
        pd.DataFrame({"text": ["a", "b"], "label": [1, 0]}).to_feather(tmp_path / name)
    else:
        new = pa.ipc.new_stream if name == "stream.arrow" else pa.ipc.new_file
        with new(tmp_path / name, table.schema) as writer:
            writer.write_table(table)
    read = read_table(tmp_path / name, Columns(), labelled=True)
    assert (read.texts, read.labels) == (["a", "b"], [1, 0])


def test_unsound_arrow_files_are_refused(tmp_path: Path) -> None:
    """Offsets that point outside would otherwise let Arrow read foreign memory."""
    offsets = pa.py_buffer(struct.pack("<3i", 0, 99, 1))
    bad = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"x")])
    path = tmp_path / "a.arrow"
    with pa.ipc.new_file(path, pa.schema({"text": pa.string()})) as writer:
        writer.write_batch(pa.record_batch([bad], ["text"]))
    with pytest.raises(DataError, match="not an Arrow file, or is damaged"):
        read_table(path, Columns(), labelled=False)
    path.write_bytes(json.dumps({"no": "arrow"}).encode())
    with pytest.raises(DataError, match="not an Arrow file, or is damaged"):
        read_table(path, Columns(), labelled=False)
