"""Going on from a run with new labels: what is kept, beside a training on all rows at once.

    python -m benchmarks.continue_training --train banking77/train.parquet \
        --test banking77/test.parquet --out runs/continued

500 rows of the first 40 labels, then 500 rows of all labels from that run; beside it one training
on both together. Rows of the first labels are scored twice: answers among those labels alone, which
is the question that the first run was asked, and among all. Without ``--test`` other rows of the
training file are scored, and the seed draws which labels are the first.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

import tightfit
from tightfit.metrics.paired import compare_accuracy

SCORED = 2_000
"""Rows of the training file that are scored, where there is no test file."""


@dataclass(frozen=True)
class Parts:
    """Rows of the first training and of the second, rows that are scored, and the first labels."""

    first: pa.Table
    more: pa.Table
    scored: pa.Table
    known: list[int]

    @classmethod
    def of(cls, train: pa.Table, test: pa.Table | None, labels: int, rows: int, seed: int) -> Parts:
        """Draw them; no text is in two of them, but where a test file repeats a training row."""
        every, draw = np.unique(train["label"].to_numpy()), np.random.default_rng(seed)
        if test is None:
            every, scored = draw.permutation(every), min(SCORED, len(train) // 3)
            train = train.take(draw.permutation(len(train)))
            test, train = train.slice(0, scored), train.slice(scored)
            train = _without(train, test)
        known = every[:labels].tolist()
        first = _drawn(_of_labels(train, known), rows, seed)
        return cls(first, _drawn(_without(train, first), rows, seed + 1), test, known)


def _drawn(rows: pa.Table, count: int, seed: int) -> pa.Table:
    return rows.take(np.random.default_rng(seed).permutation(len(rows))[:count])


def _of_labels(rows: pa.Table, labels: list[int]) -> pa.Table:
    return rows.filter(pc.is_in(rows["label"], value_set=pa.array(labels)))


def _without(rows: pa.Table, others: pa.Table) -> pa.Table:
    return rows.filter(pc.invert(pc.is_in(rows["text"], value_set=others["text"])))


Answers = Mapping[str, NDArray[np.int64]]
"""Label ids by question."""


def answers(run: Path, parts: Parts) -> Answers:
    """What a run says of rows of the first labels, among these and among all; and of all rows."""
    opened = tightfit.Run.load(run)
    ids_K = np.array([int(name) for name in opened.labels])
    logits_NK = opened.predictor.logits(parts.scored["text"].to_pylist())
    own_N = np.isin(parts.scored["label"].to_numpy(), parts.known)
    among_NK = np.where(np.isin(ids_K, parts.known), logits_NK, -np.inf)
    every_N = ids_K[logits_NK.argmax(axis=1)]
    known_N = ids_K[among_NK.argmax(axis=1)]
    return {"among the first": known_N[own_N], "among all": every_N[own_N], "all rows": every_N}


def compared(found: Mapping[str, Answers], parts: Parts) -> Iterator[dict[str, Any]]:
    """Accuracies of every training, and the last one less each of the others, by question."""
    labels_N = parts.scored["label"].to_numpy()
    own_N = labels_N[np.isin(labels_N, parts.known)]
    for question in ("among the first", "among all", "all rows"):
        due_N = labels_N if question == "all rows" else own_N
        told: dict[str, Any] = {"question": question, "rows": len(due_N)}
        for name, each in found.items():
            told[name] = round(100 * float((each[question] == due_N).mean()), 2)
        for other in ("first", "together"):
            if {"continued", other} <= set(found):
                pair = (found["continued"][question], found[other][question])
                told[f"less {other}"] = compare_accuracy(due_N, *pair).sentence
        yield told


def main() -> None:
    """Three trainings, or one of them, and lines of JSON about those that are there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--only", choices=("first", "continued", "together"))
    parser.add_argument("--set", action="append", default=[], help="of all three")
    parser.add_argument("--set-continued", action="append", default=[])
    args = parser.parse_args()
    train, test = (
        path and pq.read_table(path, columns=["text", "label"]).combine_chunks()
        for path in (args.train, args.test)
    )
    parts = Parts.of(train, test, args.labels, args.rows, args.seed)
    own = [*args.set, *args.set_continued]
    trainings: dict[str, tuple[pa.Table, dict[str, Any]]] = {
        "first": (parts.first, {"settings": args.set}),
        "together": (pa.concat_tables([parts.first, parts.more]), {"settings": args.set}),
        "continued": (parts.more, {"from_run": args.out / "first", "settings": own}),
    }
    for name, (rows, options) in trainings.items():
        if args.only in (None, name):
            options |= {"out": args.out / name, "seed": args.seed, "overwrite": True}
            told = tightfit.train(rows, **options).to_json()
            _say({"training": name, **{key: told.get(key) for key in ("seconds", "continued")}})
    there = [name for name in trainings if (args.out / name).exists()]
    for line in compared({name: answers(args.out / name, parts) for name in there}, parts):
        _say(line)


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
