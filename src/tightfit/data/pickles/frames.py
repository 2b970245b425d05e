"""Arrow tables out of the records of a pickled `pandas.DataFrame`, of pandas 1 to 3.

A DataFrame holds blocks: arrays of one type for several columns, with the places of those columns.
The rows' own index is never read.

Shapes: C columns of a block, R rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tightfit.data.pickles.records import Record, bytes_of, is_record, unexpected
from tightfit.data.pickles.tables import array_of
from tightfit.errors import DataError

_ARROW_ARRAYS = ("ArrowExtensionArray", "ArrowStringArray", "ArrowStringArrayNumpySemantics")

_PLAIN_DTYPE = re.compile(r"[biufOU]\d{1,9}")
_TIME_DTYPE = re.compile(r"[mM]8")
_TIME_UNIT = re.compile(rb"s|ms|us|ns")

Column: TypeAlias = pa.Array | pa.ChunkedArray


def frame_table(frame: Record) -> pa.Table:
    """The columns of a pickled `pandas.DataFrame`, their names made strings.

    Raises:
        DataError: something is no column of plain data, or the blocks do not make up the columns.
    """
    state = frame.state
    # pandas 1.0 called the manager of the blocks `_data`.
    header, blocks = _header_and_blocks(state["_mgr"] if "_mgr" in state else state["_data"])
    names = [str(name) for name in _index(header).to_pylist()]
    placed: list[tuple[int, Column]] = []
    for values, places in blocks:
        placed.extend(zip(_places(places, len(names)), _columns(values), strict=True))
    placed.sort(key=lambda pair: pair[0])
    if [place for place, _ in placed] != list(range(len(names))):
        raise DataError("the blocks of the DataFrame do not make up its columns")
    return pa.Table.from_arrays([column for _, column in placed], names)


def _header_and_blocks(manager: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """The index of the column names; and for each block its values and their places."""
    if not is_record(manager, "BlockManager"):
        raise unexpected("the blocks of a DataFrame", manager)
    if manager.args:  # since pandas 1.3
        blocks, axes = manager.args
        return axes[0], [(block.args[0], block.args[1]) for block in blocks]
    state = manager.state[3]["0.14.1"]  # pandas up to 1.2 wrote the layout of its version 0.14.1
    return state["axes"][0], [(block["values"], block["mgr_locs"]) for block in state["blocks"]]


def _places(places: Any, columns: int) -> Sequence[int]:
    """The columns that the values of a block belong to."""
    if is_record(places, "slice"):
        return range(*slice(*places.args).indices(columns))
    return [int(place) for place in _ndarray(places)]


def _index(index: Any) -> Column:
    """The entries of a pandas index."""
    if not is_record(index, "_new_Index"):
        raise unexpected("a pandas index", index)
    kind, parts = index.args
    if kind.kind == "RangeIndex":
        return pa.array(range(parts["start"], parts["stop"], parts["step"]), pa.int64())
    if "data" not in parts:
        raise DataError("it has a pandas index of several levels", seen=kind.kind)
    (entries,) = _columns(parts["data"])
    return entries


def _columns(values: Any) -> list[Column]:
    """The columns of one block; all kinds but plain numpy arrays hold a single one."""
    if is_record(values, *_ARROW_ARRAYS):
        state = values.state
        return [array_of(state["_pa_array"] if "_pa_array" in state else state["_data"])]
    if is_record(values, "BooleanArray", "FloatingArray", "IntegerArray"):
        return [pa.array(_ndarray(values.state["_data"]), mask=_ndarray(values.state["_mask"]))]
    if is_record(values, "Categorical"):  # up to pandas 1.2
        return [_categorical(values.state["_dtype"], values.state["_codes"])]
    if is_record(values, "StringArray"):  # up to pandas 1.2
        return _columns(values.state["_ndarray"])
    if is_record(values, "__pyx_unpickle_NDArrayBacked"):  # both, and times, since pandas 1.3
        dtype, array, *_ = values.state
        kind = values.args[0].kind
        return [_categorical(dtype, array)] if kind == "Categorical" else _columns(array)
    return [_column(values_R) for values_R in np.atleast_2d(_ndarray(values))]


def _categorical(dtype: Any, codes: Any) -> Column:
    """The category of each row, in place of its code; -1 stands for a missing one."""
    codes_R = _ndarray(codes)
    return _index(dtype.state["categories"]).take(pa.array(codes_R, mask=codes_R < 0))


def _column(values_R: NDArray[Any]) -> Column:
    if values_R.dtype != object:
        return pa.array(np.ascontiguousarray(values_R), from_pandas=True)
    cells = [_cell(value) for value in values_R]
    try:
        return pa.array(cells, from_pandas=True)
    except UnicodeEncodeError as error:
        raise DataError("it holds text with half a character (a lone surrogate)") from error
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_as_text(cell) for cell in cells])


def _cell(value: Any) -> Any:
    """One object of a column: a missing value becomes None, a numpy scalar a Python one."""
    if isinstance(value, type) and issubclass(value, Record) and value.kind == "NA":
        return None
    if is_record(value, "_nat_unpickle", "__nat_unpickle"):
        return None
    if is_record(value, "scalar"):
        dtype, data = value.args
        return np.frombuffer(bytes_of(data), _dtype(dtype))[0].item()
    if isinstance(value, Record):
        return bytes(bytes_of(value))
    return value


def _as_text(cell: Any) -> str | None:
    """A cell of a column that mixes strings and numbers: strings all of them."""
    if cell is None or cell != cell:  # NaN
        return None
    if isinstance(cell, str | int | float):
        return str(cell)
    raise DataError("a column mixes strings with other things", seen=type(cell).__name__)


def _ndarray(record: Any) -> NDArray[Any]:
    """A pickled numpy array of plain values or of objects."""
    if is_record(record, "_frombuffer"):
        data, dtype, shape, order = record.args
    elif is_record(record, "_reconstruct"):
        _, shape, dtype, by_columns, data = record.state
        order = "F" if by_columns else "C"
    else:
        raise unexpected("a numpy array", record)
    plain = _dtype(dtype)
    if plain.hasobject:
        return np.fromiter(data, plain, len(data)).reshape(shape)
    return np.frombuffer(bytes_of(data), plain).reshape(shape, order=order)


def _dtype(record: Any) -> np.dtype[Any]:
    """A pickled numpy type: a number, text, a time, or an object."""
    code, order = record.args[0], record.state[1]
    if _PLAIN_DTYPE.fullmatch(code):
        return np.dtype(f"{order}{code}")
    if _TIME_DTYPE.fullmatch(code):
        unit, *steps = record.state[8][1]
        name = bytes_of(unit)
        if _TIME_UNIT.fullmatch(name) and steps == [1, 1, 1]:
            return np.dtype(f"{order}{code}[{name.decode()}]")
    raise DataError("it holds a numpy array of a type that no table of text needs", seen=code)
