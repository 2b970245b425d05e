"""Text files as characters: decompressed and decoded, with words on what was found out."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Literal, TextIO

from tightfit.config import Data, Quoting
from tightfit.data.compressed import open_bytes
from tightfit.data.encodings import find_fault, guess, marked, reading
from tightfit.data.rows import Origin
from tightfit.errors import DataError
from tightfit.storage.files import machine_errors

AUTO: Literal["auto"] = "auto"

HEAD_BYTES = 1 << 16
"""Looked at for an encoding."""

BLOCK_BYTES = 1 << 16
FOREIGN_BYTES = 1 << 15
"""Of lines beyond ASCII, from which an encoding is guessed."""

UTF8 = ("utf-8", "utf-8-sig")


@dataclass(frozen=True)
class TextForm:
    """How text files are read: what the settings fix, and ``auto`` for the rest."""

    encoding: str = AUTO
    delimiter: str = AUTO
    quoting: Quoting = AUTO

    @classmethod
    def of(cls, settings: Data) -> TextForm:
        """As the settings say."""
        return cls(settings.encoding, settings.delimiter, settings.quoting)


FOUND_OUT = TextForm()
"""Nothing is settled."""


class EncodingFault(DataError):
    """Bytes that an encoding does not have; ``guess`` is one that has them."""

    guess: str | None = None


def found_encoding(path: Path, form: TextForm, origin: Origin) -> tuple[str, tuple[str, ...]]:
    """The encoding that holds for a file, and a line on it where people should know.

    Raises:
        DataError: the file cannot be decompressed.
        MachineError: it cannot be read.
    """
    with machine_errors(path, "read"), open_bytes(path) as file:
        head = file.read(HEAD_BYTES)
    found = marked(head)
    if found is None and form.encoding != AUTO and not head.isascii() and _is_utf8(head):
        # Other encodings make such sequences by accident only.
        found = "utf-8"
    if found is None and form.encoding == AUTO:
        found = "utf-8"
    found = found or _unmarked(form.encoding)
    expected = UTF8 if form.encoding == AUTO else (form.encoding,)
    told = () if found in expected else (f"{origin.source}: read as {found} (data.encoding)",)
    return found, told


def _unmarked(encoding: str) -> str:
    """The encoding for a file without a mark, of which some wait for one in vain."""
    name = codecs.lookup(encoding).name
    return f"{name}-le" if name in ("utf-16", "utf-32") else encoding


def _is_utf8(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # The last character may be cut.
        return error.start > len(head) - 4
    return True


@contextmanager
def open_text(path: Path, origin: Origin, encoding: str) -> Iterator[TextIO]:
    """The characters of a file, in an encoding that :func:`found_encoding` found.

    Lines end with ``\\n``, ``\\r`` or both, whatever is around them, and keep their ends.

    Raises:
        EncodingFault: while it is read; it names the byte, its place, and an encoding that fits.
        DataError: the file cannot be decompressed.
        MachineError: it cannot be read.
    """
    known = "utf-8-sig" if encoding == "utf-8" else encoding
    try:
        with (
            machine_errors(path, "read"),
            open_bytes(path) as raw,
            TextIOWrapper(raw, encoding=known, newline="") as file,
        ):
            yield file
    except UnicodeDecodeError as error:
        raise _undecodable(path, origin, known) from error
    except UnicodeError as error:
        # Some of Python's encodings, such as idna, have no words for a place.
        raise DataError(
            f"{origin.source} is not {known}",
            seen=str(error),
            next_step="name its encoding: --set data.encoding=NAME",
        ) from error


def _undecodable(path: Path, origin: Origin, encoding: str) -> DataError:
    """Find the byte: the decoder worked on blocks and does not know its place in the file."""
    with open_bytes(path) as file:
        found = find_fault(iter(partial(file.read, BLOCK_BYTES), b""), encoding)
    with open_bytes(path) as file:
        sample = _foreign_lines(file)
    other = guess(sample)
    if other == encoding:
        other = None
    assert found is not None, "every line decodes by itself, but not the file"
    byte, line, place = found
    name = "UTF-8" if encoding in UTF8 else encoding
    fault = EncodingFault(
        f"{origin.source} is not {name}",
        seen=f"byte 0x{byte:02x} in line {line:,}, "
        f"at byte {place:,} of the file (counted from 0)"
        + (f"; it looks like {other}, which reads {reading(sample, other)!r}" if other else ""),
        next_step=None
        if other
        else "save it as UTF-8, or name its encoding: --set data.encoding=NAME",
        add=f"--set data.encoding={other}" if other else None,
    )
    fault.guess = other
    return fault


def _foreign_lines(file: IO[bytes]) -> bytes:
    """Lines that are not ASCII, from the whole file, but not too many."""
    found = b""
    for line in iter(partial(file.readline, FOREIGN_BYTES), b""):
        if not line.isascii():
            found += line
        if len(found) > FOREIGN_BYTES:
            break
    return found
