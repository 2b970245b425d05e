"""The parts of a plan, and sums of their prices; one adapter's is in the record of its method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, PlainValidator

from tightfit.budget.shapes import LinearShape
from tightfit.errors import SettingsError
from tightfit.methods import KINDS, PLAIN, AdapterKind


def _kind_named(name: object) -> AdapterKind:
    for kind in KINDS.values():
        if kind.name == name:
            return kind
    raise ValueError(f"there is no adapter of kind {name!r}")


@dataclass(frozen=True)
class LayerPlan:
    """One adapter.

    Raises:
        SettingsError: the rank is not between 1 and the largest; a higher one would add nothing.
    """

    name: str
    """Dotted path of the frozen layer."""
    rank: int
    in_features: Annotated[int, Field(validation_alias="in")]
    out_features: Annotated[int, Field(validation_alias="out")]
    roles: tuple[str, ...] = ()
    """What the layer does; several mean that the model fuses them, and the price is for all."""
    kind: Annotated[AdapterKind, PlainValidator(_kind_named)] = PLAIN

    def __post_init__(self) -> None:
        largest = self.kind.largest_rank(self.in_features, self.out_features)
        if not 1 <= self.rank <= largest:
            raise SettingsError(
                f"the rank does not fit the layer {self.name}",
                seen=f"rank {self.rank} on {self.in_features} x {self.out_features}",
                allowed=f"1 to {largest}",
                next_step="set adapters.rank within that range, or leave the layer out of "
                "adapters.targets",
            )

    @property
    def duties(self) -> tuple[str, ...]:
        """What the layer does, or for adapters from elsewhere what it is called."""
        return self.roles or (self.name.rpartition(".")[2],)

    @property
    def label(self) -> str:
        """The same in words."""
        return " + ".join(self.duties) + (" (fused)" if len(self.duties) > 1 else "")

    @property
    def parameters(self) -> int:
        """All that trains in it."""
        return self.kind.price(self.rank, self.in_features, self.out_features)

    @property
    def price(self) -> str:
        """The sum behind ``parameters``, in words."""
        return self.kind.price_words(self.rank, self.in_features, self.out_features)


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


SIDE_HEAD = "side"
"""What its tensors are called, before a dot."""


SideReads = Literal["characters", "pairs"]
"""N-grams of a text's characters, or how the frozen states of a pair's texts differ."""


@dataclass(frozen=True)
class SidePlan:
    """A linear map beside the classifier."""

    width: int
    """Numbers that it reads of a text, or of a pair."""
    labels: int
    reads: SideReads = "characters"

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.labels * (self.width + 1)

    @property
    def price(self) -> str:
        """The sum behind ``parameters``, in words."""
        return f"{self.labels} x ({self.width:,} + 1)"


Sized = Sequence[LinearShape] | Sequence[LayerPlan]
"""Layers as they are, or as they are to be adapted."""


def price_at(rank: int, layers: Sized, kind: AdapterKind = PLAIN) -> int:
    """Parameters of adapters of this rank on all these layers; at rank 0, what any rank costs."""
    return sum(kind.price(rank, layer.in_features, layer.out_features) for layer in layers)


def largest_rank(layers: Sized, kind: AdapterKind = PLAIN) -> int:
    """The rank beyond which one of the layers gains nothing."""
    return min(kind.largest_rank(layer.in_features, layer.out_features) for layer in layers)


def largest_uniform_rank(layers: Sized, *, head: int, cap: int, kind: AdapterKind = PLAIN) -> int:
    """The largest rank that all layers can have alike under the cap; 0 where not even 1 fits.

    Args:
        layers: the layers to adapt, at least one.
        head: parameters of the head, which are spent first.
        cap: most trainable parameters allowed.
        kind: of the adapters.
    """
    fixed = price_at(0, layers, kind)
    affordable = (cap - head - fixed) // (price_at(1, layers, kind) - fixed)
    return max(0, min(affordable, largest_rank(layers, kind)))
