"""Where to put what cannot be kept, for the time being."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from tempfile import gettempdir

from tightfit.errors import MachineError
from tightfit.storage.files import machine_errors
from tightfit.user_cache import CACHE_MEND


def temporary_cache() -> Path:
    """A folder of this user's alone among temporary files, for who cannot keep anything.

    Raises:
        MachineError: it cannot be made, or somebody else may write it.
    """
    name = f"tightfit-{os.getuid()}" if hasattr(os, "getuid") else "tightfit"
    with machine_errors(Path(name), "make a temporary folder"):
        folder = Path(gettempdir(), name)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    if not (ours and stat.S_ISDIR(found.st_mode)) or stat.S_IMODE(found.st_mode) & 0o022:
        raise MachineError("somebody else may write this folder", seen=folder, next_step=CACHE_MEND)
    return folder
