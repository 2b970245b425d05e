"""Pooling: which state the head reads, and the block that makes stock classes compute the same.

    first     that of the first token
    mean      LN(LN'(mean of all tokens + first / S))
    average   the mean of all tokens as it is: of stock heads that are configured so

LN is LayerNorm without scale and shift, LN' the same with its eps divided by S^2. Padding is no
token. It is exactly what one more block of the encoder's own kind leaves at the first token, if
its query and key are zero (so that attention is uniform; a table of position biases makes the mean
a weighted one), its value is the identity, its attention output S times the identity, and its MLP
zero. Our own passes compute a mean; ``transformers`` gets the block, whose tensors never train.
A block that normalises before its halves cannot leave that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from tightfit.families.family import Family, Role

Pooling = Literal["first", "mean"]

MEAN_SCALE = 128.0
"""S. A power of two scales without rounding; the first token then weighs less than one of 128."""

_MULTIPLES: Mapping[Role, float] = {"value": 1.0, "attention-output": MEAN_SCALE}


def mean_block(family: Family, depth: int) -> dict[str, float]:
    """The tensors of that block above ``depth`` others, by their names in the classifier.

    A matrix is so many times the identity, a vector so much everywhere. Empty where the family has
    no such block.
    """
    if family.inside is None or family.inside.norm_first:
        return {}
    path = f"{family.encoder}.{family.block.format(depth)}"
    found = {}
    for below, (role,) in family.linears.items():
        found[f"{path}.{below}.weight"] = _MULTIPLES.get(role, 0.0)
        found[f"{path}.{below}.bias"] = 0.0
    for norm in (family.inside.attention_norm, family.inside.mlp_norm):
        found[f"{path}.{norm}.weight"], found[f"{path}.{norm}.bias"] = 1.0, 0.0
    return found
