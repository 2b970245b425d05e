"""A linear layer of fewer parameters: its weight is the product of two narrow matrices.

    logits = (up down) x + bias    down (r, in), up (out, r)

Many labels under a small cap need it: 77 of them on 384 features cost 29,645 parameters as a whole
matrix and 461 r + 77 as a product. For the rest of the world it is an ordinary layer: its state is
that of ``nn.Linear``, a weight whose rank happens to be r.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional as F


class LowRankLinear(nn.Module):
    """``nn.Linear`` with a weight of rank r at most; saved, it is one."""

    def __init__(self, layer: nn.Linear, rank: int, scale: float = 1.0) -> None:
        """Begin at the nearest weight of that rank to a layer's own.

        Args:
            layer: with a bias.
            rank: between 1 and the smaller of its widths.
            scale: of the features that it reads, against those that its settings are meant for.
        """
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self._scale = scale
        like = layer.weight.new_empty
        self.down = nn.Parameter(like(rank, self.in_features))
        self.up = nn.Parameter(like(self.out_features, rank))
        self.bias = nn.Parameter(layer.bias.detach().clone())
        self.put(layer.weight.detach())

    @classmethod
    def at(cls, model: nn.Module, path: str, rank: int, scale: float) -> Self:
        """Take the place of a model's layer."""
        layer = model.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        narrow = cls(layer, rank, scale)
        model.set_submodule(path, narrow)
        return narrow

    @property
    def weight(self) -> torch.Tensor:
        """Out x in."""
        return self.up @ self.down

    @torch.no_grad()
    def put(self, weight: torch.Tensor) -> None:
        """The nearest weight of this rank, split evenly: both factors learn at one rate."""
        left, values, right = torch.linalg.svd(weight.double(), full_matrices=False)
        kept = len(self.down)
        # A weight on features of s times the size is 1 / s times as large; ``down`` takes that.
        self.up.copy_(left[:, :kept] * (values[:kept] * self._scale).sqrt())
        self.down.copy_((values[:kept] / self._scale).sqrt()[:, None] * right[:kept])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As ``nn.Linear``, by the very weight that is saved, so that nothing is rounded twice."""
        return F.linear(x, self.weight, self.bias)

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        bias = self.bias if keep_vars else self.bias.detach()
        weight = self.weight if keep_vars else self.weight.detach()
        destination.update({f"{prefix}weight": weight, f"{prefix}bias": bias})
