"""A classifier as an ONNX graph, in fp32 or with int8 weights, and its tokenizer as one file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tightfit.data.text_tokenizer import SEGMENTS
from tightfit.engines.engine import GRAPH_INPUTS
from tightfit.exporting.format_names import PURPOSE, ensure_onnx
from tightfit.extras import ensure, require
from tightfit.families import FAMILIES, MEAN_SCALE, Pooling
from tightfit.model.encoders import layer_stack

OPSET = 17
"""The oldest that holds every operator of the encoders, for the sake of old runtimes."""

INT8_MOST = 127

_tracing = Lock()
"""Torch traces one graph at a time in a process."""

PRODUCTS = ["MatMul", "Gemm"]
"""Operators that multiply matrices."""


@dataclass(frozen=True)
class Variant:
    """One way to turn weights into 8-bit integers, with a scale for each output of a matrix."""

    name: str
    signed: bool
    reduce_range: bool = False
    """Seven bits of the eight."""

    @property
    def portable(self) -> bool:
        """Whether other processors give the same answers.

        Products of full-range signed weights overflow 16 bits on x86 processors without VNNI, and
        are cut there without a word. What is measured here would then not hold on other machines.
        """
        return self.reduce_range or not self.signed


VARIANTS = (
    Variant("signed, 7 bits", signed=True, reduce_range=True),
    Variant("unsigned", signed=False),
    Variant("signed", signed=True),
)


class _Logits(nn.Module):
    """The model with nothing but tensors at its borders."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        more = {} if token_type_ids is None else {SEGMENTS: token_type_ids}
        return self.model(input_ids=input_ids, attention_mask=attention_mask, **more).logits


class _Mean(nn.Module):
    """In place of the block that computes the mean: the first token alone, and no products."""

    def __init__(self, hidden: int, heads: int, eps: float) -> None:
        super().__init__()
        self.hidden, self.heads, self.eps = hidden, heads, eps

    def forward(
        self,
        x_BLH: torch.Tensor,
        mask_B1LL: torch.Tensor,
        bias_1NLL: torch.Tensor | None = None,
        **more: object,
    ) -> torch.Tensor | tuple[torch.Tensor]:
        """The state that the head reads, (B, 1, H), as the family's layers give it."""
        scores = mask_B1LL[:, :, :1]
        if bias_1NLL is not None:
            scores = scores + bias_1NLL[:, :, :1]
        parts_BNLD = x_BLH.view(*x_BLH.shape[:2], self.heads, -1).transpose(1, 2)
        mean_B1H = (scores.softmax(-1) @ parts_BNLD).transpose(1, 2).flatten(2)
        state_B1H = MEAN_SCALE * mean_B1H + x_BLH[:, :1]
        for _ in range(2):
            state_B1H = F.layer_norm(state_B1H, (self.hidden,), eps=self.eps)
        return state_B1H if bias_1NLL is None else (state_B1H,)


def put_mean(model: PreTrainedModel) -> None:
    """Have the last layer, the block that computes the mean, do so without products."""
    config, layers = model.config, layer_stack(model)
    inside = FAMILIES[config.model_type].inside
    assert inside is not None
    eps = layers[-1].get_submodule(inside.mlp_norm).eps
    layers[-1] = _Mean(config.hidden_size, config.num_attention_heads, eps)


def write_graph(
    model: PreTrainedModel,
    path: Path,
    *,
    pad_id: int,
    pooling: Pooling = "first",
    segments: bool = False,
) -> None:
    """Trace a model into a graph that takes any batch and any length.

    The tracer records one pass, so the batch that passes has padding: with a mask of ones alone
    the encoders take a shortcut without a mask, and the graph would lack it for ever.

    Args:
        model: without adapters, on the CPU; its attention is switched to the plain form, of which
            every operator is known to ONNX, and a block that computes the mean to the mean.
        path: the file to write.
        pad_id: of the tokenizer.
        pooling: what the head reads.
        segments: the graph is given those of pairs as well.

    Raises:
        MissingExtraError: the package ``onnx`` is not installed.
    """
    ensure("onnx", PURPOSE)
    model.set_attn_implementation("eager")
    if pooling == "mean":
        put_mean(model)
    inputs = example(model.config.vocab_size, pad_id)
    inputs |= {SEGMENTS: inputs["attention_mask"].cumsum(1) % 2} if segments else {}
    trace(_Logits(model), path, inputs, output="logits")


def trace(
    module: nn.Module,
    path: Path,
    inputs: dict[str, torch.Tensor],
    *,
    output: str,
    axes: tuple[str, str] = ("batch", "length"),
) -> None:
    """Write what a module does with an example, for any number of rows of any length.

    Args:
        module: on the CPU.
        path: the file to write.
        inputs: two rows of tokens for each argument, by its name.
        output: name of what it gives.
        axes: names of those of the inputs; what is called alike is of one size to ONNX Runtime.
    """
    sizes = {name: dict(enumerate(axes)) for name in inputs}
    with _tracing, warnings.catch_warnings():
        # The tracer warns of what it may have frozen; the comparison with the run finds what it
        # has. The newer exporter, which its deprecation names, was slower here in every respect.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes={**sizes, output: {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )


def quantised(path: Path, variants: Sequence[Variant] = VARIANTS) -> Iterator[tuple[Variant, Path]]:
    """The graph with int8 weights and activations, in each of these ways.

    Activations are scaled as they come (dynamic quantisation), so that no rows are needed for it.
    Embeddings have a scale for each row: looked up with it, they cost no accuracy to speak of and
    a quarter of the bytes. Each file is made when it is asked for; all lie beside ``path``.

    Raises:
        MissingExtraError: ONNX Runtime or ``onnx`` is not installed.
    """
    ensure_onnx()
    tools = require("onnxruntime.quantization", PURPOSE)
    prepared = path.with_name("prepared.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = require("onnxruntime.quantization.shape_inference", PURPOSE)
        # Symbolic shapes would need one more package and change nothing for these encoders.
        shapes.quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        _narrow_embeddings(prepared)
        for number, variant in enumerate(variants):
            out = path.with_name(f"int8-{number}.onnx")
            tools.quantize_dynamic(
                str(prepared),
                str(out),
                op_types_to_quantize=PRODUCTS,
                per_channel=True,
                reduce_range=variant.reduce_range,
                weight_type=tools.QuantType.QInt8 if variant.signed else tools.QuantType.QUInt8,
            )
            yield variant, out


def _narrow_embeddings(path: Path) -> None:
    """Store every table that is looked up by token as int8, with a scale for each of its rows."""
    onnx = require("onnx", PURPOSE)
    model = onnx.load(str(path))
    graph = model.graph
    tables = {each.name: each for each in graph.initializer if len(each.dims) == 2}
    nodes = []
    for node in graph.node:
        table = tables.get(node.input[0]) if node.op_type == "Gather" else None
        if table is None or table.data_type != onnx.TensorProto.FLOAT:
            nodes.append(node)
            continue
        values_VH = onnx.numpy_helper.to_array(table)
        scales_V1 = np.abs(values_VH).max(1, keepdims=True) / INT8_MOST
        rounded_VH = np.rint(values_VH / np.where(scales_V1 == 0, 1, scales_V1)).astype(np.int8)
        stored, scales = f"{table.name}.int8", f"{table.name}.scales"
        for name, array in ((stored, rounded_VH), (scales, scales_V1.astype(np.float32))):
            if name not in {each.name for each in graph.initializer}:
                graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        nodes += _look_up(stored, scales, ids=node.input[1], out=node.output[0])
    del graph.node[:]
    graph.node.extend(nodes)
    # A table that something else uses as well, as a tied output would, stays.
    used = {name for node in graph.node for name in node.input}
    for table in tables.values():
        if table.name not in used:
            graph.initializer.remove(table)
    onnx.save(model, str(path))


def _look_up(stored: str, scales: str, *, ids: str, out: str) -> list[Any]:
    """Nodes that look rows up in a narrow table, and widen what they found."""
    make_node = require("onnx", PURPOSE).helper.make_node
    rows, wide, scale = (f"{out}.{part}" for part in ("rows", "wide", "scale"))
    return [
        make_node("Gather", [stored, ids], [rows]),
        make_node("Cast", [rows], [wide], to=1),
        make_node("Gather", [scales, ids], [scale]),
        make_node("Mul", [wide, scale], [out]),
    ]


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, path: Path, max_length: int) -> None:
    """Write ``tokenizer.json`` so that it cuts and pads by itself, without ``transformers``.

    Args:
        tokenizer: a fast one with a padding token; it is not changed.
        path: the file to write.
        max_length: where texts are cut, in tokens.
    """
    own = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    own.enable_truncation(max_length)
    own.enable_padding(pad_id=int(tokenizer.pad_token_id), pad_token=str(tokenizer.pad_token))
    own.save(str(path))


def example(vocabulary: int, pad_id: int) -> dict[str, torch.Tensor]:
    """Two rows of tokens, the second with padding, by the names of :data:`GRAPH_INPUTS`."""
    ids_BL = torch.arange(32).reshape(2, 16) % vocabulary
    ids_BL[ids_BL == pad_id] = (pad_id + 1) % vocabulary
    mask_BL = torch.ones_like(ids_BL)
    ids_BL[1, 9:], mask_BL[1, 9:] = pad_id, 0
    return dict(zip(GRAPH_INPUTS, (ids_BL, mask_BL), strict=True))
