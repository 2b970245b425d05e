"""Programs that begin warm: forked from a process that has imported, once, what trains.

A cold start spends seconds on imports, a fork milliseconds. The process that forks computes
nothing itself, so that no thread of torch runs there. What is told of a program is what
``subprocess`` tells; how a cold start behaves is for other tests. Packages can be hidden from a
program: importing one fails there as where it is not installed.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import Process

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.warm_imports"])


@dataclass(frozen=True)
class Around:
    """What a program finds around it."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    """Its variables."""
    file_limit: int | None = None
    """Bytes that no file it writes may exceed."""
    given: str = ""
    """Its standard input."""
    hidden: Sequence[str] = ()
    """Packages that it cannot import."""


class Program:
    """A running ``python -m MODULE …``, ``-c CODE …`` or ``FILE …``; like ``subprocess.Popen``.

    Args:
        command: its words, as ``subprocess`` would take them.
        around: as this process has it, if not given.
    """

    def __init__(self, command: Sequence[str], around: Around | None = None) -> None:
        self._streams = tempfile.TemporaryDirectory()
        arguments = (list(command), around or Around(), Path(self._streams.name))
        self._process = _FORKS.Process(target=_run, args=arguments)
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, the signal's number negated, or None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As a power cut would, if it spared the disk."""
        self._process.kill()

    def communicate(self, timeout: float | None = 300) -> tuple[str, str]:
        """Wait for its end; what it wrote to standard output and to standard error.

        Raises:
            subprocess.TimeoutExpired: it goes on for longer than ``timeout`` seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a warm program", timeout or 0)
        folder = Path(self._streams.name)
        out, err = ((folder / name).read_text("utf-8") for name in ("out", "err"))
        self._streams.cleanup()
        return out, err


def run(command: Sequence[str], around: Around | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, whatever that is; arguments are those of :class:`Program`."""
    program = Program(command, around)
    out, err = program.communicate()
    assert program.returncode is not None
    return subprocess.CompletedProcess(list(command), program.returncode, out, err)


def run_process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """In place of :func:`benchmarks.machine.run_process`, where no figure is looked at."""
    began, started = time.time(), time.perf_counter()
    done = run(command, Around({**os.environ, **environment}))
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{log.read_text()[-2000:]}")
    return Process(time.perf_counter() - started, 1.0, 1, began)


def _run(command: list[str], around: Around, streams: Path) -> None:
    """In the fork: become the program."""
    os.environ.clear()
    os.environ.update(around.environment)
    (streams / "in").write_text(around.given, "utf-8")
    os.dup2(os.open(streams / "in", os.O_RDONLY), 0)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(streams / name, os.O_WRONLY | os.O_CREAT), number)
    for name in list(sys.modules):
        if name.partition(".")[0] in around.hidden:
            sys.modules[name] = None  # type: ignore[assignment]  # what refuses an import
    if around.file_limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (around.file_limit, around.file_limit))
    _become(command[1:])


def _become(words: list[str]) -> None:
    """Do what Python does with these words behind its name."""
    way, what = (words[0], words[1]) if words[0].startswith("-") else ("", words[0])
    sys.argv = [what if way != "-c" else way, *words[2 if way else 1 :]]
    if way == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    elif way == "-c":
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(what, run_name="__main__")
