"""Where models compute."""

from __future__ import annotations

import copy

import torch
from torch import nn


def best_device() -> torch.device:
    """A GPU where torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def placed(module: nn.Module) -> nn.Module:
    """The module on that device: itself where it is there, else a copy of it.

    The original stays where it is, since what writes files reads it there.
    """
    device = best_device()
    if next(module.parameters()).device.type == device.type:
        return module
    return copy.deepcopy(module).to(device)
