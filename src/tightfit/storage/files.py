"""Whole-or-nothing files: whoever opens one sees the old content or the new, never a part.

A file with a seal of its own (the manifest, everything in ``derived/``) carries a digest of its
content, so that any later change to it shows.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError

from tightfit.digests import file_sha256
from tightfit.errors import ArtefactError, MachineError

T = TypeVar("T")

TEMPORARY_SUFFIX = ".tightfit-tmp"
"""Ends the name of a file that is still being written."""

_NEXT_STEP = {
    errno.ENOSPC: "free some space on this disk, or choose a folder on another one",
    errno.EDQUOT: "free some of your quota, or choose a folder on another disk",
    errno.EACCES: "choose a folder that you may use, or change its permissions",
    errno.EPERM: "choose a folder that you may use, or change its permissions",
    errno.EROFS: "this disk is read-only; choose a folder on another one",
    errno.ENOENT: "something on this path is not there, and cannot be made; choose another path",
    errno.ENOTDIR: "a part of this path is a file; choose another path",
    errno.EEXIST: "something is there already; choose another path",
    errno.EISDIR: "this is a folder; choose another path",
}


_NUMBER = re.compile(r"(?:os error |\[Errno )(\d+)")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: whoever opens it sees the old content or the new.

    Raises:
        MachineError: the disk is full, the folder may not be written, and the like.
    """
    # Threads and containers have process numbers in common.
    mine = secrets.token_hex(4)
    temporary = path.with_name(f".{path.name}.{mine}{TEMPORARY_SUFFIX}")
    with machine_errors(path, "write"):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, whole or not at all; raises as :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON, whole or not at all; raises as :func:`write_bytes`."""
    write_text(path, _render(value))


def read_json(path: Path) -> Any:
    """The value in a JSON file of a run.

    Raises:
        ArtefactError: the file is missing, or is not JSON.
        MachineError: it may not be read.
    """
    return _parse(path, read_bytes(path))


def read_json_lines(path: Path) -> list[Any]:
    """The values of a file of JSON lines.

    Raises:
        ArtefactError: the file is missing, or a line of it is not JSON.
        MachineError: it may not be read.
    """
    return [_parse(path, line) for line in read_bytes(path).splitlines()]


def write_digested(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with its own SHA-256 as the last entry, ``digest``.

    The digest is that of the same file without this entry. Raises as :func:`write_bytes`.
    """
    write_text(path, _with_digest(value))


def read_digested(path: Path) -> dict[str, Any]:
    """The value that :func:`write_digested` wrote.

    Raises:
        ArtefactError: the file is missing, or any byte of it has changed.
        MachineError: it may not be read.
    """
    raw = read_bytes(path)
    value = _parse(path, raw)
    if not isinstance(value, dict) or "digest" not in value:
        raise damaged(path, "no digest in it")
    content = {key: item for key, item in value.items() if key != "digest"}
    # Comparing the text, not the digest alone, also shows changes that JSON does not see (spaces).
    if raw != _with_digest(content).encode():
        raise damaged(path, "its digest does not match")
    return content


def write_digests(path: Path, files: Sequence[Path]) -> None:
    """Put files on the disk for good, and their SHA-256 into a digested file beside or below them.

    Raises:
        MachineError: one cannot be read or written.
    """
    digests = {}
    with machine_errors(path, "write"):
        for each in files:
            with each.open("rb") as file:
                os.fsync(file.fileno())
            digests[each.name] = file_sha256(each)
    write_digested(path, digests)


def check_digests(path: Path, folder: Path) -> None:
    """Compare files in a folder with what :func:`write_digests` wrote of them.

    Raises:
        ArtefactError: one of them, or ``path`` itself, is missing or has changed.
        MachineError: one may not be read.
    """
    for name, digest in read_digested(path).items():
        if hashlib.sha256(read_bytes(folder / name)).hexdigest() != digest:
            raise damaged(folder / name, "its digest does not match")


def parsed(kind: type[T], saved: object, path: Path) -> T:
    """A dataclass from JSON; keys that it does not have are passed over.

    Raises:
        ArtefactError: it lacks entries, or has faulty ones; ``path`` is where it was.
    """
    try:
        return TypeAdapter(kind).validate_python(saved)
    except ValidationError as error:
        raise damaged(path, f"{error.error_count()} faulty entries") from error


def damaged(path: Path, seen: str) -> ArtefactError:
    """The error for a file whose content cannot be what was written."""
    return ArtefactError(
        f"{path} is damaged", seen=seen, next_step="restore it from a copy, or make it again"
    )


@contextmanager
def machine_errors(path: Path, verb: str) -> Iterator[None]:
    """Turn what the operating system refuses into a MachineError about ``path``.

    Args:
        path: what is being worked on.
        verb: what is done to it, such as ``write``.
    """
    try:
        yield
    except MachineError:
        raise
    except (OSError, SafetensorError) as error:
        number, told = _refusal(error)
        if number is None and not isinstance(error, OSError):
            raise  # of a damaged file, not of the machine
        raise MachineError(
            f"cannot {verb} {path}",
            seen=told,
            next_step=_NEXT_STEP.get(number or 0, "look into the reason, then try again"),
        ) from error


@contextmanager
def only_kept(what: str, warn: Callable[[str], None]) -> Iterator[None]:
    """Go on without what is written for later alone, where the machine does not let it be written.

    Args:
        what: is not kept, with its verb: ``the scores are``.
        warn: told so, and why.
    """
    try:
        yield
    except MachineError as refused:
        warn(f"{what} not kept for later: {refused.what} ({refused.seen})")


def _refusal(error: OSError | SafetensorError) -> tuple[int | None, str]:
    """The operating system's number and words for a refusal, which some libraries wrap."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno, os.strerror(error.errno)
    # safetensors ends with "(os error 28)", and a copied folder lists "[Errno 28]" for each file.
    found = _NUMBER.search(str(error))
    return (int(found[1]), os.strerror(int(found[1]))) if found else (None, str(error))


def _render(value: object) -> str:
    """The one way in which a value is written as JSON; not-a-number is refused."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _with_digest(value: Mapping[str, Any]) -> str:
    assert "digest" not in value, "the digest is not the caller's to give"
    digest = hashlib.sha256(_render(dict(value)).encode()).hexdigest()
    return _render({**value, "digest": digest})


def _parse(path: Path, raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise damaged(path, f"not JSON: {error}") from error


def read_bytes(path: Path) -> bytes:
    """The content of a file of a run.

    Raises:
        ArtefactError: it is missing.
        MachineError: it may not be read.
    """
    with machine_errors(path, "read"):
        try:
            return path.read_bytes()
        except FileNotFoundError as error:
            raise ArtefactError("a file is missing", seen=path) from error


def _sync_folder(path: Path) -> None:
    """Make a rename survive a power cut; Windows has no such call and no need of it."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
