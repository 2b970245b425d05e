"""Dropout by its holes: the places of the zeros are drawn, in place of a mask over everything.

The gaps between the holes of a Bernoulli process are geometric, and independent: drawing them costs
as much as there are holes, a twentieth or a tenth of what a mask of the same law costs.

What is drawn depends on a seed and a place in the network alone. So it matters neither which thread
comes first nor whether a layer is computed a second time.

Shapes: T tokens, I width of a layer's input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from tightfit.data.gpu import copied


@dataclass(frozen=True, eq=False)
class Holes:
    """Which numbers of a tensor are zero, and what the others are multiplied by."""

    places: torch.Tensor
    """In the flat tensor, ascending."""
    share: float
    """Of the numbers, on average."""

    @property
    def scale(self) -> float:
        """With it the mean stays the same (arXiv:1207.0580, as PyTorch has it)."""
        return 1 / (1 - self.share)

    def cut_out(self, x: torch.Tensor) -> torch.Tensor:
        """A copy with zeros in the holes; not scaled."""
        cut = x.clone(memory_format=torch.contiguous_format)
        cut.view(-1).index_fill_(0, self.places, 0.0)
        return cut

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        """Dropout of a tensor."""
        return _Dropped.apply(x, self)

    def spare(self, x_TI: torch.Tensor, *factors: torch.Tensor) -> None:
        """Add a product of two matrices to ``x_TI`` in place, except in the holes."""
        flat = x_TI.view(-1)
        kept = flat.index_select(0, self.places)
        x_TI.addmm_(*factors)
        flat.index_copy_(0, self.places, kept)


class DropoutDraws:
    """What one forward pass draws."""

    def __init__(self, seed: int) -> None:
        """Everything follows from ``seed``, below 2^64."""
        self._seed = seed
        self.enter(0)

    def enter(self, part: int) -> None:
        """Begin a part of the network, such as a layer: the same one draws the same again."""
        self._random = np.random.Generator(np.random.Philox(key=[self._seed, part]))

    def holes(self, like: torch.Tensor, share: float) -> Holes:
        """Each number of ``like`` is one with the probability ``share``."""
        count, rate = like.numel(), -1 / math.log1p(-share)
        likely = int(count * share + 4 * math.sqrt(count * share) + 8)
        parts, last = [], -1
        while last < count:
            # The whole part of an exponential is geometric.
            gaps = (self._random.standard_exponential(likely, dtype=np.float32) * rate).astype(int)
            gaps += 1
            gaps[0] += last
            parts.append(np.cumsum(gaps, out=gaps))
            last = int(gaps[-1])
        places = parts[0] if len(parts) == 1 else np.concatenate(parts)
        places = torch.from_numpy(places[: np.searchsorted(places, count)])
        return Holes(copied(places, like.device), share)

    def drop(self, x: torch.Tensor, share: float) -> torch.Tensor:
        """Dropout of a share of ``x``."""
        return self.holes(x, share).drop(x) if share else x


class _Dropped(torch.autograd.Function):
    """Dropout of a tensor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, holes: Holes) -> torch.Tensor:
        ctx.holes = holes
        return holes.cut_out(x).mul_(holes.scale)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.holes.cut_out(grads[0]).mul_(ctx.holes.scale), None
