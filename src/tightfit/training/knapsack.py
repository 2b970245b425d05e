"""Ranks by what they are worth: the best use of a cap, found exactly."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tightfit.budget.allocate import Allocation, same_rank
from tightfit.budget.parts import largest_rank
from tightfit.budget.shapes import LinearShape
from tightfit.methods import PLAIN


def most_valuable(
    layers: Sequence[LinearShape], gains: Mapping[str, Sequence[float]], *, head: int, cap: int
) -> Allocation:
    """The ranks whose gains add up to the most under the cap: a knapsack, solved exactly.

    Each rank of each layer is an item that costs in + out; dynamic programming over the affordable
    parameters, in units of the prices' greatest common divisor.

    Args:
        layers: what the settings name.
        gains: by layer, what its first rank is worth, its second, and so on, never rising; ranks
            beyond the list are worth nothing.
        head: parameters of the head, which are spent first.
        cap: most trainable parameters allowed.
    """
    prices = [x.in_features + x.out_features for x in layers]
    unit = math.gcd(*prices)
    items = [
        (index, prices[index] // unit, gain)
        for index, layer in enumerate(layers)
        for gain in list(gains[layer.name])[: min(PLAIN.most_rank, largest_rank([layer]))]
        if gain > 0
    ]
    # Under a cap of billions the table need be no wider than all items together.
    room = min(max(0, cap - head) // unit, sum(price for _, price, _ in items))
    best, taken = np.zeros(room + 1), np.zeros((len(items), room + 1), dtype=bool)
    for row, (_, price, gain) in enumerate(items):
        if price <= room:
            with_it = best[: room + 1 - price] + gain
            taken[row, price:] = with_it > best[price:]
            best[price:] = np.maximum(best[price:], with_it)
    ranks, left = Counter[int](), room
    for row in reversed(range(len(items))):
        if taken[row, left]:
            index, price, _ = items[row]
            ranks[index] += 1
            left -= price
    chosen = tuple(
        adapter
        for index, layer in enumerate(layers)
        for adapter in (same_rank([layer], ranks[index]) if ranks[index] else ())
    )
    return Allocation(
        chosen, f"the most valuable ranks under the cap, on {len(chosen)} of {len(layers)} layers"
    )
