"""The parts of a plan and their price.

An adapter of rank r on a layer (out, in) costs ``r x (in + out)``: its matrices are A (r, in) and
B (out, r) (LoRA, arXiv:2106.09685). That price is worked out here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tightfit.errors import SettingsError


class LinearSize(Protocol):
    """Whatever has the two widths of a linear layer."""

    @property
    def in_features(self) -> int:
        """Width that the layer reads."""

    @property
    def out_features(self) -> int:
        """Width that the layer writes."""


@dataclass(frozen=True)
class LayerPlan:
    """One adapter.

    Raises:
        SettingsError: the rank is not between 1 and min(in, out); a higher one would add nothing.
    """

    name: str
    """Dotted path of the frozen layer."""
    rank: int
    in_features: int
    out_features: int
    roles: tuple[str, ...] = ()
    """What the layer does; several mean that the model fuses them, and the price is for all."""

    def __post_init__(self) -> None:
        largest = largest_rank(self)
        if not 1 <= self.rank <= largest:
            raise SettingsError(
                f"the rank does not fit the layer {self.name}",
                seen=f"rank {self.rank} on {self.in_features} x {self.out_features}",
                allowed=f"1 to {largest}",
                next_step="set adapters.rank within that range, or leave the layer out of "
                "adapters.targets",
            )

    @property
    def parameters(self) -> int:
        """Of both matrices."""
        return self.rank * rank_price([self])


@dataclass(frozen=True)
class VectorPlan:
    """A vector that trains beside a frozen matrix: its bias, or factors on what it gives."""

    name: str
    """Of the tensor, as it is saved."""
    parameters: int


@dataclass(frozen=True)
class HeadLayer:
    """One layer of the head, biases included."""

    name: str
    parameters: int
    rank: int | None = None
    """Of a weight that is the product of two narrow ones; None where each of its numbers trains."""


def rank_price(layers: Sequence[LinearSize]) -> int:
    """Parameters that each rank costs when all these layers are adapted."""
    return sum(layer.in_features + layer.out_features for layer in layers)


def largest_rank(layer: LinearSize) -> int:
    """The rank that already reaches every matrix of the layer's size."""
    return min(layer.in_features, layer.out_features)


def largest_uniform_rank(layers: Sequence[LinearSize], *, head: int, cap: int) -> int:
    """The largest rank that all layers can have alike under the cap; 0 where not even 1 fits.

    Args:
        layers: the layers to adapt, at least one.
        head: parameters of the head, which are spent first.
        cap: most trainable parameters allowed.
    """
    affordable = (cap - head) // rank_price(layers)
    return max(0, min(affordable, *map(largest_rank, layers)))
