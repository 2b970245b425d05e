"""The sides of the speed comparison: how each is run, and how its figures are read."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tightfit.budget.shapes import EncoderShapes

BATCH = 32
"""Rows in an optimiser step, on every side, unless each may choose its own."""


@dataclass(frozen=True)
class Figures:
    """What one run of one side gave, as its own process measured it."""

    examples: int
    tokens: int
    step_seconds: float
    """In optimiser steps alone: no imports, tokenising, evaluations or filling of caches."""
    accuracy: float
    """On the validation rows."""
    history: list[tuple[float, float]]
    """Seconds of training, evaluations included, and the validation accuracy reached then."""
    began: float
    """Reading of :func:`time.time` when these seconds were 0."""
    padding: float
    """Share of the training batches' token places."""
    format: str
    """Of the products."""


@dataclass(frozen=True)
class Side:
    """One way to train the same classifier on the same rows."""

    name: str
    adapted: float
    """Share of the layers that have adapters, counted from above."""
    cached: bool
    """Whether the layers below the adapters are computed once for all epochs."""
    command: Callable[[argparse.Namespace, Path], list[str]]
    """From the options and an empty folder."""
    read: Callable[[Path], Figures]
    """From that folder, once the command has ended."""
    own_batch: bool = True
    """Whether the rows of a step may be chosen for it."""

    def operations(self, shapes: EncoderShapes) -> int:
        """Floating-point operations a token in the frozen linear layers, in one training step.

        Two for each weight forward, and two backward, to the activations only; below the lowest
        adapter there is nothing to go back to, and with a cache nothing to go through either.
        """
        lowest = shapes.depth - self.layers(shapes)
        forward = sum(
            layer.in_features * layer.out_features
            for layer in shapes.layers
            if layer.block >= lowest or not self.cached
        )
        backward = sum(
            layer.in_features * layer.out_features
            for layer in shapes.layers
            if layer.block >= lowest
        )
        return 2 * forward + 2 * backward

    def layers(self, shapes: EncoderShapes) -> int:
        """How many layers have adapters."""
        return max(1, round(self.adapted * shapes.depth))


PUBLISHED_DROPOUT = 0.05
"""On the adapters' inputs, in the published system."""
WITH_DROPOUT = f"adapters.dropout={PUBLISHED_DROPOUT}"


DEFAULT_PLAN = (
    *("adapters.rank=auto", "adapters.alpha=5", "adapters.rslora=true", "head.kind=auto"),
    "adapters.targets=query,key,value,attention-output,mlp-in,mlp-out",
)
"""What the default recipe trains: every role, as large as the cap allows."""


def _tightfit(args: argparse.Namespace, folder: Path, settings: list[str]) -> list[str]:
    """The same adapters, optimiser and batches as the peers have, spelt out."""
    values = [
        *("adapters.method=lora", "adapters.rank=4", "adapters.alpha=8", "adapters.dropout=0"),
        *("adapters.targets=query,value", "adapters.rslora=false", "data.max_length=128"),
        *("head.kind=stock", "head.start=random", "head.pooling=first", "head.side=off"),
        *("data.long_text=head", "train.eval_rows=none"),
        "data.token_cache_gb=0",  # every round starts cold
        *("model.frozen_dropout=false", f"optim.batch={args.rows_in_step}", "optim.accumulate=1"),
        *(f"optim.lr={args.lr}", "optim.weight_decay=0.01", "optim.warmup_steps=0.06"),
        *(f"optim.epochs={args.epochs}", f"train.eval_every={args.eval_every}"),
        *("train.eval_batch=64", "train.group_by_length=true", f"train.precision={args.precision}"),
        *(*settings, *args.set),
    ]
    return [*_train(args, folder), *(word for value in values for word in ("--set", value))]


def _train(args: argparse.Namespace, folder: Path) -> list[str]:
    command = [sys.executable, "-m", "tightfit", "train", "--json", "--model", args.model]
    command += ["--data", str(args.train), "--validation", str(args.held)]
    return [*command, "--seed", str(args.seed), "--out", str(folder / "run")]


def _defaults(args: argparse.Namespace, folder: Path) -> list[str]:
    """What a user in a hurry gives: no setting, and a time."""
    cold = ["--set", "data.token_cache_gb=0"]
    return [*_train(args, folder), "--minutes", str(args.minutes), *cold]


def _upper(args: argparse.Namespace, folder: Path, cache: str) -> list[str]:
    settings = [f"adapters.layers={args.upper}", f"train.prefix_cache={cache}"]
    return _tightfit(args, folder, settings)


def _read_defaults(folder: Path) -> Figures:
    """What counts is what is there when the time is up, on all validation rows."""
    found = _read_run(folder)
    return replace(found, history=[(found.history[-1][0], found.accuracy)])


def _read_run(folder: Path) -> Figures:
    """From the run folder; keeping the states of frozen layers counts as steps."""
    run = folder / "run"
    train = json.loads((run / "metrics.json").read_text())["train"]
    step_seconds = train["examples"] / train["examples_per_second"]
    path = run / "history.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return Figures(
        examples=train["examples"],
        tokens=round(train["tokens_per_second"] * step_seconds),
        step_seconds=step_seconds,
        accuracy=train["accuracy"],
        history=[(row["seconds"], row["eval_accuracy"]) for row in rows],
        # Each line is written as soon as it is known.
        began=path.stat().st_mtime - rows[-1]["seconds"],
        padding=json.loads((run / "data.json").read_text())["tokens"]["padding_share"],
        format=_format_of(run),
    )


def _format_of(run: Path) -> str:
    form: str = json.loads((run / "decisions.json").read_text())["precision"]["value"]
    return form


def _peer(
    args: argparse.Namespace,
    folder: Path,
    setup: str,
    *,
    dropout: float = 0.0,
    frozen_dropout: bool = True,
) -> list[str]:
    given: dict[str, Any] = {
        "setup": setup,
        "data": args.train,
        "validation": args.held,
        "model": args.model_folder,
        "labels": args.labels,
        "lr": args.lr,
        "epochs": args.epochs,
        "eval-every": args.eval_every,
        "seed": args.seed,
        "batch": args.rows_in_step if setup == "best" else 0,
        "adapter-dropout": dropout,
        "work": folder / "work",
        "json": folder / "figures.json",
    }
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    # On a CPU these libraries are fastest in fp32.
    half = ["--bf16"] if args.device == "cuda" and args.precision == "bf16" else []
    quiet = [] if frozen_dropout else ["--no-frozen-dropout"]
    return [sys.executable, "-m", "benchmarks.peers", *words, *half, *quiet]


def _read_peer(folder: Path) -> Figures:
    found = json.loads((folder / "figures.json").read_text())
    return Figures(
        examples=found["examples"],
        tokens=found["tokens"],
        step_seconds=found["train_seconds"],
        accuracy=found["accuracy"],
        history=[(seconds, accuracy) for seconds, accuracy in found["history"]],
        began=found["began"],
        padding=1 - found["tokens"] / found["places"],
        format=found["format"],
    )


def _own(name: str, *settings: str) -> Side:
    """All layers adapted, none kept."""
    return Side(
        name,
        adapted=1.0,
        cached=False,
        command=lambda args, folder: _tightfit(args, folder, list(settings)),
        read=_read_run,
    )


BASELINE, SAME_WORK = "trainer-best", "trainer-same"
"""The sides that the others are compared with: Trainer + PEFT in its fastest batches with nothing
else set, and with the frozen encoder's own dropouts off, too, as tightfit has them. That is a
setting that anybody can make: what tightfit gains over the second is its own work."""

SIDES = {
    "tightfit": _own("tightfit, all layers adapted"),
    "upper-cached": Side(
        "tightfit, upper half adapted, cached",
        adapted=0.5,
        cached=True,
        command=lambda args, folder: _upper(args, folder, "auto"),
        read=_read_run,
    ),
    "upper-uncached": Side(
        "tightfit, upper half adapted, not cached",
        adapted=0.5,
        cached=False,
        command=lambda args, folder: _upper(args, folder, "off"),
        read=_read_run,
    ),
    "defaults": Side(
        "tightfit, untouched defaults within --minutes",
        adapted=1.0,
        cached=False,
        command=_defaults,
        read=_read_defaults,
        own_batch=False,
    ),
    BASELINE: Side(
        "Trainer + PEFT as it comes",
        adapted=1.0,
        cached=False,
        command=lambda args, folder: _peer(args, folder, "best"),
        read=_read_peer,
    ),
    SAME_WORK: Side(
        "Trainer + PEFT doing the same work",
        adapted=1.0,
        cached=False,
        command=lambda args, folder: _peer(args, folder, "best", frozen_dropout=False),
        read=_read_peer,
    ),
    "tightfit-fp32": _own("tightfit, all layers adapted, in fp32", "train.precision=fp32"),
    "tightfit-fp32-dropout": _own(
        "tightfit, adapters' dropout 0.05, in fp32", "train.precision=fp32", WITH_DROPOUT
    ),
    "plan-fp32": _own("tightfit, the default plan, in fp32", "train.precision=fp32", *DEFAULT_PLAN),
    "tightfit-dropout": _own("tightfit, adapters' dropout 0.05", WITH_DROPOUT),
    "trainer-dropout": Side(
        "Trainer + PEFT as it comes, adapters' dropout 0.05",
        adapted=1.0,
        cached=False,
        command=lambda args, folder: _peer(args, folder, "best", dropout=PUBLISHED_DROPOUT),
        read=_read_peer,
    ),
    "trainer-same-dropout": Side(
        "Trainer + PEFT doing the same work, adapters' dropout 0.05",
        adapted=1.0,
        cached=False,
        command=lambda args, folder: _peer(
            args, folder, "best", dropout=PUBLISHED_DROPOUT, frozen_dropout=False
        ),
        read=_read_peer,
    ),
    "trainer-published": Side(
        "Trainer + PEFT, as published",
        adapted=1.0,
        cached=False,
        command=lambda args, folder: _peer(args, folder, "published"),
        read=_read_peer,
        own_batch=False,
    ),
}
