"""The same logits with less work: one forward pass for all encoders whose inside is known.

Against the model's own forward pass it leaves out what changes nothing:

- query, key and value are one product, and so are their adapters' A matrices;
- where the head reads the first token, the last layer computes nothing for any other, not
  even keys and values (:mod:`tightfit.model.first_token`);
- below the lowest adapter nothing is kept for the backward pass;
- frozen weights are put into the format of the products once, not at every step;
- dropouts are drawn as holes, not as masks (:mod:`tightfit.model.dropout`).

Shapes: B rows, L tokens, H hidden width, D width of an attention head, T = B x L tokens, I width of
a layer's input.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from tightfit.data.batches import Batch, most_padded_tokens
from tightfit.encoder.forward import behind_attention, last, through
from tightfit.encoder.network import BlockWeights, Norm
from tightfit.encoder.padded_ops import PaddedOps
from tightfit.families import FAMILIES, TO_ALL, Attention, Pooling, Reading, family
from tightfit.model.adapters import base_model, has_magnitudes, input_dropout
from tightfit.model.dropout import DropoutDraws
from tightfit.model.encoders import layer_stack
from tightfit.model.first_token import FirstToken
from tightfit.model.projections import UNDERSTOOD, Projection

Block = BlockWeights[Projection]


class _Ops(PaddedOps):
    """Inside the blocks as they train."""

    def __init__(
        self, batch: Batch, drawn: DropoutDraws | None, *, attention_dropout: float, **more: Any
    ) -> None:
        super().__init__(batch, attend=self._attend_with_dropout, **more)
        self.drawn, self._share = drawn, attention_dropout

    def linear(self, layer: Projection, x_TI: torch.Tensor) -> torch.Tensor:
        """All that a layer gives."""
        return layer(x_TI, self.drawn)

    def first_token(self, x_TH: torch.Tensor) -> FirstToken:
        """What attends for the first token alone."""
        x_BLH = x_TH.view(*self._ids_BL.shape, -1)
        bias = self.bias()
        bias = None if bias is None else bias[:, :, :1]
        return FirstToken(x_BLH, heads=self._heads, bias=bias, drawn=self.drawn, drop=self._drop)

    def _attend_with_dropout(self, *given: torch.Tensor) -> torch.Tensor:
        if self.drawn is None or not self._share:
            return attend(*given)
        query, key, value, bias = given
        return _by_products(query, key, value, bias, drop=self._drop)

    def _drop(self, weights: torch.Tensor) -> torch.Tensor:
        """Dropout of what attention weighs tokens by."""
        return weights if self.drawn is None else self.drawn.drop(weights, self._share)


class LeanEncoder:
    """The forward pass of a classifier with a frozen encoder."""

    def __init__(
        self,
        module: nn.Module,
        dtype: torch.dtype,
        pooling: Pooling = "first",
        *,
        frozen_dropout: bool = False,
        recompute: bool = False,
    ) -> None:
        """Look the parts up in ``module``, which stays as it is.

        Args:
            module: one for which :func:`why_not_lean` has no objection.
            dtype: of the products.
            pooling: of its plan; the block that stands for the mean is left out.
            frozen_dropout: whether the encoder's own dropouts act where something is drawn.
            recompute: whether only each layer's input is kept for the backward pass.
        """
        self.model, self.dtype = base_model(module), dtype
        """The ``transformers`` model inside, and the format of the products."""
        self.in_format = partial(
            LeanEncoder, module, pooling=pooling, frozen_dropout=frozen_dropout, recompute=recompute
        )
        """The same with products of another format."""
        layers, config = list(layer_stack(self.model)), self.model.config
        said = config.to_dict()
        record, self._recompute = FAMILIES[config.model_type], recompute
        layers = layers if pooling == "first" else layers[:-1]
        self._reading: Reading = record.reading(said) if pooling == "first" else "mean"
        inside = record.inside
        assert inside is not None
        first = layers[-1] if self._reading == "first" else None  # of which only that token counts
        below = self.model.base_model.get_submodule
        final = inside.final_norm
        self._final_norm = None if final is None else _norm(below(final), torch.float32)
        self.adds_up = final is not None
        """Whether what blocks give is the sum of all below: in fp32, and of any size."""
        self._between = torch.float32 if self.adds_up else dtype
        table = below(inside.position_bias).weight.detach() if inside.position_bias else None
        drops = frozen_dropout and inside.dropouts is not None
        weighed, mixed, out = _shares(layers[0], inside) if drops else (0.0, 0.0, 0.0)
        self._embedding_dropout = below("embeddings.dropout").p if drops else 0.0
        self._widening = getattr(self.model.base_model, inside.embedding_projection or "", None)
        self._ops = partial(
            _Ops,
            dtype=dtype,
            heads=config.num_attention_heads,
            eps=layers[0].get_submodule(inside.mlp_norm).eps,
            inner=layers[0].get_submodule(inside.activation),
            position_bias=None if table is None else table.to(dtype),
            attention_dropout=weighed,
        )
        block = partial(_block, self.model, dtype=dtype, dropouts=(mixed, out))
        self._blocks = [
            block(layer, attention=inside.attention(said, number), apart=layer is first)
            for number, layer in enumerate(layers)
        ]
        adapted = [i for i, block in enumerate(self._blocks) if _adapted(block)]
        self.frozen_depth = adapted[0] if adapted else len(self._blocks)
        """Layers below the lowest adapter."""
        self.draws = frozen_dropout or any(
            isinstance(m, BaseTunerLayer) and input_dropout(m) > 0 for m in self.model.modules()
        )
        """Whether a training pass draws anything at random."""
        self.prefix_draws = self._embedding_dropout > 0 or max(weighed, mixed, out) > 0
        """Whether what the lowest adapted layer reads changes from pass to pass."""

    @property
    def padded_tokens(self) -> int | None:
        """Padded tokens that one pass should have at most, if any."""
        return most_padded_tokens(self.model.device, self.dtype)

    @property
    def prefix_is_pooled(self) -> bool:
        """Whether nothing but the head trains, so that a prefix is what the head reads."""
        return self.frozen_depth == len(self._blocks)

    def logits(self, batch: Batch, drawn: DropoutDraws | None = None) -> torch.Tensor:
        """``logits_BK`` in fp32; dropouts of the encoder act where something is drawn."""
        return self.head(self.pooled(self.prefix(batch, drawn), batch, drawn))

    def prefix(self, batch: Batch, drawn: DropoutDraws | None = None) -> torch.Tensor:
        """What the lowest adapted layer reads, (B, L, H).

        Always the same for the same texts, unless frozen dropouts draw something.
        """
        with torch.no_grad():
            given = {name: x for name, x in batch.inputs.items() if name != "attention_mask"}
            x_BLH = self.model.base_model.embeddings(**given)
            if drawn is not None:
                x_BLH = drawn.drop(x_BLH, self._embedding_dropout)
            if self._widening is not None:
                x_BLH = self._widening(x_BLH)
            return self._through(range(self.frozen_depth), x_BLH.to(self._between), batch, drawn)

    def pooled(
        self, x_BLH: torch.Tensor, batch: Batch, drawn: DropoutDraws | None = None
    ) -> torch.Tensor:
        """What the head reads, (B, 1, H) in fp32, from what :meth:`prefix` gave.

        Padding may hold anything.
        """
        layers = range(self.frozen_depth, len(self._blocks))
        return self._through(layers, x_BLH.to(self._between), batch, drawn).float()

    def head(self, pooled_B1H: torch.Tensor) -> torch.Tensor:
        """``logits_BK`` in fp32 from what :meth:`pooled` gave."""
        return _head(self.model, pooled_B1H)

    @property
    def divides(self) -> bool:
        """Whether parts of a step are faster side by side, as measured: on a CPU, in fp32.

        In bf16 they are as fast, and take more memory.
        """
        return self.spreads and self.dtype == torch.float32

    @property
    def spreads(self) -> bool:
        """Whether batches that are only scored are faster side by side, as measured: on a CPU."""
        return self.model.device.type == "cpu"

    def _through(
        self, layers: range, x_BLH: torch.Tensor, batch: Batch, drawn: DropoutDraws | None
    ) -> torch.Tensor:
        if not layers:
            return x_BLH
        ops, x_TH = self._ops(batch, drawn), x_BLH.reshape(-1, x_BLH.shape[-1])
        for depth in layers:
            layer = partial(self._layer, depth, ops=ops)
            if self._recompute and torch.is_grad_enabled():
                # What is drawn depends on the layer alone, and needs no state to be put back.
                x_TH = checkpoint(layer, x_TH, use_reentrant=False, preserve_rng_state=False)
            else:
                x_TH = layer(x_TH)
        return x_TH.view(len(x_BLH), -1, x_TH.shape[1])

    def _layer(self, depth: int, x_TH: torch.Tensor, ops: _Ops) -> torch.Tensor:
        if ops.drawn is not None:
            ops.drawn.enter(1 + depth)
        block, above = self._blocks[depth], len(self._blocks) - 1 - depth
        if above:
            return through(block, x_TH, ops)
        if self._reading != "first" or not _folds(block):
            return last(block, x_TH, ops, final=self._final_norm, reading=self._reading)
        query, key, value = block.query_key_value
        below = ops.first(x_TH)
        attended = ops.first_token(x_TH).mixed(ops.linear(query, below), key, value)
        return behind_attention(block, below, attended, ops)


MOST_BY_PRODUCTS = 512
"""Tokens up to which that is faster; with more the kernel is, which does not keep all pairs."""


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Scaled dot-product attention over (B, heads, L, D).

    On a CPU the backward pass of torch's own kernel takes five times as long in bf16 as in fp32,
    and twice as long as these three products: benchmarks/step.py measures it.
    """
    slow_backward = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    slow_backward &= key.shape[2] <= MOST_BY_PRODUCTS
    if not (slow_backward and query.requires_grad):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    return _by_products(query, key, value, bias)


def _by_products(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    *,
    drop: Callable[[torch.Tensor], torch.Tensor] = lambda weights: weights,
) -> torch.Tensor:
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    return drop(scores.softmax(-1)) @ value


def why_not_lean(
    module: nn.Module, *, frozen_dropout: bool, pooling: Pooling = "first"
) -> str | None:
    """The reason why a model must use its own forward pass, or None where it need not."""
    model = base_model(module)
    inside = FAMILIES[model.config.model_type].inside
    if inside is None:
        return f"{model.config.model_type} has blocks that only transformers computes"
    if unknown := inside.unknown(model.config.to_dict()):
        return unknown
    if any(p.requires_grad for p in model.base_model.embeddings.parameters()):
        return "every weight trains"
    tuners = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    if any(not isinstance(m, UNDERSTOOD) for m in tuners):
        return "adapters are of a kind that only peft computes"
    if has_magnitudes(module) and any(map(input_dropout, tuners)):
        return "with adapters.dropout DoRA computes the frozen products a second time"
    if frozen_dropout and inside.dropouts is None and _drops(model.base_model):
        return f"model.frozen_dropout=true acts inside the MLP of {model.config.model_type}"
    if frozen_dropout and pooling == "mean":
        return "model.frozen_dropout=true acts in the block that stands for the mean, too"
    return None


def _shares(layer: nn.Module, inside: family.Block) -> tuple[float, ...]:
    """Of the frozen dropouts in a block."""
    paths = inside.dropouts or ()
    return tuple(0.0 if path is None else layer.get_submodule(path).p for path in paths)


def _drops(encoder: nn.Module) -> bool:
    return any(isinstance(m, nn.Dropout) and m.p > 0 for m in encoder.modules())


def _block(
    model: PreTrainedModel,
    layer: nn.Module,
    dtype: torch.dtype,
    *,
    attention: Attention,
    dropouts: tuple[float, float],
    apart: bool,
) -> Block:
    """One layer; query, key and value side by side, or apart."""
    record = FAMILIES[model.config.model_type]
    *read, output, mlp_in, mlp_out = map(layer.get_submodule, record.linears)
    inside = record.inside
    assert inside is not None
    between = torch.float32 if inside.norm_first else dtype
    attention_norm = layer.get_submodule(inside.attention_norm)
    return BlockWeights(
        tuple(Projection([m], dtype) for m in read) if apart else (Projection(read, dtype),),
        Projection([output], dtype, dropouts[0]),
        None if isinstance(attention_norm, nn.Identity) else _norm(attention_norm, between),
        Projection([mlp_in], dtype),
        Projection([mlp_out], dtype, dropouts[1]),
        _norm(layer.get_submodule(inside.mlp_norm), between),
        attention,
        inside.norm_first,
        record.gated,
    )


def _folds(block: Block) -> bool:
    """Whether keys and values need not be computed. Measured on a CPU alone.

    Where positions turn them each token's are its own.
    """
    alike = len(block.query_key_value) == 3 and block.attention == TO_ALL
    return alike and not any(
        each.scaled or each.weight_OI.is_cuda for each in block.query_key_value
    )


def _adapted(block: Block) -> bool:
    """Whether anything in it trains."""
    parts = (*block.query_key_value, block.attention_output, block.mlp_in, block.mlp_out)
    return any(part.adapted for part in parts)


def _norm(norm: nn.Module, dtype: torch.dtype) -> Norm:
    shift = None if norm.bias is None else norm.bias.detach().to(dtype)
    return Norm(norm.weight.detach().to(dtype), shift)


def _head(model: Any, pooled_B1H: torch.Tensor) -> torch.Tensor:
    """The model's own head on what it reads of the last layer."""
    record = FAMILIES[model.config.model_type]
    *hidden, output = record.head
    assert record.inside is not None
    state = pooled_B1H
    for spec in hidden:
        module = model.get_submodule(spec.module)
        if spec.module in spec.linears:  # a bare layer, around which the model does the rest
            state_BH = ACT2FN[spec.activation](module(state[:, 0]))
        else:  # a module that takes the first token by itself, or keeps what there is of tokens
            state_BH = module(state).flatten(0, -2)
        state = model.get_submodule(record.inside.head_dropout)(state_BH)
    logits = model.get_submodule(output.module)(state)
    assert isinstance(logits, torch.Tensor)
    return logits
