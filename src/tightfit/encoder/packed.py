"""Frozen weights laid out for oneDNN once, in place of at every product.

Shapes: T tokens; I and O widths in and out of a layer.
"""

from __future__ import annotations

import torch

from tightfit.data.batches import FP32_PADDED_TOKENS


def packing_pays(device: torch.device, dtype: torch.dtype) -> bool:
    """Measured: 11 to 15% with AVX512, nothing without (docs/experiments/prediction-speed.md)."""
    return (
        device.type == "cpu"
        and dtype in (torch.float32, torch.bfloat16)
        and "AVX512" in torch.backends.cpu.get_cpu_capability()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def pack(weight_OI: torch.Tensor) -> torch.Tensor:
    """What :func:`packed_product` reads; nothing else can."""
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight_OI, FP32_PADDED_TOKENS)
    return packed


def packed_product(
    x_TI: torch.Tensor,
    packed: torch.Tensor,
    bias_O: torch.Tensor | None,
    *,
    activation: str = "none",
    kind: str = "",
) -> torch.Tensor:
    """``x W' + b`` through an activation of oneDNN's, (T, O); autograd does not see it."""
    y_TO: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
        x_TI, packed, bias_O, activation, [], kind
    )
    return y_TO
