"""GoEmotions, several of 28 labels a row: tight beside one-vs-rest logistic regressions.

    python benchmarks/several_labels.py FOLDER --limit 10000 --minutes 12

FOLDER holds train.parquet and validation.parquet (text, labels). All train on the same rows and are
scored on the same validation rows; the thresholds of all are chosen alike, those that each half of
these rows is scored by on the other half.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import tightfit
from tightfit.progress import RichProgress

ROWS = ("tf-idf + logistic regression", "mean embeddings + logistic regression", "tight")


def main() -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="train.parquet and validation.parquet")
    parser.add_argument("--limit", type=int, default=None, help="rows to train on")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall clock of all of it")
    parser.add_argument("--out", type=Path, default=None, help="where the comparison is kept")
    asked = parser.parse_args()
    found = tightfit.compare(
        str(asked.folder / "train.parquet"),
        validation=str(asked.folder / "validation.parquet"),
        label_column="labels",
        only=ROWS,
        limit=asked.limit,
        minutes=asked.minutes,
        out=asked.out,
        progress=RichProgress(),
    )
    print(found)


if __name__ == "__main__":
    main()
