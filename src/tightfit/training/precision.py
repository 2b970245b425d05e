"""Which number format the forward pass uses: decided once, beforehand, with a reason."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

Format = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Precision:
    """A number format for the forward pass. Trainable weights are fp32 whatever it is."""

    format: Format
    reason: str

    def autocast(self, device: torch.device) -> AbstractContextManager[None]:
        """A context in which products run in this format."""
        if self.format == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.format == "bf16" else torch.float16
        return torch.autocast(device.type, dtype=dtype)

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """Scales the loss where gradients would vanish in fp16; does nothing otherwise."""
        return torch.amp.GradScaler(device.type, enabled=self.format == "fp16")


def decide_precision(asked: str, device: torch.device) -> Precision:
    """The format to use on this device, and why.

    Args:
        asked: ``train.precision``: fp32, bf16, fp16, or auto.
        device: where the model is.
    """
    if asked == "fp32":
        return Precision("fp32", "asked for")
    if device.type == "cpu":
        return _on_cpu(asked)
    if asked == "fp16":
        return Precision("fp16", "asked for")
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", "asked for" if asked == "bf16" else "this GPU computes in bf16")
    if asked == "bf16":
        return Precision("fp32", f"bf16 was asked for, and this {device.type} device has none")
    return Precision("fp16", f"this {device.type} device has fp16 and no bf16")


def _on_cpu(asked: str) -> Precision:
    if asked == "bf16":
        return Precision("bf16", "asked for")
    if asked == "fp16":
        return Precision("fp32", "fp16 was asked for, and a CPU only emulates it, slowly")
    return Precision("fp32", "a CPU computes fp32 well")
