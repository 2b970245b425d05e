"""Digests of files; those of large ones are worked out once in a process."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

KEPT = 1024
"""Digests that are remembered; some hundred bytes each."""


def file_sha256(path: Path | str) -> str:
    """Hex digest of a file's bytes, read in chunks, so that a large one takes no memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remembered_sha256(path: Path) -> str:
    """The same; a file whose size, time and inode are as they were is not read again."""
    stat = os.stat(path)
    return _sha256(str(path.resolve()), stat.st_size, stat.st_mtime_ns, stat.st_ino)


def weights_sha256(folder: Path) -> str:
    """Digest over the weight files of a model folder, which tells one base model from another."""
    total = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        total.update(remembered_sha256(file).encode())
    return total.hexdigest()


@lru_cache(maxsize=KEPT)
def _sha256(path: str, size: int, mtime_ns: int, inode: int) -> str:
    """The arguments besides the path are what it is remembered by."""
    return file_sha256(path)
