"""What each system is worth on seven data sets, with equal wall clock: one resumable command.

    python -m benchmarks.datasets --root shared/data --work /tmp/cells --out benchmarks/DATASETS.md

Every system trains on the same rows, none of which are test rows, and is scored once on the test
rows; AG News, whose official test rows stay untouched, is scored on 5,000 rows held out of its
training file. `tight` goes first, with its untouched defaults, and the others that learn by steps
then get the wall clock that it took. A cell that is in the folder is never computed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tightfit.metrics.intervals import wilson

SETS = ("ag_news", "trec6", "sst2", "banking77", "sms_spam", "tweet_emotion", "newsgroups20")
HELD_ROWS = 5_000
MODEL = "all-MiniLM-L6-v2"

Cell = dict[str, Any]
"""right, rows, seconds, trainable."""


def main() -> None:
    """Run every cell that is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--rows", type=int, default=4_000, help="most rows to train on")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--work", type=Path, required=True, help="folder of rows, runs and cells")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/DATASETS.md"))
    args = parser.parse_args()
    cells: dict[tuple[str, str], Cell] = {}
    for name in args.sets:
        folder = args.work / f"{name}-{args.rows}-{args.seed}"
        train, held = write_rows(args, name, folder)
        for system, run in SYSTEMS.items():
            path = folder / f"{system}.json"
            if not path.is_file():
                print(f"{name}: {system}", file=sys.stderr, flush=True)
                seconds = cells[name, "tight"]["seconds"] if (name, "tight") in cells else 0.0
                found = run(train, held, folder, args.seed, seconds)
                path.write_text(json.dumps(found))
            cells[name, system] = json.loads(path.read_text())
        args.out.write_text(_table(args, cells))


def write_rows(args: argparse.Namespace, name: str, folder: Path) -> tuple[Path, Path]:
    """The rows to train on and to score on, as JSON lines."""
    paths = folder / "train.jsonl", folder / "held.jsonl"
    if not all(path.is_file() for path in paths):
        folder.mkdir(parents=True, exist_ok=True)
        train = pq.read_table(args.root / name / "train.parquet", columns=["text", "label"])
        test = args.root / name / "test.parquet"
        order = np.random.default_rng(args.seed).permutation(len(train))
        if test.is_file():
            held = pq.read_table(test, columns=["text", "label"])
        else:
            held, order = train.take(order[:HELD_ROWS]), order[HELD_ROWS:]
        for path, table in zip(paths, (train.take(order[: args.rows]), held), strict=True):
            path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return paths


def _tfidf(train: Path, held: Path, folder: Path, seed: int, seconds: float) -> Cell:
    """Words and pairs of words, and a linear model."""
    texts, labels, held_texts, held_labels = *_columns(train), *_columns(held)
    started = time.perf_counter()
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000)
    )
    right = int((model.fit(texts, labels).predict(held_texts) == np.array(held_labels)).sum())
    taken = time.perf_counter() - started
    trainable = int(model[-1].coef_.size + model[-1].intercept_.size)
    return {"right": right, "rows": len(held_labels), "seconds": taken, "trainable": trainable}


def by_recipe(recipe: str, *settings: str, timed: bool = False) -> Callable[..., Cell]:
    """A recipe on rows of which it holds some out for itself; scored afterwards."""

    def run(train: Path, held: Path, folder: Path, seed: int, seconds: float) -> Cell:
        out = folder / f"run-{recipe}"
        command = [sys.executable, "-m", "tightfit.cli", "train", "--data", str(train), "--json"]
        command += ["--recipe", recipe, "--model", MODEL, "--seed", str(seed), "--out", str(out)]
        command += ["--minutes", f"{seconds / 60:.3f}"] if timed else []
        words = [word for setting in settings for word in ("--set", setting)]
        started = time.perf_counter()
        said = _json([*command, "--overwrite", *words])
        taken = time.perf_counter() - started
        score = [sys.executable, "-m", "tightfit.cli", "evaluate", str(out), "--data", str(held)]
        found = _json([*score, "--json"])
        right = round(found["accuracy"]["value"] * found["n"])
        return {"right": right, "rows": found["n"], "seconds": taken, "trainable": said["total"]}

    return run


def _trainer(train: Path, held: Path, folder: Path, seed: int, seconds: float) -> Cell:
    """Trainer and PEFT with the settings that their documentation begins with."""
    from tightfit.model.locate import locate

    figures = folder / "trainer-figures.json"
    labels = len({*_columns(train)[1], *_columns(held)[1]})
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.peers", "--setup", "documented", "--lr", "5e-5"]
    command += ["--data", str(train), "--validation", str(held), "--labels", str(labels)]
    command += ["--model", str(locate(MODEL).folder), "--epochs", "3", "--warmup", "0"]
    command += ["--seed", str(seed), "--seconds", f"{seconds:.1f}", "--json", str(figures)]
    subprocess.run([*command, "--work", str(folder / "trainer")], check=True)
    found, taken = json.loads(figures.read_text()), time.perf_counter() - started
    rows = len(_columns(held)[1])
    right = round(found["accuracy"] * rows)
    return {"right": right, "rows": rows, "seconds": taken, "trainable": found["trainable"]}


SYSTEMS: dict[str, Callable[..., Cell]] = {
    "tight": by_recipe("tight"),
    "tf-idf": _tfidf,
    "head-only": by_recipe("head-only"),
    "paper": by_recipe("paper", timed=True),
    "Trainer + PEFT": _trainer,
}
"""In the order in which they run: the others get the time that the first took."""


def _columns(path: Path) -> tuple[list[str], list[int]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def _json(command: list[str]) -> Any:
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def _table(args: argparse.Namespace, cells: dict[tuple[str, str], Cell]) -> str:
    names = [name for name in args.sets if (name, "tight") in cells]
    lines = [
        "# Accuracy on seven data sets\n",
        f"Embedded encoder, at most {args.rows:,} rows to train on, seed {args.seed}; accuracy "
        "with its 95% interval (Wilson). `tight` has its untouched defaults; `paper` (with live "
        "adapters) and Trainer + PEFT (the settings their documentation begins with) train for "
        "the wall clock that `tight` took. Made by `python -m benchmarks.datasets`.\n",
        f"| data set | scored rows | {' | '.join(SYSTEMS)} |",
        f"| --- | ---: |{' ---: |' * len(SYSTEMS)}",
    ]
    for name in names:
        row = [cells.get((name, system)) for system in SYSTEMS]
        rows = cells[name, "tight"]["rows"]
        lines.append(f"| {name} | {rows:,} | {' | '.join(map(figure, row))} |")
    seconds = [f"{name} {cells[name, 'tight']['seconds']:.0f}" for name in names]
    lines.append(f"\nSeconds that `tight` took, on a shared machine: {', '.join(seconds)}.\n")
    return "\n".join(lines)


def figure(cell: Cell | None) -> str:
    """Accuracy with its interval."""
    if cell is None:
        return "not run"
    found = wilson(cell["right"], cell["rows"])
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


if __name__ == "__main__":
    main()
