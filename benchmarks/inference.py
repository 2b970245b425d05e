"""``make bench``: how fast a finished classifier predicts, against what people would use instead.

    python -m benchmarks.inference --data sample --train-rows 480 --rows 120 --batch-sizes 32
    python -m benchmarks.inference --run runs/ag --data unseen.parquet --rows 5000 --repeats 3

Every side is a process of its own and predicts the same rows of the same classifier; the runs are
interleaved, so that a busy hour slows all sides alike. Medians are shown. Without --run one is
trained first, on other rows of --data.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.machine import Process, environment_of, facts, run_process
from benchmarks.results import RESULTS, table, write_section
from benchmarks.speed import write_rows
from tightfit.engines.parity import SAMPLE_ROWS
from tightfit.metrics.paired import Paired, compare_accuracy

TITLE = "Inference speed"

REFERENCE = "torch"
"""The side whose labels the others are compared with."""
PUBLISHED = "published-inference"
PIPELINE = "pipeline-"

HEADER = (
    *("", "whole run, s", "rows/s", "steady rows/s", "against best pipeline"),
    *("against published", "peak memory, MB", "same labels", "accuracy"),
    *("points against fp32 (95% interval)",),
)


@dataclass(frozen=True)
class Answers:
    """What one run of one side gave."""

    labels: list[int]
    seconds: float
    """From the first text to the last label: no imports, no loading."""


Runs = dict[str, list[tuple[Process, Answers]]]
"""By side; the reference comes first."""


@dataclass(frozen=True)
class Side:
    """One way to predict the rows with the same classifier."""

    name: str
    command: Callable[[argparse.Namespace, Path], list[str]]
    """From the options and an empty folder."""
    read: Callable[[Path], Answers]
    """From that folder, once the command has ended."""
    prepare: Sequence[str] = ()
    """Of ``tightfit export``, once, before anything is timed."""


@dataclass(frozen=True)
class Summary:
    """One side's medians, and what its answers are worth."""

    side: str
    seconds: float
    """Of the whole process."""
    rows_per_second: float
    """Over the whole process."""
    steady_rows: float
    """A second, from the first text to the last label."""
    peak_bytes: float
    same_labels: float
    """Share of the rows with the label that the reference gives them."""
    accuracy: float
    paired: Paired
    """Accuracy of this side, less that of the reference."""


def _tightfit(args: argparse.Namespace, folder: Path, words: Sequence[str]) -> list[str]:
    command = [sys.executable, "-m", "tightfit", "predict", str(args.run), "--json"]
    command += [
        "--data",
        str(args.held),
        "--out",
        str(folder / "labels.csv"),
        "--submission",
        "--overwrite",
    ]
    return [*command, *words]


def _read_tightfit(folder: Path) -> Answers:
    with (folder / "labels.csv").open(newline="") as file:
        labels = [int(row["Label"]) for row in csv.DictReader(file)]
    # Among the words for people.
    said = (folder / "said.txt").read_text().splitlines()
    found = next(line for line in said if line.startswith("{"))
    return Answers(labels, json.loads(found)["seconds"])


def _peer(
    args: argparse.Namespace, folder: Path, setup: str, batch: int, *, half: bool
) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.peers", "--setup", setup]
    command += ["--data", str(args.held), "--model", str(args.merged)]
    command += ["--bf16"] if half else []
    return [*command, "--batch-size", str(batch), "--json", str(folder / "answers.json")]


def _read_peer(folder: Path) -> Answers:
    return Answers(**json.loads((folder / "answers.json").read_text()))


def _ours(name: str, *words: str, prepare: Sequence[str] = ()) -> Side:
    return Side(name, lambda args, folder: _tightfit(args, folder, words), _read_tightfit, prepare)


def _theirs(name: str, setup: str, batch: int, *, half: bool = False) -> Side:
    return Side(name, lambda args, folder: _peer(args, folder, setup, batch, half=half), _read_peer)


PUBLISHED_BATCH = 64
"""The published evaluation batch; the batch of its inference is not stated."""

OURS = {
    REFERENCE: _ours("tightfit, PyTorch fp32"),
    "torch-bf16": _ours("tightfit, PyTorch bf16", "--engine", "torch-bf16"),
    "onnx": _ours("tightfit, ONNX Runtime fp32", "--engine", "onnx"),
    "onnx-int8": _ours("tightfit, ONNX Runtime int8", "--engine", "onnx-int8"),
    "auto": _ours("tightfit, --engine auto", "--engine", "auto"),
    "cascade": _ours("tightfit, fp32 and cascade", "--cascade", prepare=("--cascade",)),
    "cascade-auto": _ours(
        "tightfit, auto and cascade", "--engine", "auto", "--cascade", prepare=("--cascade",)
    ),
}


def sides_of(args: argparse.Namespace) -> dict[str, Side]:
    """The sides that were asked for."""
    known = dict(OURS)
    for batch in args.batch_sizes:
        name = f"pipeline, batches of {batch}"
        known[f"{PIPELINE}{batch}"] = _theirs(name, "pipeline", batch)
        if args.device == "cuda":  # on a CPU it is slower in bf16
            known[f"{PIPELINE}bf16-{batch}"] = _theirs(
                f"{name}, bf16", "pipeline", batch, half=True
            )
    name = f"published, padded to 256, batches of {PUBLISHED_BATCH}"
    known[PUBLISHED] = _theirs(name, PUBLISHED, PUBLISHED_BATCH)
    left_out = set(args.without)
    return {name: side for name, side in known.items() if name not in left_out}


def prepare(args: argparse.Namespace, folder: Path, sides: dict[str, Side]) -> dict[str, str]:
    """The run, its merged export, its cascade, and the engines' graphs and figures: all untimed.

    Returns the sides that this run or machine cannot have, with the reason.
    """

    def run(*words: str) -> None:
        print(f"preparing: tightfit {' '.join(words)}", file=sys.stderr)
        command = [sys.executable, "-m", "tightfit", *words]
        run_process(command, environment_of(args.device, args.threads), folder / "said.txt")

    if args.run is None:
        args.run = folder / "run"
        settings = [word for each in args.set for word in ("--set", each)]
        place = ["--model", args.model, "--out", str(args.run)]
        run("train", "--data", str(args.train), *place, *settings)
    args.merged = folder / "merged"
    run("export", str(args.run), "--format", "merged", "--out", str(args.merged))
    lines = args.held.read_text().splitlines(keepends=True)
    (folder / "some.jsonl").write_text("".join(lines[:SAMPLE_ROWS]))
    some = argparse.Namespace(run=args.run, held=folder / "some.jsonl")
    refused = {}
    for name in [name for name in sides if name in OURS]:
        try:
            if sides[name].prepare:
                run("export", str(args.run), *sides[name].prepare)
            run(*sides[name].command(some, folder)[3:])
        except SystemExit as error:
            refused[name] = " ".join(str(error).partition("error: ")[2].split())
    return refused


def measure(
    args: argparse.Namespace,
    folder: Path,
    sides: dict[str, Side],
    told: Callable[[Runs], None] = lambda runs: None,
) -> Runs:
    """All runs, interleaved; ``told`` is called with those so far after each."""
    runs: Runs = {}
    for repeat in range(args.repeats):
        for name, side in sides.items():
            place = folder / f"{name}-{repeat}"
            place.mkdir()
            process = run_process(
                side.command(args, place),
                environment_of(args.device, args.threads),
                place / "said.txt",
            )
            answers = side.read(place)
            runs.setdefault(name, []).append((process, answers))
            speed = len(answers.labels) / answers.seconds
            print(f"{side.name}: {process.seconds:.1f} s, {speed:.1f} rows/s", file=sys.stderr)
            told(runs)
    return runs


def summarise(runs: Runs, truth: Sequence[int]) -> list[Summary]:
    """Medians of each side, and its answers against those of the reference."""
    (_, reference), *_ = runs[REFERENCE]
    summaries = []
    for name, group in runs.items():
        labels = group[0][1].labels
        paired = compare_accuracy(truth, labels, reference.labels)
        same = sum(a == b for a, b in zip(labels, reference.labels, strict=True))
        seconds = median(process.seconds for process, _ in group)
        summaries.append(
            Summary(
                side=name,
                seconds=seconds,
                rows_per_second=len(truth) / seconds,
                steady_rows=len(truth) / median(answers.seconds for _, answers in group),
                peak_bytes=median(process.peak_bytes for process, _ in group),
                same_labels=same / len(truth),
                accuracy=sum(a == b for a, b in zip(labels, truth, strict=True)) / len(truth),
                paired=paired,
            )
        )
    return summaries


def results_table(summaries: Sequence[Summary], sides: dict[str, Side]) -> str:
    """The Markdown table."""
    pipelines = [each.steady_rows for each in summaries if each.side.startswith(PIPELINE)]
    published = [each.steady_rows for each in summaries if each.side == PUBLISHED]
    rows = []
    for each in summaries:
        against = [
            f"{each.steady_rows / max(speeds):.2f}x" if speeds else ""
            for speeds in (pipelines, published)
        ]
        low, high = 100 * each.paired.low, 100 * each.paired.high
        points = f"{100 * each.paired.difference:+.2f} ({low:+.2f} to {high:+.2f})"
        rows.append(
            [
                sides[each.side].name,
                *(f"{each.seconds:.1f}", f"{each.rows_per_second:.1f}", f"{each.steady_rows:.1f}"),
                *(*against, f"{each.peak_bytes / 1e6:,.0f}", f"{each.same_labels:.2%}"),
                *(f"{each.accuracy:.2%}", "" if each.side == REFERENCE else points),
            ]
        )
    return table(HEADER, rows)


def report(args: argparse.Namespace, words: Sequence[str], rows: str) -> str:
    """The section for RESULTS.md."""
    return f"""\
    python -m benchmarks.inference {shlex.join(words)}

{facts(args.threads, args.device)}.

{args.validation:,} rows, medians of {args.repeats} runs, interleaved. {args.chosen}Engines'
graphs, their measurement and the cascade were made before.

{rows}

*Whole run*: the process from start to end, imports and loading included. *Steady*: from the first
text to the last label, tokenising included, for tightfit also reading and writing. The peers run
the merged export, whose adapters cost nothing. *Same labels*: as tightfit in fp32. *Points*:
accuracy less that of tightfit in fp32, paired."""


def options(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="sample", help="labelled rows, as tightfit's --data")
    parser.add_argument("--run", type=Path, help="a run that has not seen these rows")
    parser.add_argument("--rows", dest="validation", type=int, default=120, help="to predict")
    parser.add_argument("--train-rows", dest="rows", type=int, default=480, help="without --run")
    parser.add_argument("--model", default="all-MiniLM-L6-v2", help="without --run")
    parser.add_argument("--set", action="append", default=[], help="a setting, without --run")
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[1, 8, 32, 64])
    parser.add_argument(
        "--without", nargs="+", default=[], metavar="SIDE", help=f"of {', '.join(OURS)}"
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--json", type=Path, help="also write the medians here")
    return parser.parse_args(words)


def compare(
    args: argparse.Namespace, *, told: Callable[[list[Summary], str], None] | None = None
) -> tuple[list[Summary], str]:
    """Measure all sides; returns the figures and their table.

    Args:
        args: the options; paths are added to them.
        told: called after each run with the figures and the table so far.
    """
    args.rows = 0 if args.run else args.rows
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(args, folder)
        truth = [json.loads(line)["label"] for line in args.held.read_text().splitlines()]
        sides = sides_of(args)
        refused = prepare(args, folder, sides)
        kept = {name: side for name, side in sides.items() if name not in refused}

        def known(runs: Runs) -> tuple[list[Summary], str]:
            summaries = summarise(runs, truth)
            rows = results_table(summaries, sides)
            rows += "".join(
                f"\n\nNot for this run: {sides[n].name}: {refused[n]}." for n in refused
            )
            return summaries, rows

        def tell(runs: Runs) -> None:
            if told is not None:
                told(*known(runs))

        found = known(measure(args, folder, kept, tell))
        args.chosen = _chosen(args.run)
    return found


def _chosen(run: Path) -> str:
    """What ``--engine auto`` took, in words."""
    file = Path(run) / "derived" / "engine-auto.json"
    if not file.is_file():
        return ""
    return f"`--engine auto` took {json.loads(file.read_text())['choice']['name']}. "


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and write the table."""
    words = sys.argv[1:] if words is None else words
    args: Any = options(words)
    summaries, rows = compare(args)
    section = report(args, words, rows)
    if args.json:
        args.json.write_text(json.dumps([asdict(each) for each in summaries], indent=2))
    write_section(TITLE, section, args.out)
    print(section)


if __name__ == "__main__":
    main()
