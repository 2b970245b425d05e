"""Which number format the forward pass uses: decided once, beforehand, with a reason."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

Format = Literal["fp32", "bf16", "fp16"]

WORTHWHILE_GAIN = 1.3
"""How much faster products in bf16 must be before the precision is given up for them."""

LEAST_TURNS, MOST_TURNS, LEAST_SECONDS = 8, 64, 0.25
"""Of measuring that: longer than a scheduler leaves a busy machine's processor to others."""


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


def decide_precision(asked: str, device: torch.device, *, lean: bool = False) -> Precision:
    """The format to use on this device, and why.

    Args:
        asked: ``train.precision``: fp32, bf16, fp16, or auto.
        device: where the model is.
        lean: whether the lean forward pass is used, which gains from bf16 on a CPU; under
            autocast the casts and the backward pass of attention eat the gain.
    """
    if asked == "fp32":
        return Precision("fp32", "asked for")
    if device.type == "cpu":
        return _on_cpu(asked, lean=lean)
    if asked == "fp16":
        return Precision("fp16", "asked for")
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", "asked for" if asked == "bf16" else "this GPU computes in bf16")
    if asked == "bf16":
        return Precision("fp32", f"bf16 was asked for, and this {device.type} device has none")
    return Precision("fp16", f"this {device.type} device has fp16 and no bf16")


def _on_cpu(asked: str, *, lean: bool) -> Precision:
    if asked == "bf16":
        return Precision("bf16", "asked for")
    if asked == "fp16":
        return Precision("fp32", "fp16 was asked for, and a CPU only emulates it, slowly")
    if not lean:
        return Precision("fp32", "a CPU computes the model's own forward pass best in fp32")
    gain = bf16_gain()
    figure = f"this CPU multiplies bf16 {gain:.1f} times as fast as fp32"
    return Precision("bf16" if gain >= WORTHWHILE_GAIN else "fp32", figure)


def bf16_gain() -> float:
    """How many times as fast this CPU multiplies matrices in bf16 as in fp32, measured.

    The two take turns, and the best of each counts: a moment in which other programs have the
    processor slows down both, and is outlasted.
    """
    formats = (torch.float32, torch.bfloat16)
    squares = {dtype: torch.ones(512, 512, dtype=dtype) for dtype in formats}
    best = dict.fromkeys(formats, math.inf)
    began = time.perf_counter()
    for turn in range(MOST_TURNS):
        for dtype, square in squares.items():
            best[dtype] = min(best[dtype], _product_seconds(square))
        if turn + 1 >= LEAST_TURNS and time.perf_counter() - began > LEAST_SECONDS:
            break
    return best[torch.float32] / best[torch.bfloat16]


def _product_seconds(square: torch.Tensor) -> float:
    """Of a product of the shapes that an encoder has."""
    started = time.perf_counter()
    torch.nn.functional.linear(square, square)
    return time.perf_counter() - started
