"""Frozen linear layers with what trains in them, as the lean forward pass computes them.

    y = f (W x + B A x) + b      LoRA, VeRA: no f; DoRA: f = m / |W + B A|; IA3: no A and B

Shapes: T tokens, I and O widths in and out, R ranks of all adapters of a product together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from peft.tuners.ia3 import IA3Layer
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.tuners.vera import VeraLayer
from torch import nn
from torch.nn import functional as F

from tightfit.encoder.packed import pack, packed_product, packing_pays
from tightfit.model.adapters import ADAPTER, has_magnitudes, input_dropout
from tightfit.model.dropout import DropoutDraws, Holes

PRODUCTS = (LoraLayer, VeraLayer)
"""Adapters that add a product of two narrow matrices to the weight."""

UNDERSTOOD = (*PRODUCTS, IA3Layer)
"""Every kind of adapter that is computed here."""


@dataclass(frozen=True, eq=False)
class Part:
    """One adapter of a product."""

    rows: slice
    """Of A."""
    columns: slice
    """Of what the product gives."""
    holes: Holes | None
    """That it sees in its input."""


class FrozenWeight:
    """W of a product, forward and back.

    In bf16 oneDNN would lay it out anew for every product: here it does so once.
    """

    def __init__(self, weight_OI: torch.Tensor) -> None:
        device, dtype = weight_OI.device, weight_OI.dtype
        packs = dtype == torch.bfloat16 and packing_pays(device, dtype)
        self._weight_OI = weight_OI
        self._forward = pack(weight_OI) if packs else None

    @cached_property
    def _backward(self) -> torch.Tensor | None:
        """Made when it is needed: below the lowest adapter no gradient goes back."""
        return pack(self._weight_OI.T.contiguous()) if self.packed else None

    @property
    def packed(self) -> bool:
        """Whether a layout of its own is kept; autograd does not see such products."""
        return self._forward is not None

    def of(self, x_TI: torch.Tensor, bias_O: torch.Tensor | None) -> torch.Tensor:
        """``x W' + b``, (T, O)."""
        if self._forward is None:
            return F.linear(x_TI, self._weight_OI, bias_O)
        return packed_product(x_TI, self._forward, bias_O)

    def back(self, grad_TO: torch.Tensor) -> torch.Tensor:
        """The gradient of x, (T, I)."""
        if self._backward is None:
            return grad_TO @ self._weight_OI
        return packed_product(grad_TO, self._backward, None)


class AdaptedProduct(torch.autograd.Function):
    """``y = x W' + b + (x A') B'`` with W frozen: gradients for x, b, A and the B of each part.

    By hand because each small product can then be added onto the large one in place. What has a
    side of R is kept with R first: with few rows of many numbers the same products take half to a
    fifth of the time that they take with many rows of few.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> torch.Tensor:
        """Shapes: x (T, I), W of (O, I), b (O), A (R, I), the parts, a B each; gives (T, O)."""
        x_TI, weight, bias_O, a_RI, parts, *bs = args
        low_RT = a_RI.new_empty(len(a_RI), len(x_TI))
        for rows, holes in _readers(parts):
            torch.mm(a_RI[rows], _seen(x_TI, holes).T, out=low_RT[rows])
            _scale(low_RT[rows], holes)
        y_TO = weight.of(x_TI, bias_O)
        for part, b in zip(parts, bs, strict=True):
            y_TO[:, part.columns].addmm_(low_RT[part.rows].T, b.T)
        ctx.weight, ctx.parts = weight, parts
        ctx.save_for_backward(x_TI, a_RI, low_RT, *bs)
        return y_TO

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients in the order of ``forward``'s arguments."""
        x_TI, a_RI, low_RT, *bs = ctx.saved_tensors
        (grad_TO,), grad_bs = grads, []
        grad_low_RT, grad_a_RI = torch.empty_like(low_RT), torch.empty_like(a_RI)
        for part, b in zip(ctx.parts, bs, strict=True):
            own_TP = grad_TO[:, part.columns]
            torch.mm(b.T, own_TP.T, out=grad_low_RT[part.rows])
            grad_bs.append((low_RT[part.rows] @ own_TP).T)
        grad_x_TI = ctx.weight.back(grad_TO) if ctx.needs_input_grad[0] else None
        for rows, holes in _readers(ctx.parts):
            grad_rows_RT = _scale(grad_low_RT[rows], holes)
            torch.mm(grad_rows_RT, _seen(x_TI, holes), out=grad_a_RI[rows])
            if grad_x_TI is not None:
                _add_seen(grad_x_TI, holes, grad_rows_RT.T, a_RI[rows])
        grad_b_O = grad_TO.sum(0) if ctx.needs_input_grad[2] else None
        return grad_x_TI, None, grad_b_O, grad_a_RI, None, *grad_bs


def _readers(parts: Sequence[Part]) -> list[tuple[slice, Holes | None]]:
    """Rows of A that see the same input: all of them, where nothing drops."""
    if parts and all(part.holes is None for part in parts):
        return [(slice(None), None)]
    return [(part.rows, part.holes) for part in parts]


def _seen(x_TI: torch.Tensor, holes: Holes | None) -> torch.Tensor:
    return x_TI if holes is None else holes.cut_out(x_TI)


def _scale(low_RT: torch.Tensor, holes: Holes | None) -> torch.Tensor:
    return low_RT if holes is None else low_RT.mul_(holes.scale)


def _add_seen(x_TI: torch.Tensor, holes: Holes | None, *factors: torch.Tensor) -> None:
    if holes is None:
        x_TI.addmm_(*factors)
    else:
        holes.spare(x_TI, *factors)


class Projection:
    """Linear layers that read the same input, as one product, with what trains in them."""

    def __init__(
        self, linears: Sequence[nn.Module], dtype: torch.dtype, dropout: float = 0.0
    ) -> None:
        """Take the frozen weights of ``linears`` (plain or adapted) in the given format.

        Args:
            linears: the layers.
            dtype: of the products.
            dropout: share of the frozen dropout of what they give, 0 where it does not act.
        """
        self.dropout, self._linears, self._dtype = dropout, list(linears), dtype
        bare = [m.get_base_layer() if isinstance(m, BaseTunerLayer) else m for m in linears]
        self.weight_OI = _stacked([m.weight.detach() for m in bare]).to(dtype)
        self._frozen = FrozenWeight(self.weight_OI)
        self._biases = [m.bias for m in bare if m.bias is not None]  # all have one, or none has
        frozen = [b.detach() for b in self._biases]
        self._frozen_bias_O = _stacked(frozen).to(dtype) if frozen else None
        self._shifts = self._biases or [torch.zeros_like(m.weight[:, 0]) for m in bare]
        ends = list(accumulate((m.out_features for m in bare), initial=0))
        columns = map(slice, ends, ends[1:])
        self._adapted = [
            (each, m) for each, m in zip(columns, linears, strict=True) if isinstance(m, PRODUCTS)
        ]
        self.scaled = any(isinstance(m, IA3Layer) or has_magnitudes(m) for m in linears)
        """Whether outputs are multiplied by something that trains."""

    @property
    def ranks(self) -> bool:
        """Whether any of the layers has an adapter of two matrices."""
        return bool(self._adapted)

    @property
    def adapted(self) -> bool:
        """Whether anything in the layers trains."""
        trained = any(b.requires_grad for b in self._biases)
        return self.ranks or self.scaled or trained

    @property
    def bias_O(self) -> torch.Tensor | None:
        """As it is now; None without."""
        if not any(b.requires_grad for b in self._biases):
            return self._frozen_bias_O
        return _stacked(self._biases).to(self._dtype)

    def __call__(self, x_TI: torch.Tensor, drawn: DropoutDraws | None) -> torch.Tensor:
        """All outputs side by side, (T, O); dropouts act where something is drawn."""
        bias_O, x_TI = None if self.scaled else self.bias_O, x_TI.to(self._dtype)
        adds = self.ranks and (torch.is_grad_enabled() or self._changes)
        if adds or self._frozen.packed:
            a_RI, parts, bs = x_TI.new_empty(0, x_TI.shape[1]), list[Part](), list[torch.Tensor]()
            if adds:
                a_RI, parts, bs = self.low_rank(x_TI, drawn)
            y_TO = AdaptedProduct.apply(x_TI, self._frozen, bias_O, a_RI, parts, *bs)
        else:
            y_TO = self._frozen.of(x_TI, bias_O)
        if self.scaled:
            factors_O, shifts_O = self._factors()
            y_TO = torch.addcmul(shifts_O, y_TO, factors_O)
        return y_TO if drawn is None else drawn.drop(y_TO, self.dropout)

    @property
    def _changes(self) -> bool:
        """Whether adapters of two matrices add anything: most do not, before their first step."""
        return any(bool(_matrices(m)[1].any()) for _, m in self._adapted)

    def low_rank(
        self, x_TI: torch.Tensor, drawn: DropoutDraws | None
    ) -> tuple[torch.Tensor, list[Part], list[torch.Tensor]]:
        """All A one above the other, (R, I), and of each adapter its place and its scaled B.

        With dropout each of them sees holes of its own, as PEFT has it.
        """
        pairs = [_matrices(m) for _, m in self._adapted]
        ends = list(accumulate((len(a) for a, _ in pairs), initial=0))
        parts = []
        for (columns, m), *rows in zip(self._adapted, ends, ends[1:], strict=False):
            share = input_dropout(m)
            holes = drawn.holes(x_TI, share) if drawn is not None and share else None
            parts.append(Part(slice(*rows), columns, holes))
        a_RI = _stacked([a for a, _ in pairs]).to(self._dtype)
        return a_RI, parts, [b.to(self._dtype) for _, b in pairs]

    def _factors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """What each output is multiplied by, and what is then added to it."""
        pairs = [_factors_of(m, b) for m, b in zip(self._linears, self._shifts, strict=True)]
        factors, shifts = zip(*pairs, strict=True)
        return _stacked(factors).to(self._dtype), _stacked(shifts).to(self._dtype)


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


def _factors_of(layer: nn.Module, bias_O: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    if isinstance(layer, IA3Layer):
        factors_O = layer.ia3_l[ADAPTER].flatten()
        return factors_O, factors_O * bias_O
    if not isinstance(layer, LoraLayer) or not has_magnitudes(layer):
        return torch.ones_like(bias_O), bias_O
    with torch.no_grad():  # DoRA takes the lengths for constants (arXiv:2402.09353, section 4.3)
        a_RI, b_OR = _matrices(layer)
        lengths_O = torch.addmm(layer.get_base_layer().weight, b_OR, a_RI).norm(dim=1)
    return layer.lora_magnitude_vector[ADAPTER].weight / lengths_O, bias_O


def _stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """All one above the other; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
