"""``make bench``: how fast training is, against what people would use instead.

    python -m benchmarks.speed --data sample --rows 480
    python -m benchmarks.speed --data train.parquet --rows 20000 --validation 1000 --repeats 3
    python -m benchmarks.speed --device cuda --precision bf16 --batch 32 128 512

Every side is a process of its own: wall time and memory count from its start to its end. The runs
are interleaved, and before each of them the best square product is measured, so that a busy hour
slows all sides and the ceiling alike. Medians are shown. Of several batch sizes each side gets the
one that it is fastest with, in a short run of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.machine import Process, ceiling, environment_of, facts, run_process
from benchmarks.metered import metered, read_peak
from benchmarks.picture import draw
from benchmarks.results import RESULTS, table, write_section
from benchmarks.sides import BASELINE, BATCH, SAME_WORK, SIDES, Figures
from tightfit.budget.shapes import EncoderShapes
from tightfit.data.labels import LabelSet
from tightfit.data.sources import Columns, read_table
from tightfit.model.locate import locate

TITLE = "Training speed"

HEADER = (
    *("", "whole run, s", "CPU, s", "rows/s", "steady rows/s", "steady tokens/s"),
    *(
        "against Trainer as it comes",
        "against the same work",
        "share of ceiling",
        "peak memory, MB",
        "peak on GPU, MB",
    ),
    *("padding", "accuracy", "s to target"),
)


@dataclass(frozen=True)
class Run:
    """One run of one side."""

    side: str
    process: Process
    figures: Figures
    batch: int = BATCH
    """Rows of a step."""
    device_bytes: int | None = None
    """Of the GPU's memory at most; None without one."""

    def seconds_to(self, target: float) -> float | None:
        """From the start of the process until the accuracy was first reached."""
        before = self.figures.began - self.process.started
        reached = (s for s, accuracy in self.figures.history if accuracy >= target)
        return next((before + s for s in reached), None)


@dataclass(frozen=True)
class Summary:
    """The medians of one side's runs."""

    side: str
    seconds: float
    """Of the whole process."""
    cpu_seconds: float
    rows_per_second: float
    """Over the whole process."""
    steady_rows: float
    """A second, in optimiser steps alone."""
    steady_tokens: float
    share: float
    """Of the ceiling."""
    peak_bytes: float
    padding: float
    accuracy: float
    target_seconds: float | None
    format: str
    batch: int = BATCH
    """Rows of a step."""
    device_bytes: int | None = None
    """Of the GPU's memory at most."""


def summarise(
    runs: Sequence[Run], *, operations: float, best_product: float, target: float
) -> Summary:
    """Medians over the runs of one side.

    Args:
        runs: of one side, at least one.
        operations: floating-point operations a token that the layers need in a step.
        best_product: floating-point operations a second of the machine.
        target: accuracy to reach.
    """
    found = [run.figures for run in runs]
    tokens = median(each.tokens / each.step_seconds for each in found)
    reached = [seconds for run in runs if (seconds := run.seconds_to(target)) is not None]
    return Summary(
        side=runs[0].side,
        seconds=median(run.process.seconds for run in runs),
        cpu_seconds=median(run.process.cpu_seconds for run in runs),
        rows_per_second=median(run.figures.examples / run.process.seconds for run in runs),
        steady_rows=median(each.examples / each.step_seconds for each in found),
        steady_tokens=tokens,
        share=operations * tokens / best_product,
        peak_bytes=median(run.process.peak_bytes for run in runs),
        padding=median(each.padding for each in found),
        accuracy=median(each.accuracy for each in found),
        # A side that misses the target in half of its runs has no median time to it.
        target_seconds=median(reached) if len(reached) * 2 > len(runs) else None,
        format=found[0].format,
        batch=runs[0].batch,
        device_bytes=max((r.device_bytes for r in runs if r.device_bytes), default=None),
    )


def measure(
    args: argparse.Namespace, folder: Path, told: Callable[[list[Run], float], None] | None = None
) -> tuple[list[Run], float]:
    """All runs, interleaved, and the best product seen between them.

    Args:
        args: the options, paths and sizes added.
        folder: for the files of each run.
        told: called after each run with all of them, and with the best product so far.
    """
    runs: list[Run] = []
    dtype = torch.bfloat16 if args.device == "cuda" and args.precision == "bf16" else torch.float32
    best = 0.0
    tell = told or (lambda runs, best: None)
    batches = {
        name: best_batch(args, name, folder, told=lambda: tell(runs, best)) for name in args.sides
    }
    for repeat in range(args.repeats):
        for name in args.sides:
            best = max(best, ceiling(args.device, dtype))
            runs.append(run_side(args, name, batches[name], folder / f"{name}-{repeat}"))
            tell(runs, best)
    return runs, max(best, ceiling(args.device, dtype))


def best_batch(
    args: argparse.Namespace, name: str, folder: Path, *, told: Callable[[], None]
) -> int:
    """The rows of a step with which a side is fastest; what does not fit into memory is out.

    Rows a second of each are kept in ``args.tried``, by side; ``told`` is called after each.

    Raises:
        SystemExit: the side fails with each of them.
    """
    sizes: list[int] = args.batch
    if len(sizes) == 1 or not SIDES[name].own_batch:
        return sizes[0]
    short = argparse.Namespace(**{**vars(args), "epochs": min(1.0, args.epochs), "eval_every": 0})
    speeds: dict[int, float] = args.tried.setdefault(name, {})
    for batch in sizes:
        try:
            found = run_side(short, name, batch, folder / f"{name}-batch-{batch}").figures
        except SystemExit as error:
            print(f"{SIDES[name].name}, steps of {batch} rows: {error}", file=sys.stderr)
            continue
        speeds[batch] = found.examples / found.step_seconds
        told()
    if not speeds:
        raise SystemExit(f"{SIDES[name].name} fails with steps of {sizes} rows")
    return max(speeds, key=speeds.__getitem__)


def run_side(args: argparse.Namespace, name: str, batch: int, place: Path) -> Run:
    """One run of one side, in an empty folder of its own."""
    place.mkdir()
    side, peak = SIDES[name], place / "peak.json"
    given = argparse.Namespace(**{**vars(args), "rows_in_step": batch})
    if not given.eval_every:
        # Once in the end, however long that takes.
        given.eval_every = max(1, round(args.epochs * -(-args.rows // batch)))
    process = run_process(
        metered(side.command(given, place), peak),
        environment_of(args.device, args.threads),
        place / "said.txt",
    )
    figures = side.read(place)
    print(
        f"{side.name}: {process.seconds:.1f} s, "
        f"{figures.examples / figures.step_seconds:.1f} rows/s in steps of {batch}",
        file=sys.stderr,
    )
    return Run(name, process, figures, batch, read_peak(peak))


def write_rows(args: argparse.Namespace, folder: Path) -> None:
    """The rows of both sides as JSON lines, drawn at random; adds paths and sizes to ``args``."""
    rows = read_table(args.data, Columns(), labelled=True)
    labels = LabelSet.from_table(rows, ())
    ids = labels.encode(rows)
    order = random.Random(args.seed).sample(
        range(len(rows)), min(args.rows + args.validation, len(rows))
    )
    args.train, args.held, args.labels = folder / "train.jsonl", folder / "held.jsonl", len(labels)
    parts = {args.held: order[: args.validation], args.train: order[args.validation :]}
    for path, part in parts.items():
        lines = (json.dumps({"text": rows.texts[row], "label": ids[row]}) for row in part)
        path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    args.rows, args.validation = len(parts[args.train]), len(parts[args.held])


def results_table(summaries: Sequence[Summary]) -> str:
    """The Markdown table."""
    by_side = {each.side: each for each in summaries}
    peers = [by_side.get(name) for name in (BASELINE, SAME_WORK)]
    return table(HEADER, [_cells(each, peers) for each in summaries])


def _cells(found: Summary, peers: Sequence[Summary | None]) -> list[str]:
    against = ["" if p is None else f"{found.steady_rows / p.steady_rows:.2f}x" for p in peers]
    target = "never" if found.target_seconds is None else f"{found.target_seconds:.1f}"
    return [
        f"{SIDES[found.side].name} ({found.format}{_steps_of(found)})",
        *(f"{found.seconds:.1f}", f"{found.cpu_seconds:.1f}"),
        *(f"{found.rows_per_second:.1f}", f"{found.steady_rows:.1f}"),
        *(f"{found.steady_tokens:,.0f}", *against, f"{found.share:.0%}"),
        f"{found.peak_bytes / 1e6:,.0f}",
        "" if found.device_bytes is None else f"{found.device_bytes / 1e6:,.0f}",
        *(f"{found.padding:.1%}", f"{found.accuracy:.2%}", target),
    ]


def _steps_of(found: Summary) -> str:
    """Where it is not the usual size."""
    return "" if found.batch == BATCH else f", steps of {found.batch}"


def summaries_of(args: argparse.Namespace, runs: Sequence[Run], best: float) -> list[Summary]:
    """One for each side that has run; all have the same target."""
    shapes = locate(args.model).shapes(args.labels)
    by_side = {name: [run for run in runs if run.side == name] for name in args.sides}
    begun = {name: group for name, group in by_side.items() if group}
    target = _target(args, runs)
    return [
        summarise(
            group,
            operations=SIDES[name].operations(shapes),
            best_product=best,
            target=target,
        )
        for name, group in begun.items()
    ]


def _target(args: argparse.Namespace, runs: Sequence[Run]) -> float:
    """The accuracy that was asked for, or what the last side reaches."""
    found = {run.side: [r.figures.accuracy for r in runs if r.side == run.side] for run in runs}
    return args.target or min((median(each) for each in found.values()), default=0.0)


def report(args: argparse.Namespace, words: Sequence[str], runs: list[Run], best: float) -> str:
    """The section for RESULTS.md; also draws the picture."""
    shapes = locate(args.model).shapes(args.labels)
    target = _target(args, runs)
    summaries = summaries_of(args, runs, best)
    draw(summaries, args.out.with_name("speed.svg"))
    if args.json:
        args.json.write_text(json.dumps([asdict(each) for each in summaries], indent=2))
    return _section(args, words, shapes, results_table(summaries), (best, target))


def _section(
    args: argparse.Namespace,
    words: Sequence[str],
    shapes: EncoderShapes,
    rows: str,
    measured: tuple[float, float],
) -> str:
    best, target = measured
    return f"""\
    python -m benchmarks.speed {shlex.join(words)}

{facts(args.threads, args.device)}. Best square product between the runs:
{best / 1e9:,.0f} GFLOP/s.

{args.model} ({shapes.depth} layers of width {shapes.hidden}), LoRA of rank 4 on query and value,
{args.rows:,} rows to train on and {args.validation:,} to validate on, {args.epochs:g} epochs in
steps of {" or ".join(map(str, args.batch))} rows, evaluated every {args.eval_every} steps. Medians
of {args.repeats} runs, interleaved.

{rows}

![rows a second](speed.svg)

*Whole run*: the process from start to end, imports, tokenising, evaluations and saving included;
*CPU*: the time of all its threads, which other work on the machine does not add to.
*Steady*: optimiser steps alone. *The same work*: Trainer + PEFT with the frozen encoder's own
dropouts off, as tightfit has them; part of any gain over Trainer as it comes is that one setting.
*Share of ceiling*: operations of real tokens through the frozen linear layers that the plan needs,
over time and the best product (on a CPU that in fp32, which products in bf16 can exceed).
*Peak memory*: resident, of the process or its largest child.
*Target*: {target:.2%} on the validation rows, in seconds from the start of the process, imports and
tokenising included; evaluations count for tightfit, and not for Trainer."""


def options(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="sample", help="rows, in any form of tightfit's --data")
    parser.add_argument("--rows", type=int, default=480, help="to train on")
    parser.add_argument("--validation", type=int, default=120, help="rows to validate on")
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--eval-every", type=int, default=0, help="steps; 0: twice an epoch")
    parser.add_argument("--target", type=float, default=0.0, help="0: what the last side reaches")
    parser.add_argument("--minutes", type=float, default=1.0, help="of the side 'defaults'")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", nargs="+", type=int, default=[BATCH], help="rows of a step")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", default="auto", help="tightfit's train.precision")
    parser.add_argument("--set", action="append", default=[], help="a setting for tightfit")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, default=RESULTS, help="the picture goes beside it")
    parser.add_argument("--json", type=Path, help="also write the medians here")
    args = parser.parse_args(words)
    args.tried = {}
    return args


def compare(
    args: argparse.Namespace, *, told: Callable[[list[Run], float], None] | None = None
) -> tuple[list[Run], float]:
    """Measure all sides on the same rows; ``told`` as :func:`measure` has it.

    Paths and sizes are added to ``args``.
    """
    torch.set_num_threads(args.threads)
    source = locate(args.model)
    args.model_folder = source.folder
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(args, folder)
        args.upper = SIDES["upper-cached"].layers(source.shapes(args.labels))
        args.eval_every = args.eval_every or max(1, -(-args.rows // min(args.batch)) // 2)
        return measure(args, folder, told)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write table and picture."""
    words = sys.argv[1:] if words is None else words
    args: Any = options(words)
    section = report(args, words, *compare(args))
    write_section(TITLE, section, args.out)
    print(section)


if __name__ == "__main__":
    main()
