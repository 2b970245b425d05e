"""The child that reads pickles stays within its limits, and each of its ends has words."""

from __future__ import annotations

import pickle
import signal
import struct
import subprocess
import sys
from pathlib import Path

import datasets
import numpy
import pandas as pd
import pyarrow as pa
import pytest

from tightfit.data import child
from tightfit.data.child import Child
from tightfit.data.pickles.unpickle import read_pickle
from tightfit.errors import DataError, MachineError

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")


def with_cell(cell: bytes) -> bytes:
    """A pickled frame with one cell of given opcodes."""
    frame = pd.DataFrame({"text": pd.Series(["@@", None], dtype=object)})
    before, after = pickle.dumps(frame, protocol=2).split(b"X\x02\x00\x00\x00@@")
    return before + cell + after[2:]  # without the memo entry of the cell


def laughs(levels: int) -> bytes:
    """Opcodes of a list of ten lists of ten lists..., each stored once."""
    code = b"]"
    for level in range(levels):
        place = struct.pack("<I", 1000 + level)
        code += b"r" + place + b"0](" + (b"j" + place) * 10 + b"e"
    return code


def slow_to_read(keys: int = 60_000) -> bytes:
    """A dictionary whose keys all have the same hash, so that each is compared with all others."""
    numbers = [(key * (2**61 - 1)).to_bytes(10, "little") for key in range(1, keys)]
    entries = b"".join(b"\x8a\x0a" + number + b"N" for number in numbers)
    return b"\x80\x02}(" + entries + b"u."


@on_linux
@pytest.mark.slow
@pytest.mark.parametrize(
    "bomb",
    [
        pickle.dumps(pd.DataFrame({"text": pd.Series(["x" * 2**24] * 1000, dtype=object)})),
        pickle.dumps(
            datasets.concatenate_datasets(
                [datasets.Dataset.from_dict({"text": ["x" * 2**20]})] * 1000
            )
        ),
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b".",
        b"\x80\x02Nr\xff\xff\xff\x7f.",
    ],
    ids=["one string a thousand times", "one table a thousand times", "bytes", "memo"],
)
def test_a_memory_bomb_is_refused(bomb: bytes, tmp_path: Path) -> None:
    """Small files that would unfold to gigabytes."""
    path = tmp_path / "rows.pkl"
    path.write_bytes(bomb)
    with pytest.raises(DataError, match=r"reading it takes more than 0\.25 GiB"):
        read_pickle(path, memory_bytes=2**28)


@pytest.mark.parametrize("bomb", [slow_to_read(), with_cell(laughs(12))], ids=["hashes", "laughs"])
def test_a_time_bomb_is_refused(bomb: bytes, tmp_path: Path) -> None:
    """Each would run for much longer than the second that it is given."""
    path = tmp_path / "rows.pkl"
    path.write_bytes(bomb)
    with pytest.raises(DataError, match=r"takes longer than 1\.5 seconds"):
        read_pickle(path, seconds=1.5)


@on_linux
@pytest.mark.slow
def test_a_child_without_its_parent_ends_all_the_same(tmp_path: Path) -> None:
    """The system counts the processor time, should the parent be gone."""
    (tmp_path / "rows.pkl").write_bytes(slow_to_read(300_000))
    limited = Child("tightfit.data.pickles.sandbox", (numpy, pa), 2**30, 1.0)
    with (tmp_path / "rows.pkl").open("rb") as bomb:
        ended = subprocess.run(limited.command(), stdin=bomb, check=False, timeout=60)
    assert ended.returncode == -signal.SIGXCPU


def test_a_crash_is_a_refusal(tmp_path: Path) -> None:
    """Arrow's own recursion overflows the stack of the child on lists in lists in lists."""
    path = tmp_path / "rows.pkl"
    path.write_bytes(with_cell(b"]" * 200_000 + b"a" * 199_999))
    with pytest.raises(DataError, match="reading it crashed") as caught:
        read_pickle(path)
    assert caught.value.seen == "SIGSEGV"


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("raise RuntimeError('no such luck')", DataError, "broke down.*\n.*no such luck"),
        ("raise SystemExit(5)", DataError, "takes more than 4 GiB"),
        ("raise SystemExit(9)", MachineError, "no room for the rows"),
    ],
)
def test_other_ends_of_the_child(
    code: str, error: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes of the child, the caller hears of it in words."""
    monkeypatch.setattr(child, "_START", code)
    (tmp_path / "rows.pkl").write_bytes(b"N.")
    with pytest.raises(error, match=words):
        read_pickle(tmp_path / "rows.pkl")


def test_an_answer_that_is_no_sound_table_is_not_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent validates for itself, and does not take the child's word."""
    bad = pa.StringArray.from_buffers(
        1, pa.py_buffer(struct.pack("<2i", 0, 1)), pa.py_buffer(b"\xff")
    )
    path = tmp_path / "bad.arrow"
    table = pa.table({"text": bad})
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    code = f"import sys; sys.stdout.buffer.write(open({str(path)!r}, 'rb').read())"
    monkeypatch.setattr(child, "_START", code)
    (tmp_path / "rows.pkl").write_bytes(b"N.")
    with pytest.raises(DataError, match="its rows are not sound"):
        read_pickle(tmp_path / "rows.pkl")
