"""The GPU: whether there is one, batches that its memory holds, copies that nobody waits for."""

from __future__ import annotations

import torch

GPU_PADDED_TOKENS = 131_072
"""Padded tokens of one pass through an encoder on a GPU at most: far more than keep it busy."""

GPU_TOKEN_BYTES = 65_536
"""What a token takes there, generously: 16 numbers in fp32 for each of a width of 1,024, which
is what a block has at once when nothing is kept for a backward pass."""


def gpu_padded_tokens(free_bytes: int) -> int:
    """Padded tokens of one pass on a GPU with so much free memory; half of it is left alone."""
    return max(1, min(GPU_PADDED_TOKENS, free_bytes // 2 // GPU_TOKEN_BYTES))


def copied(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """On the device; a GPU reads memory that is pinned by itself, while Python goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def best_device() -> torch.device:
    """A GPU where torch sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
