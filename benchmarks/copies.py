"""What near copies do to a score: a random split beside one that keeps copies on one side.

    python -m benchmarks.copies --train trec6/train.parquet --test trec6/test.parquet

Of each of some rows ten near copies are made (a word dropped, doubled or replaced, other case or
punctuation). Both splits train on them; the truth is the accuracy on test rows that nobody copied.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

import tightfit


def near_copy(text: str, chance: random.Random) -> str:
    """The text after one small edit."""
    words = text.split()
    place = chance.randrange(len(words))
    match chance.randrange(4):
        case 0 if len(words) > 3:
            del words[place]
        case 1:
            words.insert(place, words[place])
        case 2 if len(words) > 8:
            words[place] = "otherwise"
        case _:
            return text.upper() if chance.random() < 0.5 else f"{text} !"
    return " ".join(words)


def with_copies(path: Path, rows: int, copies: int, seed: int) -> pa.Table:
    """So many rows of a file, drawn at random, each followed by its near copies."""
    chance = random.Random(seed)
    found = pq.read_table(path, columns=["text", "label"]).to_pylist()
    texts, labels = [], []
    for row in chance.sample(found, rows):
        texts += [row["text"], *(near_copy(row["text"], chance) for _ in range(copies - 1))]
        labels += [row["label"]] * copies
    return pa.table({"text": texts, "label": labels})


def main() -> None:
    """Train with either split, and write a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--split", nargs="+", default=["random", "group"])
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    data = with_copies(args.train, args.rows, args.copies, args.seed)
    for split in args.split:
        with TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            settings = [*args.set, f"data.split={split}"]
            result = tightfit.train(data, out=run, seed=args.seed, settings=settings)
            truth = tightfit.evaluate(run, args.test).accuracy
            note = tightfit.Run.open(run).data.note
        told = {"split": split, "validation": result.accuracy, "test": truth.value, "note": note}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
