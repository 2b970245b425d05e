"""The way of tokens through a network, written once: for numpy, for torch, and for what trains.

Shapes: T tokens of all rows of a batch, one behind the other; B rows; H hidden width; K labels;
I and O widths in and out of a layer.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from tightfit.encoder.network import Array, BlockWeights, Linear, Network, Norm
from tightfit.families import MEAN_SCALE, Pooling

Layer = TypeVar("Layer")
Asked = TypeVar("Asked", contravariant=True)


class BlockOps(Protocol[Asked]):
    """What differs inside the blocks, for one batch."""

    def first(self, x_TH: Array) -> Array:
        """What there is of first tokens, (B, H)."""

    def linear(self, layer: Asked, x_TI: Array) -> Array:
        """All that a layer gives, its adapter included: a new array (T, O)."""

    def norm(self, x_TH: Array, norm: Norm | None) -> Array:
        """LayerNorm of each token; None is one without scale and shift."""

    def activation(self, x: Array, name: str | None = None) -> Array:
        """By the names of ``hidden_act``; None is the encoder's own."""

    def activated(self, layer: Asked, x_TI: Array) -> Array:
        """The encoder's own activation of what a layer gives, perhaps in one go: (T, O)."""

    def attention(self, query: Array, key_TH: Array, value_TH: Array) -> Array:
        """Each row's attention to itself, (T, H); (B, H) if ``query`` has one for each row."""


class Ops(BlockOps[Linear], Protocol):
    """What numpy and torch do differently, for one batch."""

    def embedded(self, network: Network) -> Array:
        """Sum of the embeddings of each token, (T, H), or narrower."""

    def enter(self, x_TH: Array) -> Array:
        """The same in the number format of the blocks."""

    def leave(self, state_BH: Array) -> Array:
        """The same in that of the head."""


def logits(network: Network, ops: Ops) -> Array:
    """``logits_BK`` of one batch."""
    x_TH = _below_last(network, ops)
    return _through_head(network, last(network.blocks[-1], x_TH, ops, network.pooling), ops)


def states(network: Network, ops: Ops) -> tuple[Array, Array]:
    """What an output layer could read, by either pooling: (B, H) of first tokens, and of means.

    Args:
        network: its head is what the checkpoint brings, which was trained on first tokens.
        ops: of one batch.
    """
    x_TH = through(network.blocks[-1], _below_last(network, ops), ops)
    return _through_head(network, ops.first(x_TH), ops), ops.leave(mean(x_TH, ops))


def _below_last(network: Network, ops: Ops) -> Array:
    """What the last block reads, (T, H)."""
    x_TH = ops.norm(ops.embedded(network), network.embedding_norm)
    if network.embedding_projection is not None:
        x_TH = ops.linear(network.embedding_projection, x_TH)
    x_TH = ops.enter(x_TH)
    for block in network.blocks[:-1]:
        x_TH = through(block, x_TH, ops)
    return x_TH


def _through_head(network: Network, state_BH: Array, ops: Ops) -> Array:
    state_BH = ops.leave(state_BH)
    for linear, activation in network.head:
        state_BH = ops.linear(linear, state_BH)
        if activation is not None:
            state_BH = ops.activation(state_BH, activation)
    return state_BH


def last(block: BlockWeights[Layer], x_TH: Array, ops: BlockOps[Layer], pooling: Pooling) -> Array:
    """What the head reads of the last block, (B, H): :mod:`tightfit.families.pooling`."""
    if pooling == "first":
        return through(block, x_TH, ops, first_only=True)
    return mean(through(block, x_TH, ops), ops)


def mean(x_TH: Array, ops: BlockOps[Layer]) -> Array:
    """The mean of each row's tokens, and a little of the first, normalised: (B, H)."""
    first_BH = ops.first(x_TH)
    # A query of zeros attends to all tokens alike, or as a table of position biases says.
    mean_BH = ops.attention(0 * first_BH, x_TH, x_TH)
    return ops.norm(ops.norm(MEAN_SCALE * mean_BH + first_BH, None), None)


def through(
    block: BlockWeights[Layer], x_TH: Array, ops: BlockOps[Layer], *, first_only: bool = False
) -> Array:
    """A block's output, (T, H), or that of first tokens alone, (B, H)."""
    below = ops.first(x_TH) if first_only else x_TH
    if len(block.query_key_value) == 3:
        read = (below, x_TH, x_TH)
        parts = [ops.linear(*each) for each in zip(block.query_key_value, read, strict=True)]
    else:  # side by side in torch, and taken apart at once, as is then the gradient
        parts = list(ops.linear(block.query_key_value[0], x_TH).chunk(3, 1))
        parts[0] = ops.first(parts[0]) if first_only else parts[0]
    return behind_attention(block, below, ops.attention(*parts), ops)


def behind_attention(
    block: BlockWeights[Layer], below: Array, attended: Array, ops: BlockOps[Layer]
) -> Array:
    """A block's output from what it reads and what its heads mix, of all tokens or of some."""
    mixed = ops.linear(block.attention_output, attended)
    mixed += below
    middle = ops.norm(mixed, block.attention_norm)
    out = ops.linear(block.mlp_out, ops.activated(block.mlp_in, middle))
    out += middle
    return ops.norm(out, block.mlp_norm)
