"""Opens a pickle without running any of it: each call that it asks for becomes a record.

A pickle is a program: it names functions and classes, and calls them with arguments of its own.
Here every name that a Dataset or DataFrame uses, and no other, leads to a stand-in that only notes
what it was given. No function of numpy, pandas, pyarrow or datasets is within the pickle's reach,
so no argument can turn one of them into a weapon; `tables` and `frames` read the
finished records as the plain data that they are.
"""

from __future__ import annotations

import pickle
from typing import Any, BinaryIO, ClassVar

from tightfit.errors import DataError

_FLOATS = ("Float32Dtype", "Float64Dtype")
_INTEGERS = tuple(f"{sign}nt{bits}Dtype" for sign in ("I", "UI") for bits in (8, 16, 32, 64))

_NAMES_OF = {
    # Bytes and slices, as the older protocols spell them.
    "_codecs": ("encode",),
    "__builtin__": ("bytearray", "bytes", "slice"),
    "builtins": ("bytearray", "slice"),
    "numpy": ("dtype", "ndarray"),
    # numpy 2 renamed its inner package.
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.numeric": ("_frombuffer",),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy.core.numeric": ("_frombuffer",),
    # pandas 3 gives its public classes short addresses; the longer ones are of pandas 1 and 2.
    "pandas": (
        *("ArrowDtype", "Categorical", "CategoricalDtype", "DataFrame", "NA", "StringDtype"),
        *("CategoricalIndex", "DatetimeIndex", "Index", "MultiIndex", "RangeIndex"),
        *("BooleanDtype", *_FLOATS, *_INTEGERS),
    ),
    "pandas.arrays": (
        *("ArrowExtensionArray", "ArrowStringArray", "BooleanArray", "DatetimeArray"),
        *("FloatingArray", "IntegerArray", "StringArray", "TimedeltaArray"),
    ),
    "pandas._libs.arrays": ("__pyx_unpickle_NDArrayBacked",),
    "pandas._libs.internals": ("_unpickle_block",),
    "pandas._libs.missing": ("NA",),
    "pandas._libs.tslibs.nattype": ("__nat_unpickle", "_nat_unpickle"),
    "pandas.core.arrays.arrow.array": ("ArrowExtensionArray",),
    "pandas.core.arrays.arrow.dtype": ("ArrowDtype",),
    "pandas.core.arrays.boolean": ("BooleanArray", "BooleanDtype"),
    "pandas.core.arrays.categorical": ("Categorical",),
    "pandas.core.arrays.datetimes": ("DatetimeArray",),
    "pandas.core.arrays.floating": ("FloatingArray", *_FLOATS),
    "pandas.core.arrays.integer": ("IntegerArray", *_INTEGERS),
    "pandas.core.arrays.string_": ("StringArray", "StringArrayNumpySemantics", "StringDtype"),
    "pandas.core.arrays.string_arrow": ("ArrowStringArray", "ArrowStringArrayNumpySemantics"),
    "pandas.core.arrays.timedeltas": ("TimedeltaArray",),
    "pandas.core.dtypes.dtypes": ("ArrowDtype", "CategoricalDtype"),
    "pandas.core.frame": ("DataFrame",),
    "pandas.core.indexes.base": ("Index", "_new_Index"),
    "pandas.core.indexes.category": ("CategoricalIndex",),
    "pandas.core.indexes.datetimes": ("DatetimeIndex", "_new_DatetimeIndex"),
    "pandas.core.indexes.multi": ("MultiIndex",),
    "pandas.core.indexes.numeric": ("Float64Index", "Int64Index", "UInt64Index"),
    "pandas.core.indexes.range": ("RangeIndex",),
    "pandas.core.internals.managers": ("BlockManager",),
    "pyarrow.lib": (
        *("_reconstruct_record_batch", "_reconstruct_table", "_restore_array", "chunked_array"),
        *("field", "large_list", "list_", "py_buffer", "schema", "struct", "timestamp"),
        "type_for_alias",
    ),
    "datasets.arrow_dataset": ("Dataset",),
    "datasets.features.features": (
        *("ClassLabel", "Features", "LargeList", "List", "Sequence", "Value"),
    ),
    "datasets.info": ("DatasetInfo", "SupervisedKeysData"),
    "datasets.splits": ("NamedSplit", "SplitDict", "SplitInfo"),
    "datasets.table": ("ConcatenationTable", "InMemoryTable", "MemoryMappedTable"),
    "datasets.tasks.text_classification": ("TextClassification",),
    "datasets.utils.version": ("Version",),
}

ALLOWED = frozenset((module, name) for module, names in _NAMES_OF.items() for name in names)
"""Every (module, name) that a pickle may ask for; whole pairs only, so no dotted way leads on."""


class Record:
    """A call that the pickle asked for, or an object that it builds: noted, never carried out.

    Each allowed name has a subclass of its own, because the pickle machine builds objects only
    from types. Neither instances nor subclasses take attributes from the pickle.
    """

    __slots__ = ("args", "state")
    kind: ClassVar[str] = ""
    """The name asked for, without its module: enough, as no two allowed names differ in it only."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Record:
        """Note the arguments of a call; no allowed name takes any by keyword."""
        record = super().__new__(cls)
        record.args = args
        record.state = None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        """Forget an entry: only `SplitDict` has any, and nothing reads that."""


class Recorder(pickle.Unpickler):
    """Reads a pickle into records and plain values."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(source)
        self._record_types: dict[tuple[str, str], type[Record]] = {}

    def find_class(self, module: str, name: str) -> type[Record]:
        """The stand-in for an allowed name.

        Raises:
            DataError: the name is not on the list.
        """
        if (module, name) not in ALLOWED:
            raise DataError(
                "it asks for something that no Dataset or DataFrame of text needs",
                seen=f"{module}.{name}",
            )
        if (module, name) not in self._record_types:
            stand_in = type("Record", (Record,), {"__slots__": (), "kind": name})
            self._record_types[module, name] = stand_in
        return self._record_types[module, name]


def is_record(value: object, *kinds: str) -> bool:
    """Whether a value of a pickle is a record of one of these kinds."""
    return isinstance(value, Record) and value.kind in kinds


def bytes_of(value: Any) -> bytes | bytearray:
    """Bytes, in whichever way the protocol spelled them.

    Protocols 3 to 5 hold them as they are, or a ``bytearray`` made of them; protocol 2 knows only
    text, to be encoded as Latin-1.

    Raises:
        DataError: the value is something else.
    """
    if isinstance(value, bytes | bytearray):
        return value
    if is_record(value, "bytearray", "bytes", "encode"):
        inner, *codec = value.args or (b"",)
        if isinstance(inner, str) and codec in (["latin1"], ["latin-1"]):
            return inner.encode("latin-1")
        if not codec:
            return bytes_of(inner)
    raise unexpected("bytes", value)


def unexpected(wanted: str, found: object) -> DataError:
    """The error for a record or value of another kind than its place calls for."""
    seen = found.kind if isinstance(found, Record) else type(found).__name__
    return DataError(f"it holds something else where {wanted} belongs", seen=seen)
