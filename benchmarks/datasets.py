"""What each system is worth on seven data sets, with equal wall clock: one resumable command.

    python -m benchmarks.datasets --root shared/data --work /tmp/cells

Every system trains on the same rows, none of which are test rows, and is scored once on the test
rows; AG News, whose official test rows stay untouched, is scored on 5,000 rows held out of its
training file. `tight` goes first, with its untouched defaults, and the others that learn by steps
then get the wall clock that it took; Trainer + PEFT at a tuned rate, which is one of several
trainings, goes on to its own end. A cell that is in `benchmarks/cells` is not computed again; what
takes too long is left out by `--sets` and `--systems`, and the table has all cells that are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.cells import MODEL, Figures, System, Task, by_recipe, columns, figure, options, task
from tightfit.model.locate import locate

SETS = ("ag_news", "trec6", "sst2", "banking77", "sms_spam", "tweet_emotion", "newsgroups20")
FEWER = {"newsgroups20": (1_000, 2_000)}
"""Rows to train and to score on; those of newsgroups20 have hundreds of tokens, and take long."""
RATES = ("1e-3", "2e-3", "4e-3")
HELD_SHARE = 8
TUNED = ("--setup", "best", "--epochs", "5")


def main(words: Sequence[str] | None = None) -> None:
    """Run every cell that is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    options(parser, "benchmarks/DATASETS.md")
    args = parser.parse_args(words)
    found: dict[Task, dict[str, Figures]] = {}
    for name in args.sets:
        rows = task(args, name, *FEWER.get(name, ()))
        cells = found[rows] = {}
        for system, run in SYSTEMS.items():
            if system in ("tight", *args.systems) or rows.has(system):
                timed = cells["tight"]["seconds"] if system in TIMED else 0.0
                cells[system] = rows.cell(system, run, timed)
                args.out.write_text(_table(found))


def _tfidf(task: Task, seconds: float) -> Figures:
    """Words and pairs of words, and a linear model."""
    texts, labels, held_texts, held_labels = *columns(task.train), *columns(task.held)
    started = time.perf_counter()
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000)
    )
    right = int((model.fit(texts, labels).predict(held_texts) == np.array(held_labels)).sum())
    taken = time.perf_counter() - started
    trainable = int(model[-1].coef_.size + model[-1].intercept_.size)
    return {"right": right, "rows": len(held_labels), "seconds": taken, "trainable": trainable}


def _trainer(task: Task, seconds: float) -> Figures:
    """Trainer and PEFT with the documented defaults of both: 5e-5, batches of 8, 3 epochs."""
    started = time.perf_counter()
    words = ("--setup", "documented", "--lr", "5e-5", "--epochs", "3", "--warmup", "0")
    found = _peer(task, task.train, task.held, *words, "--seconds", f"{seconds:.1f}")
    return _figures(task, found, started)


def _tuned(task: Task, seconds: float) -> Figures:
    """Trainer and PEFT in its fastest settings, at the rate that is best on an eighth of the rows
    held out; then on all rows, for as many epochs."""
    started = time.perf_counter()
    lines = task.train.read_text().splitlines(keepends=True)
    few = len(lines) // HELD_SHARE
    some, rest = task.work / "tune.jsonl", task.work / "tune-held.jsonl"
    some.write_text("".join(lines[few:]))  # rows lie in random order
    rest.write_text("".join(lines[:few]))
    by_rate = {rate: _peer(task, some, rest, *TUNED, "--lr", rate)["accuracy"] for rate in RATES}
    best = max(RATES, key=lambda rate: by_rate[rate])
    return _figures(task, _peer(task, task.train, task.held, *TUNED, "--lr", best), started)


def _peer(task: Task, train: Path, held: Path, *words: str) -> Figures:
    figures = task.work / "trainer-figures.json"
    labels = len({*columns(task.train)[1], *columns(task.held)[1]})
    command = [sys.executable, "-m", "benchmarks.peers", *words, "--labels", str(labels)]
    command += ["--data", str(train), "--validation", str(held), "--json", str(figures)]
    command += ["--model", str(locate(MODEL).folder), "--seed", str(task.seed)]
    subprocess.run([*command, "--work", str(task.work / "trainer")], check=True)
    return dict(json.loads(figures.read_text()))


def _figures(task: Task, found: Figures, started: float) -> Figures:
    rows, taken = len(columns(task.held)[1]), time.perf_counter() - started
    right = round(found["accuracy"] * rows)
    return {"right": right, "rows": rows, "seconds": taken, "trainable": found["trainable"]}


SYSTEMS: dict[str, System] = {
    "tight": by_recipe("tight"),
    "tf-idf": _tfidf,
    "head-only": by_recipe("head-only"),
    "paper": by_recipe("paper"),
    "Trainer + PEFT": _trainer,
    "Trainer + PEFT, rate tuned": _tuned,
}
TIMED = ("paper", "Trainer + PEFT")
"""Those that learn by steps for as long as the first took."""


def _table(found: dict[Task, dict[str, Figures]]) -> str:
    lines = [
        "# Accuracy on seven data sets\n",
        "Embedded encoder; accuracy with its 95% interval (Wilson). `tight` has its untouched "
        "defaults; `paper` (with live adapters) and Trainer + PEFT (the documented defaults of "
        "both libraries: learning rate 5e-5, batches of 8, 3 epochs, LoRA of rank 8) train for "
        "the wall clock that `tight` took, and end sooner where their epochs do. With its rate "
        "tuned (the best of three on an eighth of the rows; query and value, rank 4, batches of "
        "32), Trainer + PEFT takes five epochs, however long. Made by "
        "`python -m benchmarks.datasets`.\n",
        f"| data set | trained rows | scored rows | {' | '.join(SYSTEMS)} |",
        f"| --- | ---: | ---: |{' ---: |' * len(SYSTEMS)}",
    ]
    for each, cells in found.items():
        figures = " | ".join(figure(cells.get(system)) for system in SYSTEMS)
        size, scored = len(columns(each.train)[1]), cells["tight"]["rows"]
        lines.append(f"| {each.name} | {size:,} | {scored:,} | {figures} |")
    seconds = [f"{each.name} {cells['tight']['seconds']:.0f}" for each, cells in found.items()]
    lines.append(f"\nSeconds that `tight` took, on a shared machine: {', '.join(seconds)}.\n")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
