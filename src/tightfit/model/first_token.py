"""What attention gives for the first token alone, without a key or a value for any other.

    q . (W x) = (q W) . x          sum over tokens of p (W x) = W (sum over tokens of p x)

So the keys' weight goes into the one query of each row, and the values' behind the sum. The keys'
bias adds the same to every score, which softmax does not see.

Shapes: B rows, L tokens, H hidden width, N heads, D width of one, R rank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from tightfit.model.dropout import DropoutDraws
from tightfit.model.projections import Projection

Reading = tuple[torch.Tensor, tuple[torch.Tensor, ...]]
"""What is read, and the factors of what it is multiplied by: W, or B and A, the first by head."""


class FirstToken:
    """Attention of each row's first token, in one batch."""

    def __init__(
        self,
        x_BLH: torch.Tensor,
        *,
        heads: int,
        bias: torch.Tensor | None,
        drawn: DropoutDraws | None,
        drop: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        """Take what keys and values are made of.

        Args:
            x_BLH: what the layers read.
            heads: of attention.
            bias: on the scores, broadcastable to (B, N, 1, L).
            drawn: of dropouts on the adapters' inputs; None is without.
            drop: dropout of the weights of tokens.
        """
        self._x_BLH, self._heads, self._bias = x_BLH, heads, bias
        self._drawn, self._drop = drawn, drop

    def mixed(self, query_BH: torch.Tensor, key: Projection, value: Projection) -> torch.Tensor:
        """What the heads mix, side by side, (B, H): of layers that scale nothing."""
        rows, width = len(query_BH), query_BH.shape[1] // self._heads
        query_NBD = (query_BH * width**-0.5).view(rows, self._heads, width).transpose(0, 1)
        of_key, of_value = self._readings(key), self._readings(value)
        weights_BNL = self._drop(self._scores(query_NBD, of_key).softmax(-1))
        # Under dropout the weights of a row's tokens no longer add up to 1.
        bias_O = value.bias_O
        assert bias_O is not None  # every family whose keys and values fold away has them
        mixed_BND = weights_BNL.sum(-1, keepdim=True) * bias_O.view(self._heads, width)
        for seen_BLH, factors in of_value:
            sums_NBI = (weights_BNL @ seen_BLH).transpose(0, 1)
            for factor in reversed(factors):
                sums_NBI = sums_NBI @ factor.transpose(-1, -2)
            mixed_BND = mixed_BND + sums_NBI.transpose(0, 1)
        return mixed_BND.reshape(rows, -1)

    def _scores(self, query_NBD: torch.Tensor, of_key: Sequence[Reading]) -> torch.Tensor:
        found: list[torch.Tensor] = []
        for seen_BLH, factors in of_key:
            folded_NBI = query_NBD
            for factor in factors:
                folded_NBI = folded_NBI @ factor
            found.append(folded_NBI.transpose(0, 1) @ seen_BLH.transpose(1, 2))
        scores_BNL = sum(found[1:], start=found[0])
        if self._bias is None:
            return scores_BNL
        return (scores_BNL[:, :, None] + self._bias).squeeze(2)

    def _readings(self, layer: Projection) -> list[Reading]:
        found: list[Reading] = [(self._x_BLH, (self._by_head(layer.weight_OI),))]
        if layer.ranks:
            a_RI, (part,), (b_OR,) = layer.low_rank(self._x_BLH, self._drawn)
            seen_BLH = self._x_BLH if part.holes is None else part.holes.drop(self._x_BLH)
            found.append((seen_BLH, (self._by_head(b_OR), a_RI)))
        return found

    def _by_head(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.view(self._heads, -1, weight.shape[1])
