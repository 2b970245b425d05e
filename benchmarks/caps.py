"""What a cap is worth: `tight` and the published settings under four caps, by one command.

    python -m benchmarks.caps --root shared/data --work /tmp/cells

Rows, scoring and resuming are those of `benchmarks.datasets`. The published settings keep their
rank of 4 on query and value where it fits, in one training whatever the cap, and have the largest
that does elsewhere; they train, with live adapters, for the wall clock that `tight` took, under
the same cap or for that one training under its own of a million.
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Sequence

from benchmarks.cells import Figures, System, Task, by_recipe, figure, options, task
from tightfit.errors import BudgetError

SETS = ("ag_news", "trec6", "banking77")
OWN_CAP = 1_000_000
"""That of both recipes: its cells are those of `benchmarks.datasets`."""
CAPS = (OWN_CAP, 100_000, 25_000, 5_000)

Pair = tuple[Figures | None, Figures | None]
"""`tight` and the published settings; None where nothing fits under the cap."""


def main(words: Sequence[str] | None = None) -> None:
    """Run every cell that is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--caps", nargs="+", type=int, default=list(CAPS))
    options(parser, "benchmarks/CAPS.md")
    args = parser.parse_args(words)
    pairs: dict[tuple[str, int], Pair] = {}
    for name in args.sets:
        for cap in args.caps:
            pairs[name, cap] = _pair(task(args, name), cap)
            args.out.write_text(_table(args, pairs))


def _pair(task: Task, cap: int) -> Pair:
    """Both systems under one cap."""
    own = task.cell("tight", by_recipe("tight"))
    paper = task.cell("paper", by_recipe("paper"), own["seconds"])
    if cap == OWN_CAP:
        return own, paper
    tight = task.cell(f"tight-{cap}", within(by_recipe("tight", f"budget.cap={cap}")))
    if paper["trainable"] > cap:
        published = within(by_recipe("paper", f"budget.cap={cap}", "adapters.rank=auto"))
        paper = task.cell(f"paper-auto-{cap}", published, tight["seconds"] if tight else 0.0)
    return tight, paper


def within(system: System) -> System:
    """The same system, giving None where its plan is over the cap."""

    def run(task: Task, seconds: float) -> Figures | None:
        try:
            return system(task, seconds)
        except subprocess.CalledProcessError as error:
            if error.returncode != BudgetError.exit_code:
                raise
            return None

    return run


def _table(args: argparse.Namespace, pairs: dict[tuple[str, int], Pair]) -> str:
    lines = [
        "# Accuracy under a cap\n",
        f"Embedded encoder, at most {args.rows:,} rows to train on, seed {args.seed}; accuracy "
        "with its 95% interval (Wilson). The published settings train, with live adapters, for "
        "the wall clock that `tight` took; where their rank of 4 fits, it is one training under "
        "several caps. Made by `python -m benchmarks.caps`.\n",
        "| data set | cap | `tight` trains | `tight` | published settings train | they reach |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (name, cap), pair in pairs.items():
        words = [word for cell in pair for word in _words(cell)]
        lines.append(f"| {name} | {cap:,} | {' | '.join(words)} |")
    return "\n".join(lines) + "\n"


def _words(cell: Figures | None) -> tuple[str, str]:
    return ("nothing fits", "") if cell is None else (f"{cell['trainable']:,}", figure(cell))


if __name__ == "__main__":
    main()
