"""Modes of torch and numpy that a program has set for itself, and that we do not compute in.

In ``no_grad`` nothing trains, under autocast answers differ, a graph in float64 opens nowhere, and
an exponential that rounds to zero is an error where numpy is told to raise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType


@contextmanager
def usual_modes() -> Iterator[None]:
    """Torch and numpy as they are by themselves meanwhile; serves as a decorator too.

    No library is imported for it: what is not there yet has no modes. What is as usual is not
    touched, which would take longer than answering a text.
    """
    with ExitStack() as modes:
        if numpy := sys.modules.get("numpy"):
            kinds = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
            modes.enter_context(numpy.errstate(**kinds))
        torch = sys.modules.get("torch")
        # One that another thread is only just importing has none either.
        if torch is not None and hasattr(torch, "get_default_device"):
            _of_torch(torch, modes)
        yield


def _of_torch(torch: ModuleType, modes: ExitStack) -> None:
    """Gradients, and fp32 on the processor where nothing else is said."""
    if torch.is_inference_mode_enabled():
        modes.enter_context(torch.inference_mode(False))
    if not torch.is_grad_enabled():
        modes.enter_context(torch.enable_grad())
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            modes.enter_context(torch.autocast(device, enabled=False))
    if torch.get_default_device().type != "cpu":
        modes.enter_context(torch.device("cpu"))
    dtype = torch.get_default_dtype()
    if dtype != torch.float32:
        modes.callback(torch.set_default_dtype, dtype)
        torch.set_default_dtype(torch.float32)
