"""Which number format the forward pass uses: decided once, beforehand, with a reason."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

import torch
from torch import nn

from tightfit.data.batches import Batch
from tightfit.model.adapters import base_model
from tightfit.model.classifier import Classifier

Format = Literal["fp32", "bf16", "fp16"]

WORTHWHILE_GAIN = 1.3
"""How much faster products in bf16 must be before the precision is given up for them."""

WORTHWHILE_STEPS = 1.2
"""The same of whole steps, timed on a few short rows: batches gain more."""

LEAST_TURNS, MOST_TURNS, LEAST_SECONDS = 8, 64, 0.25
"""Of measuring products."""

STEP_ROWS, STEP_TOKENS, STEP_TURNS = 8, 32, 2
"""Of measuring whole steps: with an encoder of base size it takes some seconds."""


@dataclass(frozen=True)
class Precision:
    """A number format for the forward pass. Trainable weights are fp32 whatever it is."""

    format: Format
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Of the products."""
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.format]

    def length_multiple(self, device: torch.device) -> int:
        """Lengths that batches should have, so that few shapes occur.

        On a CPU oneDNN compiles its bf16 products once for each shape and keeps them all: with
        batches of any length training took 1.6 times the memory and 1.2 times the processor time.
        """
        return 8 if self.format == "bf16" and device.type == "cpu" else 1

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """A context in which products run in this format."""
        if self.format == "fp32":
            return nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scales the loss where gradients would vanish in fp16; does nothing otherwise."""
        return torch.amp.GradScaler(device.type, enabled=self.format == "fp16")


def decide_precision(
    asked: str, device: torch.device, *, step_gain: Callable[[], float] | None = None
) -> Precision:
    """The format to use on this device, and why.

    Args:
        asked: ``train.precision``: fp32, bf16, fp16, or auto.
        device: where the model is.
        step_gain: how many times as fast a step is in bf16 on a CPU, where products alone do not
            tell: the model's own forward pass runs under autocast, which casts weights anew.
    """
    if asked == "fp32":
        return Precision("fp32", "asked for")
    if device.type == "cpu":
        return _on_cpu(asked, step_gain)
    if asked == "fp16":
        return Precision("fp16", "asked for")
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", "asked for" if asked == "bf16" else "this GPU computes in bf16")
    if asked == "bf16":
        return Precision("fp32", f"bf16 was asked for, and this {device.type} device has none")
    return Precision("fp16", f"this {device.type} device has fp16 and no bf16")


def _on_cpu(asked: str, step_gain: Callable[[], float] | None) -> Precision:
    if asked == "bf16":
        return Precision("bf16", "asked for")
    if asked == "fp16":
        return Precision("fp32", "fp16 was asked for, and a CPU only emulates it, slowly")
    gain, least = bf16_gain(), WORTHWHILE_GAIN
    figure = f"this CPU multiplies bf16 {gain:.1f} times as fast as fp32"
    if step_gain is not None and gain >= least:
        gain, least = step_gain(), WORTHWHILE_STEPS
        figure += f", and takes steps of this model {gain:.1f} times as fast"
    return Precision("bf16" if gain >= least else "fp32", figure)


@cache
def bf16_gain() -> float:
    """How many times as fast this CPU multiplies matrices in bf16 as in fp32, measured once.

    Of the shapes that an encoder has.
    """
    square = torch.ones(512, 512)
    slow, fast = (partial(nn.functional.linear, x, x) for x in (square, square.bfloat16()))
    return _times_as_fast(slow, fast, LEAST_TURNS)


def autocast_gain(classifier: Classifier, most_tokens: int) -> float:
    """How many times as fast the model's own forward pass, and its gradient, are in bf16, measured.

    Nothing is drawn at random, and no gradient stays.

    Args:
        classifier: on a CPU.
        most_tokens: of a row.
    """
    shape = STEP_ROWS, min(STEP_TOKENS, most_tokens)
    ids_BL = torch.arange(math.prod(shape)).view(shape)
    ids_BL %= base_model(classifier.module).config.vocab_size
    batch = Batch(ids_BL, torch.ones_like(ids_BL), None, torch.arange(STEP_ROWS), padded=False)

    def step(form: Format) -> None:
        with Precision(form, "measured").autocast(classifier.device):
            classifier.logits(batch).sum().backward()

    classifier.module.eval()
    gain = _times_as_fast(partial(step, "fp32"), partial(step, "bf16"), STEP_TURNS)
    classifier.module.zero_grad()
    return gain


def _times_as_fast(slow: Callable[[], object], fast: Callable[[], object], turns: int) -> float:
    """In seconds of one thread, which other programs cannot lengthen; the two take turns, at least
    so many, since clocks of some systems tick slowly.

    Not of the process: what its other threads have computed is counted when they next pause, so
    that part of a product in fp32 would be taken for the product in bf16 that follows it.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for run in (slow, fast):
            run()  # what is first used is loaded, or compiled
        spent, began = {slow: 0.0, fast: 0.0}, time.perf_counter()
        for turn in range(MOST_TURNS):
            for run in spent:
                started = time.thread_time()
                run()
                spent[run] += time.thread_time() - started
            if turn + 1 >= turns and time.perf_counter() - began > LEAST_SECONDS:
                break
    finally:
        torch.set_num_threads(threads)
    return spent[slow] / max(spent[fast], sys.float_info.min)
