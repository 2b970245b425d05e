"""Going on from a run with new labels: what is kept, beside a training on all rows at once.

    python -m benchmarks.continue_training --train banking77/train.parquet \
        --test banking77/test.parquet --out runs/continued

500 rows of the first 40 labels, then 500 rows of all labels from that run; beside it one training
on both together. Scored on the test rows: those of the first labels, and all.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import tightfit


def drawn(rows: pa.Table, labels: int, count: int, seed: int) -> pa.Table:
    """So many rows of the first labels, at random."""
    own = rows.filter(pc.less(rows["label"], labels))
    return own.take(np.random.default_rng(seed).permutation(len(own))[:count])


def accuracy(run: Path, rows: pa.Table, labels: int) -> float:
    """Of the rows of the first labels."""
    own = rows.filter(pc.less(rows["label"], labels))
    found = tightfit.Run.load(run).predict(own["text"].to_pylist()).labels
    due = own["label"].to_pylist()
    return float(np.mean([str(a) == str(b) for a, b in zip(found, due, strict=True)]))


def main() -> None:
    """Three trainings, and a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--labels", type=int, default=40)
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--only", choices=("first", "continued", "together"))
    parser.add_argument("--set", action="append", default=[], help="of all three")
    parser.add_argument("--set-continued", action="append", default=[])
    args = parser.parse_args()
    train, test = (
        pa.table({name: pq.read_table(path)[name].combine_chunks() for name in ("text", "label")})
        for path in (args.train, args.test)
    )
    every = int(pc.max(train["label"]).as_py()) + 1
    first = drawn(train, args.labels, args.rows, args.seed)
    seen = pc.is_in(train["text"], value_set=first["text"])
    more = drawn(train.filter(pc.invert(seen)), every, args.rows, args.seed + 1)
    trainings: dict[str, tuple[pa.Table, dict[str, Any]]] = {
        "first": (first, {"settings": args.set}),
        "continued": (
            more,
            {"from_run": args.out / "first", "settings": [*args.set, *args.set_continued]},
        ),
        "together": (pa.concat_tables([first, more]), {"settings": args.set}),
    }
    for name, (rows, options) in trainings.items():
        if args.only in (None, name):
            run = args.out / name
            result = tightfit.train(rows, out=run, seed=args.seed, overwrite=True, **options)
            told = {
                "training": name,
                "first_labels": accuracy(run, test, args.labels),
                "all_labels": accuracy(run, test, every),
                "seconds": round(result.seconds, 1),
                "continued": result.to_json().get("continued"),
            }
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
