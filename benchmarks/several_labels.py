"""GoEmotions, several of 28 labels a row: tight beside one-vs-rest logistic regressions.

    python -m benchmarks.several_labels --data goemotions --out runs/goemotions --minutes 30

The folder holds train.parquet and validation.parquet (text, labels). All train on the same rows and
are scored on the same validation rows; the thresholds of all are chosen alike, those that each half
of these rows is scored by on the other half. ``tight`` has the minutes to itself. What is finished
in ``--out`` is not computed again.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tightfit
from tightfit.display import score_name, share_words
from tightfit.metrics.interval import Interval
from tightfit.progress import RichProgress

BASELINES = ("tf-idf + logistic regression", "mean embeddings + logistic regression")


def table(rows: Mapping[str, Mapping[str, Interval]]) -> str:
    """Markdown, with 95% intervals; the last line is by how much the last row is ahead."""
    scores, (*others, own) = list(next(iter(rows.values()))), rows.values()
    lines = [
        "| | " + " | ".join(map(score_name, scores)) + " |",
        "| --- " * (len(scores) + 1) + "|",
    ]
    for name, found in rows.items():
        lines.append(f"| {name} | {' | '.join(share_words(found[score]) for score in scores)} |")
    ahead = [own[x].value - max(each[x].value for each in others) for x in scores]
    lines.append(f"| ahead of both, points | {' | '.join(f'{100 * x:+.1f}' for x in ahead)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of both files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="rows to train on")
    parser.add_argument("--minutes", type=float, default=30.0, help="of tight")
    parser.add_argument("--set", action="append", default=[], help="of every training")
    asked = parser.parse_args()
    train, run = str(asked.data / "train.parquet"), asked.out / "tight"
    rows: dict[str, Any] = {
        "validation": str(asked.data / "validation.parquet"),
        "label_column": "labels",
        "limit": asked.limit,
        "settings": asked.set,
        "progress": RichProgress(),
    }
    if not (run / "manifest.json").is_file():
        tightfit.train(train, out=run, minutes=asked.minutes, **rows)
    found = tightfit.compare(train, only=BASELINES, out=asked.out / "baselines", **rows)
    own = tightfit.Run.open(run).metrics.validation.headline()
    print(table({**{row.name: row.scores for row in found.rows}, "tight": own}))


if __name__ == "__main__":
    main()
