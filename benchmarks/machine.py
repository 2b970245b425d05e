"""What the machine can do, and what a process took of it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch

CEILING_SIZES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
"""Square products that are tried; the best of them is the ceiling."""

CEILING_TRIALS = 4

LIBRARIES = ("torch", "transformers", "peft", "accelerate")


@dataclass(frozen=True)
class Process:
    """A process that has ended well."""

    seconds: float
    """From its start to its end: imports, tokenising, everything."""
    cpu_seconds: float
    """Of all its threads and children; other people's work does not add to it."""
    peak_bytes: int
    """Highest resident memory of the process, or of any process that it started."""
    started: float = 0.0
    """Reading of :func:`time.time` when it began."""


def run_process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Run a command to its end; what it says goes to ``log``.

    Raises:
        SystemExit: it failed; with the end of what it said.
    """
    with log.open("w") as words:
        began, started = time.time(), time.perf_counter()
        child = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=words, stderr=subprocess.STDOUT
        )
        # wait4 and not wait: it tells the memory of this very child and its own children.
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}\nfailed:\n{log.read_text()[-2000:]}")
    # Linux counts in kibibytes, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Process(seconds, usage.ru_utime + usage.ru_stime, peak, began)


def ceiling(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Floating-point operations a second of the best square product; on a CPU, on torch's threads.

    Of random numbers: a GPU multiplies zeros and ones faster, since they take less power.
    """
    best = 0.0
    for size in CEILING_SIZES[device]:
        left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        torch.mm(left, right)
        for _ in range(CEILING_TRIALS):
            settle(device)
            started = time.perf_counter()
            torch.mm(left, right)
            settle(device)
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def settle(device: str) -> None:
    """Wait until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def environment_of(device: str, threads: int) -> dict[str, str]:
    """Of every process that is timed: no network, its threads, a GPU only where it is asked for."""
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false",
    }
    return environment | ({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {})


def facts(threads: int, device: str = "cpu") -> str:
    """The machine and the libraries in one sentence."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    gpu = f"{torch.cuda.get_device_name()}, " if device == "cuda" else ""
    return (
        f"{gpu}{processor()}, {threads} of {os.cpu_count()} threads, "
        f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB; "
        f"Python {platform.python_version()}, {libraries}"
    )


def processor() -> str:
    """The processor's own name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
