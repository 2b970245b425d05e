"""What each system is worth on seven data sets, with equal wall clock: one resumable command.

    python -m benchmarks.datasets --root shared/data --work /tmp/cells

Every system trains on the same rows, none of which are test rows, and is scored once on the test
rows; AG News, whose official test rows stay untouched, is scored on 5,000 rows held out of its
training file. `tight` goes first, with its untouched defaults, and the others that learn by steps
then get the wall clock that it took. A cell that is in `benchmarks/cells` is not computed again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from benchmarks.cells import MODEL, Figures, System, Task, by_recipe, columns, figure, options, task

SETS = ("ag_news", "trec6", "sst2", "banking77", "sms_spam", "tweet_emotion", "newsgroups20")
FEWER = {"newsgroups20": (1_000, 2_000)}
"""Rows to train and to score on; those of newsgroups20 have hundreds of tokens, and take long."""


def main(words: Sequence[str] | None = None) -> None:
    """Run every cell that is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    options(parser, "benchmarks/DATASETS.md")
    args = parser.parse_args(words)
    found: dict[Task, dict[str, Figures]] = {}
    for name in args.sets:
        rows = task(args, name, *FEWER.get(name, ()))
        cells = found[rows] = {}
        for system, run in SYSTEMS.items():
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
    from tightfit.model.locate import locate

    figures = task.work / "trainer-figures.json"
    held_labels = columns(task.held)[1]
    labels = len({*columns(task.train)[1], *held_labels})
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.peers", "--setup", "documented", "--lr", "5e-5"]
    command += ["--data", str(task.train), "--validation", str(task.held), "--labels", str(labels)]
    command += ["--model", str(locate(MODEL).folder), "--epochs", "3", "--warmup", "0"]
    command += ["--seed", str(task.seed), "--seconds", f"{seconds:.1f}", "--json", str(figures)]
    subprocess.run([*command, "--work", str(task.work / "trainer")], check=True)
    found, taken = json.loads(figures.read_text()), time.perf_counter() - started
    right = round(found["accuracy"] * len(held_labels))
    return {
        "right": right,
        "rows": len(held_labels),
        "seconds": taken,
        "trainable": found["trainable"],
    }


SYSTEMS: dict[str, System] = {
    "tight": by_recipe("tight"),
    "tf-idf": _tfidf,
    "head-only": by_recipe("head-only"),
    "paper": by_recipe("paper"),
    "Trainer + PEFT": _trainer,
}
TIMED = ("paper", "Trainer + PEFT")
"""Those that learn by steps for as long as the first took."""


def _table(found: dict[Task, dict[str, Figures]]) -> str:
    lines = [
        "# Accuracy on seven data sets\n",
        "Embedded encoder; accuracy with its 95% interval (Wilson). `tight` has its untouched "
        "defaults; `paper` (with live adapters) and Trainer + PEFT (the documented defaults of "
        "both libraries: learning rate 5e-5, batches of 8, 3 epochs, LoRA of rank 8) train for "
        "the wall clock that `tight` took, and end sooner where their epochs do. Made by "
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
