"""Files that are compressed: opened as if they were not."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tightfit.errors import DataError

_OPENERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
COMPRESSED = tuple(_OPENERS)
"""Endings after that of the format, as in ``rows.csv.gz``."""


def plain_suffix(path: Path) -> str:
    """The ending that tells the format: ``.csv`` for ``rows.csv`` and for ``rows.csv.gz``."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _OPENERS else suffix


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Read a file, decompressed by its ending.

    Raises:
        DataError: what is in it is not compressed that way, or is cut short.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        with path.open("rb") as plain:
            yield plain
        return
    try:
        with opener(path) as file:
            yield file
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        # bz2 has no error class of its own.
        if error.errno is not None:
            raise
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be decompressed",
        seen=str(error),
        allowed=f"a whole file, compressed as {path.suffix} says",
        next_step="fetch it again, or correct its ending",
    )
