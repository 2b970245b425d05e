"""One part, in the process that the runner started for it: ``python -m benchmarks.gpu.run NAME …``.

Parts speak to tightfit through its command line and public functions, and through the benchmarks.
They import what they need only once they run: where a package is missing, one part fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import Options
from benchmarks.gpu.runner import ROOT, tell


@dataclass(frozen=True)
class Sizes:
    """How much is measured: on a CPU just enough to go through everything."""

    rows: int
    """To train on."""
    base_rows: int
    """The same, at base size."""
    validation: int
    batches: tuple[int, ...]
    """Rows in a step that each side may choose among."""
    base_batches: tuple[int, ...]
    predicted: int
    pipeline: tuple[int, ...]
    """Batch sizes of ``pipeline``."""
    repeats: int
    precision: str


SIZES = {
    "cuda": Sizes(
        rows=16_000,
        base_rows=6_000,
        validation=1_000,
        batches=(32, 128, 512),
        base_batches=(32, 128),
        predicted=7_600,
        pipeline=(64, 256, 1024),
        repeats=2,
        precision="bf16",
    ),
    "cpu": Sizes(
        rows=96,
        base_rows=24,  # fewer might lack a class
        validation=24,
        batches=(32,),
        base_batches=(8,),
        predicted=48,
        pipeline=(8,),
        repeats=1,
        precision="fp32",
    ),
}

BASE = {"cuda": "roberta-base", "cpu": "distilroberta-base"}
"""What random weights are made of; half the layers are enough to go through."""


def packages(options: Options) -> None:
    """Part one: what is missing, and what the wheels bring."""
    from benchmarks.gpu.packages import describe, install

    wheels = Path(options.wheels) if options.wheels else None
    found = install(wheels, Path(options.out) / "site")
    tell({**found, "markdown": describe(found)})


def machine(options: Options) -> None:
    """GPU, driver, libraries, free memory, and the best product in each number format."""
    from benchmarks.gpu.machine import describe, look

    for found in look(options.device):
        tell({**found, "markdown": describe(found)})


def tests(options: Options) -> None:
    """The tests marked ``gpu``, each outcome told as soon as it is known."""
    import pytest

    from benchmarks.gpu.tests import Teller

    teller = Teller()
    words = ["-q", "-p", "no:cacheprovider", "-m", "gpu", str(ROOT / "tests" / "gpu")]
    # Other versions of the libraries than the lock's have other things to warn of.
    code = pytest.main([*words, "-o", "filterwarnings=default"], [teller])
    sys.exit(int(code))


def speed_embedded(options: Options) -> None:
    """Training the embedded encoder."""
    sizes = SIZES[options.device]
    _speed(options, options.model, sizes.rows, sizes.batches)


def speed_base(options: Options) -> None:
    """Training an encoder of RoBERTa-base's size; random weights take as long as any."""
    sizes = SIZES[options.device]
    _speed(options, options.base or _random_base(options), sizes.base_rows, sizes.base_batches)


def _random_base(options: Options) -> str:
    """A RoBERTa-base with random weights, and the embedded encoder's tokenizer, made once."""
    from random_encoder import make

    from tightfit.model.locate import locate

    folder = Path(options.out) / f"random-{BASE[options.device]}"
    if not (folder / "tokenizer.json").is_file():
        make(BASE[options.device], locate(options.model).folder, folder)
    return str(folder)


def _speed(options: Options, model: str, rows: int, batches: tuple[int, ...]) -> None:
    from benchmarks import sides, speed

    sizes = SIZES[options.device]
    words = ["--data", options.data, "--model", model, "--device", options.device]
    words += ["--rows", str(rows), "--validation", str(sizes.validation)]
    words += ["--sides", "tightfit", "trainer-best", "--batch", *map(str, batches)]
    words += ["--repeats", str(sizes.repeats), "--precision", sizes.precision]
    words += ["--epochs", "1" if options.device == "cpu" else "2"]
    args = speed.options(words)

    def told(runs: list[speed.Run], best: float) -> None:
        summaries = speed.summaries_of(args, runs, best)
        found = {"sides": [asdict(each) for each in summaries], "best_product": best}
        lines = [
            f"{sides.SIDES[side].name}, steps of {batch} rows: {rows:,.1f} rows/s"
            for side, speeds in args.tried.items()
            for batch, rows in speeds.items()
        ]
        words = [f"Model: {model}; {args.rows:,} rows to train on."]
        words += [f"Tried: {'; '.join(lines)}."] if lines else []
        if runs:
            words += [f"Best square product: {best / 1e12:.2f} TFLOP/s."]
            words += [speed.results_table(summaries)]
        tell({**found, "tried": args.tried, "markdown": "\n\n".join(words)})

    speed.compare(args, told=told)


def predict(options: Options) -> None:
    """Prediction against ``pipeline``, with a classifier that is trained for it first."""
    from benchmarks import inference

    sizes = SIZES[options.device]
    words = ["--data", options.data, "--model", options.model, "--device", options.device]
    words += ["--rows", str(sizes.predicted), "--train-rows", str(min(sizes.rows, 2_000))]
    words += ["--set", "optim.epochs=1", "--repeats", str(sizes.repeats)]
    words += ["--batch-sizes", *map(str, sizes.pipeline)]
    words += [
        "--without",
        "onnx",
        "onnx-int8",
        "auto",
        "cascade",
        "cascade-auto",
        inference.PUBLISHED,
    ]
    words += ["torch-bf16"] if options.device == "cpu" else []

    def told(summaries: list[inference.Summary], rows: str) -> None:
        tell({"sides": [asdict(each) for each in summaries], "markdown": rows})

    inference.compare(inference.options(words), told=told)


def accuracy_embedded(options: Options) -> None:
    """Training on all rows that were given, to the end of the time, with its curve."""
    from benchmarks.gpu.accuracy import train

    train(options, options.model, "accuracy-embedded")


def accuracy_base(options: Options) -> None:
    """The same at base size, where its weights were given."""
    from benchmarks.gpu.accuracy import train

    train(options, options.base, "accuracy-base")


RUN: dict[str, Callable[[Options], None]] = {
    "packages": packages,
    "machine": machine,
    "tests": tests,
    "speed-embedded": speed_embedded,
    "speed-base": speed_base,
    "predict": predict,
    "accuracy-embedded": accuracy_embedded,
    "accuracy-base": accuracy_base,
}


def main() -> None:
    """Run the part that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RUN)
    parser.add_argument("options", help="as JSON")
    args = parser.parse_args()
    given: dict[str, Any] = json.loads(args.options)
    warnings.simplefilter("ignore")  # of libraries about one another
    sys.path.append(str(ROOT / "scripts"))
    RUN[args.name](Options(**given))


if __name__ == "__main__":
    main()
