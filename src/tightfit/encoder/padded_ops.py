"""What happens inside blocks over padded rows in torch, whether something trains or not.

Shapes: B rows of a batch, L tokens of its longest row, T = B x L, or some more; H hidden width;
N attention heads; D width of one; I and O widths in and out of a layer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from tightfit.data.batches import Batch
from tightfit.data.gpu import copied
from tightfit.encoder.network import Norm
from tightfit.encoder.on_numpy import buckets, near, turns
from tightfit.families import Attention

Activation = Callable[[torch.Tensor], torch.Tensor]

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}


class PaddedOps(ABC):
    """What :class:`tightfit.encoder.forward.BlockOps` asks, over padded rows, linear layers aside.

    Args:
        batch: the rows.
        dtype: of the products.
        heads: of attention.
        eps: of the norms.
        inner: the encoder's own activation.
        position_bias: of :class:`Network`.
        attend: scaled dot-product attention over (B, heads, L, D), with a bias on the scores.
    """

    def __init__(
        self,
        batch: Batch,
        dtype: torch.dtype,
        *,
        heads: int,
        eps: float,
        inner: Activation,
        position_bias: torch.Tensor | None,
        attend: Callable[..., torch.Tensor] = F.scaled_dot_product_attention,
    ) -> None:
        self._ids_BL, self._dtype, self._heads, self._eps = batch.ids_BL, dtype, heads, eps
        self._inner, self._attend = inner, attend
        self._batch, self._position_bias = batch, position_bias
        self._biases: dict[int | None, torch.Tensor | None] = {}
        self._turns: dict[float, tuple[torch.Tensor, torch.Tensor]] = {}

    def first(self, x_TH: torch.Tensor) -> torch.Tensor:
        """What there is of first tokens, (B, H)."""
        return self._by_row(x_TH)[:, 0]

    @abstractmethod
    def linear(self, layer: Any, x_TI: torch.Tensor) -> torch.Tensor:
        """All that a layer gives."""

    def apart(self, x: torch.Tensor, parts: int) -> Sequence[torch.Tensor]:
        """Views of equal parts that stand side by side."""
        return x.chunk(parts, -1)

    def activated(self, layer: Any, x_TI: torch.Tensor) -> torch.Tensor:
        """The encoder's own activation of it."""
        return self.activation(self.linear(layer, x_TI))

    def norm(self, x_TH: torch.Tensor, norm: Norm | None) -> torch.Tensor:
        """LayerNorm of each token; None is one without scale and shift."""
        scale_shift = (None, None) if norm is None else (norm.weight_H, norm.bias_H)
        return F.layer_norm(x_TH, x_TH.shape[-1:], *scale_shift, self._eps)

    def attention(
        self, by: Attention, query: torch.Tensor, key_TH: torch.Tensor, value_TH: torch.Tensor
    ) -> torch.Tensor:
        """Each row's attention to itself."""
        width = query.shape[1] // self._heads
        query_BNLD, key_BNLD, value_BNLD = (
            self._by_row(x).unflatten(2, (self._heads, width)).transpose(1, 2)
            for x in (query, key_TH, value_TH)
        )
        if by.rotary_base is not None:
            query_BNLD, key_BNLD = (self._turned(x, by.rotary_base) for x in (query_BNLD, key_BNLD))
        bias = self.bias(by.reach)
        if bias is not None:
            bias = bias[:, :, : query_BNLD.shape[2]]
            bias = bias.to(query.dtype)
        mixed = self._attend(query_BNLD, key_BNLD, value_BNLD, bias)
        mixed = mixed.transpose(1, 2).reshape(-1, query.shape[1])
        more = len(query) - len(mixed)
        return F.pad(mixed, (0, 0, 0, more)) if more else mixed

    def activation(self, x: torch.Tensor, name: str | None = None) -> torch.Tensor:
        """By name; else the encoder's own."""
        return ACTIVATIONS[name](x) if name else self._inner(x)

    def bias(self, reach: int | None = None) -> torch.Tensor | None:
        """What is added to scores, broadcastable to (B, N, L, L): very little where nothing is to
        be seen, and what distances add."""
        reach = None if reach is not None and reach >= self._ids_BL.shape[1] - 1 else reach
        if reach not in self._biases:
            self._biases[reach] = self._new_bias(reach)
        return self._biases[reach]

    def _new_bias(self, reach: int | None) -> torch.Tensor | None:
        device, length = self._ids_BL.device, self._ids_BL.shape[1]
        lowest, bias = torch.finfo(self._dtype).min, None
        if self._position_bias is not None:
            places_LL = copied(torch.from_numpy(buckets(length)), device)
            bias = self._position_bias[places_LL].permute(2, 0, 1)[None].contiguous()
        if self._batch.padded:
            hidden = (1 - self._batch.mask_BL)[:, None, None, :].to(self._dtype) * lowest
            bias = hidden if bias is None else bias + hidden
        if reach is not None:
            far_LL = copied(torch.from_numpy(~near(length, reach)), device)
            if bias is None:
                bias = torch.zeros(1, 1, length, length, dtype=self._dtype, device=device)
            bias = bias.masked_fill(far_LL, lowest)
        return bias

    def _by_row(self, x: torch.Tensor) -> torch.Tensor:
        """Of all tokens, or of one a row: (B, L or 1, width)."""
        places = self._ids_BL.numel()
        # A slice of all would still be copied into zeros by the backward pass.
        x = x if len(x) <= places else x[:places]
        return x.view(len(self._ids_BL), -1, x.shape[1])

    def _turned(self, x_BNLD: torch.Tensor, base: float) -> torch.Tensor:
        """By the position of each token."""
        if base not in self._turns:
            tables = turns(base, x_BNLD.shape[3], self._ids_BL.shape[1])
            device = x_BNLD.device
            cos, sin = (copied(torch.from_numpy(table), device) for table in tables)
            self._turns[base] = cos, sin
        cos_LC, sin_LC = (table[: x_BNLD.shape[2]] for table in self._turns[base])
        turned: torch.Tensor = Turned.apply(x_BNLD, cos_LC, sin_LC)
        return turned


class Turned(torch.autograd.Function):
    """Pairs of numbers, of which the second half of the width holds the seconds, turned by angles.

    By hand since a turn needs nothing but its angle to be undone: nothing else is kept.
    """

    @staticmethod
    def forward(ctx: Any, *args: torch.Tensor) -> torch.Tensor:
        """Shapes: x (B, N, L, D), and cosine and sine, (L, D / 2) each."""
        x_BNLD, cos_LC, sin_LC = args
        ctx.save_for_backward(cos_LC, sin_LC)
        return _turn(x_BNLD, cos_LC, sin_LC)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """The turn back."""
        cos_LC, sin_LC = ctx.saved_tensors
        return _turn(grads[0], cos_LC, -sin_LC), None, None


def _turn(x_BNLD: torch.Tensor, cos_LC: torch.Tensor, sin_LC: torch.Tensor) -> torch.Tensor:
    wide_BNLD = x_BNLD.float()  # rounded once; and products of mixed formats take longer
    out = torch.empty_like(wide_BNLD)
    a, b = wide_BNLD.chunk(2, -1)
    first, second = out.chunk(2, -1)
    torch.mul(a, cos_LC, out=first).addcmul_(b, sin_LC, value=-1)
    torch.mul(b, cos_LC, out=second).addcmul_(a, sin_LC)
    return out.to(x_BNLD.dtype)
