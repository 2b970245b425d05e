"""Where a user keeps what can be made again."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from tightfit.errors import MachineError

CACHE_MEND = "set XDG_CACHE_HOME to a folder that you may write, for what is kept"


def user_cache() -> Path:
    """The folder that the operating system has for such things; not made here.

    Raises:
        MachineError: there is none, since the user has no home.
    """
    try:
        return Path(platformdirs.user_cache_path("tightfit", appauthor=False))
    except RuntimeError as error:
        raise MachineError("this user has no home", seen=error, next_step=CACHE_MEND) from error
