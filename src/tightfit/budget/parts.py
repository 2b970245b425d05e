"""The parts of a plan and their price.

An adapter of rank r on a layer (out, in) costs

    lora   r x (in + out)          matrices A (r, in) and B (out, r) (arXiv:2106.09685)
    dora   r x (in + out) + out    and the length of each row of the weight (arXiv:2402.09353)
    vera   r + out                 vectors around matrices that do not train (arXiv:2310.11454)

These prices are worked out here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tightfit.errors import SettingsError

AdapterKind = Literal["lora", "dora", "vera"]


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
        SettingsError: the rank is not between 1 and the largest; a higher one would add nothing.
    """

    name: str
    """Dotted path of the frozen layer."""
    rank: int
    in_features: int
    out_features: int
    roles: tuple[str, ...] = ()
    """What the layer does; several mean that the model fuses them, and the price is for all."""
    kind: AdapterKind = "lora"

    def __post_init__(self) -> None:
        largest = largest_rank(self, self.kind)
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
        """All that trains in it."""
        return self.rank * rank_price([self], self.kind) + fixed_price([self], self.kind)

    @property
    def price(self) -> str:
        """The sum behind ``parameters``, in words."""
        if self.kind == "vera":
            return f"{self.rank} + {self.out_features}"
        matrices = f"{self.rank} x ({self.in_features} + {self.out_features})"
        return matrices if self.kind == "lora" else f"{matrices} + {self.out_features}"


@dataclass(frozen=True)
class VectorPlan:
    """A vector that trains beside frozen matrices: a bias, or factors on what one gives."""

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


def rank_price(layers: Sequence[LinearSize], kind: AdapterKind = "lora") -> int:
    """Parameters that each rank costs when all these layers are adapted."""
    if kind == "vera":
        return len(layers)
    return sum(layer.in_features + layer.out_features for layer in layers)


def fixed_price(layers: Sequence[LinearSize], kind: AdapterKind = "lora") -> int:
    """Parameters that adapters on all these layers cost whatever their rank."""
    return 0 if kind == "lora" else sum(layer.out_features for layer in layers)


def largest_rank(layer: LinearSize, kind: AdapterKind = "lora") -> int:
    """The rank that already reaches every matrix of the layer's size."""
    if kind == "vera":
        # Each rank of VeRA adds a fixed direction, of which so many span all matrices.
        return layer.in_features * layer.out_features
    return min(layer.in_features, layer.out_features)


def largest_uniform_rank(
    layers: Sequence[LinearSize], *, head: int, cap: int, kind: AdapterKind = "lora"
) -> int:
    """The largest rank that all layers can have alike under the cap; 0 where not even 1 fits.

    Args:
        layers: the layers to adapt, at least one.
        head: parameters of the head, which are spent first.
        cap: most trainable parameters allowed.
        kind: of the adapters.
    """
    affordable = (cap - head - fixed_price(layers, kind)) // rank_price(layers, kind)
    return max(0, min(affordable, *(largest_rank(layer, kind) for layer in layers)))
