"""The lock of an output: two processes never write into one run folder, or one file."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from tightfit.errors import ArtefactError, MachineError
from tightfit.extras import lazy
from tightfit.storage.files import machine_errors, read_json, write_json

if TYPE_CHECKING:
    import filelock
else:
    filelock = lazy("filelock", "a lock")  # only whoever writes a run waits for it


@contextmanager
def lock_output(path: Path) -> Iterator[None]:
    """Hold a run folder or a file, which need not exist yet, for this process alone.

    The operating system holds the lock (``flock``; on Windows a locked byte range; where a disk
    has neither, a marker file), and lets it go when the process ends, however it ends. The lock
    lies beside the output: it outlives an ``--overwrite`` and is no part of what is sealed.

    Raises:
        MachineError: another process holds it, or the disk does not let it be made.
    """
    # One folder has one lock, whatever links lead to it.
    whole = Path(os.path.realpath(path))
    lock, holder = (whole.with_name(f".{whole.name}.{end}") for end in ("lock", "holder.json"))
    made = [folder for folder in lock.parents if not folder.exists()]
    with machine_errors(lock.parent, "make"):
        lock.parent.mkdir(parents=True, exist_ok=True)
    with machine_errors(path, "lock"):
        held = filelock.FileLock(lock)
        try:
            held.acquire(timeout=0)
        except filelock.Timeout as error:
            # Some disks say of a file that cannot be made what others say of one that is just gone.
            with NamedTemporaryFile(dir=lock.parent):
                pass
            raise MachineError(
                f"another process is writing {path}",
                seen=_tell(holder),
                next_step="wait until it has ended, or choose another --out",
            ) from error
    try:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(holder, {"pid": os.getpid(), "host": socket.gethostname(), "since": now})
        yield
    finally:
        with machine_errors(path, "unlock"):
            holder.unlink(missing_ok=True)
            if os.name == "posix":
                # While it is held: whoever opened it before finds that it is gone, and makes anew.
                lock.unlink(missing_ok=True)
            held.release()
            # A training that was refused leaves nothing; one that began left its folder in them.
            for folder in made:
                if not any(folder.iterdir()):
                    folder.rmdir()


def _tell(holder: Path) -> str:
    """Which process holds a lock, as far as it has said so already."""
    try:
        who = read_json(holder)
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (ArtefactError, MachineError, KeyError, TypeError):
        return "a process that has only just begun, or is ending"
