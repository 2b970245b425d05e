"""What variants of LoRA are worth in the default recipe, on few rows, by one command.

    python -m benchmarks.variants --root shared/data --work /tmp/cells

Rows, scoring and resuming are those of `benchmarks.datasets`. Each variant changes the default
recipe in the settings that are named in its row and in nothing else.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import mean

from benchmarks.cells import Figures, by_recipe, options, task

SETS = ("trec6", "tweet_emotion", "banking77")

VARIANTS = {
    "as it is": (),
    "DoRA": ("adapters.dora=true",),
    "LoRA+": ("optim.lora_plus=4",),
    "PiSSA": ("adapters.init=pissa",),
    "EVA": ("adapters.init=eva",),
    "VeRA": ("adapters.method=vera",),
    "VeRA, faster": ("adapters.method=vera", "optim.lr=1e-2"),
    "frozen dropouts": ("model.frozen_dropout=true",),
    "rank 8": ("adapters.rank=8",),
    "upper half": ("adapters.layers=3",),
}

Found = dict[str, dict[str, list[Figures]]]
"""By variant and data set, a cell for each seed."""


def main(words: Sequence[str] | None = None) -> None:
    """Run every cell that is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43])
    options(parser, "benchmarks/VARIANTS.md")
    parser.set_defaults(rows=1_000)
    args = parser.parse_args(words)
    found: Found = {variant: {} for variant in args.variants}
    for name in args.sets:
        for seed in args.seeds:
            args.seed = seed
            rows = task(args, name)
            for variant in args.variants:
                system = by_recipe("tight", *VARIANTS[variant])
                key = "tight" if variant == "as it is" else f"variant-{variant}"
                found[variant].setdefault(name, []).append(rows.cell(key, system))
                args.out.write_text(_table(args, found))


def _table(args: argparse.Namespace, found: Found) -> str:
    seeds = ", ".join(map(str, args.seeds))
    lines = [
        "# Variants of the default recipe\n",
        f"Embedded encoder, at most {args.rows:,} rows to train on; mean accuracy on the test "
        f"rows and seconds of the whole command over the seeds {seeds}, each of which draws its "
        "own rows. Made by `python -m benchmarks.variants`.\n",
        f"| variant | settings | {' | '.join(args.sets)} |",
        f"| --- | --- |{' ---: |' * len(args.sets)}",
    ]
    for variant, sets in found.items():
        words = [_words(sets.get(name, [])) for name in args.sets]
        settings = " ".join(f"`{setting}`" for setting in VARIANTS[variant])
        lines.append(f"| {variant} | {settings} | {' | '.join(words)} |")
    return "\n".join(lines) + "\n"


def _words(cells: Sequence[Figures]) -> str:
    if not cells:
        return "not run"
    accuracy = mean(cell["right"] / cell["rows"] for cell in cells)
    return f"{accuracy:.1%}, {mean(cell['seconds'] for cell in cells):.0f} s"


if __name__ == "__main__":
    main()
