"""Where a user keeps what can be made again, and where else it may lie."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING

from tightfit.errors import MachineError
from tightfit.extras import lazy
from tightfit.storage.files import machine_errors

if TYPE_CHECKING:
    import platformdirs
else:  # only what keeps something waits for it
    platformdirs = lazy("platformdirs", "the folder of what is kept")

MEND = "set XDG_CACHE_HOME to a folder that you may write, for what is kept"


def user_cache() -> Path:
    """The folder that the operating system has for such things; not made here.

    Raises:
        MachineError: there is none, since the user has no home.
    """
    try:
        return Path(platformdirs.user_cache_path("tightfit", appauthor=False))
    except RuntimeError as error:
        raise MachineError("this user has no home", seen=error, next_step=MEND) from error


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
        raise MachineError("somebody else may write this folder", seen=folder, next_step=MEND)
    return folder
