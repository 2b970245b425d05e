"""Reads a pickled `datasets.Dataset` or `pandas.DataFrame`, and runs nothing of the pickle.

A pickle is a program, so three walls stand around it:

- `unpickle_records` lets it name only what such a Dataset or DataFrame consists of, and even that
  leads to stand-ins that note the call and do nothing;
- `unpickle_tables` and `unpickle_frames` rebuild the columns from those notes, and validate each
  one before anything reads it. Files that a pickle points to are never opened;
- all that happens in a process of its own, with limits on memory, time and the size of its answer:
  bombs and crashes end that process, not this one. The clock runs on every system. Memory is
  limited on Linux only; processor time and the answer wherever Python has `resource`, so not on
  Windows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from tightfit.errors import DataError, MachineError
from tightfit.extras import ARROW, lazy

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = lazy("pyarrow", ARROW)

REFUSED, TOO_BIG, NO_SPACE = 4, 5, 9
"""Exit codes of the child: refused for the reason that it wrote, out of memory, disk full."""

_START = """
import sys
sys.path[:0] = [root for root in sys.argv[3:] if root not in sys.path]
from tightfit.data.pickles.sandbox import main
main()
"""

_KEPT_VARIABLES = ("DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What an interpreter may need to start and to find its libraries."""

_SMALL_FOOTPRINT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
"""Keeps the libraries from mapping memory ahead, which the limit would count."""


def read_pickle(path: Path, *, memory_bytes: int = 4 * 2**30, seconds: float = 120.0) -> pa.Table:
    """The rows of a pickled `datasets.Dataset` or `pandas.DataFrame`, as an Arrow table.

    ClassLabel names of a Dataset stand in the schema's metadata under ``huggingface``, as the
    datasets library writes them. A Dataset that was shuffled or selected is given in that order;
    the index of a DataFrame is left out.

    Args:
        path: the pickle; of protocol 2 to 5, not compressed.
        memory_bytes: what reading may take, on top of the libraries' own needs.
        seconds: how long reading may take, by the clock.

    Raises:
        DataError: it is no such pickle, asks for anything else, or needs more than the limits.
        MachineError: it may not be read, or the temporary folder is full.
    """
    child, said = _read_in_child(path, memory_bytes, seconds)
    if child.returncode == 0:
        return _table(path, said)
    if child.returncode == REFUSED:
        raise _refusal(path, **json.loads(said))
    raise _breakdown(path, child, memory_bytes=memory_bytes, seconds=seconds)


def _read_in_child(
    path: Path, memory_bytes: int, seconds: float
) -> tuple[subprocess.CompletedProcess[bytes], bytes]:
    """How the child ended, and what it wrote."""
    try:
        if not path.is_file():
            raise DataError(f"{path} is not a file", next_step="give the path of a pickle")
        with path.open("rb") as pickled, tempfile.TemporaryFile() as answer:
            child = subprocess.run(
                _command(memory_bytes, seconds),
                stdin=pickled,
                stdout=answer,  # a file, since its size can be limited
                stderr=subprocess.PIPE,
                env=_environment(),
                timeout=seconds,
                check=False,
            )
            answer.seek(0)
            # What a child wrote before it failed may be as large as the limit, and is of no use.
            return child, answer.read() if child.returncode in (0, REFUSED) else b""
    except subprocess.TimeoutExpired as error:
        raise _too_slow(path, seconds) from error
    except OSError as error:
        raise MachineError(f"{path} cannot be read", seen=error) from error


def _command(memory_bytes: int, seconds: float) -> list[str]:
    """An isolated interpreter that finds tightfit, numpy and pyarrow where this one did."""
    tightfit_root = Path(__file__).parents[3]
    roots = [tightfit_root, *(Path(package.__path__[0]).parent for package in (numpy, pa))]
    limits = [str(memory_bytes), str(seconds)]
    return [sys.executable, "-I", "-c", _START, *limits, *dict.fromkeys(map(str, roots))]


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | _SMALL_FOOTPRINT


def _table(path: Path, stream: bytes) -> pa.Table:
    try:
        with pa.ipc.open_stream(stream) as reader:
            table = reader.read_all()
        table.validate(full=True)  # the child did; a second look costs little
    except pa.ArrowInvalid as error:
        raise _refusal(path, "its rows are not sound", str(error)) from error
    return table


def _refusal(path: Path, what: str, seen: str | None = None) -> DataError:
    if seen is not None and not seen.isprintable():
        seen = ascii(seen)  # a pickle's control characters are not for the terminal
    return DataError(
        f"{path} is refused: {what}; nothing of it was run",
        seen=seen,
        allowed="one pickled datasets.Dataset or pandas.DataFrame that holds its rows itself",
        next_step="load it where it was made, save it as Parquet "
        '(`dataset.to_parquet("rows.parquet")`, and the same for a DataFrame), and give that',
    )


def _too_slow(path: Path, seconds: float) -> DataError:
    return _refusal(path, f"reading it takes longer than {seconds:g} seconds")


def _breakdown(
    path: Path, child: subprocess.CompletedProcess[bytes], *, memory_bytes: int, seconds: float
) -> DataError | MachineError:
    """The error for a child that ended without an answer."""
    if child.returncode == NO_SPACE:
        return MachineError(
            f"no room for the rows of {path}",
            seen=tempfile.gettempdir(),
            next_step="free some space there, or point TMPDIR elsewhere",
        )
    if child.returncode == TOO_BIG:
        return _refusal(path, f"reading it takes more than {memory_bytes / 2**30:.3g} GiB")
    if child.returncode > 0:
        last_words = child.stderr.decode("utf-8", "replace").splitlines()[-1:]
        return _refusal(path, "reading it broke down", *last_words)
    ended_by = signal.Signals(-child.returncode).name
    if ended_by == "SIGXCPU":
        return _too_slow(path, seconds)
    return _refusal(path, "reading it crashed", ended_by)
