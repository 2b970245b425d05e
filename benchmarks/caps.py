"""What a cap is worth: `tight` and the published settings under four caps, by one command.

    python -m benchmarks.caps --root shared/data --work /tmp/cells --out benchmarks/CAPS.md

Rows, scoring and resuming are those of `benchmarks.datasets`. The published settings keep their
rank of 4 on query and value where it fits, and have the largest that does elsewhere; they train,
with live adapters, for the wall clock that `tight` took under the same cap.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.datasets import Cell, by_recipe, figure, write_rows
from tightfit.errors import BudgetError

SETS = ("ag_news", "trec6", "banking77")
CAPS = (1_000_000, 100_000, 25_000, 5_000)

Row = dict[str, Cell | None]
"""A cell of each system; None where nothing fits under the cap."""


def main() -> None:
    """Run every cell that is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--caps", nargs="+", type=int, default=list(CAPS))
    parser.add_argument("--rows", type=int, default=4_000, help="most rows to train on")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--work", type=Path, required=True, help="folder of rows, runs and cells")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/CAPS.md"))
    args = parser.parse_args()
    rows: dict[tuple[str, int], Row] = {}
    for name in args.sets:
        for cap in args.caps:
            rows[name, cap] = _row(args, name, cap)
            args.out.write_text(_table(args, rows))


def _row(args: argparse.Namespace, name: str, cap: int) -> Row:
    """Both systems under one cap, from the folder where they are there."""
    folder = args.work / f"{name}-{args.rows}-{args.seed}" / f"cap-{cap}"
    train, held = write_rows(args, name, folder.parent)
    folder.mkdir(exist_ok=True)
    tight = _cell(folder, "tight", [f"budget.cap={cap}"], (train, held), args.seed)
    seconds = tight["seconds"] if tight else 0.0
    for rank in ("4", "auto"):
        settings = [f"budget.cap={cap}", f"adapters.rank={rank}"]
        paper = _cell(folder, f"paper-{rank}", settings, (train, held), args.seed, seconds)
        if paper is not None:
            break
    return {"tight": tight, "published settings": paper}


def _cell(
    folder: Path,
    name: str,
    settings: list[str],
    rows: tuple[Path, Path],
    seed: int,
    seconds: float = 0.0,
) -> Cell | None:
    """One training and its score; None where the plan is over the cap."""
    path = folder / f"{name}.json"
    if not path.is_file():
        print(f"{folder.parent.name}, {folder.name}: {name}", file=sys.stderr, flush=True)
        run = by_recipe(name.partition("-")[0], *settings, timed=seconds > 0)
        found: Any = None
        try:
            found = run(*rows, folder, seed, seconds)
        except subprocess.CalledProcessError as error:
            if error.returncode != BudgetError.exit_code:
                raise
        path.write_text(json.dumps(found))
    cell: Cell | None = json.loads(path.read_text())
    return cell


def _table(args: argparse.Namespace, rows: dict[tuple[str, int], Row]) -> str:
    lines = [
        "# Accuracy under a cap\n",
        f"Embedded encoder, at most {args.rows:,} rows to train on, seed {args.seed}; accuracy "
        "with its 95% interval (Wilson). The published settings train, with live adapters, for "
        "the wall clock that `tight` took. Made by `python -m benchmarks.caps`.\n",
        "| data set | cap | `tight` trains | `tight` | published settings train | they reach |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (name, cap), row in rows.items():
        cells = [word for cell in row.values() for word in _words(cell)]
        lines.append(f"| {name} | {cap:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _words(cell: Cell | None) -> tuple[str, str]:
    return ("nothing fits", "") if cell is None else (f"{cell['trainable']:,}", figure(cell))


if __name__ == "__main__":
    main()
