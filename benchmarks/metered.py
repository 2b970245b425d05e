"""Runs a module, and writes down how much of the GPU's memory it took at most.

python -m benchmarks.metered peak.json tightfit train --data sample
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path


def metered(command: Sequence[str], file: Path) -> list[str]:
    """A ``python -m MODULE …`` command under the meter, which writes ``file`` at its end."""
    python, flag, *rest = command
    assert flag == "-m", "what is metered is a module"
    return [python, "-m", "benchmarks.metered", str(file), *rest]


def read_peak(file: Path) -> int | None:
    """Bytes of the device's memory at most; None where there was no GPU."""
    found: int | None = json.loads(file.read_text("utf-8"))["device_peak_bytes"]
    return found


def main() -> None:
    """Run the module named by the second argument, with the rest as its own arguments."""
    file, module, *words = sys.argv[1:]
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        torch = sys.modules.get("torch")
        seen = torch is not None and torch.cuda.is_available()
        peak = torch.cuda.max_memory_allocated() if torch is not None and seen else None
        Path(file).write_text(json.dumps({"device_peak_bytes": peak}), "utf-8")


if __name__ == "__main__":
    main()
