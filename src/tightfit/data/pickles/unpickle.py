"""Reads a pickled `datasets.Dataset` or `pandas.DataFrame`, and runs nothing of the pickle.

A pickle is a program, so three walls stand around it:

- `records` lets it name only what such a Dataset or DataFrame consists of, and even that
  leads to stand-ins that note the call and do nothing;
- `tables` and `frames` rebuild the columns from those notes, and validate each
  one before anything reads it. Files that a pickle points to are never opened;
- all that happens in a process of its own, with limits on memory, time and the size of its answer
  (`tightfit.data.child`): bombs and crashes end that process, not this one.
"""

from __future__ import annotations

from pathlib import Path

import numpy

from tightfit.arrow import pa
from tightfit.data.child import Child, Refusal
from tightfit.errors import DataError
from tightfit.storage.files import machine_errors


def read_pickle(path: Path, *, memory_bytes: int = 4 * 2**30, seconds: float = 120.0) -> pa.Table:
    """The rows of a pickled `datasets.Dataset` or `pandas.DataFrame`, as an Arrow table.

    ClassLabel names of a Dataset stand in the schema's metadata under ``huggingface``, as the
    datasets library writes them. A Dataset that was shuffled or selected is given in that order;
    the index of a DataFrame is left out.

    Args:
        path: the pickle, a file; of protocol 2 to 5, not compressed.
        memory_bytes: what reading may take, on top of the libraries' own needs.
        seconds: how long reading may take, by the clock.

    Raises:
        DataError: it is no such pickle, asks for anything else, or needs more than the limits.
        MachineError: it may not be read, or the temporary folder is full.
    """
    child = Child("tightfit.data.pickles.sandbox", (numpy, pa), memory_bytes, seconds)
    try:
        with machine_errors(path, "read"), path.open("rb") as pickled:
            return _table(child.run(pickled))
    except Refusal as refusal:
        raise DataError(
            f"{path} is refused: {refusal.what}; nothing of it was run",
            seen=refusal.seen,
            allowed="one pickled datasets.Dataset or pandas.DataFrame that holds its rows itself",
            next_step="load it where it was made, save it as Parquet "
            '(`dataset.to_parquet("rows.parquet")`, and the same for a DataFrame), and give that',
        ) from refusal


def _table(stream: bytes) -> pa.Table:
    try:
        with pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
        table.validate(full=True)  # the child did; a second look costs little
    except pa.ArrowInvalid as error:
        raise Refusal("its rows are not sound", str(error)) from error
    return table
