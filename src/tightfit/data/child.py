"""A process of its own with limits on memory and time: what hostile files break is that process.

The clock runs on every system. Memory is limited on Linux only; processor time and the size of the
answer wherever Python has `resource`, so not on Windows.
"""

from __future__ import annotations

import json
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
from tightfit.data.child import limit
answer = import_module(sys.argv[1]).answer
limit(int(sys.argv[2]), float(sys.argv[3]))
sys.exit(answer(sys.stdin.buffer, sys.stdout.buffer))
"""

_KEPT_VARIABLES = ("DYLD_LIBRARY_PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What an interpreter may need to start and to find its libraries."""

_SMALL_FOOTPRINT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""Keeps the libraries from mapping memory ahead, and threads for their stacks, which the limit
would count; the work of threads would count against the time."""


class Refusal(Exception):
    """Why there is nothing to read: what is wrong, what was seen, and what to do, where known."""

    def __init__(self, what: str, seen: str | None = None, step: str | None = None) -> None:
        super().__init__(what)
        if seen is not None and not seen.isprintable():
            seen = ascii(seen)  # control characters of a hostile file are not for the terminal
        self.what, self.seen, self.step = what, seen, step

    def write(self, out: IO[bytes]) -> int:
        """Tell the parent, which raises it again; returns the exit code that says so."""
        out.write(json.dumps(vars(self)).encode("ascii"))
        out.flush()
        return REFUSED


@dataclass(frozen=True)
class Child:
    """A module whose ``answer`` reads standard input under limits, writes to standard output, and
    gives the exit code; and where its packages are."""

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

    def run(self, source: IO[bytes]) -> bytes:
        """Let it read a file, and give what it wrote.

        Raises:
            Refusal: it refused to, was not done in time, or broke down.
            MachineError: there is no room for its answer.
        """
        with tempfile.TemporaryFile() as answer:
            try:
                child = subprocess.run(
                    self.command(),
                    stdin=source,
                    stdout=answer,  # a file, since its size can be limited
                    stderr=subprocess.PIPE,
                    env=_environment(),
                    timeout=self.seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise self._too_slow() from None
            answer.seek(0)
            # What was written before a failure may be as large as the limit, and of no use.
            if child.returncode == 0:
                return answer.read()
            if child.returncode == REFUSED:
                raise Refusal(**json.loads(answer.read()))
        raise self._broken(child.returncode, child.stderr.decode("utf-8", "replace"))

    def _broken(self, code: int, last_words: str) -> Refusal | MachineError:
        """The error where it ended without an answer."""
        if code == NO_SPACE:
            return MachineError(
                "no room for the rows that were read",
                seen=tempfile.gettempdir(),
                next_step="free some space there, or point TMPDIR elsewhere",
            )
        if code == -getattr(signal, "SIGXCPU", 0):
            return self._too_slow()
        if code == TOO_BIG:
            return Refusal(f"reading it takes more than {self.memory_bytes / 2**30:.3g} GiB")
        if code > 0:
            return Refusal("reading it broke down", "".join(last_words.splitlines()[-1:]) or None)
        return Refusal("reading it crashed", signal.Signals(-code).name)

    def _too_slow(self) -> Refusal:
        return Refusal(f"reading it takes longer than {self.seconds:g} seconds")


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
