"""Arrow tables out of the records of a pickled `datasets.Dataset`.

Everything is rebuilt from its buffers, and each array is validated in full before anything reads
it: offsets that point outside their buffer would otherwise let Arrow read foreign memory.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from tightfit.data.pickles.records import Record, bytes_of, is_record, unexpected
from tightfit.errors import DataError

_UNITS = ("s", "ms", "us", "ns")

PLAIN_TYPES = frozenset(
    [
        *("null", "bool", "halffloat", "float", "double"),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *("string", "large_string", "binary", "large_binary", "date32[day]", "date64[ms]"),
        *(f"{kind}[{unit}]" for kind in ("timestamp", "duration") for unit in _UNITS),
    ]
)
"""Arrow's own names of the types that may be asked for by name."""


def dataset_table(dataset: Record) -> pa.Table:
    """The rows of a pickled `datasets.Dataset`, shuffled or selected as it was.

    The schema's metadata has the key ``huggingface``, with the names of the ClassLabel columns, if
    there are any.

    Raises:
        DataError: the rows are not inside the pickle, or something is no table of plain data.
    """
    state = dataset.state
    table = _rows(state["_data"])
    if state.get("_indices") is not None:
        table = table.take(_rows(state["_indices"]).column(0))  # checks the bounds
    return table.replace_schema_metadata(_class_labels(state["_info"]))


def array_of(record: Any) -> pa.Array | pa.ChunkedArray:
    """A pickled Arrow array, validated in full.

    Raises:
        DataError: it is none, or of a type that no table of text needs.
        pyarrow.ArrowInvalid: its buffers do not hold what it claims.
    """
    if is_record(record, "chunked_array"):
        chunks, kind = record.args
        return pa.chunked_array([array_of(chunk) for chunk in chunks], type_of(kind))
    if is_record(record, "_restore_array"):
        return _restored(record.args[0])
    raise unexpected("an Arrow array", record)


def type_of(record: Any) -> pa.DataType:
    """A pickled Arrow type.

    Raises:
        DataError: it is none, or one that no table of text needs.
    """
    if is_record(record, "type_for_alias") and record.args[0] in PLAIN_TYPES:
        return pa.type_for_alias(record.args[0])
    if is_record(record, "timestamp"):
        return pa.timestamp(record.args[0])  # in UTC: the zone changes how it is shown only
    if is_record(record, "list_"):
        return pa.list_(*map(_field, record.args))
    if is_record(record, "large_list"):
        return pa.large_list(*map(_field, record.args))
    if is_record(record, "struct"):
        return pa.struct([_field(part) for part in record.args[0]])
    raise unexpected("a plain Arrow type", record)


def _field(record: Any) -> pa.Field:
    """A pickled field, without its metadata: that could name an extension type."""
    name, kind, nullable, _ = record.args
    return pa.field(name, type_of(kind), nullable)


def _restored(data: Any) -> pa.Array:
    kind, length, _, offset, buffers, children, dictionary = data
    if dictionary is not None:
        raise DataError("it holds a dictionary-encoded Arrow column")
    array = pa.Array.from_buffers(
        type_of(kind),
        length,
        [None if buffer is None else pa.py_buffer(bytes_of(buffer.args[0])) for buffer in buffers],
        # The null count is counted anew: Arrow would trust the pickle's.
        offset=offset,
        children=[_restored(child) for child in children],
    )
    array.validate(full=True)
    return array


def _rows(table: Any) -> pa.Table:
    """The Arrow table inside one of the datasets library's own kinds of table."""
    if is_record(table, "ConcatenationTable"):
        return _concatenated(table.state)
    if is_record(table, "InMemoryTable") and "table" in table.state:
        columns, schema = table.state["table"].args
        names = [field.args[0] for field in schema.args[0]]
        return pa.Table.from_arrays([array_of(column) for column in columns], names)
    if is_record(table, "InMemoryTable", "MemoryMappedTable"):
        raise DataError(
            "its rows are not in the pickle but in a file that it points to, and no file that a "
            "pickle names is ever opened",
            seen=table.state["path"],
        )
    raise unexpected("a table of the datasets library", table)


def _concatenated(state: dict[str, Any]) -> pa.Table:
    """Tables on top of each other, each made of blocks side by side."""
    tables = []
    for blocks in state["blocks"]:
        parts = [_rows(block) for block in blocks]
        columns = [column for part in parts for column in part.columns]
        names = [name for part in parts for name in part.column_names]
        tables.append(pa.Table.from_arrays(columns, names))
    return pa.concat_tables(tables, promote_options="default")


def _class_labels(info: Record) -> dict[str, str] | None:
    """Metadata that names the ClassLabel columns, in the form of the datasets library."""
    features = info.state["features"].args[0]
    labels = {
        column: {"names": _strings(feature.state["names"]), "_type": "ClassLabel"}
        for column, feature in features.items()
        if is_record(feature, "ClassLabel")
    }
    return {"huggingface": json.dumps({"info": {"features": labels}})} if labels else None


def _strings(values: list[Any]) -> list[str]:
    for value in values:
        if not isinstance(value, str):
            raise DataError("it names a class by something else than a string")
    return values
