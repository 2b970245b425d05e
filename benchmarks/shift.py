"""How much of what was learned is right on rows of another kind: ``train.blend`` measured.

    python -m benchmarks.shift --root shared/data --work WORK --rows 400 --seeds 2

Trains on AG News rows that name one agency, Reuters or AP, and scores on others of them, on rows
that name the other one, and on the former with a tenth of their characters, or words, replaced.
The agencies' names are taken out everywhere; all rows are of the training file, as many of each
class as both have. Every scale of ``train.blend`` is scored after the same training, and the one
that ``auto`` chooses is told. A training is a line of ``benchmarks/cells/shift.jsonl`` and is not
done again.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import set_seed

from benchmarks.cells import keep_line, read_lines
from benchmarks.sizes import read_table
from tightfit.config import load_config
from tightfit.data.table import Table
from tightfit.data.text_tokenizer import tokenise
from tightfit.model.classifier import predict_logits
from tightfit.model.embedded import MINILM
from tightfit.model.locate import locate
from tightfit.progress import Progress
from tightfit.tasks.dataset import read_dataset
from tightfit.training.blend import SCALES, blended, choose_blend
from tightfit.training.gradients import watch_over
from tightfit.training.loop import Loop
from tightfit.training.prepare import plan_for, prepare
from tightfit.training.probe import start_at_probe
from tightfit.training.setup import Setup

AGENCIES = {"Reuters": re.compile(r"\(?\bReuters\b\)?"), "AP": re.compile(r"\(?\bAP\b\)?")}

DISTURBED = 0.1
"""Share of characters, or of words, that are replaced."""

VALIDATION = 0.25
"""Share of the rows that the choice is made by."""

Rows = list[tuple[str, int]]


def rows_of(root: Path) -> dict[str, Rows]:
    """Rows that name one agency and not the other, without the name, by agency."""
    found: dict[str, Rows] = {name: [] for name in AGENCIES}
    for row in read_table(root / "ag_news" / "train.parquet"):
        named = [name for name, mark in AGENCIES.items() if mark.search(row["text"])]
        if len(named) == 1:
            bare = " ".join(AGENCIES[named[0]].sub("", row["text"]).split())
            found[named[0]].append((bare, row["label"]))
    counts = {name: Counter(label for _, label in rows) for name, rows in found.items()}
    random = np.random.default_rng(0)
    equal: dict[str, Rows] = {name: [] for name in found}
    for name, rows in found.items():
        left = {label: min(each[label] for each in counts.values()) for label in counts[name]}
        for i in random.permutation(len(rows)).tolist():
            if left[rows[i][1]] > 0:
                left[rows[i][1]] -= 1
                equal[name].append(rows[i])
    return equal


def disturbed(rows: Rows, kind: str, seed: int) -> Rows:
    """The same with some of the characters, or words, replaced by others of the same texts."""
    random = np.random.default_rng(seed)
    split, join = (list, "".join) if kind == "characters" else (str.split, " ".join)
    parts = [split(text) for text, _ in rows]
    every = [part for text in parts for part in text]

    def other(text: Sequence[str]) -> list[str]:
        changed = random.random(len(text)) < DISTURBED
        drawn = random.integers(len(every), size=len(text))
        return [every[i] if c else p for p, c, i in zip(text, changed, drawn, strict=True)]

    return [(join(other(text)), label) for text, (_, label) in zip(parts, rows, strict=True)]


def training(rows: Rows, tests: Mapping[str, Rows], seed: int) -> dict[str, Any]:
    """Accuracy in % at every scale, and the scale that is chosen."""
    setup = _setup(rows, seed)
    before = setup.classifier.state()
    fitted = Loop(setup, watch_over(setup)).fit()
    end = setup.classifier.state()
    chosen = choose_blend(setup, before, fitted, Progress())[0].decisions.blend
    setup.classifier.load_state(before)
    start_at_probe(setup, Progress())
    start, scored = setup.classifier.state(), {}
    for scale in (0.0, *SCALES):
        setup.classifier.load_state(blended(setup.classifier, start, end, scale))
        scored[f"{scale:g}"] = {name: _accuracy(setup, some) for name, some in tests.items()}
    best = fitted.counters.best_step
    why = None if chosen is None else chosen.reason
    return {"chosen": chosen.value if chosen else 1.0, "why": why, "best_step": best, **scored}


def _setup(rows: Rows, seed: int) -> Setup:
    given = ("train.blend=auto", "optim.objective=cross-entropy", "train.folds=0")
    config = load_config("tight", [f"model.name={MINILM.name}", *given])
    more = {"seed": seed, "head.pooling": "mean", "data.validation_rows": VALIDATION}
    config = config.with_values(more)
    table = Table([text for text, _ in rows], [label for _, label in rows], source="one agency")
    dataset, source = read_dataset(config, table, None, None), locate(MINILM.name)
    plan = plan_for(config, source, dataset.task.outputs, pooling="mean")
    set_seed(seed)
    return prepare(config, dataset, source, plan, progress=Progress())


def _accuracy(setup: Setup, rows: Rows) -> float:
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    tokens = tokenise(setup.classifier.tokenizer, texts, setup.train.tokens.max_length)
    logits_NK = predict_logits(setup.classifier, tokens, batch=64, forward=setup.logits)
    return 100 * float((logits_NK.argmax(1) == labels).mean())


def main(words: Sequence[str] | None = None) -> None:
    """Do what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--rows", type=int, default=400, help="to train on")
    parser.add_argument("--scored", type=int, default=400, help="rows of each test")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cells", type=Path, default=Path("benchmarks/cells/shift.jsonl"))
    args = parser.parse_args(words)
    known, every = read_lines(args.cells), rows_of(args.root)
    for seed in range(args.seeds):
        for name, other in (("Reuters", "AP"), ("AP", "Reuters")):
            if any((c["from"], c["rows"], c["seed"]) == (name, args.rows, seed) for c in known):
                continue
            print(name, seed, file=sys.stderr, flush=True)
            rows = every[name]
            held = rows[len(rows) - args.scored :]
            first = (seed * args.rows) % max(1, len(rows) - args.scored - args.rows)
            tests = {"same": held, "other": every[other][: args.scored]}
            tests |= {kind: disturbed(held, kind, seed) for kind in ("characters", "words")}
            found = training(rows[first : first + args.rows], tests, seed)
            line = {"from": name, "rows": args.rows, "seed": seed, **found}
            keep_line(args.cells, line)
    print(table(read_lines(args.cells)))


def table(cells: Sequence[Mapping[str, Any]]) -> str:
    """Means over trainings, by scale."""
    kinds = list(cells[0]["1"])
    lines = ["| kept | " + " | ".join(kinds) + " |", "| --- |" + " ---: |" * len(kinds)]
    for scale in ("0", *(f"{each:g}" for each in SCALES), "auto"):
        picked = [c[f"{c['chosen']:g}" if scale == "auto" else scale] for c in cells]
        means = (float(np.mean([each[kind] for each in picked])) for kind in kinds)
        lines.append(f"| {scale} | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    chosen = ", ".join(f"{c['from']} {c['chosen']:g}" for c in cells)
    return "\n".join([*lines, "", f"Chosen: {chosen}."])


if __name__ == "__main__":
    main()
