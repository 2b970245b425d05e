"""Rows that a Python program holds: frames, data sets, Arrow tables, columns, texts and labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set, Sized
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from tightfit.arrow import pa
from tightfit.data.given_pairs import is_pair, pair_columns
from tightfit.data.nested import numbers_of
from tightfit.data.readers_arrow import frame_cells, open_arrow, open_dataset, open_frame
from tightfit.data.rows import Rows, columns_rows, records_rows
from tightfit.errors import DataError

if TYPE_CHECKING:
    import datasets
    import pandas as pd

InMemory: TypeAlias = (
    "pd.DataFrame | datasets.Dataset | pa.Table | Mapping[str, Sequence[Any]] "
    "| tuple[Sequence[str], Sequence[Any]] | Sequence[str] | Sequence[Mapping[str, Any]]"
)
"""A frame, one split of a data set, an Arrow table, columns by name, texts with their labels,
texts alone, or rows as mappings."""

TEXT, LABEL = "text", "label"
"""What texts and labels are called that come without names."""

KINDS = (
    "a path; a pandas or polars DataFrame, one split of a datasets.Dataset, or an Arrow table; "
    "(texts, labels); {'text': texts, 'label': labels}; texts alone, or a list of dicts; with "
    "data.pair=true a pair (first, second) for each text"
)


def is_nameless(data: object) -> bool:
    """Whether these are texts, or texts and labels, without names of columns."""
    if isinstance(data, list):
        return not _are_mappings(data)
    return isinstance(data, tuple) or _is_column(data)


def open_memory(data: Any) -> Rows:
    """Any of :data:`InMemory`; nothing of it is changed.

    Raises:
        DataError: it is something else, or its columns differ in length.
    """
    source = f"a {type(data).__name__}"
    if hasattr(data, "features") and hasattr(data, "select_columns"):
        # A data set, recognised without importing its library.
        if not isinstance(data, Sized):
            raise _unknown(f"{type(data).__name__}, which is read as it comes; give a list of it")
        return open_dataset(data, source)
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        # A data frame, recognised without importing pandas.
        return open_frame(data, source)
    if isinstance(data, Mapping):
        return _columns(data, source)
    if isinstance(data, tuple):
        if len(data) != 2 or any(map(_is_single, data)):
            raise _unknown("a tuple that is not (texts, labels)")
        return _by_name(dict(zip((TEXT, LABEL), data, strict=True)), source)
    if isinstance(data, list):
        return _records(data, source) if _are_mappings(data) else _texts(data, source)
    if _is_column(data):
        return _texts(_cells(data), source)
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "iloc"):
        # An Arrow table, or what gives itself as one, as polars does.
        return open_arrow(pa.table(data), source)
    raise _unknown(type(data).__name__)


def as_pairs(data: Any) -> dict[str, Sequence[Any]]:
    """Pairs, or (pairs, labels), as columns by name.

    Raises:
        DataError: a row is not two texts.
    """
    if not isinstance(data, tuple) or all(map(is_pair, data)):
        return {**pair_columns(data)}
    if len(data) != 2:
        raise _unknown("a tuple that is not (pairs, labels)")
    return {**pair_columns(data[0]), LABEL: _cells(data[1])}


def _columns(data: Mapping[Any, Any], source: str) -> Rows:
    if any(hasattr(value, "select_columns") for value in data.values()):
        first, *others = data
        if not others:  # what load_dataset makes of a file
            return open_memory(data[first])
        raise DataError(
            "a DatasetDict has several splits, and one is wanted",
            seen=", ".join(map(str, data)),
            next_step=f"give one of them, such as data[{first!r}]",
        )
    single = [name for name, value in data.items() if _is_single(value)]
    if single:
        raise _unknown(f"a dict whose {single[0]!r} is no list of cells")
    return _by_name(data, source)


def _by_name(data: Mapping[Any, Any], source: str) -> Rows:
    series = [(name, value) for name, value in data.items() if hasattr(value, "iloc")]
    for (first, one), (name, other) in pairwise(series):
        here, there = one.index, other.index
        # pandas would put their rows together by the index, we do by their places.
        if not here.equals(there) and here.sort_values().equals(there.sort_values()):
            raise DataError(
                f"{first!r} and {name!r} have the same index in another order",
                next_step="bring one into the order of the other, as with "
                "labels.loc[texts.index]; or give both .tolist() if places count",
            )
    return columns_rows({str(name): _cells(value) for name, value in data.items()}, source)


def _records(data: Sequence[Mapping[str, Any]], source: str) -> Rows:
    if any(hasattr(cell, "detach") for cell in data[0].values()):
        data = [{name: numbers_of(cell) for name, cell in row.items()} for row in data]
    return records_rows(data, source)


def _texts(data: Sequence[Any], source: str) -> Rows:
    pairs = [row for row in data if isinstance(row, tuple)]
    if pairs:
        raise _unknown("a list of tuples; (texts, labels) is wanted")
    return columns_rows({TEXT: data}, source)


def _cells(values: Iterable[Any]) -> Sequence[Any]:
    """A sequence of Python values; None is a missing one."""
    values = numbers_of(values)
    if hasattr(values, "to_pylist"):
        return list(values.to_pylist())
    return frame_cells(values) if hasattr(values, "iloc") else list(map(numbers_of, values))


def _are_mappings(data: Sequence[Any]) -> bool:
    return bool(data) and all(isinstance(row, Mapping) for row in data)


def _is_column(data: Any) -> bool:
    """Texts by themselves in an array, a Series, or a column of Arrow or of a data set."""
    if isinstance(data, str | bytes | Mapping | list | tuple) or hasattr(data, "column_names"):
        return False
    plain = hasattr(data, "tolist") or hasattr(data, "to_pylist") or isinstance(data, Sequence)
    return plain and not hasattr(data, "columns") and getattr(data, "ndim", 1) == 1


def _is_single(value: object) -> bool:
    # What has no length may be read once only, and a set has no order.
    single = isinstance(value, str | bytes | Mapping | Set)
    return single or not isinstance(value, Sized)


def _unknown(seen: str) -> DataError:
    return DataError("data of a kind that cannot be read", seen=seen, allowed=KINDS)
