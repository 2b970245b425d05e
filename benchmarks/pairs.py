"""Pairs of texts: the pair form beside both texts joined with a blank.

    python -m benchmarks.pairs --data sick --out runs/pairs --minutes 15
    python -m benchmarks.pairs --data sick --out runs/pairs --minutes 15 --final

Entailment and relatedness on SICK (Marelli et al. 2014): every row of ``train.parquet`` is answered
by a training on the other folds, which holds out rows of its own to choose its best step. What is
finished in ``--out`` is not computed again. With ``--final`` one training of each form on all of
them is scored on ``validation.parquet``: once, at the end.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.model_selection import StratifiedKFold

import tightfit

FORMS = ("pair", "joined")
TEXTS = ["sentence_a", "sentence_b"]
DRAWS = 1_000
"""Of the bootstrap."""


def accuracy(given_N: NDArray[Any], true_N: NDArray[Any]) -> float:
    """Share of rows answered rightly."""
    return float((given_N == true_N).mean())


def rank_correlation(given_N: NDArray[Any], true_N: NDArray[Any]) -> float:
    """Spearman's, from -1 to 1."""
    return float(spearmanr(given_N, true_N).statistic)


@dataclass(frozen=True)
class Target:
    """A column that is learned."""

    column: str
    setting: str
    score: Callable[[NDArray[Any], NDArray[Any]], float]


TARGETS = {
    "entailment": Target("label", "data.task=single", accuracy),
    "relatedness": Target("relatedness", "data.task=rating", rank_correlation),
}


def answered(
    args: argparse.Namespace, name: str, form: str, cell: str, rows: tuple[pa.Table, pa.Table]
) -> NDArray[Any]:
    """What a training on the first rows answers to the second ones; told in a line of JSON."""
    file, run = (args.out / f"{cell}-{name}-{form}{end}" for end in (".json", ""))
    target, (train, test) = TARGETS[name], rows
    if not file.is_file():
        found = tightfit.train(
            train.select([*TEXTS, target.column]),
            text_column=TEXTS,
            label_column=target.column,
            out=run,
            seed=args.seed,
            minutes=args.minutes,
            settings=[f"data.pair={str(form == 'pair').lower()}", target.setting, *args.set],
        )
        said: Any = tightfit.Run.load(run).predict(test)
        said_N = said.values if name == "relatedness" else said.labels
        facts = {"steps": found.steps, "seconds": round(found.seconds), "said": list(said_N)}
        file.write_text(json.dumps(facts))
    facts = json.loads(file.read_text())
    said_N = np.array(facts.pop("said"))
    score = round(target.score(said_N, test[target.column].to_numpy()), 4)
    print(json.dumps({"target": name, "form": form, "cell": cell, "score": score, **facts}))
    return said_N


def compared(
    target: Target, said: dict[str, list[NDArray[Any]]], true_N: NDArray[Any]
) -> list[float]:
    """Both scores over all rows, their difference, and its standard error by a bootstrap."""
    pair_N, joined_N = (np.concatenate(said[form]) for form in FORMS)

    def both(rows_N: NDArray[Any]) -> tuple[float, float]:
        true = true_N[rows_N]
        return target.score(pair_N[rows_N], true), target.score(joined_N[rows_N], true)

    chance, rows = np.random.default_rng(0), len(true_N)
    drawn = [both(chance.integers(0, rows, rows)) for _ in range(DRAWS)]
    pair, joined = both(np.arange(rows))
    return [pair, joined, pair - joined, float(np.std([a - b for a, b in drawn], ddof=1))]


def table(args: argparse.Namespace, cells: dict[str, tuple[pa.Table, pa.Table]]) -> Iterator[str]:
    """Lines of Markdown: a target each."""
    yield "| target | score | rows | pair | joined | difference | standard error |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name in args.targets:
        target, said = TARGETS[name], {form: list[NDArray[Any]]() for form in FORMS}
        for cell, rows in cells.items():
            for form in FORMS:
                said[form].append(answered(args, name, form, cell, rows))
        true_N = np.concatenate([test[target.column].to_numpy() for _, test in cells.values()])
        scores = " | ".join(f"{100 * each:.1f}" for each in compared(target, said, true_N))
        yield f"| {name} | {target.score.__name__} x 100 | {len(true_N):,} | {scores} |"


def main() -> None:
    """A line for each training, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of both files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="so many of the folds")
    parser.add_argument("--final", action="store_true", help="the validation rows, and no folds")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--set", action="append", default=[], help="of every training")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = pq.read_table(args.data / "train.parquet")
    labels = rows["label"].to_pylist()
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=args.seed)
    parts = list(folds.split(labels, labels))[: args.only]
    cells = {f"fold{i}": (rows.take(a), rows.take(b)) for i, (a, b) in enumerate(parts)}
    if args.final:
        cells = {"final": (rows, pq.read_table(args.data / "validation.parquet"))}
    print("\n".join(list(table(args, cells))))


if __name__ == "__main__":
    main()
