"""Cells of the accuracy tables: one system on one data set, kept so that none is computed twice.

A cell is a small JSON file in the project itself, `benchmarks/cells`, so that a table of many
hours can be made in several goes; the rows and runs behind it lie in a temporary folder. None is
edited by hand: a cell whose file is deleted is computed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from tightfit.metrics.intervals import wilson

HELD_ROWS = 5_000
MODEL = "all-MiniLM-L6-v2"

Figures = dict[str, Any]
"""right, rows, seconds, trainable."""

System = Callable[["Task", float], Figures | None]
"""Trains on the rows of a task, for so many seconds where these are not 0, and is scored; None
where nothing fits."""


@dataclass(frozen=True)
class Task:
    """Rows to train on and rows to score on, as JSON lines, of one data set."""

    name: str
    seed: int
    cells: Path
    work: Path

    @property
    def train(self) -> Path:
        """The rows to train on."""
        return self.work / "train.jsonl"

    @property
    def held(self) -> Path:
        """The rows to score on: the test rows, or rows held out where none are there."""
        return self.work / "held.jsonl"

    def has(self, name: str) -> bool:
        """Whether a system was computed before."""
        return self._path(name).is_file()

    def _path(self, name: str) -> Path:
        return self.cells / f"{name}.json"

    def cell(self, name: str, system: System, seconds: float = 0.0) -> Any:
        """What a system reaches: from the folder of cells, or computed and put there."""
        path = self._path(name)
        if not path.is_file():
            print(f"{self.name}: {name}", file=sys.stderr, flush=True)
            found = system(self, seconds)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(found) + "\n")
        return json.loads(path.read_text())


def options(parser: argparse.ArgumentParser, out: str) -> None:
    """The options that both tables have."""
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--rows", type=int, default=4_000, help="most rows to train on")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--work", type=Path, required=True, help="folder of rows and runs")
    parser.add_argument("--cells", type=Path, default=Path("benchmarks/cells"))
    parser.add_argument("--out", type=Path, default=Path(out))


def task(
    args: argparse.Namespace, name: str, most: int | None = None, scored: int = HELD_ROWS
) -> Task:
    """The rows of a data set, written where they are not there yet.

    Args:
        args: of :func:`options`.
        name: of a folder in ``args.root`` with train.parquet and, for most, test.parquet.
        most: rows to train on, where the set is to have fewer than ``args.rows``.
        scored: most rows to score on, drawn at random where the set has more.
    """
    size = min(args.rows, most or args.rows)
    key = f"{name}-{size}-{args.seed}"
    found = Task(name, args.seed, args.cells / key, args.work / key)
    if not (found.train.is_file() and found.held.is_file()):
        found.work.mkdir(parents=True, exist_ok=True)
        train = pq.read_table(args.root / name / "train.parquet", columns=["text", "label"])
        test = args.root / name / "test.parquet"
        random = np.random.default_rng(args.seed)
        order = random.permutation(len(train))
        if test.is_file():
            held = pq.read_table(test, columns=["text", "label"])
            held = held.take(np.sort(random.permutation(len(held))[:scored]))
        else:
            held, order = train.take(order[:scored]), order[scored:]
        for path, rows in ((found.train, train.take(order[:size])), (found.held, held)):
            path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_pylist()))
    return found


def by_recipe(recipe: str, *settings: str, model: str = MODEL) -> System:
    """A recipe, with validation rows that it holds out of its training rows itself."""

    def run(task: Task, seconds: float) -> Figures:
        out = task.work / "run"
        command = ["train", "--data", str(task.train), "--recipe", recipe, "--model", model]
        command += ["--seed", str(task.seed), "--out", str(out), "--overwrite"]
        command += ["--minutes", f"{seconds / 60:.3f}"] if seconds else []
        command += [word for setting in settings for word in ("--set", setting)]
        started = time.perf_counter()
        said = tightfit_json(command)
        taken = time.perf_counter() - started
        found = tightfit_json(["evaluate", str(out), "--data", str(_known(task))])
        right, rows = round(found["accuracy"]["value"] * found["n"]), len(read_lines(task.held))
        return {"right": right, "rows": rows, "seconds": taken, "trainable": said["total"]}

    return run


def _known(task: Task) -> Path:
    """The rows to score on whose label some row to train on has: ``evaluate`` refuses others, which
    nobody can get right."""
    path, labels = task.work / "known.jsonl", set(columns(task.train)[1])
    rows = (row for row in read_lines(task.held) if row["label"] in labels)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def columns(path: Path) -> tuple[list[str], list[int]]:
    """Texts and labels of a task's rows."""
    rows = read_lines(path)
    return [row["text"] for row in rows], [row["label"] for row in rows]


def read_lines(path: Path) -> list[Figures]:
    """The objects in a file, one a line; none where there is no file yet."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def keep_line(path: Path, line: Figures) -> None:
    """Append an object to such a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def figure(found: Figures | None) -> str:
    """Accuracy with its interval."""
    if found is None:
        return "not run"
    share = wilson(found["right"], found["rows"])
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def tightfit_json(words: list[str]) -> Any:
    """What a command says with ``--json``."""
    command = [sys.executable, "-m", "tightfit", *words, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
