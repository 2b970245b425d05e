"""Files that are compressed: opened as if they were not."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from tightfit.errors import DataError, first_few

_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
ZIP = ".zip"
COMPRESSED = (*_OPENERS, ZIP)
"""Endings after that of the format, as in ``rows.csv.gz``; a .zip needs none before it."""

PART_SIGN = "#"
"""Between a file and the part of it that is meant: a file in an archive, a sheet, a key, a split of
a folder."""

_INSIDE = re.compile(rf"(.+?\{ZIP}){PART_SIGN}(.+)", re.IGNORECASE | re.DOTALL)

MEMBERS_NAMED = 10
"""Files in an archive that an error lists one by one."""

BOMB_BYTES, BOMB_RATIO = 4 * 2**20, 150
"""So much out of a file, and so many times what it came from, is no text that anybody wrote."""


def plain_suffix(path: Path) -> str:
    """The ending that tells the format: ``.csv`` for ``rows.csv`` and for ``rows.csv.gz``.

    Of an archive it is ``.zip``: the file in it has an ending of its own.
    """
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _OPENERS else suffix


def archive_of(path: Path) -> tuple[Path, str] | None:
    """The archive, and the file in it, that ``ARCHIVE.zip#FILE`` means; None for other paths."""
    match = _INSIDE.fullmatch(str(path))
    return None if match is None or path.exists() else (Path(match[1]), match[2])


def only_member(path: Path) -> Path:
    """The one file in an archive, as ``ARCHIVE.zip#FILE``.

    Folders and what a Mac adds to archives are passed over.

    Raises:
        DataError: it is no archive, or holds none or several.
    """
    with _archive(path) as archive:
        names = _members(archive)
    if len(names) != 1:
        raise DataError(
            f"{path} holds {len(names):,} files, and one is wanted",
            seen=first_few(names, MEMBERS_NAMED) if names else None,
            next_step=f"choose one, such as '{path}{PART_SIGN}{names[0]}'" if names else None,
        )
    return Path(f"{path}{PART_SIGN}{names[0]}")


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Read a file, decompressed by its ending, or a file in an archive.

    Raises:
        DataError: what is in it is not compressed that way, is cut short, or swells beyond all
            measure.
    """
    inside = archive_of(path)
    if inside is not None:
        with _archive(inside[0]) as archive, _member(archive, *inside) as file:
            try:
                yield file
            except (zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
                raise _damaged(inside[0], error) from error
        return
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        with path.open("rb") as plain:
            yield plain
        return
    try:
        with path.open("rb") as packed, opener(packed) as file:
            yield io.BufferedReader(_Measured(file, path, packed), 1 << 18)
    except (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        # bz2 has no error class of its own.
        if error.errno is not None:
            raise
        raise _damaged(path, error) from error


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    # All that zipfile raises for an archive that it cannot read.
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise _damaged(path, error) from error
    try:
        with archive:
            yield archive
    except OSError as error:
        # A place before the file's beginning, as a damaged directory may name it.
        if error.errno != errno.EINVAL:
            raise
        raise _damaged(path, error) from error


def _members(archive: zipfile.ZipFile) -> list[str]:
    names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    return [
        name
        for name in names
        if not name.startswith("__MACOSX/") and not PurePosixPath(name).name.startswith(".")
    ]


@contextmanager
def _member(archive: zipfile.ZipFile, path: Path, name: str) -> Iterator[IO[bytes]]:
    try:
        entry = archive.getinfo(name)
    except KeyError as error:
        raise DataError(
            f"{path} holds no file {name!r}",
            seen=", ".join(_members(archive)[:MEMBERS_NAMED]),
            next_step=f"choose one of them, as '{path}{PART_SIGN}FILE'",
        ) from error
    try:
        file = archive.open(entry)
    # The last two: a method of compression that Python lacks, and a password that is needed.
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise _damaged(path, error) from error
    if entry.file_size > max(BOMB_BYTES, BOMB_RATIO * entry.compress_size):
        raise _bomb(path, entry.file_size)
    with file:
        yield file


class _Measured(io.RawIOBase):
    """Bytes that are counted as they come, and refused where they are far too many."""

    def __init__(self, file: IO[bytes], path: Path, packed: IO[bytes]) -> None:
        self._file, self._path, self._packed = file, path, packed
        self._read = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int:
        """The next bytes."""
        block = self._file.read(len(buffer))
        self._read += len(block)
        if self._read > max(BOMB_BYTES, BOMB_RATIO * self._packed.tell()):
            raise _bomb(self._path, self._read)
        buffer[: len(block)] = block
        return len(block)


def _bomb(path: Path, size: int) -> DataError:
    return DataError(
        f"{path} expands to more than {BOMB_RATIO} times its size",
        seen=f"{size:,} bytes",
        next_step="if these are rows all the same, decompress it by hand",
    )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"{path} cannot be decompressed",
        seen=str(error),
        allowed=f"a whole file, compressed as {path.suffix} says",
        next_step="fetch it again, or correct its ending",
    )
