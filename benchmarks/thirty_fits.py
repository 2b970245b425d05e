"""Thirty fits in one process: the memory that it holds after each.

Usage: ``python benchmarks/thirty_fits.py [--fits 30] [--model NAME]``
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path

import numpy as np

from tightfit import TightfitClassifier
from tightfit.data.sources import Columns, read_table

ROWS = 64
SETTINGS = {"train.max_steps": 8, "train.folds": 0, "optim.objective": "cross-entropy"}
SETTLED = 5
"""Fits after which what libraries keep for good is there."""


def resident_mb() -> float:
    """Memory of this process, in megabytes (10^6 bytes)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


def main() -> None:
    """Fit, let go, and print what is left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=30)
    parser.add_argument("--model", default=None)
    asked = parser.parse_args()
    table = read_table("sample", Columns(), labelled=True)
    texts, labels = table.texts[:ROWS], (table.labels or [])[:ROWS]
    held: list[float] = []
    for fit in range(asked.fits):
        started = time.perf_counter()
        made = TightfitClassifier(model=asked.model, settings=SETTINGS, random_state=fit)
        made.fit(texts, labels).predict(texts)
        del made
        gc.collect()
        held.append(resident_mb())
        print(f"{fit + 1:3}: {held[-1]:6.0f} MB, {time.perf_counter() - started:4.1f} s")
    settled = held[SETTLED:]
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    print(
        f"after fit {SETTLED}: {settled[0]:.0f} MB, at the end {settled[-1]:.0f} MB, "
        f"{slope:+.2f} MB a fit"
    )


if __name__ == "__main__":
    main()
