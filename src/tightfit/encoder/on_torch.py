"""Logits of many rows in torch: padded batches of like length, adapters merged into the weights.

What is merged or put side by side is a copy, and goes with the :class:`TorchForward`; every other
weight is the mapped file itself, on a CPU.

Shapes: B rows of a batch, L tokens of its longest row, T = B x L, or some more; H hidden width;
N attention heads; D width of one; K labels; I and O widths in and out of a layer.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from tightfit.data.batch_order import length_sorted
from tightfit.data.batches import FP32_PADDED_TOKENS, Batch, collate, most_padded_tokens
from tightfit.data.gpu import best_device, copied
from tightfit.data.tokens import Tokens
from tightfit.encoder.forward import logits, states
from tightfit.encoder.network import BlockWeights, Linear, Network, Norm
from tightfit.encoder.on_numpy import buckets
from tightfit.encoder.tensors import Stored
from tightfit.encoder.threads import side_by_side

Activation = Callable[[torch.Tensor], torch.Tensor]

ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "swish": F.silu,
    "tanh": torch.tanh,
}

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
        packed = _packing_pays(device, dtype) if packed is None else packed
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
        bias, segments_SH = network.position_bias, network.segments_SH
        widening = network.embedding_projection
        return Network(
            network.encoder,
            outside.table(network.words),
            outside.table(network.positions),
            None if segments_SH is None else outside.tensor(segments_SH),
            outside.norm(network.embedding_norm),
            # Of the last block's queries perhaps only those of first tokens are needed.
            (
                *(self.block(block, first_only=False) for block in below),
                self.block(last, first_only=network.pooling == "first"),
            ),
            None if widening is None else outside.linear(widening),
            None if bias is None else self.tensor(bias),
            tuple((outside.linear(linear), activation) for linear, activation in network.head),
            network.pooling,
        )

    def block(self, block: BlockWeights[Linear], *, first_only: bool) -> BlockWeights[Linear]:
        projections = [linear.merged() for linear in block.query_key_value]
        if not first_only:
            weights, biases = zip(*((x.weight_OI, x.bias_O) for x in projections), strict=True)
            projections = [Linear(np.concatenate(weights), np.concatenate(biases))]
        # What reads first tokens alone has as many rows as a batch, which is seldom the same.
        linear = self.linear if first_only else self.packed
        return BlockWeights(
            tuple(map(linear, projections)),
            linear(block.attention_output),
            self.norm(block.attention_norm),
            linear(block.mlp_in),
            linear(block.mlp_out),
            self.norm(block.mlp_norm),
        )

    def packed(self, linear: Linear) -> Linear:
        """Laid out for oneDNN, where that is asked for."""
        plain = self.linear(linear)
        if not self.packs:
            return plain
        packed = torch.ops.mkldnn._reorder_linear_weight(plain.weight_OI, FP32_PADDED_TOKENS)
        return Linear(packed, plain.bias_O)

    def linear(self, linear: Linear) -> Linear:
        plain = linear.merged()
        return Linear(self.tensor(plain.weight_OI), self.tensor(plain.bias_O))

    def norm(self, norm: Norm) -> Norm:
        return Norm(self.tensor(norm.weight_H), self.tensor(norm.bias_H))

    def tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return _shared(array).to(self.device, self.dtype)

    def table(self, stored: Stored) -> torch.Tensor:
        """Embeddings in the format of the file: rows are brought to fp32 when they are used."""
        raw = _shared(stored.raw if stored.format != "BF16" else stored.raw.view(np.int16))
        return (raw if stored.format != "BF16" else raw.view(torch.bfloat16)).to(self.device)


class PaddedOps(ABC):
    """What :class:`tightfit.encoder.forward.BlockOps` asks, over padded rows, linear layers aside.

    Args:
        batch: the rows.
        dtype: of the products.
        heads: of attention.
        eps: of the norms.
        inner: the encoder's own activation.
        position_bias: of :class:`Network`.
        attend: scaled dot-product attention over (B, heads, L, D), with a bias on the scores.
    """

    def __init__(
        self,
        batch: Batch,
        dtype: torch.dtype,
        *,
        heads: int,
        eps: float,
        inner: Activation,
        position_bias: torch.Tensor | None,
        attend: Callable[..., torch.Tensor] = F.scaled_dot_product_attention,
    ) -> None:
        self._ids_BL, self._dtype, self._heads, self._eps = batch.ids_BL, dtype, heads, eps
        self._inner, self._attend = inner, attend
        self._bias = _attention_bias(position_bias, batch, dtype)

    def first(self, x_TH: torch.Tensor) -> torch.Tensor:
        """What there is of first tokens, (B, H)."""
        return x_TH[: self._ids_BL.numel()].view(len(self._ids_BL), -1, x_TH.shape[1])[:, 0]

    @abstractmethod
    def linear(self, layer: Any, x_TI: torch.Tensor) -> torch.Tensor:
        """All that a layer gives."""

    def activated(self, layer: Any, x_TI: torch.Tensor) -> torch.Tensor:
        """The encoder's own activation of it."""
        return self.activation(self.linear(layer, x_TI))

    def norm(self, x_TH: torch.Tensor, norm: Norm | None) -> torch.Tensor:
        """LayerNorm of each token; None is one without scale and shift."""
        scale_shift = (None, None) if norm is None else (norm.weight_H, norm.bias_H)
        return F.layer_norm(x_TH, x_TH.shape[-1:], *scale_shift, self._eps)

    def attention(
        self, query: torch.Tensor, key_TH: torch.Tensor, value_TH: torch.Tensor
    ) -> torch.Tensor:
        """Each row's attention to itself."""
        width = query.shape[1] // self._heads
        query_BNLD, key_BNLD, value_BNLD = (
            x[: self._ids_BL.numel()]
            .view(len(self._ids_BL), -1, self._heads, width)
            .transpose(1, 2)
            for x in (query, key_TH, value_TH)
        )
        bias = self._bias
        if bias is not None and bias.shape[2] > 1:
            bias = bias[:, :, : query_BNLD.shape[2]]
        mixed = self._attend(query_BNLD, key_BNLD, value_BNLD, bias)
        mixed = mixed.transpose(1, 2).reshape(-1, query.shape[1])
        more = len(query) - len(mixed)
        return F.pad(mixed, (0, 0, 0, more)) if more else mixed

    def activation(self, x: torch.Tensor, name: str | None = None) -> torch.Tensor:
        """By name; else the encoder's own."""
        return ACTIVATIONS[name](x) if name else self._inner(x)


class _Ops(PaddedOps):
    """What :class:`tightfit.encoder.forward.Ops` asks of a network without adapters."""

    def __init__(self, network: Network, batch: Batch, dtype: torch.dtype) -> None:
        encoder, self._segments = network.encoder, batch.segments_BL
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
        places_BL = _positions(self._ids_BL, network.encoder.padding_index)
        x_BLH += F.embedding(places_BL, network.positions).float()
        x_TH = x_BLH.flatten(0, 1)
        packed = network.blocks[0].mlp_in.weight_OI.is_mkldnn
        return F.pad(x_TH, (0, 0, 0, -len(x_TH) % PACKED_PLACES)) if packed else x_TH

    def enter(self, x_TH: torch.Tensor) -> torch.Tensor:
        return x_TH.to(self._dtype)

    def leave(self, state_BH: torch.Tensor) -> torch.Tensor:
        return state_BH.float()

    def linear(self, layer: Linear, x_TI: torch.Tensor) -> torch.Tensor:
        if layer.weight_OI.is_mkldnn:
            return _packed_product(x_TI, layer, "none", "")
        return F.linear(x_TI, layer.weight_OI, layer.bias_O)

    def activated(self, layer: Linear, x_TI: torch.Tensor) -> torch.Tensor:
        if layer.weight_OI.is_mkldnn and self._fused is not None:
            return _packed_product(x_TI, layer, *self._fused)
        return super().activated(layer, x_TI)


def _packing_pays(device: torch.device, dtype: torch.dtype) -> bool:
    """Measured: 11 to 15% with AVX512, nothing without (docs/experiments/prediction-speed.md)."""
    return (
        device.type == "cpu"
        and dtype in (torch.float32, torch.bfloat16)
        and "AVX512" in torch.backends.cpu.get_cpu_capability()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _packed_product(x_TI: torch.Tensor, layer: Linear, activation: str, kind: str) -> torch.Tensor:
    """What a packed layer gives, through an activation of oneDNN's."""
    return torch.ops.mkldnn._linear_pointwise(
        x_TI, layer.weight_OI, layer.bias_O, activation, [], kind
    )


def _attention_bias(
    position_bias: torch.Tensor | None, batch: Batch, dtype: torch.dtype
) -> torch.Tensor | None:
    """What is added to scores, broadcastable to (B, N, L, L): very little at padding, positions."""
    bias = None
    if position_bias is not None:
        places_LL = copied(torch.from_numpy(buckets(batch.ids_BL.shape[1])), batch.ids_BL.device)
        bias = position_bias[places_LL].permute(2, 0, 1)[None].contiguous()
    if batch.padded:
        lowest = torch.finfo(dtype).min
        hidden = (1 - batch.mask_BL)[:, None, None, :].to(dtype) * lowest
        bias = hidden if bias is None else bias + hidden
    return bias


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
