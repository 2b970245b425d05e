"""The process that reads one pickle: from standard input, to an Arrow stream on standard output.

`unpickle.read_pickle` starts it by way of `tightfit.data.child`, which says what its limits are.
"""

from __future__ import annotations

import errno
from typing import BinaryIO

import pyarrow as pa

from tightfit.data.child import NO_SPACE, TOO_BIG, Refusal
from tightfit.data.pickles.frames import frame_table
from tightfit.data.pickles.records import Recorder, is_record, unexpected
from tightfit.data.pickles.tables import dataset_table
from tightfit.errors import DataError

MAX_VALUES = 100_000_000
"""Cells of the table, entries of lists included. Arrow stores nulls without taking any room, so a
small pickle could hold more of them than the caller has memory for."""

MAX_SEEN = 200
"""Characters of what a pickle says that are shown to people."""


def answer(source: BinaryIO, out: BinaryIO) -> int:
    """Write the table of a pickle, or as JSON why it is refused; say which by the exit code."""
    try:
        table = read(source)
    except DataError as fault:
        return _refusal(fault.what, fault.seen).write(out)
    except MemoryError:
        return TOO_BIG
    except Exception as error:  # hostile data ends in errors of every type, all with one meaning
        what = "it is damaged, or of a layout that tightfit does not know"
        return _refusal(what, f"{type(error).__name__}: {error}").write(out)
    try:
        with pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table)
        out.flush()
    except MemoryError:
        return TOO_BIG
    except OSError as error:
        return TOO_BIG if error.errno == errno.EFBIG else NO_SPACE
    return 0


def read(source: BinaryIO) -> pa.Table:
    """The rows of a pickled Dataset or DataFrame, validated in full.

    Raises:
        DataError: the pickle holds something else, or asks for something that is not allowed.
    """
    try:
        held = Recorder(source).load()
    except (DataError, MemoryError):
        raise
    except Exception as error:  # the pickle machine raises whatever the bytes lead it to
        raise DataError(
            "it is not a pickle of a datasets.Dataset or pandas.DataFrame",
            seen=f"{type(error).__name__}: {error}",
        ) from error
    if is_record(held, "Dataset"):
        table = dataset_table(held)
    elif is_record(held, "DataFrame"):
        table = frame_table(held)
    else:
        raise unexpected("a datasets.Dataset or pandas.DataFrame", held)
    table.validate(full=True)
    values = sum(_values(chunk) for column in table.columns for chunk in column.chunks)
    if values > MAX_VALUES:
        raise DataError(f"it holds more than {MAX_VALUES:,} values", seen=f"{values:,}")
    return table


def _values(array: pa.Array) -> int:
    """Values of an array, with those of its lists and structs."""
    if pa.types.is_struct(array.type):
        return len(array) + sum(_values(array.field(i)) for i in range(array.type.num_fields))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return len(array) + _values(array.values)
    return len(array)


def _refusal(what: str, seen: object) -> Refusal:
    # Only strings: to spell out another value could take as long as the pickle likes.
    return Refusal(what, seen[:MAX_SEEN] if isinstance(seen, str) else None)
