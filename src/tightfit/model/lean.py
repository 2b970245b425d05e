"""The same logits with less work: one forward pass for all encoders built like BERT.

Against the model's own forward pass it leaves out what changes nothing:

- query, key and value are one product, and so are their adapters' A matrices;
- where the head reads the first token, the last layer computes keys and values for all
  tokens and everything else for the first alone;
- below the lowest adapter nothing is kept for the backward pass;
- frozen weights are put into the format of the products once, not at every step.

Shapes: B rows, L tokens, H hidden width, D width of an attention head, T = B x L tokens, I and O
widths in and out, R ranks of all adapters of a product together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.tuners.vera import VeraLayer
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from tightfit.data.batches import Batch, most_padded_tokens
from tightfit.encoder.forward import last, through
from tightfit.encoder.network import BlockWeights, Norm
from tightfit.encoder.on_torch import PaddedOps
from tightfit.families import FAMILIES, Pooling, Role
from tightfit.model.adapters import ADAPTER, adapter_dropouts, base_model, has_magnitudes
from tightfit.model.encoders import layer_stack

PRODUCTS = (LoraLayer, VeraLayer)
"""Adapters that add a product of two narrow matrices to the weight."""


class AdaptedProduct(torch.autograd.Function):
    """``y = x W' + b + (x A') B'`` with W and b frozen: gradients for x, A and B only.

    By hand because each small product can then be added onto the large one in place. What has a
    side of R is kept with R first: with few rows of many numbers the same products take half to a
    fifth of the time that they take with many rows of few.
    """

    @staticmethod
    def forward(ctx: Any, *args: torch.Tensor) -> torch.Tensor:
        """Shapes: x (T, I), W (O, I), b (O), A (R, I), B (O, R); gives (T, O)."""
        x_TI, weight_OI, bias_O, a_RI, b_OR = args
        low_RT = a_RI @ x_TI.T
        ctx.save_for_backward(x_TI, weight_OI, a_RI, b_OR, low_RT)
        return F.linear(x_TI, weight_OI, bias_O).addmm_(low_RT.T, b_OR.T)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients in the order of ``forward``'s arguments."""
        x_TI, weight_OI, a_RI, b_OR, low_RT = ctx.saved_tensors
        (grad_TO,) = grads
        grad_low_RT = b_OR.T @ grad_TO.T
        grad_x_TI = None
        if ctx.needs_input_grad[0]:
            grad_x_TI = (grad_TO @ weight_OI).addmm_(grad_low_RT.T, a_RI)
        return grad_x_TI, None, None, grad_low_RT @ x_TI, (low_RT @ grad_TO).T


class Projection:
    """Linear layers that read the same input, as one product, with their adapters."""

    def __init__(self, linears: Sequence[nn.Module], dtype: torch.dtype) -> None:
        """Take the frozen weights of ``linears`` (plain or adapted) in the given format."""
        bare = [m.get_base_layer() if isinstance(m, BaseTunerLayer) else m for m in linears]
        self.weight_OI = _stacked([m.weight.detach() for m in bare]).to(dtype)
        self.bias_O = _stacked([m.bias.detach() for m in bare]).to(dtype)
        starts = [sum(m.out_features for m in bare[:i]) for i in range(len(bare))]
        self._adapted = [
            (start, m) for start, m in zip(starts, linears, strict=True) if isinstance(m, PRODUCTS)
        ]

    @property
    def adapted(self) -> bool:
        """Whether any of the layers has an adapter."""
        return bool(self._adapted)

    def __call__(self, x_TI: torch.Tensor) -> torch.Tensor:
        """All outputs side by side, (T, O)."""
        if not self._adapted:
            return F.linear(x_TI, self.weight_OI, self.bias_O)
        a_RI, b_OR = self._adapters(x_TI.dtype)
        return AdaptedProduct.apply(x_TI, self.weight_OI, self.bias_O, a_RI, b_OR)

    def _adapters(self, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """All A matrices one above the other, and the scaled B matrices in their own places."""
        pairs = [(start, *_matrices(m)) for start, m in self._adapted]
        a_RI = torch.cat([a for _, a, _ in pairs])
        b_OR = a_RI.new_zeros(len(self.weight_OI), len(a_RI))
        column = 0
        for start, _, b in pairs:
            b_OR[start : start + b.shape[0], column : column + b.shape[1]] = b
            column += b.shape[1]
        return a_RI.to(dtype), b_OR.to(dtype)


def _matrices(layer: LoraLayer | VeraLayer) -> tuple[torch.Tensor, torch.Tensor]:
    """A (R, I) and the scaled B (O, R) whose product changes the layer's weight."""
    if isinstance(layer, LoraLayer):
        b_OR = layer.lora_B[ADAPTER].weight * layer.scaling[ADAPTER]
        return layer.lora_A[ADAPTER].weight, b_OR
    assert layer.vera_A is not None
    assert layer.vera_B is not None
    a_RI = layer.vera_A[ADAPTER][:, : layer.in_features]
    b_OR = layer.vera_B[ADAPTER][: layer.out_features]
    d_R, c_O = (v[ADAPTER] for v in (layer.vera_lambda_d, layer.vera_lambda_b))
    return d_R[:, None] * a_RI, c_O[:, None] * b_OR


Block = BlockWeights[Projection]


class _Ops(PaddedOps):
    """Inside the blocks as they train."""

    def linear(self, layer: Projection, x_TI: torch.Tensor) -> torch.Tensor:
        """All that a layer gives."""
        return layer(x_TI)


class LeanEncoder:
    """The forward pass of a classifier whose frozen encoder has no dropout."""

    def __init__(self, module: nn.Module, dtype: torch.dtype, pooling: Pooling = "first") -> None:
        """Look the parts up in ``module``, which stays as it is.

        Args:
            module: one for which :func:`why_not_lean` has no objection.
            dtype: of the products.
            pooling: of its plan; the block that stands for the mean is left out.
        """
        self.model, self.dtype = base_model(module), dtype
        """The ``transformers`` model inside, and the format of the products."""
        layers, config = list(layer_stack(self.model)), self.model.config
        self._pooling = pooling
        layers = layers if pooling == "first" else layers[:-1]
        inside = FAMILIES[config.model_type].inside
        assert inside is not None
        below = self.model.base_model.get_submodule
        table = below(inside.position_bias).weight.detach() if inside.position_bias else None
        self._ops = partial(
            _Ops,
            dtype=dtype,
            heads=config.num_attention_heads,
            eps=layers[0].get_submodule(inside.mlp_norm).eps,
            inner=layers[0].get_submodule(inside.activation),
            position_bias=None if table is None else table.to(dtype),
        )
        self._blocks = [_block(self.model, layer, dtype) for layer in layers]
        adapted = [i for i, block in enumerate(self._blocks) if _adapted(block)]
        self.frozen_depth = adapted[0] if adapted else len(self._blocks)
        """Layers below the lowest adapter."""

    @property
    def padded_tokens(self) -> int | None:
        """Padded tokens that one pass should have at most, if any."""
        return most_padded_tokens(self.model.device, self.dtype)

    @property
    def prefix_is_pooled(self) -> bool:
        """Whether nothing but the head trains, so that a prefix is what the head reads."""
        return self.frozen_depth == len(self._blocks)

    def logits(self, batch: Batch) -> torch.Tensor:
        """``logits_BK`` in fp32."""
        return self.suffix(self.prefix(batch), batch)

    def prefix(self, batch: Batch) -> torch.Tensor:
        """What the lowest adapted layer reads, (B, L, H): always the same for the same texts."""
        with torch.no_grad():
            given = {name: x for name, x in batch.inputs.items() if name != "attention_mask"}
            x_BLH = self.model.base_model.embeddings(**given).to(self.dtype)
            return self._through(range(self.frozen_depth), x_BLH, batch)

    def suffix(self, x_BLH: torch.Tensor, batch: Batch) -> torch.Tensor:
        """``logits_BK`` in fp32 from what :meth:`prefix` gave; padding may hold anything."""
        return self.head(self.pooled(x_BLH, batch))

    def pooled(self, x_BLH: torch.Tensor, batch: Batch) -> torch.Tensor:
        """What the head reads, (B, 1, H) in fp32, from what :meth:`prefix` gave."""
        layers = range(self.frozen_depth, len(self._blocks))
        return self._through(layers, x_BLH.to(self.dtype), batch).float()

    def head(self, pooled_B1H: torch.Tensor) -> torch.Tensor:
        """``logits_BK`` in fp32 from what :meth:`pooled` gave."""
        return _head(self.model, pooled_B1H)

    @property
    def divides(self) -> bool:
        """Whether batches side by side are measured to be faster: on a CPU, in fp32."""
        return self.model.device.type == "cpu" and self.dtype == torch.float32

    def _through(self, layers: range, x_BLH: torch.Tensor, batch: Batch) -> torch.Tensor:
        if not layers:
            return x_BLH
        ops, x_TH = self._ops(batch, attend=attend), x_BLH.reshape(-1, x_BLH.shape[-1])
        for depth in layers:
            block, above = self._blocks[depth], len(self._blocks) - 1 - depth
            x_TH = through(block, x_TH, ops) if above else last(block, x_TH, ops, self._pooling)
        return x_TH.view(len(x_BLH), -1, x_TH.shape[1])


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Scaled dot-product attention over (B, heads, L, D).

    On a CPU the backward pass of torch's own kernel takes five times as long in bf16 as in fp32,
    and twice as long as these three products: benchmarks/step.py measures it.
    """
    slow_backward = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    if not (slow_backward and query.requires_grad):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1) @ value


def why_not_lean(module: nn.Module, *, frozen_dropout: bool, checkpointing: bool) -> str | None:
    """The reason why a model must use its own forward pass, or None where it need not."""
    model = base_model(module)
    if FAMILIES[model.config.model_type].inside is None:
        return f"{model.config.model_type} is not built like BERT"
    if any(p.requires_grad for p in model.base_model.embeddings.parameters()):
        return "every weight trains"
    tuners = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
    if any(not isinstance(m, PRODUCTS) for m in tuners):
        return "adapters are not those of LoRA or VeRA"
    if has_magnitudes(module):
        return "DoRA brings the rows of every weight to another length"
    biases = (getattr(m, "bias", None) for m in layer_stack(model).modules())
    if any(isinstance(bias, nn.Parameter) and bias.requires_grad for bias in biases):
        return "biases of the encoder train"
    if frozen_dropout:
        return "model.frozen_dropout=true"
    if any(not isinstance(d[ADAPTER], nn.Identity) for d in adapter_dropouts(module)):
        return "adapters.dropout is not 0"
    if checkpointing:
        return "train.checkpointing recomputes the model's own layers"
    return None


def _block(model: PreTrainedModel, layer: nn.Module, dtype: torch.dtype) -> Block:
    family = FAMILIES[model.config.model_type]
    roles: dict[Role, nn.Module] = {
        roles[0]: layer.get_submodule(path) for path, roles in family.linears.items()
    }
    inside = family.inside
    assert inside is not None
    return BlockWeights(
        (Projection([roles["query"], roles["key"], roles["value"]], dtype),),
        Projection([roles["attention-output"]], dtype),
        _norm(layer.get_submodule(inside.attention_norm), dtype),
        Projection([roles["mlp-in"]], dtype),
        Projection([roles["mlp-out"]], dtype),
        _norm(layer.get_submodule(inside.mlp_norm), dtype),
    )


def _adapted(block: Block) -> bool:
    """Whether anything in it trains."""
    parts = (*block.query_key_value, block.attention_output, block.mlp_in, block.mlp_out)
    return any(part.adapted for part in parts)


def _stacked(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """All one above the other; a single one is not copied."""
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _norm(norm: nn.Module, dtype: torch.dtype) -> Norm:
    return Norm(*(p.detach().to(dtype) for p in (norm.weight, norm.bias)))


def _head(model: Any, pooled_B1H: torch.Tensor) -> torch.Tensor:
    """The model's own head on what it reads of the last layer."""
    *hidden, output = FAMILIES[model.config.model_type].head
    state = pooled_B1H
    for spec in hidden:
        module = model.get_submodule(spec.module)
        if spec.module in spec.linears:  # a bare layer, around which the model does the rest
            state_BH = ACT2FN[spec.activation](module(state[:, 0]))
        else:  # a module that takes the first token by itself
            state_BH = module(state)
        state = model.dropout(state_BH)
    logits = model.get_submodule(output.module)(state)
    assert isinstance(logits, torch.Tensor)
    return logits
