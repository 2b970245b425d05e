"""The machine page: what the GPU is, what drives it, and what its products reach."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.packages import versions
from benchmarks.machine import ceiling, processor

LIBRARIES = ("torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors", "numpy")

FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def look(device: str) -> Iterator[dict[str, Any]]:
    """What is known of the machine; each time with more, products last.

    Args:
        device: ``cuda`` or ``cpu``.

    Raises:
        SystemExit: ``cuda`` was asked for and torch sees no GPU.
    """
    found: dict[str, Any] = {
        "processor": processor(),
        "python": platform.python_version(),
        "versions": versions(LIBRARIES),
        "torch_cuda": torch.version.cuda,
        "driver": _driver(),
    }
    yield found
    if device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit("torch sees no GPU here; --device cpu goes through the same parts")
        found |= _gpu()
        yield found
    products = {}
    for name, dtype in FORMATS.items():
        if device == "cuda" or name != "fp16":  # a CPU emulates it, for minutes
            products[name] = ceiling(device, dtype)
            yield {**found, "products": products}


def _gpu() -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(0)
    free, total = torch.cuda.mem_get_info()
    return {
        "gpu": properties.name,
        "gpus": torch.cuda.device_count(),
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_total": total,
        "memory_free": free,
        "bf16": torch.cuda.is_bf16_supported(including_emulation=False),
    }


def _driver() -> str | None:
    """The version of NVIDIA's driver, or None where there is none."""
    tool = shutil.which("nvidia-smi")
    if tool:
        query = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.splitlines()[0].strip()
    file = Path("/proc/driver/nvidia/version")
    return file.read_text("utf-8").splitlines()[0] if file.is_file() else None


def describe(found: dict[str, Any]) -> str:
    """What :func:`look` told, in Markdown."""
    lines = [f"- processor: {found['processor']}; Python {found['python']}"]
    if "gpu" in found:
        free, total = (found[key] / 2**30 for key in ("memory_free", "memory_total"))
        lines.append(
            f"- GPU: {found['gpu']} ({found['gpus']} seen, capability {found['capability']}, "
            f"{found['multiprocessors']} multiprocessors), {free:.1f} of {total:.1f} GiB free, "
            f"bf16 {'yes' if found['bf16'] else 'no'}"
        )
    lines.append(f"- driver: {found['driver'] or 'none'}; torch's CUDA: {found['torch_cuda']}")
    known = ", ".join(
        f"{name} {version or 'missing'}" for name, version in found["versions"].items()
    )
    lines.append(f"- {known}")
    for name, speed in found.get("products", {}).items():
        lines.append(f"- best square product in {name}: {speed / 1e12:,.2f} TFLOP/s")
    return "\n".join(lines)
