"""Pairs of texts: the pair form beside both texts joined with a blank.

    python -m benchmarks.pairs --data sick --out runs/pairs --minutes 15
    python -m benchmarks.pairs --data sick --out runs/pairs --final

The accuracy of entailment on SICK (Marelli et al. 2014): every row of ``train.parquet`` is scored
by a training on the other folds, which holds out rows of its own to choose its best step. What is
finished in ``--out`` is not computed again. With ``--final`` one training of each form on all of
them is scored on ``validation.parquet``: once, at the end.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.model_selection import StratifiedKFold

import tightfit

FORMS = {"pair": True, "joined": False}
"""Names of the forms, and what ``data.pair`` is in them."""


def read(path: Path) -> pa.Table:
    """Rows without the rating."""
    return pq.read_table(path).select(["sentence_a", "sentence_b", "label"])


def right(args: argparse.Namespace, form: str, cell: str, train: pa.Table, test: pa.Table) -> Any:
    """Whether each test row is answered rightly by a training on the others."""
    file = args.out / f"{cell}-{form}.json"
    if not file.is_file():
        found = tightfit.train(
            train,
            text_column=["sentence_a", "sentence_b"],
            out=args.out / f"{cell}-{form}",
            seed=args.seed,
            minutes=args.minutes,
            settings=[f"data.pair={str(FORMS[form]).lower()}", *args.set],
        )
        said = tightfit.Run.load(args.out / f"{cell}-{form}").predict(test)
        told = [a == b for a, b in zip(said.labels, test["label"].to_pylist(), strict=True)]
        facts = {"right": told, "steps": found.steps, "seconds": round(found.seconds)}
        file.write_text(json.dumps(facts))
    return json.loads(file.read_text())


def tell(form: str, cell: str, found: dict[str, Any]) -> None:
    """A line of JSON."""
    share = float(np.mean(found["right"]))
    line = {"form": form, "cell": cell, "rows": len(found["right"]), "accuracy": round(share, 4)}
    print(json.dumps({**line, **{key: found[key] for key in ("steps", "seconds")}}), flush=True)


def summary(right_by_form: dict[str, list[bool]]) -> dict[str, float]:
    """Accuracies, and their difference with its standard error over the same rows."""
    pair, joined = (np.array(right_by_form[form], dtype=float) for form in FORMS)
    error = (pair - joined).std(ddof=1) / len(pair) ** 0.5
    found = {
        "rows": len(pair),
        "pair": pair.mean(),
        "joined": joined.mean(),
        "difference": (pair - joined).mean(),
        "standard_error": error,
    }
    return {name: round(float(value), 4) for name, value in found.items()}


def main() -> None:
    """A line for each training, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder of both files")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, help="so many of the folds")
    parser.add_argument("--final", action="store_true", help="the validation rows, and no folds")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--set", action="append", default=[], help="of every training")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows = read(args.data / "train.parquet")
    labels = rows["label"].to_pylist()
    folds = StratifiedKFold(args.folds, shuffle=True, random_state=args.seed)
    parts = list(folds.split(labels, labels))[: args.only]
    cells = {f"fold{i}": (rows.take(a), rows.take(b)) for i, (a, b) in enumerate(parts)}
    if args.final:
        cells = {"final": (rows, read(args.data / "validation.parquet"))}
    right_by_form: dict[str, list[bool]] = {form: [] for form in FORMS}
    for cell, (train, test) in cells.items():
        for form in FORMS:
            found = right(args, form, cell, train, test)
            right_by_form[form] += found["right"]
            tell(form, cell, found)
    print(json.dumps(summary(right_by_form)))


if __name__ == "__main__":
    main()
