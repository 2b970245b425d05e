"""The formats in which a run is exported: how each is written, and loaded as others would.

peft       the adapter folder, with the model's settings and label names beside it
merged     a plain ``transformers`` folder, adapters merged into the weights
onnx       one graph in fp32, tokenizer, settings: ONNX Runtime and ``tokenizers`` run it
onnx-int8  the same with int8 weights
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
)

from tightfit.data.given_pairs import FIRST, SECOND, pair_columns
from tightfit.data.text_pair import are_pairs, as_input
from tightfit.data.text_tokenizer import SEGMENTS, TOKENIZER
from tightfit.encoder.on_torch import Engine
from tightfit.engines.engine import OnnxEngine, TorchEngine
from tightfit.exporting import onnx_graph
from tightfit.exporting.format_names import Format
from tightfit.model.adapters import base_model, merged, output_layer, quiet_peft
from tightfit.model.artefact import open_to_readers, save_artefact
from tightfit.model.classifier import Classifier
from tightfit.model.encoders import quiet_transformers
from tightfit.model.locate import Source
from tightfit.model.side_head import SIDE_FILE
from tightfit.run import Run

GRAPH_FILE = "model.onnx"

Encoded = tuple[list[int], list[int] | None]
"""Token ids, and segments where the classifier is given any."""

Encode = Callable[[Sequence[str]], list[Encoded]]
"""Texts to tokens, cut but not padded."""


def write_form(run: Run, form: Format, folder: Path) -> None:
    """Write the classifier and its tokenizer; int8 begins as the graph in fp32."""
    match form:
        case "peft":
            _write_peft(run, folder)
        case "merged":
            _write_merged(run, folder)
        case "onnx" | "onnx-int8":
            _write_onnx(run, folder)


def open_form(
    form: Format, folder: Path, *, source: Source, max_length: int
) -> tuple[Engine, Encode]:
    """Load an exported folder as others would: nothing of the run takes part.

    Args:
        form: of the folder.
        folder: as :func:`write_form` left it.
        source: the base model, for a bare adapter.
        max_length: where texts are cut, for tokenizers that must be told.
    """
    if form.startswith("onnx"):
        tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        tokenizer.no_padding()
        engine = OnnxEngine.open(folder / GRAPH_FILE)
        return engine, lambda texts: [
            (encoding.ids, encoding.type_ids if engine.segments else None)
            for encoding in tokenizer.encode_batch(list(map(as_input, texts)))
        ]
    with quiet_transformers(), quiet_peft():
        own = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = _load_plain(folder if form == "merged" else source.folder, folder)
        if form == "peft":
            model = PeftModel.from_pretrained(model, str(folder))
    return TorchEngine(model.eval()), partial(_encode, own, max_length)


def _encode(tokenizer: Any, max_length: int, texts: Sequence[str]) -> list[Encoded]:
    """As ``pipeline`` of ``transformers`` would; segments of single texts say nothing."""
    given: tuple[list[str], ...] = (list(texts),)
    if are_pairs(texts):
        columns = pair_columns(texts)
        given = (columns[FIRST], columns[SECOND])
    found = tokenizer(*given, truncation=True, max_length=max_length)
    segments = found[SEGMENTS] if given[1:] and SEGMENTS in found else [None] * len(texts)
    return list(zip(found["input_ids"], segments, strict=True))


def plain_model(classifier: Classifier) -> PreTrainedModel:
    """A copy of the classifier as a plain ``transformers`` model on the CPU, adapters merged."""
    module = copy.deepcopy(classifier.module).to("cpu")
    if isinstance(module, PeftModel):
        return merged(module, classifier.plan).eval()
    return base_model(module).eval()


def merged_model(classifier: Classifier) -> PreTrainedModel:
    """The same, its answers in the unit in which people gave them."""
    model = plain_model(classifier)
    _to_unit(model, classifier)
    return model


def _to_unit(module: nn.Module, classifier: Classifier) -> None:
    """Have a copy's output layer give ratings in the unit in which people gave them."""
    scale, mean = classifier.task.unit
    if (scale, mean) != (1.0, 0.0):
        layer = output_layer(module, classifier.plan)
        with torch.no_grad():
            layer.weight.mul_(scale)
            layer.bias.mul_(scale).add_(mean)


def _write_peft(run: Run, folder: Path) -> None:
    # A side head is no part of the classifier; the exporter brings it along, where it can.
    alone, beside = replace(run.plan, side=None), shutil.ignore_patterns(SIDE_FILE)
    shutil.copytree(run.artefact, folder, ignore=beside, dirs_exist_ok=True)
    if run.task.unit != (1.0, 0.0):
        rated = replace(run.classifier, module=copy.deepcopy(run.classifier.module), plan=alone)
        _to_unit(rated.module, rated)
        save_artefact(rated, folder)
    # PEFT keeps neither the number of labels nor their names; AutoConfig reads both from here.
    config = copy.deepcopy(base_model(run.classifier.module).config)
    # PEFT adds the block that computes the mean, to the layers of the base model.
    config.num_hidden_layers -= bool(run.plan.mean_block)
    config.save_pretrained(folder)


def _write_merged(run: Run, folder: Path) -> None:
    with quiet_transformers():
        merged_model(run.classifier).save_pretrained(folder)
    _write_tokenizer(run, folder)
    open_to_readers(folder)


def _write_tokenizer(run: Run, folder: Path) -> None:
    tokenizer = copy.deepcopy(run.classifier.tokenizer)
    # Where pipeline(..., truncation=True) cuts.
    tokenizer.model_max_length = run.predictor.max_length
    tokenizer.save_pretrained(folder)


def _write_onnx(run: Run, folder: Path) -> None:
    tokenizer = run.classifier.tokenizer
    model = merged_model(run.classifier)
    # With these, tools that expect a folder of transformers find labels and tokenizer as well.
    model.config.save_pretrained(folder)
    _write_tokenizer(run, folder)
    graph, pad_id = folder / GRAPH_FILE, int(tokenizer.pad_token_id)
    segments = run.config.data.pair and SEGMENTS in tokenizer.model_input_names
    pooling = run.plan.pooling
    onnx_graph.write_graph(model, graph, pad_id=pad_id, pooling=pooling, segments=segments)
    onnx_graph.write_tokenizer(tokenizer, folder / TOKENIZER, run.predictor.max_length)


def _load_plain(weights: Path, settings: Path) -> Any:
    return AutoModelForSequenceClassification.from_pretrained(
        weights,
        config=AutoConfig.from_pretrained(settings, local_files_only=True),
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        # A base may bring a head for other labels; the adapter's takes its place.
        ignore_mismatched_sizes=True,
    )
