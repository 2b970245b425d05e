"""What hostile pickles ask for never happens, and what they claim is checked."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from tightfit.data import child
from tightfit.data.pickles import sandbox
from tightfit.data.pickles.records import ALLOWED, Record, Recorder
from tightfit.data.pickles.sandbox import read
from tightfit.data.pickles.unpickle import read_pickle
from tightfit.errors import DataError

# Each attack would leave a marker, if anything of it ran.


def name(module: str, attribute: str) -> bytes:
    """Opcodes that look up a global."""
    return f"c{module}\n{attribute}\n".encode()


def text(value: object) -> bytes:
    """Opcodes of a string."""
    data = str(value).encode()
    return b"X" + struct.pack("<I", len(data)) + data


def stack_name(module: str, attribute: str) -> bytes:
    """Opcodes that look up a global by way of the stack, where a dotted name walks attributes."""
    return text(module) + text(attribute) + b"\x93"


def call(function: bytes, *args: bytes) -> bytes:
    """Opcodes that call a function."""
    return function + b"(" + b"".join(args) + b"tR"


def touch(marker: Path) -> bytes:
    """A shell command that leaves the marker."""
    return text(f"touch {marker}")


def python(marker: Path) -> bytes:
    """Python that leaves the marker."""
    return text(f"open({str(marker)!r}, 'w').close()")


ATTACKS: dict[str, Callable[[Path], bytes]] = {
    "os.system": lambda m: call(name("os", "system"), touch(m)),
    "posix.system": lambda m: call(stack_name("posix", "system"), touch(m)),
    "subprocess.Popen": lambda m: call(name("subprocess", "getoutput"), touch(m)),
    "builtins.exec": lambda m: call(name("builtins", "exec"), python(m)),
    "__builtin__.eval": lambda m: call(name("__builtin__", "eval"), python(m)),
    "builtins.getattr": lambda m: call(
        call(name("builtins", "getattr"), name("os", "path"), text("os.system")), touch(m)
    ),
    "getattr on an allowed class": lambda m: call(
        call(name("builtins", "getattr"), name("pandas", "DataFrame"), text("eval")), touch(m)
    ),
    "dotted method": lambda m: call(stack_name("pandas", "DataFrame.to_csv"), touch(m)),
    "dotted numpy": lambda m: call(stack_name("numpy", "ndarray.tofile"), touch(m)),
    "dotted globals": lambda m: stack_name(
        "datasets.features.features", "ClassLabel.__init__.__globals__"
    ),
    "dotted module": lambda m: call(stack_name("pandas.core", "frame.DataFrame"), touch(m)),
    "copyreg": lambda m: call(name("copy_reg", "_reconstructor"), name("os", "system"), touch(m)),
    "functools.partial": lambda m: call(
        call(name("functools", "partial"), name("os", "system"), touch(m))
    ),
    "operator.methodcaller": lambda m: call(
        call(name("operator", "methodcaller"), text("system"), touch(m)), name("os", "system")
    ),
    "INST opcode": lambda m: b"(" + touch(m) + b"ios\nsystem\n",
    "OBJ opcode": lambda m: b"(" + name("os", "system") + touch(m) + b"o",
    "NEWOBJ opcode": lambda m: name("subprocess", "Popen") + touch(m) + b"\x85\x81",
    "EXT1 opcode": lambda m: call(b"\x82\x01", touch(m)),
    "EXT4 opcode": lambda m: call(b"\x84\x01\x00\x00\x00", touch(m)),
    "PERSID opcode": lambda m: b"P" + str(m).encode() + b"\n",
    "BINPERSID opcode": lambda m: touch(m) + b"Q",
    "next buffer": lambda m: b"\x97",
    "pandas.read_pickle": lambda m: call(name("pandas.io.pickle", "read_pickle"), text(m)),
    "pandas.eval": lambda m: call(name("pandas.core.computation.eval", "eval"), python(m)),
    "numpy.load": lambda m: call(name("numpy", "load"), text(m)),
    "numpy.memmap": lambda m: call(
        name("numpy", "memmap"), text(m), text("b"), text("w+"), b"K\x00", b"K\x09"
    ),
    "pyarrow.memory_map": lambda m: call(name("pyarrow.lib", "memory_map"), text(m), text("w")),
    "pyarrow.create_memory_map": lambda m: call(
        name("pyarrow.lib", "create_memory_map"), text(m), b"K\x09"
    ),
    "mapped table": lambda m: call(
        name("datasets.table", "_memory_mapped_arrow_table_from_file"), text(m)
    ),
    "torch": lambda m: call(name("torch.storage", "_load_from_bytes"), touch(m)),
    "attributes of a class": lambda m: (
        name("pandas", "DataFrame") + b"}" + text("eval") + name("numpy", "dtype") + b"sb"
    ),
    "slots of a class": lambda m: (
        name("pandas", "DataFrame") + b"N}" + text("__new__") + name("numpy", "dtype") + b"s\x86b"
    ),
    "an allowed call of a file": lambda m: call(name("pyarrow.lib", "py_buffer"), text(m)),
    "an allowed codec": lambda m: call(name("_codecs", "encode"), python(m), text("os")),
    "no pickle": lambda m: b"text,label\nhello,1\n",
    "nothing": lambda m: b"",
}


def hostile(attack: str, marker: Path) -> bytes:
    """The pickle of an attack."""
    return b"\x80\x04" + ATTACKS[attack](marker) + b"."


@pytest.mark.parametrize("attack", ["os.system", "builtins.exec", "INST opcode", "numpy.memmap"])
def test_the_attacks_would_leave_their_marker(attack: str, tmp_path: Path) -> None:
    """Shows that the tests below can fail: the plain unpickler runs the very same bytes."""
    pickle.loads(hostile(attack, tmp_path / "marker"))
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_of_an_attack_runs(attack: str, tmp_path: Path) -> None:
    """Refused without a trace, here even without the child around it."""
    with pytest.raises(DataError):
        read(io.BytesIO(hostile(attack, tmp_path / "marker")))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused_with_exit_code_4(attack: str, tmp_path: Path) -> None:
    """The same by the front door."""
    path = tmp_path / "rows.pkl"
    path.write_bytes(hostile(attack, tmp_path / "marker"))
    with pytest.raises(DataError, match=r"is refused: .*; nothing of it was run") as caught:
        read_pickle(path)
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (LogisticRegression(), "sklearn.linear_model._logistic.LogisticRegression"),
        (pd.Series(["a"]), "pandas.Series"),
        (datasets.DatasetDict(), "datasets.dataset_dict.DatasetDict"),
        (Path("rows"), "pathlib"),
        ([1, 2], "list"),
        ({"text": ["a"]}, "dict"),
        (pd.Index(["a"]), "_new_Index"),
    ],
)
def test_other_pickles_are_refused_by_name(value: Any, seen: str) -> None:
    """The error shows the first thing that neither a Dataset nor a DataFrame is made of."""
    with pytest.raises(DataError, match=r"asks for something|holds something else") as caught:
        read(io.BytesIO(pickle.dumps(value)))
    assert str(caught.value.seen).startswith(seen)


def test_the_error_says_what_and_what_next(tmp_path: Path) -> None:
    """Control characters of the pickle do not reach the terminal."""
    path = tmp_path / "rows.pkl"
    path.write_bytes(b"\x80\x04" + stack_name("os", "sys\x1b[2Jtem") + b".")
    with pytest.raises(DataError) as caught:
        read_pickle(path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{path} is refused: it asks for something that no Dataset")
    assert lines[1] == r"  seen:    'os.sys\x1b[2Jtem'"
    assert 'dataset.to_parquet("rows.parquet")' in lines[3]


def test_a_mapped_dataset_is_refused_and_its_file_left_alone(tmp_path: Path) -> None:
    """A Dataset loaded the usual way pickles as a path, and any path could stand there."""
    datasets.Dataset.from_dict({"text": ["secret"]}).to_parquet(tmp_path / "rows.parquet")
    mapped = datasets.Dataset.from_parquet(str(tmp_path / "rows.parquet"), cache_dir=str(tmp_path))
    pickled = pickle.dumps(mapped)
    with pytest.raises(DataError, match="not in the pickle but in a file") as caught:
        read(io.BytesIO(pickled))
    assert caught.value.seen == mapped.cache_files[0]["filename"]


def test_the_list_holds_whole_names_only() -> None:
    """No dots, nothing that runs code, and no two names that one kind would mix up."""
    dangerous = {"getattr", "eval", "exec", "partial", "_reconstructor", "memory_map", "load"}
    assert not any("." in attribute or attribute in dangerous for _, attribute in ALLOWED)
    assert {module.split(".")[0] for module, _ in ALLOWED} == {
        *("_codecs", "__builtin__", "builtins", "datasets", "numpy", "pandas", "pyarrow"),
    }


@pytest.mark.parametrize(("module", "attribute"), sorted(ALLOWED))
def test_an_allowed_name_leads_to_a_stand_in_only(module: str, attribute: str) -> None:
    """Called with anything it gives a record, and the class takes no attribute from a pickle."""
    stand_in = Recorder(io.BytesIO()).find_class(module, attribute)
    assert stand_in.__mro__[1:] == (Record, object)
    assert type(stand_in("rm -rf", len)) is stand_in
    body = name(module, attribute) + b"}" + text("kind") + text("else") + b"sb."
    with pytest.raises(DataError, match="not a pickle"):
        read(io.BytesIO(b"\x80\x02" + body))


# Arrow buffers that do not hold what the pickle claims.


class Call:
    """Pickles as a call, whatever the called thing would make of it."""

    def __init__(self, function: Any, *args: Any, state: Any = None) -> None:
        self.parts = (function, args, state) if state else (function, args)

    def __reduce__(self) -> Any:
        return self.parts


def array(kind: pa.DataType, length: int, *buffers: bytes | None, **more: Any) -> Call:
    """A pickled Arrow array that claims anything."""
    held = [None if data is None else pa.py_buffer(data) for data in buffers]
    offset, children = more.get("offset", 0), more.get("children", [])
    return Call(pa.lib._restore_array, (kind, length, 0, offset, held, children, None))


def in_memory(column: Call, kind: pa.DataType) -> Call:
    """A pickled table of the datasets library, of one column."""
    chunked = Call(pa.chunked_array, [column], kind)
    arrow = Call(pa.lib._reconstruct_table, [chunked], pa.schema([("text", kind)]))
    return Call(datasets.table.InMemoryTable, state={"table": arrow})


def dataset(column: Call, kind: pa.DataType, indices: Call | None = None) -> Call:
    """A pickled Dataset of one column, whose rows stand in the order of the indices."""
    features = Call(datasets.Features, {})
    info = Call(datasets.DatasetInfo, state={"features": features})
    state = {"_info": info, "_data": in_memory(column, kind), "_indices": indices}
    return Call(datasets.Dataset, state=state)


def offsets(*places: int) -> bytes:
    """Offsets of strings or lists."""
    return struct.pack(f"<{len(places)}i", *places)


def strings(*places: int, data: bytes | None = b"alphabeta", length: int = 2, **more: Any) -> Call:
    """A pickled array of two strings, rightly with offsets 0, 5, 9."""
    return array(pa.string(), length, None, offsets(*places), data, **more)


LIARS: dict[str, tuple[Call, pa.DataType]] = {
    "end beyond the data": (strings(0, 5, 2**30), pa.string()),
    "start beyond the data": (strings(2**30, 2**30, 2**30), pa.string()),
    "backwards": (strings(0, 9, 5), pa.string()),
    "below zero": (strings(-4, 5, 9), pa.string()),
    "too many rows": (strings(0, 5, 9, length=10**9), pa.string()),
    "fewer than no rows": (strings(0, 5, 9, length=-2), pa.string()),
    "rows beyond 64 bits": (strings(0, 5, 9, length=2**64), pa.string()),
    "shifted out": (strings(0, 5, 9, offset=2), pa.string()),
    "shifted below": (strings(0, 5, 9, offset=-2), pa.string()),
    "no data": (strings(0, 5, 9, data=None), pa.string()),
    "no buffers": (array(pa.string(), 2), pa.string()),
    "not UTF-8": (strings(0, 5, 9, data=b"\xff" * 9), pa.string()),
    "short bitmap": (array(pa.string(), 2, b"", offsets(0, 5, 9), b"alphabeta"), pa.string()),
    "short numbers": (array(pa.int64(), 2, None, b"\0" * 8), pa.int64()),
    "another type": (strings(0, 5, 9), pa.int64()),
    "a file for a buffer": (
        Call(pa.lib._restore_array, (pa.string(), 2, 0, 0, [None, "/etc/passwd", None], [], None)),
        pa.string(),
    ),
    "short child": (
        array(
            pa.list_(pa.int8()),
            1,
            None,
            offsets(0, 9),
            children=[(pa.int8(), 2, 0, 0, [None, pa.py_buffer(b"ab")], [], None)],
        ),
        pa.list_(pa.int8()),
    ),
    "no child": (array(pa.list_(pa.int8()), 1, None, offsets(0, 0)), pa.list_(pa.int8())),
    "an extension type": (strings(0, 5, 9), pa.json_()),
    "rows without end": (array(pa.null(), 2**40, None), pa.null()),
    "lists without end": (
        array(
            pa.list_(pa.null()),
            1,
            None,
            offsets(0, 2**31 - 1),
            children=[(pa.null(), 2**31 - 1, 0, 0, [None], [], None)],
        ),
        pa.list_(pa.null()),
    ),
}


def answered(value: Any) -> bytes:
    """What the child would say to the pickle: JSON when it refuses."""
    out = io.BytesIO()
    code = sandbox.answer(io.BytesIO(pickle.dumps(value)), out)
    assert code == child.REFUSED
    return out.getvalue()


def test_the_honest_form_of_the_liars_is_read() -> None:
    """Shows that the refusals below are for the lies alone."""
    honest = pickle.dumps(dataset(strings(0, 5, 9), pa.string()))
    assert read(io.BytesIO(honest)).to_pydict() == {"text": ["alpha", "beta"]}


@pytest.mark.parametrize("lie", LIARS)
def test_a_column_that_lies_is_refused(lie: str) -> None:
    """Validated before anything reads it; without that, some of these read foreign memory."""
    said = answered(dataset(*LIARS[lie]))
    assert b"damaged" in said or b"values" in said or b"belongs" in said or b"asks for" in said


def test_a_row_number_beyond_the_rows_is_refused() -> None:
    """The order of a shuffled Dataset is a column of the pickle as well."""
    column = array(pa.uint64(), 1, None, struct.pack("<Q", 2))
    indices = in_memory(column, pa.uint64())
    said = answered(dataset(strings(0, 5, 9), pa.string(), indices))
    assert b"out of bounds" in said


def encoded() -> Call:
    """A pickled Arrow array that repeats a dictionary's entries."""
    codes = pa.py_buffer(bytes(4))
    return Call(pa.lib._restore_array, (pa.int32(), 1, 0, 0, [None, codes], [], strings(0, 5, 9)))


def classes(*names: Any) -> Call:
    """A pickled Dataset whose labels have these names."""
    labels = Call(datasets.Features, {"text": Call(datasets.ClassLabel, state={"names": [*names]})})
    info = Call(datasets.DatasetInfo, state={"features": labels})
    rows = in_memory(strings(0, 5, 9), pa.string())
    return Call(datasets.Dataset, state={"_info": info, "_data": rows, "_indices": None})


def rows_of(table: Any) -> Call:
    """A pickled Dataset that holds this in place of its table."""
    return Call(datasets.Dataset, state={"_info": None, "_data": table, "_indices": None})


def frame_of(manager: Any) -> Call:
    """A pickled DataFrame that holds this in place of its blocks."""
    return Call(pd.DataFrame, state={"_mgr": manager})


STRANGERS: dict[str, tuple[Any, str]] = {
    "complex numbers": (pd.DataFrame({"text": [1j]}), "of a type that no table of text needs"),
    "periods": (pd.DataFrame({"text": pd.period_range("2020", periods=1)}), "asks for something"),
    "names of two levels": (pd.DataFrame([[1]], columns=[["a"], ["b"]]), "index of several levels"),
    "lists among strings": (pd.DataFrame({"text": ["a", ["b"]]}), "mixes strings with other"),
    "no blocks": (frame_of(pd.Index(["text"])), "where the blocks of a DataFrame belongs"),
    "text for blocks": (frame_of("text"), "where the blocks of a DataFrame belongs"),
    "a dictionary": (dataset(encoded(), pa.int32()), "a dictionary-encoded Arrow column"),
    "a schema for a column": (dataset(pa.schema([]), pa.string()), "an Arrow array belongs"),
    "text for a type": (dataset(strings(0, 5, 9), "int64"), "a plain Arrow type belongs"),
    "a frame for a table": (rows_of(pd.DataFrame()), "a table of the datasets library belongs"),
    "numbered classes": (classes(1, 2), "names a class by something else than a string"),
}
"""Parts that are of another kind than their place calls for, and what is said of them."""


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_part_of_another_kind_is_refused(stranger: str) -> None:
    """By its own name, whether the pickle is honest or not."""
    value, words = STRANGERS[stranger]
    assert words in answered(value).decode("ascii")


def test_names_of_classes_are_read() -> None:
    """Shows that the refusal above is for numbers alone."""
    found = read(io.BytesIO(pickle.dumps(classes("a", "b"))))
    assert b'"names": ["a", "b"]' in found.schema.metadata[b"huggingface"]
