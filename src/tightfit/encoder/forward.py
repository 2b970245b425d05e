"""The way of tokens through a network, written once for numpy and torch.

Shapes: T tokens of all rows of a batch, one behind the other; B rows; H hidden width; K labels;
I and O widths in and out of a layer.
"""

from __future__ import annotations

from typing import Protocol

from tightfit.encoder.network import Array, BlockWeights, Linear, Network, Norm


class Ops(Protocol):
    """What numpy and torch do differently, for one batch."""

    first_B: Array
    """Where the first token of each row stands."""

    def embedded(self, network: Network) -> Array:
        """Sum of the embeddings of each token, (T, H)."""

    def enter(self, x_TH: Array) -> Array:
        """The same in the number format of the blocks."""

    def leave(self, state_BH: Array) -> Array:
        """The same in that of the head."""

    def linear(self, x_TI: Array, weight_OI: Array, bias_O: Array | None) -> Array:
        """``W x + b``, a new array (T, O)."""

    def norm(self, x_TH: Array, norm: Norm, eps: float) -> Array:
        """LayerNorm of each token."""

    def activation(self, x: Array, name: str) -> Array:
        """By the names of ``hidden_act``."""

    def attention(self, query: Array, key_TH: Array, value_TH: Array) -> Array:
        """Each row's attention to itself, (T, H); (B, H) if ``query`` is of first tokens alone."""


def logits(network: Network, ops: Ops) -> Array:
    """``logits_BK`` of one batch."""
    encoder = network.encoder
    x_TH = ops.enter(ops.norm(ops.embedded(network), network.embedding_norm, encoder.eps))
    for block in network.blocks[:-1]:
        x_TH = _through(block, x_TH, network, ops, first_only=False)
    state_BH = ops.leave(_through(network.blocks[-1], x_TH, network, ops, first_only=True))
    for linear, activation in network.head:
        state_BH = _linear(linear, state_BH, ops)
        if activation is not None:
            state_BH = ops.activation(state_BH, activation)
    return state_BH


def _through(
    block: BlockWeights, x_TH: Array, network: Network, ops: Ops, *, first_only: bool
) -> Array:
    """A block's output, (T, H), or that of first tokens alone, (B, H)."""
    eps = network.encoder.eps
    below = x_TH[ops.first_B] if first_only else x_TH
    query, key_TH, value_TH = _projected(block.query_key_value, below, x_TH, ops)
    mixed = _linear(block.attention_output, ops.attention(query, key_TH, value_TH), ops)
    mixed += below
    middle = ops.norm(mixed, block.attention_norm, eps)
    inner = ops.activation(_linear(block.mlp_in, middle, ops), network.encoder.activation)
    out = _linear(block.mlp_out, inner, ops)
    out += middle
    return ops.norm(out, block.mlp_norm, eps)


def _projected(
    linears: tuple[Linear, ...], below: Array, x_TH: Array, ops: Ops
) -> tuple[Array, Array, Array]:
    """Queries of ``below``; keys and values of every token."""
    if len(linears) == 3:
        query, key, value = linears
        return _linear(query, below, ops), _linear(key, x_TH, ops), _linear(value, x_TH, ops)
    assert below is x_TH
    (fused,) = linears
    width = x_TH.shape[1]
    all_three = _linear(fused, x_TH, ops)
    return all_three[:, :width], all_three[:, width : 2 * width], all_three[:, 2 * width :]


def _linear(linear: Linear, x_TI: Array, ops: Ops) -> Array:
    low, factors_O = linear.low_rank, linear.factors_O
    y_TO = ops.linear(x_TI, linear.weight_OI, linear.bias_O if factors_O is None else None)
    if low is not None:
        narrow_TR = x_TI @ low.a_RI.T
        narrow_TR *= low.scale if low.inner_R is None else low.scale * low.inner_R
        change_TO = narrow_TR @ low.b_OR.T
        y_TO += change_TO if low.outer_O is None else low.outer_O * change_TO
    if factors_O is not None:
        y_TO *= factors_O
        y_TO += linear.bias_O
    return y_TO
