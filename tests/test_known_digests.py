"""Digests that outlive a process: believed while a file stays as it was, and no longer."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tightfit import known_digests
from tightfit.digests import file_sha256
from tightfit.known_digests import remembered_sha256

Changes = Callable[[Path], None]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large and settled, and an empty memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(known_digests, "LARGE", 1)
    monkeypatch.setattr(known_digests, "SETTLED_NS", 0)
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    return path


def _next_process(path: Path) -> str:
    """What one that begins now says of the file."""
    known_digests._sha256.cache_clear()
    return remembered_sha256(path)


def _entries(file: Path) -> list[Path]:
    return [each for each in (file.parent / "cache").rglob("*") if each.is_file()]


def test_a_file_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By this process and by those after it."""
    first = remembered_sha256(file)
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert remembered_sha256(file) == _next_process(file) == first
    assert first == hashlib.sha256(b"weights").hexdigest()


def _same_size_and_time(file: Path) -> None:
    before = file.stat()
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _another_in_its_place(file: Path) -> None:
    (file.parent / "other").write_bytes(b"WEIGHTS")
    (file.parent / "other").replace(file)


def _longer(file: Path) -> None:
    file.write_bytes(b"weights and more")


@pytest.mark.parametrize("change", [_same_size_and_time, _another_in_its_place, _longer])
def test_a_changed_file_is_read_again(file: Path, change: Changes) -> None:
    """Whatever of its outside was made to look as before."""
    before = remembered_sha256(file)
    time.sleep(0.01)  # the clock of a file system ticks each few milliseconds
    change(file)
    assert remembered_sha256(file) == _next_process(file) == file_sha256(file) != before


def _flipped(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes().replace(b"a", b"b"))


def _cut(entry: Path) -> None:
    entry.write_bytes(entry.read_bytes()[:40])


def _old(entry: Path) -> None:
    long_ago = time.time() - known_digests.BELIEVED_S - 1
    os.utime(entry, (long_ago, long_ago))


def _from_tomorrow(entry: Path) -> None:
    os.utime(entry, (time.time() + 86_400,) * 2)


@pytest.mark.parametrize("change", [_flipped, _cut, _old, _from_tomorrow, Path.unlink])
def test_what_is_remembered_is_not_always_believed(file: Path, change: Changes) -> None:
    """Then the file is read, and remembered anew."""
    first = remembered_sha256(file)
    (entry,) = _entries(file)
    whole = entry.read_bytes()
    change(entry)
    assert _next_process(file) == first
    assert entry.read_bytes() == whole


def test_small_and_fresh_files_are_not_remembered(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one is read as quickly, the other may change within a tick of the clock."""
    monkeypatch.setattr(known_digests, "LARGE", 8)
    _next_process(file)
    monkeypatch.setattr(known_digests, "LARGE", 1)
    monkeypatch.setattr(known_digests, "SETTLED_NS", 60_000_000_000)
    _next_process(file)
    assert not _entries(file)


def test_without_a_place_for_it_files_are_read(file: Path) -> None:
    """A cache that is no folder takes nothing, and is no error."""
    (file.parent / "cache").write_text("in the way")
    assert _next_process(file) == file_sha256(file)
