"""``tightfit train`` as a process of its own, to be killed; and what may not depend on that."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.toy_setups import SHORT
from tests.toys import toy_encoder, toy_rows, write_jsonl
from tests.warm import Around, Program

STEPS, EVERY = 60, 5
SETTINGS = [
    *SHORT,
    *("optim.batch=8", f"train.max_steps={STEPS}", f"train.eval_every={EVERY}", "optim.lr=1e-2"),
    *("optim.epochs=20", "model.frozen_dropout=true", "adapters.dropout=0.1"),
]
"""Twelve checkpoints; dropouts are on, so that every random number counts."""

UNLIKE = {"report.html", "manifest.json", "README.md"}
"""Files that tell of times, or of files that do; the rest of a run is compared byte by byte."""

TIMES = {"seconds", "examples_per_second", "tokens_per_second"}


def make_home(folder: Path, **more: Any) -> Path:
    """A folder with a toy encoder, whose configuration has ``more``, and rows."""
    toy_encoder(folder / "toy", **more)
    write_jsonl(folder / "rows.jsonl", toy_rows(120))
    return folder


def command(home: Path, run: Path, *more: str) -> list[str]:
    """The words that train the toy into ``run``."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    data = ["--data", str(home / "rows.jsonl"), "--model", str(home / "toy"), "--out", str(run)]
    return [sys.executable, "-m", "tightfit", "train", *data, *settings, *more]


def start(home: Path, run: Path, *more: str) -> Program:
    """Begin to train."""
    return Program(command(home, run, *more))


def finish(home: Path, run: Path, *more: str) -> str:
    """Train to the end; what was said."""
    process = start(home, run, *more)
    said = process.communicate()[1]
    assert process.returncode == 0, said
    return said


def together(command: list[str], processes: int) -> list[Program]:
    """The same program so many times, with the variables that ``torchrun`` would give to each."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    size = str(processes)
    shared = {**os.environ, **place, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    ranks = map(str, range(processes))
    return [Program(command, Around({**shared, "RANK": n, "LOCAL_RANK": n})) for n in ranks]


class Pollable(Protocol):
    """A process that can be asked whether it lives."""

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""

    def communicate(self) -> tuple[str, str]:
        """What it said, once it has ended."""


def wait_for(ready: Callable[[], bool], process: Pollable, seconds: float = 200) -> None:
    """Look again and again, as long as the process lives."""
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, f"ended too early: {process.communicate()[1]}"
        assert time.monotonic() < end
        time.sleep(0.001)


def step_of(run: Path) -> int:
    """The newest checkpoint's step; 1 where settings are written, 0 a bare folder, -1 nothing."""
    steps = [int(path.name[5:]) for path in (run / "checkpoints").glob("step-????????")]
    return max(steps, default=int(run.exists()) + int((run / "config.toml").exists()) - 1)


def traces(run: Path) -> dict[str, Any]:
    """Everything in a finished run that may not depend on having been killed."""
    files = [path for path in run.rglob("*") if path.is_file()]
    kept = [path for path in files if path.relative_to(run).parts[0] != "checkpoints"]
    return {str(path.relative_to(run)): _content(path) for path in kept}


def _content(path: Path) -> Any:
    if path.name in UNLIKE:
        return None
    if path.name == "history.jsonl":
        return [_timeless(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    if path.name == "metrics.json":
        return _timeless(json.loads(path.read_text("utf-8")))
    return path.read_bytes()


def _timeless(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: _timeless(item) for key, item in value.items() if key not in TIMES}
