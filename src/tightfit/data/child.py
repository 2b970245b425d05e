"""A process of its own with limits on memory and time: what hostile files break is that process.

The clock runs on every system. Memory is limited on Linux only; processor time and the size of the
answer wherever Python has `resource`, so not on Windows.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO

from tightfit.errors import MachineError

if sys.platform != "win32":
    import resource

REFUSED, TOO_BIG, NO_SPACE = 4, 5, 9
"""Exit codes of the child: refused for the reason that it wrote, out of memory, disk full."""

_START = """
import sys
sys.path[:0] = [root for root in sys.argv[4:] if root not in sys.path]
from importlib import import_module
import_module(sys.argv[1]).main()
"""

_KEPT_VARIABLES = ("DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What an interpreter may need to start and to find its libraries."""

_SMALL_FOOTPRINT = {"ARROW_DEFAULT_MEMORY_POOL": "system", "OPENBLAS_NUM_THREADS": "1"}
"""Keeps the libraries from mapping memory ahead, which the limit would count."""


@dataclass(frozen=True)
class Child:
    """A module whose ``main`` reads standard input under limits, and where its packages are."""

    module: str
    packages: tuple[ModuleType, ...]
    """Those that it imports, beside tightfit."""
    memory_bytes: int
    """What it may take, on top of the libraries' own needs."""
    seconds: float
    """How long it may take, by the clock."""

    def command(self) -> list[str]:
        """An isolated interpreter that finds tightfit and the packages where this one did."""
        tightfit_root = Path(__file__).parents[2]
        roots = [tightfit_root, *(Path(package.__path__[0]).parent for package in self.packages)]
        limits = [self.module, str(self.memory_bytes), str(self.seconds)]
        return [sys.executable, "-I", "-c", _START, *limits, *dict.fromkeys(map(str, roots))]

    def run(self, source: IO[bytes]) -> Ended:
        """Let it read a file.

        Raises:
            MachineError: there is no room for its answer.
        """
        try:
            with tempfile.TemporaryFile() as answer:
                child = subprocess.run(
                    self.command(),
                    stdin=source,
                    stdout=answer,  # a file, since its size can be limited
                    stderr=subprocess.PIPE,
                    env=_environment(),
                    timeout=self.seconds,
                    check=False,
                )
                answer.seek(0)
                # What was written before a failure may be as large as the limit, and of no use.
                said = answer.read() if child.returncode in (0, REFUSED) else b""
                return Ended(child.returncode, said, child.stderr.decode("utf-8", "replace"))
        except subprocess.TimeoutExpired:
            return Ended(None, b"", "")

    def breakdown(self, ended: Ended) -> tuple[str, str | None]:
        """Why there is no answer: what happened, and the last words.

        Raises:
            MachineError: the disk was full.
        """
        code = ended.code
        if code == NO_SPACE:
            raise MachineError(
                "no room for the rows that were read",
                seen=tempfile.gettempdir(),
                next_step="free some space there, or point TMPDIR elsewhere",
            )
        if code is None or code == -getattr(signal, "SIGXCPU", 0):
            return f"reading it takes longer than {self.seconds:g} seconds", None
        if code == TOO_BIG:
            return f"reading it takes more than {self.memory_bytes / 2**30:.3g} GiB", None
        if code > 0:
            return "reading it broke down", "".join(ended.last_words.splitlines()[-1:]) or None
        return "reading it crashed", signal.Signals(-code).name


@dataclass(frozen=True)
class Ended:
    """How a child ended."""

    code: int | None
    """Its exit code; None where its time was over."""
    said: bytes
    """What it wrote, where it came to an end."""
    last_words: str


def limit(memory_bytes: int, seconds: float) -> None:
    """Have the system end this process rather than let it grow, run on, or fill the disk.

    Memory counts on top of what is mapped already, which for numpy and pyarrow is much more than
    they use. Only Linux tells how much that is.
    """
    if sys.platform == "win32":
        return
    processor_seconds = math.ceil(seconds) + 1
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: processor_seconds,
        resource.RLIMIT_FSIZE: memory_bytes,
    }
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory_bytes
    for which, most in limits.items():
        allowed = resource.getrlimit(which)[1]
        if allowed == resource.RLIM_INFINITY or most < allowed:  # else a stricter limit stands
            # One more for the hard limit: at that of time the signal would not name its cause.
            resource.setrlimit(which, (most, most + 1))


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return kept | _SMALL_FOOTPRINT
