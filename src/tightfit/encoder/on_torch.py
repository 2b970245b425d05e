"""Logits of many rows in torch: padded batches of like length, adapters merged into the weights.

What is merged or put side by side is a copy, and goes with the :class:`TorchForward`; every other
weight is the mapped file itself, on a CPU.

Shapes: B rows of a batch, L tokens of its longest row, T = B x L, or some more; H hidden width;
N attention heads; D width of one; K labels; I and O widths in and out of a layer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tightfit.data.batch_order import length_sorted
from tightfit.data.batches import Batch, collate, most_padded_tokens
from tightfit.data.gpu import best_device
from tightfit.data.tokens import Tokens
from tightfit.encoder.forward import logits, states
from tightfit.encoder.network import BlockWeights, HeadLayer, Linear, Network, Norm
from tightfit.encoder.packed import pack, packed_product, packing_pays
from tightfit.encoder.padded_ops import ACTIVATIONS, PaddedOps
from tightfit.encoder.tensors import Stored
from tightfit.encoder.threads import side_by_side

FUSED: Mapping[str, tuple[str, str]] = {
    "gelu": ("gelu", "none"),
    "gelu_new": ("gelu", "tanh"),
    "gelu_pytorch_tanh": ("gelu", "tanh"),
    "relu": ("relu", ""),
    "silu": ("swish", ""),
    "swish": ("swish", ""),
    "tanh": ("tanh", ""),
}
"""What oneDNN calls the activations, and the kind of each."""

PACKED_PLACES = 16
"""Packed products have a multiple of this many tokens: oneDNN compiles one for each number, and
keeps it."""


Given = TypeVar("Given")
Got = TypeVar("Got")


class Engine(Protocol):
    """Anything that turns padded token ids into logits."""

    @property
    def multiple(self) -> int:
        """Lengths that batches should have are multiples of this, where the longest allows it."""

    @property
    def padded_tokens(self) -> int | None:
        """Padded tokens that a batch should have at most, if any."""

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""


@runtime_checkable
class SpreadEngine(Engine, Protocol):
    """An engine that works at several batches at once."""

    def spread(self, batches: Iterable[Batch]) -> Iterator[NDArray[np.float32]]:
        """``logits_BK`` of each batch, in order."""


class TorchForward:
    """A network of the numpy kind, as torch computes it; nothing trains."""

    def __init__(
        self,
        network: Network,
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
        *,
        packed: bool | None = None,
        padded_tokens: int | None = None,
    ) -> None:
        """Merge the adapters and take the weights to where they are used.

        Args:
            network: stays as it is.
            dtype: of the products inside the encoder; embeddings and head compute in fp32.
            device: None takes a GPU where torch sees one.
            packed: lay the weights out for oneDNN, on a CPU; None does where that is faster.
            padded_tokens: of one pass at most; None takes what suits the device.
        """
        device = device or best_device()
        packed = packing_pays(device, dtype) if packed is None else packed
        self._to = _Target(dtype, device, packed)
        self._network = self._to.network(network)
        # On a CPU oneDNN compiles its bf16 products once for each shape and keeps them all.
        self.multiple = 1 if dtype == torch.float32 else 8
        self.padded_tokens = padded_tokens or most_padded_tokens(self._to.device, dtype)

    @torch.inference_mode()
    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch; padded places may hold anything."""
        ops = _Ops(self._network, batch.to(self._to.device), self._to.dtype)
        return logits(self._network, ops).cpu().numpy()

    @torch.inference_mode()
    def states(self, batch: Batch) -> tuple[NDArray[np.float32], ...]:
        """What an output layer could read, (B, H) by either pooling: first tokens, and means."""
        ops = _Ops(self._network, batch.to(self._to.device), self._to.dtype)
        return tuple(state_BH.cpu().numpy() for state_BH in states(self._network, ops))

    def spread(self, batches: Iterable[Batch]) -> Iterator[NDArray[np.float32]]:
        """``logits_BK`` of each batch, in order; side by side where that is faster."""
        # Measured to be faster on a CPU: benchmarks/step.py.
        if self._to.device.type == "cpu":
            return side_by_side(self.logits, list(batches))
        return map(self.logits, batches)


def all_logits(
    engine: Engine,
    tokens: Tokens,
    *,
    batch: int | None = None,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """``logits_NK`` of all rows, in their order; rows of like length share a batch.

    Args:
        engine: what computes.
        tokens: at least one row.
        batch: rows of one batch; None takes as many as fit into its ``padded_tokens``.
        advance: told the number of rows done since the last call.
    """
    texts, tokens = tokens, replace(tokens.flat, multiple=engine.multiple)
    order = length_sorted(tokens, batch, engine.padded_tokens if batch is None else None)
    batches = (collate(tokens, rows) for rows in order)
    parts = []
    answers = engine.spread if isinstance(engine, SpreadEngine) else partial(map, engine.logits)
    for rows, logits_BK in zip(order, answers(batches), strict=True):
        parts.append(logits_BK)
        if advance is not None:
            advance(len(rows))
    joined_NK = np.concatenate(parts)
    logits_NK = np.empty_like(joined_NK)
    logits_NK[np.concatenate(order)] = joined_NK
    return texts.by_text(logits_NK)


@dataclass(frozen=True)
class _Target:
    """In which format and where the products are computed."""

    dtype: torch.dtype
    device: torch.device
    packs: bool = False

    def network(self, network: Network) -> Network:
        outside = _Target(torch.float32, self.device)
        *below, last = network.blocks
        return Network(
            network.encoder,
            outside.table(network.words),
            _perhaps(outside.table, network.positions),
            _perhaps(outside.tensor, network.segments_SH),
            outside.norm(network.embedding_norm),
            # Of the last block's queries perhaps only those of first tokens are needed.
            (
                *(self.block(block, first_only=False) for block in below),
                self.block(last, first_only=network.reading == "first"),
            ),
            _perhaps(outside.linear, network.embedding_projection),
            _perhaps(self.tensor, network.position_bias),
            tuple(
                HeadLayer(outside.linear(x.linear), x.activation, _perhaps(outside.norm, x.norm))
                for x in network.head
            ),
            _perhaps(outside.norm, network.final_norm),
            network.reading,
        )

    def block(self, block: BlockWeights[Linear], *, first_only: bool) -> BlockWeights[Linear]:
        projections = [linear.merged() for linear in block.query_key_value]
        if not first_only and len(projections) > 1:
            weights, biases = zip(*((x.weight_OI, x.bias_O) for x in projections), strict=True)
            projections = [Linear(np.concatenate(weights), np.concatenate(biases))]
        # What reads first tokens alone has as many rows as a batch, which is seldom the same.
        linear = self.linear if first_only else self.packed
        norms = _Target(torch.float32, self.device) if block.norm_first else self
        return replace(
            block,
            query_key_value=tuple(map(linear, projections)),
            attention_output=linear(block.attention_output),
            attention_norm=_perhaps(norms.norm, block.attention_norm),
            mlp_in=linear(block.mlp_in),
            mlp_out=linear(block.mlp_out),
            mlp_norm=norms.norm(block.mlp_norm),
        )

    def packed(self, linear: Linear) -> Linear:
        """Laid out for oneDNN, where that is asked for."""
        plain = self.linear(linear)
        if not self.packs:
            return plain
        return Linear(pack(plain.weight_OI), plain.bias_O)

    def linear(self, linear: Linear) -> Linear:
        plain = linear.merged()
        return Linear(self.tensor(plain.weight_OI), _perhaps(self.tensor, plain.bias_O))

    def norm(self, norm: Norm) -> Norm:
        return Norm(self.tensor(norm.weight_H), _perhaps(self.tensor, norm.bias_H))

    def tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return _shared(array).to(self.device, self.dtype)

    def table(self, stored: Stored) -> torch.Tensor:
        """Embeddings in the format of the file: rows are brought to fp32 when they are used."""
        raw = _shared(stored.raw if stored.format != "BF16" else stored.raw.view(np.int16))
        return (raw if stored.format != "BF16" else raw.view(torch.bfloat16)).to(self.device)


class _Ops(PaddedOps):
    """What :class:`tightfit.encoder.forward.Ops` asks of a network without adapters."""

    def __init__(self, network: Network, batch: Batch, dtype: torch.dtype) -> None:
        encoder, self._segments = network.encoder, batch.segments_BL
        self._norm_first = encoder.inside.norm_first
        self._fused = FUSED.get(encoder.activation)
        super().__init__(
            batch,
            dtype,
            heads=encoder.heads,
            eps=encoder.eps,
            inner=ACTIVATIONS[encoder.activation],
            position_bias=network.position_bias,
        )

    def embedded(self, network: Network) -> torch.Tensor:
        x_BLH = F.embedding(self._ids_BL, network.words).float()
        if network.segments_SH is not None:
            x_BLH += network.segments_SH[0 if self._segments is None else self._segments]
        if network.positions is not None:
            places_BL = _positions(self._ids_BL, network.encoder.padding_index)
            x_BLH += F.embedding(places_BL, network.positions).float()
        x_TH = x_BLH.flatten(0, 1)
        packed = network.blocks[0].mlp_in.weight_OI.is_mkldnn
        return F.pad(x_TH, (0, 0, 0, -len(x_TH) % PACKED_PLACES)) if packed else x_TH

    def enter(self, x_TH: torch.Tensor) -> torch.Tensor:
        return x_TH if self._norm_first else x_TH.to(self._dtype)

    def leave(self, state_BH: torch.Tensor) -> torch.Tensor:
        return state_BH.float()

    def linear(self, layer: Linear, x_TI: torch.Tensor) -> torch.Tensor:
        if layer.weight_OI.is_mkldnn:
            return packed_product(x_TI.to(self._dtype), layer.weight_OI, layer.bias_O)
        return F.linear(x_TI.to(layer.weight_OI.dtype), layer.weight_OI, layer.bias_O)

    def activated(self, layer: Linear, x_TI: torch.Tensor) -> torch.Tensor:
        if layer.weight_OI.is_mkldnn and self._fused is not None:
            activation, kind = self._fused
            return packed_product(
                x_TI, layer.weight_OI, layer.bias_O, activation=activation, kind=kind
            )
        return super().activated(layer, x_TI)


def _perhaps(taken: Callable[[Given], Got], given: Given | None) -> Got | None:
    """What there may not be."""
    return None if given is None else taken(given)


def _positions(ids_BL: torch.Tensor, padding_index: int | None) -> torch.Tensor:
    if padding_index is None:
        return torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL)
    # A pad token in the text itself counts as no position.
    counted_BL = (ids_BL != padding_index).long()
    return counted_BL.cumsum(1) * counted_BL + padding_index


def _shared(array: NDArray[Any]) -> torch.Tensor:
    """The same memory as a tensor, which nothing here writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        return torch.from_numpy(array)
