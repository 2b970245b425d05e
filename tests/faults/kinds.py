"""Each kind of target trained in turn, by as many processes as there are: run by ``torchrun``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import tightfit
from tests.toy_setups import SHORT
from tests.toys import pair_rows, toy_rows, write_jsonl
from tightfit.progress import Progress

SETTINGS = [
    *SHORT,
    *("optim.batch=7", "optim.accumulate=2", "train.eval_every=1", "optim.lr=1e-2"),
    *("optim.warmup_steps=0", "adapters.dropout=0", "model.frozen_dropout=false"),
]
"""Ragged batches, no dropouts, and each step's loss on record."""

KINDS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "multi": (["data.task=multi"], {}),
    "pair": (["data.pair=true"], {"text_column": "premise,hypothesis"}),
    "rating": (["data.task=rating"], {}),
}
"""Settings and options of each."""

SETS: list[list[str]] = [[], ["money"], ["money", "sport"], ["sport"]]


def write_kinds(home: Path) -> None:
    """Rows of each kind."""
    rows = toy_rows(80)
    several = [{**row, "label": SETS[i % 4]} for i, row in enumerate(rows)]
    rated = [{**row, "label": i % 5 + i % 7 / 8} for i, row in enumerate(rows)]
    for kind, found in (("multi", several), ("pair", pair_rows(80)), ("rating", rated)):
        write_jsonl(home / f"{kind}.jsonl", found)


def train_kinds(home: Path, out: Path) -> None:
    """Eight steps of each, sealed."""
    for kind, (settings, options) in KINDS.items():
        tightfit.train(
            home / f"{kind}.jsonl",
            model=str(home / "toy"),
            out=out / kind,
            settings=[*SETTINGS, *settings],
            max_steps=8,
            progress=Progress(),
            **options,
        )


if __name__ == "__main__":
    train_kinds(Path(sys.argv[1]), Path(sys.argv[2]))
