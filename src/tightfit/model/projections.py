"""Frozen linear layers with their adapters, as the lean forward pass computes them.

Shapes: T tokens, I and O widths in and out, R ranks of all adapters of a product together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.tuners.vera import VeraLayer
from torch import nn
from torch.nn import functional as F

from tightfit.model.adapters import ADAPTER, input_dropout
from tightfit.model.holes import Holes, Pass

PRODUCTS = (LoraLayer, VeraLayer)
"""Adapters that add a product of two narrow matrices to the weight."""

Reading = tuple[tuple[slice, Holes | None], ...]
"""Rows of A that read the same input, with the holes that they see in it."""


class AdaptedProduct(torch.autograd.Function):
    """``y = x W' + b + (x A') B'`` with W and b frozen: gradients for x, A and B only.

    By hand because each small product can then be added onto the large one in place. What has a
    side of R is kept with R first: with few rows of many numbers the same products take half to a
    fifth of the time that they take with many rows of few.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> torch.Tensor:
        """Shapes: x (T, I), W (O, I), b (O), A (R, I), B (O, R), and a reading; gives (T, O)."""
        x_TI, weight_OI, bias_O, a_RI, b_OR, reading = args
        low_RT = a_RI.new_empty(len(a_RI), len(x_TI))
        for rows, holes in reading:
            torch.mm(a_RI[rows], _seen(x_TI, holes).T, out=low_RT[rows])
            _scaled(low_RT[rows], holes)
        ctx.reading = reading
        ctx.save_for_backward(x_TI, weight_OI, a_RI, b_OR, low_RT)
        return F.linear(x_TI, weight_OI, bias_O).addmm_(low_RT.T, b_OR.T)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients in the order of ``forward``'s arguments."""
        x_TI, weight_OI, a_RI, b_OR, low_RT = ctx.saved_tensors
        (grad_TO,) = grads
        grad_low_RT = b_OR.T @ grad_TO.T
        grad_a_RI = torch.empty_like(a_RI)
        grad_x_TI = grad_TO @ weight_OI if ctx.needs_input_grad[0] else None
        for rows, holes in ctx.reading:
            grad_rows_RT = _scaled(grad_low_RT[rows], holes)
            torch.mm(grad_rows_RT, _seen(x_TI, holes), out=grad_a_RI[rows])
            if grad_x_TI is None:
                continue
            if holes is None:
                grad_x_TI.addmm_(grad_rows_RT.T, a_RI[rows])
            else:
                holes.spare(grad_x_TI, grad_rows_RT.T, a_RI[rows])
        return grad_x_TI, None, None, grad_a_RI, (low_RT @ grad_TO).T, None


def _seen(x_TI: torch.Tensor, holes: Holes | None) -> torch.Tensor:
    return x_TI if holes is None else holes.cut_out(x_TI)


def _scaled(low_RT: torch.Tensor, holes: Holes | None) -> torch.Tensor:
    return low_RT if holes is None else low_RT.mul_(holes.scale)


class Projection:
    """Linear layers that read the same input, as one product, with their adapters."""

    def __init__(
        self, linears: Sequence[nn.Module], dtype: torch.dtype, dropout: float = 0.0
    ) -> None:
        """Take the frozen weights of ``linears`` (plain or adapted) in the given format.

        Args:
            linears: the layers.
            dtype: of the products.
            dropout: share of the frozen dropout of what they give, 0 where it does not act.
        """
        bare = [m.get_base_layer() if isinstance(m, BaseTunerLayer) else m for m in linears]
        self.weight_OI = _stacked([m.weight.detach() for m in bare]).to(dtype)
        self.bias_O = _stacked([m.bias.detach() for m in bare]).to(dtype)
        self.dropout = dropout
        starts = [sum(m.out_features for m in bare[:i]) for i in range(len(bare))]
        self._adapted = [
            (start, m) for start, m in zip(starts, linears, strict=True) if isinstance(m, PRODUCTS)
        ]

    @property
    def adapted(self) -> bool:
        """Whether any of the layers has an adapter."""
        return bool(self._adapted)

    def __call__(self, x_TI: torch.Tensor, drawn: Pass | None) -> torch.Tensor:
        """All outputs side by side, (T, O); dropouts act where something is drawn."""
        if self._adapted:
            pairs = [_matrices(m) for _, m in self._adapted]
            a_RI = torch.cat([a for a, _ in pairs]).to(x_TI.dtype)
            b_OR = self._spread([b for _, b in pairs]).to(x_TI.dtype)
            frozen = (self.weight_OI, self.bias_O)
            reading = self._reading([len(a) for a, _ in pairs], x_TI, drawn)
            y_TO = AdaptedProduct.apply(x_TI, *frozen, a_RI, b_OR, reading)
        else:
            y_TO = F.linear(x_TI, self.weight_OI, self.bias_O)
        return y_TO if drawn is None else drawn.drop(y_TO, self.dropout)

    def _spread(self, scaled: Sequence[torch.Tensor]) -> torch.Tensor:
        """The scaled B matrices in their own places."""
        b_OR = scaled[0].new_zeros(len(self.weight_OI), sum(b.shape[1] for b in scaled))
        column = 0
        for (start, _), b in zip(self._adapted, scaled, strict=True):
            b_OR[start : start + b.shape[0], column : column + b.shape[1]] = b
            column += b.shape[1]
        return b_OR

    def _reading(self, ranks: Sequence[int], x_TI: torch.Tensor, drawn: Pass | None) -> Reading:
        """With dropout each adapter sees holes of its own, as PEFT has it."""
        shares = [input_dropout(m) for _, m in self._adapted]
        if drawn is None or not any(shares):
            return ((slice(None), None),)
        ends = list(accumulate(ranks, initial=0))
        holes = [drawn.holes(x_TI, share) for share in shares]
        return tuple(zip(map(slice, ends, ends[1:]), holes, strict=True))


def _matrices(layer: LoraLayer | VeraLayer) -> tuple[torch.Tensor, torch.Tensor]:
    """A (R, I) and the scaled B (O, R) whose product changes the layer's weight."""
    if isinstance(layer, LoraLayer):
        b_OR = layer.lora_B[ADAPTER].weight * layer.scaling[ADAPTER]
        return layer.lora_A[ADAPTER].weight, b_OR
    assert layer.vera_A is not None
    assert layer.vera_B is not None
    a_RI = layer.vera_A[ADAPTER][:, : layer.in_features]
    b_OR = layer.vera_B[ADAPTER][: layer.out_features]
    d_R, c_O = (v[ADAPTER] for v in (layer.vera_lambda_d, layer.vera_lambda_b))
    return d_R[:, None] * a_RI, c_O[:, None] * b_OR


def _stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """All one above the other; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
