"""An encoder, an adapter and a head put together: which weights take part, and in what order.

One description, which numpy and torch both follow (:mod:`tightfit.encoder.forward`). Putting it
together copies no weight.

Shapes: I and O widths in and out of a layer, H hidden width, R rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from tightfit.encoder.adapter_weights import AdapterWeights, Change, LowRank
from tightfit.encoder.frozen import FrozenEncoder, UnknownInside
from tightfit.encoder.tensors import Stored
from tightfit.errors import ArtefactError
from tightfit.families import Attention, HeadSpec, Reading

Array = Any
"""A numpy array, or a torch tensor: what both can do is written once."""

Layer = TypeVar("Layer")


@dataclass(frozen=True, eq=False)
class Linear:
    """``y = factors (W x + change x) + b``."""

    weight_OI: Array
    bias_O: Array | None
    low_rank: LowRank | None = None
    factors_O: Array | None = None

    def merged(self) -> Linear:
        """A plain layer that computes the same: itself, or one with a weight of its own."""
        if self.low_rank is None and self.factors_O is None:
            return self
        weight_OI = self.weight_OI
        if self.low_rank is not None:
            weight_OI = weight_OI + self.low_rank.weight()
        if self.factors_O is not None:
            weight_OI = self.factors_O[:, None] * weight_OI
        return Linear(weight_OI, self.bias_O)


@dataclass(frozen=True, eq=False)
class Norm:
    """LayerNorm (arXiv:1607.06450) over the hidden width."""

    weight_H: Array
    bias_H: Array | None


@dataclass(frozen=True, eq=False)
class BlockWeights(Generic[Layer]):
    """One transformer layer, normalised after each half, or before it."""

    query_key_value: tuple[Layer, ...]
    """Three layers, or one that gives all three side by side."""
    attention_output: Layer
    attention_norm: Norm | None
    """None where what is read has just been normalised."""
    mlp_in: Layer
    mlp_out: Layer
    mlp_norm: Norm
    attention: Attention
    norm_first: bool
    """Each half reads what its norm gives, and adds to what stood before that norm."""
    gated: bool
    """The MLP's first layer gives values, which are activated, and beside them their factors."""


@dataclass(frozen=True, eq=False)
class HeadLayer:
    """A layer of a head, and what follows it."""

    linear: Linear
    activation: str | None
    norm: Norm | None = None


@dataclass(frozen=True, eq=False)
class Network:
    """All weights of a classifier, and what is done with them."""

    encoder: FrozenEncoder
    words: Stored | Array
    positions: Stored | Array | None
    """Tables of embeddings: of a file, or tensors; None where positions have none."""
    segments_SH: Array | None
    """Embeddings of segments (token types), where there are any: S is 2, or 1."""
    embedding_norm: Norm
    blocks: tuple[BlockWeights[Linear], ...]
    embedding_projection: Linear | None
    """To the hidden width, where embeddings are narrower."""
    position_bias: Array | None
    """Added to attention scores, by bucket of the distance and by head."""
    head: tuple[HeadLayer, ...]
    """Layers that read the pooled state one after the other."""
    final_norm: Norm | None
    """Behind the last block, where it has none there itself."""
    reading: Reading

    @property
    def labels(self) -> int:
        """Logits of each row; numbers of a state where there is no head."""
        return len(self.head[-1].linear.weight_OI) if self.head else self.encoder.hidden

    @property
    def multiplications(self) -> int:
        """That each token costs in the frozen layers; attention and adapters are far less."""
        return sum(
            linear.weight_OI.size
            for block in self.blocks
            for linear in (
                *block.query_key_value,
                block.attention_output,
                block.mlp_in,
                block.mlp_out,
            )
        )


def put_together(encoder: FrozenEncoder, adapter: AdapterWeights) -> Network:
    """The network of a classifier.

    Raises:
        UnknownInside: the adapter changes something that only ``peft`` knows how to compute.
        ArtefactError: the adapter fits another encoder, or there is no head.
        ModelError: the checkpoint lacks weights.
    """
    return _Parts(encoder, adapter).network()


def bare_network(encoder: FrozenEncoder) -> Network:
    """The encoder alone, with the hidden layers of a head that its checkpoint brings.

    Raises:
        ModelError: the checkpoint lacks weights.
    """
    return _Parts(encoder, AdapterWeights()).network(bare=True)


class _Parts:
    """Looks tensors up, and notes which of the adapter's were asked for."""

    def __init__(self, encoder: FrozenEncoder, adapter: AdapterWeights) -> None:
        self.encoder, self.adapter = encoder, adapter
        self._asked: set[str] = set()

    def network(self, *, bare: bool = False) -> Network:
        encoder, inside = self.encoder, self.encoder.inside
        base = f"{encoder.family.encoder}.embeddings"
        types = self.stored(f"{base}.token_type_embeddings.weight") if inside.token_types else None
        words, positions, norm = inside.embeddings
        bias, final = inside.position_bias, inside.final_norm
        network = Network(
            encoder,
            self.stored(f"{base}.{words}.weight"),
            None if positions is None else self.stored(f"{base}.{positions}.weight"),
            None if types is None else types.floats,
            self.norm(f"{base}.{norm}"),
            tuple(map(self.block, range(encoder.depth))),
            self.embedding_projection(),
            bias and self.stored(f"{encoder.family.encoder}.{bias}.weight").floats,
            self.stored_head() if bare else self.head(),
            None if final is None else self.norm(f"{encoder.family.encoder}.{final}"),
            "mean" if bare else self.reading(),
        )
        strange = (self.adapter.tensors.keys() | self.adapter.changes.keys()) - self._asked
        if strange:
            raise UnknownInside("the adapter changes other parts", seen=", ".join(sorted(strange)))
        return network

    def embedding_projection(self) -> Linear | None:
        """Where the checkpoint has one: its embeddings may be as wide as its blocks."""
        below = self.encoder.inside.embedding_projection
        name = f"{self.encoder.family.encoder}.{below}"
        absent = below is None or self.encoder.find(f"{name}.weight") is None
        return None if absent else self.linear(name)

    def reading(self) -> Reading:
        """The mean, where the adapter brings the block that stands for it."""
        block = self.adapter.mean_block(self.encoder.family, self.encoder.depth)
        self._asked.update(block)
        return "mean" if block else self.encoder.reading

    def stored(self, name: str) -> Stored:
        self._asked.add(name)
        own = self.adapter.tensors.get(name)
        return self.encoder.stored(name) if own is None else own

    def norm(self, name: str) -> Norm:
        return Norm(self.stored(f"{name}.weight").floats, self.bias(name))

    def bias(self, name: str) -> Array | None:
        """None where the family may go without, and does."""
        name = f"{name}.bias"
        own = self.adapter.tensors.get(name) or self.encoder.find(name)
        absent = own is None and self.encoder.family.optional_bias
        return None if absent else self.stored(name).floats

    def block(self, number: int) -> BlockWeights[Linear]:
        family, inside = self.encoder.family, self.encoder.inside
        path = f"{family.encoder}.{family.block.format(number)}"
        *read, output, mlp_in, mlp_out = (
            self.linear(f"{path}.{below}") for below in family.linears
        )
        bare = inside.norm_first and number == 0
        return BlockWeights(
            tuple(read),
            output,
            None if bare else self.norm(f"{path}.{inside.attention_norm}"),
            mlp_in,
            mlp_out,
            self.norm(f"{path}.{inside.mlp_norm}"),
            self.encoder.attention[number],
            inside.norm_first,
            family.gated,
        )

    def head(self) -> tuple[HeadLayer, ...]:
        specs = self.encoder.family.head
        for name in (name for spec in specs for name in spec.linears):
            weight = f"{name}.weight"
            if weight not in self.adapter.tensors and self.encoder.find(weight) is None:
                raise ArtefactError(
                    "the run has no head, and its encoder has none either", seen=f"no {weight}"
                )
        return tuple(layer for spec in specs for layer in self.head_layers(spec))

    def stored_head(self) -> tuple[HeadLayer, ...]:
        """Its hidden layers as far as the checkpoint brings them, trained."""
        specs = (spec for spec in self.encoder.family.head if spec.often_stored)
        return tuple(
            layer
            for spec in specs
            if all(self.encoder.find(f"{name}.weight") is not None for name in spec.linears)
            for layer in self.head_layers(spec)
        )

    def head_layers(self, spec: HeadSpec) -> Iterator[HeadLayer]:
        """The linear layers of a module of the head, each with what follows it."""
        for name, writes in spec.linears.items():
            hidden = writes == "hidden"
            norm = self.norm(spec.norm) if hidden and spec.norm else None
            activation = spec.activation or self.encoder.head_activation
            yield HeadLayer(self.linear(name), activation if hidden else None, norm)

    def linear(self, name: str) -> Linear:
        self._asked.add(name)
        weight_OI, bias_O = self.stored(f"{name}.weight").floats, self.bias(name)
        change = self.adapter.changes.get(name)
        return Linear(weight_OI, bias_O) if change is None else _changed(weight_OI, bias_O, change)


def _changed(weight_OI: Array, bias_O: Array | None, change: Change) -> Linear:
    if change.factors_O is not None:
        shift_O = None if bias_O is None else change.factors_O * bias_O
        return Linear(weight_OI, shift_O, None, change.factors_O)
    low = change.low_rank
    assert low is not None
    low = _fitting(low, weight_OI)
    if change.without_leading:
        low = _with_leading_undone(low, weight_OI)
    if change.lengths_O is None:
        return Linear(weight_OI, bias_O, low)
    rows_O = np.linalg.norm(weight_OI + low.weight(), axis=1)
    return Linear(weight_OI, bias_O, low, change.lengths_O / rows_O)


def _fitting(low: LowRank, weight_OI: Array) -> LowRank:
    """The part of VeRA's shared matrices that a layer uses: they fit the widest.

    Raises:
        ArtefactError: the matrices belong to layers of another size.
    """
    wide_out, wide_in = weight_OI.shape
    # VeRA's alone may be wider: one pair for all layers.
    shared = low.outer_O is not None
    a_RI, b_OR = (low.a_RI[:, :wide_in], low.b_OR[:wide_out]) if shared else (low.a_RI, low.b_OR)
    if (b_OR.shape[0], a_RI.shape[1]) != (wide_out, wide_in) or len(a_RI) != b_OR.shape[1]:
        raise ArtefactError(
            "the adapter fits an encoder of another size",
            seen=f"{b_OR.shape} x {a_RI.shape} on {weight_OI.shape}",
            next_step="check that the base model is the one that the run names",
        )
    return LowRank(a_RI, b_OR, low.scale, low.inner_R, low.outer_O)


def _with_leading_undone(low: LowRank, weight_OI: Array) -> LowRank:
    """The adapter, and minus the leading terms of the weight, as one product of twice the rank."""
    rank = len(low.a_RI)
    left, values, right = np.linalg.svd(weight_OI, full_matrices=False)
    leading_OR = -left[:, :rank] * values[:rank]
    return LowRank(
        np.concatenate([low.a_RI, right[:rank]]),
        np.concatenate([np.float32(low.scale) * low.b_OR, leading_OR], axis=1),
    )
