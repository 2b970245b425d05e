"""The side head of pairs inside an ONNX graph: whoever runs it answers as the run does.

The graph has two more inputs, of a batch's texts each by itself: all first ones, then all second
ones. What the frozen encoder that reads them has in common with the classifier is stored once.

Shapes: B pairs, M = 2 B texts, L tokens, H hidden width, F features, N rows, K labels.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel

from tightfit.data.given_pairs import FIRST, SECOND, pair_columns
from tightfit.data.text_pair import as_input
from tightfit.data.text_tokenizer import SEGMENTS, TOKENIZER
from tightfit.engines.engine import GRAPH_INPUTS, open_session
from tightfit.exporting.format_names import PURPOSE
from tightfit.exporting.formats import GRAPH_FILE
from tightfit.exporting.onnx_graph import Variant, example, put_mean, quantised, trace
from tightfit.extras import require
from tightfit.families import FAMILIES, mean_block
from tightfit.families.pooling import MEAN_SCALE
from tightfit.model.adapters import base_model
from tightfit.model.encoders import quiet_transformers
from tightfit.run import Run

SINGLE = "single_"
"""Before the names of :data:`GRAPH_INPUTS`, where they are those of single texts."""

ADDED = "added"

BATCH = 32
"""Pairs at a time: of short texts as many as a processor's caches hold."""


class _Side(nn.Module):
    """The side head: :class:`tightfit.model.pair_reader.PairReader`, and a linear map behind it."""

    def __init__(
        self, encoder: PreTrainedModel, weight_KF: torch.Tensor, bias_K: torch.Tensor
    ) -> None:
        super().__init__()
        self.encoder, self.weight_KF, self.bias_K = encoder, weight_KF, bias_K
        self.norm: nn.LayerNorm | None = None
        """Where no block of the family computes the mean: that of the encoder, without a scale."""
        config = encoder.config
        family = FAMILIES[config.model_type]
        if not mean_block(family, 0):
            eps = family.norm_eps(config.to_dict())
            self.norm = nn.LayerNorm(config.hidden_size, eps, elementwise_affine=False)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """``added_BK``, of the tokens ``(M, L)`` of single texts."""
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        states_MLH = self.encoder(**given).last_hidden_state
        if self.norm is not None:
            states_MLH = _mean(states_MLH, attention_mask, self.norm)
        states_MH = F.normalize(states_MLH[:, 0], dim=1)
        both_2BH = states_MH.reshape(2, -1, states_MH.shape[1])
        apart_BH = both_2BH[0] - both_2BH[1]
        features_BF = torch.cat([apart_BH.abs(), both_2BH[0] * both_2BH[1], apart_BH], dim=1)
        # No matrix product, since int8 takes one scale for all features, and some are far smaller.
        return (features_BF[:, None] * self.weight_KF).sum(2) + self.bias_K


def _mean(states_MLH: torch.Tensor, mask_ML: torch.Tensor, norm: nn.LayerNorm) -> torch.Tensor:
    """The run's own definition, (M, 1, H): :mod:`tightfit.families.pooling`."""
    share_M1L = (mask_ML / mask_ML.sum(1, keepdim=True))[:, None]
    state_M1H = MEAN_SCALE * (share_M1L @ states_MLH) + states_MLH[:, :1]
    found_M1H: torch.Tensor = norm(norm(state_M1H))
    return found_M1H


def put_side(run: Run, graph: Path, variant: Variant | None = None) -> None:
    """Put a run's side head of pairs into the graph of its classifier.

    Args:
        run: with such a head.
        graph: the file, replaced.
        variant: of int8, if the graph is in int8.
    """
    assert run.side is not None
    # Exports give ratings in people's unit.
    kept, (scale, mean) = run.side.kept, run.task.unit
    weight_KF = torch.from_numpy(run.side.weight_FK.T * np.float32(scale)).contiguous()
    bias_K = torch.from_numpy(run.side.bias_K * np.float32(scale) + np.float32((1 - kept) * mean))
    encoder, apart = _frozen(run), graph.with_name("side.onnx")
    pad_id = int(run.classifier.tokenizer.pad_token_id)
    tokens = example(encoder.get_input_embeddings().num_embeddings, pad_id)
    trace(
        _Side(encoder, weight_KF, bias_K),
        apart,
        tokens,
        output=ADDED,
        axes=("texts", "single_length"),
    )
    ready = next(quantised(apart, [variant]))[1] if variant else apart
    _join(graph, ready, kept)
    for path in set(graph.parent.glob("*.onnx")) - {graph}:
        path.unlink()


def _frozen(run: Run) -> PreTrainedModel:
    """The encoder below a run, with one more layer, if its family has such a one: the mean of its
    states."""
    shapes = run.base.shapes(run.plan.num_labels)
    more = bool(mean_block(FAMILIES[shapes.model_type], shapes.depth))
    with quiet_transformers():
        encoder: PreTrainedModel = AutoModel.from_pretrained(
            run.base.folder,
            num_hidden_layers=shapes.depth + more,
            attn_implementation="eager",
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    if more:
        put_mean(encoder)
    # The same, but for a vocabulary that was cut.
    words = base_model(run.classifier.module).get_input_embeddings()
    encoder.set_input_embeddings(copy.deepcopy(words).to("cpu"))
    return encoder


def _join(graph: Path, apart: Path, kept: float) -> None:
    """Make one graph of two: so many times the logits of the first, and what the second gives."""
    onnx = require("onnx", PURPOSE)
    compose, helper = require("onnx.compose", PURPOSE), onnx.helper
    pairs, single = onnx.load(str(graph)), onnx.load(str(apart))
    (logits,) = pairs.graph.output
    name, own = logits.name, f"pair_{logits.name}"
    for node in pairs.graph.node:
        node.output[:] = [own if each == name else each for each in node.output]
        node.input[:] = [own if each == name else each for each in node.input]
    logits.name = own
    whole = compose.merge_models(pairs, single, [], prefix2=SINGLE)
    factor = onnx.numpy_helper.from_array(np.array(kept, dtype=np.float32), "kept")
    whole.graph.initializer.append(factor)
    whole.graph.node.extend(
        [
            helper.make_node("Mul", [own, factor.name], [f"kept_{name}"]),
            helper.make_node("Add", [f"kept_{name}", f"{SINGLE}{ADDED}"], [name]),
        ]
    )
    # What was inferred has names for sizes that may differ between both.
    del whole.graph.value_info[:], whole.graph.output[:]
    logits.name = name
    whole.graph.output.append(logits)
    _store_once(whole.graph)
    onnx.save(whole, str(graph))


def _store_once(graph: Any) -> None:
    """Keep one of the tensors that are equal."""
    to_array = require("onnx", PURPOSE).numpy_helper.to_array
    names: dict[tuple[Any, ...], str] = {}
    same: dict[str, str] = {}
    for tensor in graph.initializer:
        digest = sha256(to_array(tensor).tobytes()).digest()
        same[tensor.name] = names.setdefault((tensor.data_type, *tensor.dims, digest), tensor.name)
    for node in graph.node:
        node.input[:] = [same.get(name, name) for name in node.input]
    kept = [tensor for tensor in graph.initializer if same[tensor.name] == tensor.name]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def answers(
    folder: Path, pairs: Sequence[str], single_length: int, *, advance: Callable[[int], None]
) -> NDArray[np.float32]:
    """``logits_NK`` as another program computes them: nothing of the run takes part.

    Args:
        folder: of an export whose graph has a side head.
        pairs: to answer.
        single_length: where single texts are cut, in tokens.
        advance: told the number of pairs done since the last call.
    """
    session = open_session(folder / GRAPH_FILE)
    segments = SEGMENTS in {each.name for each in session.get_inputs()}
    whole, single = (Tokenizer.from_file(str(folder / TOKENIZER)) for _ in range(2))
    single.enable_truncation(single_length)
    found = []
    for start in range(0, len(pairs), BATCH):
        some = pairs[start : start + BATCH]
        both, columns = whole.encode_batch(list(map(as_input, some))), pair_columns(some)
        given = _padded(both)
        if segments:
            given[SEGMENTS] = np.array([each.type_ids for each in both])
        apart = single.encode_batch(columns[FIRST] + columns[SECOND])
        given |= {f"{SINGLE}{name}": array for name, array in _padded(apart).items()}
        found.append(session.run(["logits"], given)[0])
        advance(len(both))
    return np.concatenate(found)


def _padded(encodings: Sequence[Encoding]) -> dict[str, NDArray[np.int64]]:
    arrays = [[each.ids for each in encodings], [each.attention_mask for each in encodings]]
    return {name: np.array(rows) for name, rows in zip(GRAPH_INPUTS, arrays, strict=True)}
