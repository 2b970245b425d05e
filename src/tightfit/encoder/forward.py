"""The way of tokens through a network, written once: for numpy, for torch, and for what trains.

Shapes: T tokens of all rows of a batch, one behind the other; B rows; H hidden width; K labels;
I and O widths in and out of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from tightfit.encoder.network import Array, BlockWeights, Linear, Network, Norm
from tightfit.families import MEAN_SCALE, TO_ALL, Attention, Reading

Layer = TypeVar("Layer")
Asked = TypeVar("Asked", contravariant=True)


class BlockOps(Protocol[Asked]):
    """What differs inside the blocks, for one batch."""

    def first(self, x_TH: Array) -> Array:
        """What there is of first tokens, (B, H)."""

    def linear(self, layer: Asked, x_TI: Array) -> Array:
        """All that a layer gives, its adapter included: a new array (T, O)."""

    def apart(self, x: Array, parts: int) -> Sequence[Array]:
        """So many equal ones that stand side by side."""

    def norm(self, x_TH: Array, norm: Norm | None) -> Array:
        """LayerNorm of each token; None is one without scale and shift."""

    def activation(self, x: Array, name: str | None = None) -> Array:
        """By the names of ``hidden_act``; None is the encoder's own."""

    def activated(self, layer: Asked, x_TI: Array) -> Array:
        """The encoder's own activation of what a layer gives, perhaps in one go: (T, O)."""

    def attention(self, by: Attention, query: Array, key_TH: Array, value_TH: Array) -> Array:
        """Each row's attention to itself, (T, H); (B, H) if ``query`` has one for each row."""


class Ops(BlockOps[Linear], Protocol):
    """What numpy and torch do differently, for one batch."""

    def embedded(self, network: Network) -> Array:
        """Sum of the embeddings of each token, (T, H), or narrower."""

    def enter(self, x_TH: Array) -> Array:
        """The same in the number format of what the blocks read and give."""

    def leave(self, state_BH: Array) -> Array:
        """The same in that of the head."""


def logits(network: Network, ops: Ops) -> Array:
    """``logits_BK`` of one batch."""
    x_TH = _below_last(network, ops)
    final, reading = network.final_norm, network.reading
    state_BH = last(network.blocks[-1], x_TH, ops, final=final, reading=reading)
    return _through_head(network, state_BH, ops)


def states(network: Network, ops: Ops) -> tuple[Array, Array]:
    """What an output layer could read, by either pooling: (B, H) of first tokens, and of means.

    Args:
        network: its head is what the checkpoint brings, which was trained on first tokens, or on
            what else its configuration says.
        ops: of one batch.
    """
    x_TH = through(network.blocks[-1], _below_last(network, ops), ops)
    x_TH = _normed(x_TH, network.final_norm, ops)
    own_BH = _read(x_TH, ops, network.encoder.reading)
    return _through_head(network, own_BH, ops), ops.leave(_read(x_TH, ops, "mean"))


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
    for layer in network.head:
        state_BH = ops.linear(layer.linear, state_BH)
        if layer.activation is not None:
            state_BH = ops.activation(state_BH, layer.activation)
        state_BH = _normed(state_BH, layer.norm, ops)
    return state_BH


def last(
    block: BlockWeights[Layer],
    x_TH: Array,
    ops: BlockOps[Layer],
    *,
    final: Norm | None,
    reading: Reading,
) -> Array:
    """What the head reads of the last block, (B, H)."""
    x = _normed(through(block, x_TH, ops, first_only=reading == "first"), final, ops)
    return x if reading == "first" else _read(x, ops, reading)


def _read(x_TH: Array, ops: BlockOps[Layer], reading: Reading) -> Array:
    """Of all tokens, (B, H): :mod:`tightfit.families.pooling`."""
    first_BH = ops.first(x_TH)
    if reading == "first":
        return first_BH
    # A query of zeros attends to all tokens alike, or as a table of position biases says.
    mean_BH = ops.attention(TO_ALL, 0 * first_BH, x_TH, x_TH)
    if reading == "average":
        return mean_BH
    return ops.norm(ops.norm(MEAN_SCALE * mean_BH + first_BH, None), None)


def _normed(x: Array, norm: Norm | None, ops: BlockOps[Layer]) -> Array:
    """By a norm that may not be there."""
    return x if norm is None else ops.norm(x, norm)


def through(
    block: BlockWeights[Layer], x_TH: Array, ops: BlockOps[Layer], *, first_only: bool = False
) -> Array:
    """A block's output, (T, H), or that of first tokens alone, (B, H)."""
    below = ops.first(x_TH) if first_only else x_TH
    seen_TH = _normed(x_TH, block.attention_norm, ops) if block.norm_first else x_TH
    if len(block.query_key_value) == 3:
        read = (ops.first(seen_TH) if first_only else seen_TH, seen_TH, seen_TH)
        parts = [ops.linear(*each) for each in zip(block.query_key_value, read, strict=True)]
    else:  # side by side, and taken apart at once, as is then the gradient
        parts = list(ops.apart(ops.linear(block.query_key_value[0], seen_TH), 3))
        parts[0] = ops.first(parts[0]) if first_only else parts[0]
    return behind_attention(block, below, ops.attention(block.attention, *parts), ops)


def behind_attention(
    block: BlockWeights[Layer], below: Array, attended: Array, ops: BlockOps[Layer]
) -> Array:
    """A block's output from what it reads and what its heads mix, of all tokens or of some."""
    mixed = ops.linear(block.attention_output, attended)
    if block.norm_first:  # what is added up over all blocks may be of a wider format
        mixed = below + mixed
        return mixed + ops.linear(
            block.mlp_out, _inner(block, ops.norm(mixed, block.mlp_norm), ops)
        )
    mixed += below
    middle = ops.norm(mixed, block.attention_norm)
    out = ops.linear(block.mlp_out, _inner(block, middle, ops))
    out += middle
    return ops.norm(out, block.mlp_norm)


def _inner(block: BlockWeights[Layer], x_TH: Array, ops: BlockOps[Layer]) -> Array:
    """What is between the MLP's layers, (T, inner width)."""
    if not block.gated:
        return ops.activated(block.mlp_in, x_TH)
    values, factors = ops.apart(ops.linear(block.mlp_in, x_TH), 2)
    return ops.activation(values) * factors
