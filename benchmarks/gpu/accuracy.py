"""The accuracy run: ``tightfit train`` on all given rows, resumable, with its curve."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import Options
from benchmarks.gpu.runner import tell
from benchmarks.results import table

SPARE = 30.0
"""Seconds of the part's time that are left for imports, final scoring and sealing, or half of it
where it is short."""

EVERY = 1.0
"""Seconds between looks at the curve."""


def train(options: Options, model: str, name: str) -> None:
    """Train to the end of the time, and tell the curve as it grows.

    Raises:
        SystemExit: the training failed; its own words stand above.
    """
    run = Path(options.out) / "runs" / name
    begun = (run / "config.toml").is_file()
    # A resumed run needs the settings that it began with, its time among them.
    minutes = _minutes_of(run) if begun else max(options.limit / 2, options.limit - SPARE) / 60
    command = [sys.executable, "-m", "tightfit", "train", "--json", "--resume"]
    command += ["--data", options.data, "--model", model, "--out", str(run)]
    command += ["--minutes", f"{minutes:.3f}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    curve: list[dict[str, Any]] = []
    while child.poll() is None:
        time.sleep(EVERY)
        if len(fresh := _curve(run)) > len(curve):
            curve = fresh
            tell({"curve": curve, "markdown": describe(None, curve)})
    assert child.stdout is not None
    said = child.stdout.read()
    if child.returncode:
        raise SystemExit(child.returncode)
    summary, curve = json.loads(said), _curve(run)
    tell({"summary": summary, "curve": curve, "markdown": describe(summary, curve)})


def _minutes_of(run: Path) -> float:
    settings = tomllib.loads((run / "config.toml").read_text("utf-8"))
    return float(settings["train"]["minutes"])


def _curve(run: Path) -> list[dict[str, Any]]:
    """The rows of the history so far."""
    path = run / "history.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def describe(summary: dict[str, Any] | None, curve: list[dict[str, Any]]) -> str:
    """The curve, and under it what the finished run is worth."""
    header = ("seconds", "step", "epoch", "training loss", "validation loss", "accuracy")
    rows = [
        [
            *(f"{row['seconds']:.1f}", f"{row['step']}", f"{row['epoch']:.2f}"),
            "" if row["train_loss"] is None else f"{row['train_loss']:.4f}",
            *(f"{row['eval_loss']:.4f}", f"{row['eval_accuracy']:.2%}"),
        ]
        for row in curve
    ]
    if summary is None:
        return table(header, rows)
    proofs = ", ".join(f"{k} {'ok' if v['ok'] else 'FAILED'}" for k, v in summary["proofs"].items())
    return (
        f"{summary['accuracy']:.2%} on the run's validation rows, macro-F1 "
        f"{summary['macro_f1']:.4f}, with {summary['total']:,} trainable parameters; "
        f"{summary['examples']:,} rows in {summary['steps']:,} steps, "
        f"{summary['examples_per_second']:,.0f} rows/s in steps. Proofs: {proofs}.\n\n"
        f"{table(header, rows)}"
    )
