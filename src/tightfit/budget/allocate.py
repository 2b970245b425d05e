"""Which layers get an adapter, and of which rank, when the settings leave that to the cap.

The same rank everywhere, as large as the cap allows; where not even rank 1 everywhere
fits, fewer kinds of layers, then only the uppermost blocks, then the head alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from tightfit.budget.parts import (
    HeadLayer,
    LayerPlan,
    largest_rank,
    largest_uniform_rank,
    price_at,
)
from tightfit.budget.shapes import LinearShape
from tightfit.families import Role
from tightfit.methods import PLAIN, AdapterKind

HEAD_SHARE = 0.5
"""Of a cap that the whole head does not fit under, before adapters get theirs."""

FIRST_RANKS = 32
"""Or so many ranks of the head, if that is more: fewer tell too few labels from each other for
adapters to be worth anything. One less than the labels is all that their differences need."""

NARROWER: tuple[tuple[Role, ...], ...] = (("query", "value"), ("value",))
"""What is adapted where the cap is too small for all that was asked for (arXiv:2106.09685)."""


@dataclass(frozen=True)
class Allocation:
    """The adapters, none where the head trains alone, and why these."""

    layers: tuple[LayerPlan, ...]
    why: str


class Allocate(Protocol):
    """A way to spend a cap, such as :func:`largest_that_fits`."""

    def __call__(
        self, layers: Sequence[LinearShape], *, head: int, cap: int | None, kind: AdapterKind
    ) -> Allocation:
        """The adapters for these layers, beside a head of so many parameters."""


def same_rank(
    layers: Sequence[LinearShape], rank: int, kind: AdapterKind = PLAIN
) -> tuple[LayerPlan, ...]:
    """An adapter of this rank on each layer.

    Raises:
        SettingsError: the rank is too large for a layer.
    """
    return tuple(
        LayerPlan(x.name, rank, x.in_features, x.out_features, x.roles, kind) for x in layers
    )


def largest_that_fits(
    layers: Sequence[LinearShape], *, head: int, cap: int | None, kind: AdapterKind = PLAIN
) -> Allocation:
    """The largest equal rank on these layers, or on the most of them that the cap can pay.

    Args:
        layers: what the settings name, at least one.
        head: parameters of the head, which are spent first.
        cap: most trainable parameters allowed; None where no cap holds.
        kind: of the adapters.
    """
    most = kind.most_rank
    stop = f"equal ranks stop at {most}"
    if cap is None:
        rank = min(most, largest_rank(layers, kind))
        return Allocation(same_rank(layers, rank, kind), f"no cap holds: {stop}")
    for some, words in _narrower(layers, cap - head, kind):
        rank = largest_uniform_rank(some, head=head, cap=cap, kind=kind) if some else 0
        if rank > most:
            return Allocation(same_rank(some, most, kind), stop)
        if rank:
            fits = f"the largest equal rank that fits{words}"
            return Allocation(same_rank(some, rank, kind), fits)
    cheapest, left = min(price_at(1, [x], kind) for x in layers), max(0, cap - head)
    return Allocation((), f"the head leaves {left:,}, and the cheapest adapter costs {cheapest:,}")


def narrow_head(
    head: Sequence[HeadLayer], widths: tuple[int, int], cap: int, share: float = 1.0
) -> tuple[HeadLayer, ...]:
    """The head as it is where it fits under a cap, else with an output layer of low rank.

    The rank is the largest that a share of the cap pays, or, where the cap pays them, the first
    ones that a head needs; and at least 1, which may still be too much.

    Args:
        head: its layers, the output layer last.
        widths: what the output layer reads, and writes.
        cap: parameters that the head may have.
        share: of the cap, for a head of low rank.
    """
    *inner, output = head
    others = sum(layer.parameters for layer in inner)
    if others + output.parameters <= cap:
        return tuple(head)
    price = sum(widths)
    bias = output.parameters - widths[0] * widths[1]
    most, shared = ((int(cap * part) - others - bias) // price for part in (1.0, share))
    rank = max(1, shared, min(most, FIRST_RANKS, widths[1] - 1))
    return (*inner, HeadLayer(output.name, rank * price + bias, rank))


def _narrower(
    layers: Sequence[LinearShape], affordable: int, kind: AdapterKind
) -> Iterator[tuple[list[LinearShape], str]]:
    """Ever fewer layers, with what is to be said of them."""
    yield list(layers), ""
    lacks = f"; rank 1 on all {len(layers)} layers costs {price_at(1, layers, kind):,}"
    chooses = "budget.allocation=importance would choose among them"
    advice = f", and {chooses}" if kind.weighed else ""
    groups = [[x for x in layers if not set(roles).isdisjoint(x.roles)] for roles in NARROWER]
    names = [f" on {' and '.join(roles)}" for roles in NARROWER]
    for some, on in zip(groups, names, strict=True):
        yield some, f"{on} alone{lacks}{advice}"
    for some, on in zip((*groups, list(layers)), (*names, ""), strict=True):
        for kept in _uppermost(some, affordable, kind):
            count = len({x.block for x in kept})
            blocks = "block" if count == 1 else f"{count} blocks"
            yield kept, f"{on} in the uppermost {blocks} alone{lacks}{advice}"


def _uppermost(
    layers: Sequence[LinearShape], affordable: int, kind: AdapterKind
) -> Iterator[list[LinearShape]]:
    """As many of the uppermost blocks as rank 1 can be paid for."""
    for lowest in sorted({x.block for x in layers}):
        some = [x for x in layers if x.block >= lowest]
        if price_at(1, some, kind) <= affordable:
            yield some
            return
