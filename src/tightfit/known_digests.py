"""Digests of large files, remembered while a file stays as it was.

The weights of an encoder are compared with what a run says of them at every start. They lie where
nothing changes for months, and reading all their bytes takes longer than answering a text does. So
their digests are kept from one process to the next.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from tightfit.digests import file_sha256
from tightfit.errors import MachineError
from tightfit.user_cache import user_cache

LARGE = 8_000_000
"""Bytes from which on the memory is quicker than reading the file."""
SETTLED_NS = 2_000_000_000
"""A file that changed so shortly before could change once more with the same times."""
BELIEVED_S = 7 * 24 * 3600
"""Then a file is read again, lest bytes that decay on the disk stay unseen."""
KEPT = 1024
"""Digests that are remembered within a process; some hundred bytes each."""

State = tuple[int, int, int, int]
"""Size, times of the last change of content and of entry, and inode: no two contents have one."""


def remembered_sha256(path: Path) -> str:
    """Hex digest of a file's bytes; one in the state in which it was read is not read again."""
    path = path.resolve()
    return _sha256(path, _state(path))


def weights_sha256(folder: Path) -> str:
    """Digest over the weight files of a model folder, which tells one base model from another."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        total.update(remembered_sha256(file).encode())
    return total.hexdigest()


def _state(path: Path) -> State:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


@lru_cache(maxsize=KEPT)
def _sha256(path: Path, state: State) -> str:
    entry = _entry(path) if state[0] >= LARGE else None
    known = entry and _read(entry, state)
    if known:
        return known
    begun_ns = time.time_ns()
    digest = file_sha256(path)
    settled = begun_ns - max(state[1:3]) > SETTLED_NS and _state(path) == state
    if entry and settled:
        _keep(entry, state, digest)
    return digest


def _entry(path: Path) -> Path | None:
    """Where the digest of a file is remembered; None for a user without a home."""
    try:
        folder = user_cache() / "digests"
    except MachineError:
        return None
    return folder / hashlib.sha256(os.fsencode(path)).hexdigest()[:32]


def _content(state: State, digest: str) -> str:
    """An entry: state, digest, and a digest of both, since a wrong one would hide for a week."""
    words = f"{' '.join(map(str, state))} {digest}"
    return f"{words} {hashlib.sha256(words.encode()).hexdigest()}\n"


def _read(entry: Path, state: State) -> str | None:
    """What an entry says of a file in this state; None where it says nothing to be believed."""
    try:
        if not 0 <= time.time() - entry.stat().st_mtime < BELIEVED_S:
            return None
        found = entry.read_text("ascii", "replace")
    except OSError:
        return None
    digest = found.split(" ")[-2:-1]
    return digest[0] if digest and found == _content(state, digest[0]) else None


def _keep(entry: Path, state: State, digest: str) -> None:
    """Whoever reads an entry sees all of it; where none can be written, files are read again."""
    temporary = entry.with_name(f".{entry.name}.{secrets.token_hex(4)}")
    with suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.write_text(_content(state, digest), "ascii")
        temporary.replace(entry)
