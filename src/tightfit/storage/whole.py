"""Folders that appear whole or not at all: written under another name, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tightfit.errors import UsageError
from tightfit.storage.files import machine_errors
from tightfit.storage.folder import check_may_add
from tightfit.storage.lock import lock_output

PARTIAL_SUFFIX = ".partial"
"""Ends the name of a folder or file that is still being written."""


@contextmanager
def whole_folder(path: Path, *, overwrite: bool, marker: str) -> Iterator[Path]:
    """An empty folder to fill, which gets the name ``path`` once the block ends without an error.

    An empty folder at ``path`` is taken. One that is not empty is replaced with ``overwrite``, and
    only if it holds ``marker``; until then it stays as it is. After an error nothing is left.

    Args:
        path: where the folder shall be.
        overwrite: replace a folder of the same kind.
        marker: a file that every folder of this kind holds.

    Raises:
        UsageError: something is there already.
        MachineError: the disk is full, the folder may not be written, another process is writing
            it, and the like.
    """
    path = Path(os.path.abspath(path))
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    check_may_add(path)
    with lock_output(path):
        check_replaceable(path, overwrite=overwrite, marker=marker)
        try:
            with machine_errors(path, "write"):
                if partial.exists():
                    shutil.rmtree(partial)
                partial.mkdir(parents=True)
                yield partial
                _put_in_place(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def check_replaceable(path: Path, *, overwrite: bool, marker: str) -> None:
    """Refuse early what :func:`whole_folder` would refuse; changes nothing.

    Raises:
        UsageError: something is there already, and may not be replaced.
        MachineError: it cannot be looked at.
    """
    with machine_errors(path, "read"):
        if not os.path.lexists(path):
            return
        is_folder = path.is_dir() and not path.is_symlink()
        if is_folder and not any(path.iterdir()):
            return
        ours = is_folder and (path / marker).is_file()
    if not ours:
        raise UsageError(
            f"the output path exists and holds no {marker}, so it is not overwritten",
            seen=path,
            next_step="choose another --out",
        )
    if not overwrite:
        raise UsageError(
            "the output folder exists already",
            seen=path,
            next_step="replace it with --overwrite, or choose another --out",
        )


def _put_in_place(partial: Path, path: Path) -> None:
    # Renaming the old folder first: a deletion that fails half-way must not leave half of it here.
    doomed = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(doomed)
    partial.rename(path)
    if doomed.exists():
        shutil.rmtree(doomed)
