"""What computes logits: the run's own PyTorch model, or a graph in ONNX Runtime or OpenVINO.

Shapes: B rows of a batch, L tokens, N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tightfit.config import KeptText
from tightfit.data.batches import BATCH_PADDED_TOKENS, FP32_PADDED_TOKENS, Batch, most_padded_tokens
from tightfit.data.gpu import best_device
from tightfit.data.text_tokenizer import SEGMENTS, tokenise
from tightfit.data.tokens import Tokens
from tightfit.encoder import FrozenClassifier, LogitsOfTexts
from tightfit.encoder.on_torch import Engine, all_logits
from tightfit.errors import ArtefactError
from tightfit.extras import require
from tightfit.model.classifier import Classifier
from tightfit.tasks import Task

GRAPH_INPUTS = ["input_ids", "attention_mask"]
"""Of every graph."""


@dataclass(frozen=True)
class TorchEngine:
    """A PyTorch model for sequence classification, with or without adapters."""

    module: nn.Module
    multiple: int = 1
    padded_tokens: int | None = FP32_PADDED_TOKENS

    @torch.inference_mode()
    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""
        self.module.eval()
        batch = batch.to(next(self.module.parameters()).device)
        out = self.module(**batch.inputs)
        return out.logits.float().cpu().numpy()


@dataclass(frozen=True)
class _OwnUnit:
    """An export, its ratings turned back into what the run's own head gives."""

    engine: Engine
    scale: float
    mean: float

    @property
    def multiple(self) -> int:
        return self.engine.multiple

    @property
    def padded_tokens(self) -> int | None:
        return self.engine.padded_tokens

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        ratings_BK = self.engine.logits(batch).astype(np.float64)
        return ((ratings_BK - self.mean) / self.scale).astype(np.float32)


def in_own_unit(engine: Engine, task: Task) -> Engine:
    """The engine of an export, its logits those of the run: exports give ratings as people do."""
    return engine if task.unit == (1.0, 0.0) else _OwnUnit(engine, *task.unit)


@dataclass(frozen=True)
class EngineModel:
    """Texts as a classifier reads them, logits as an engine computes them."""

    read: Callable[..., Tokens]
    """As :meth:`tightfit.encoder.LogitsOfTexts.tokens`."""
    longest: int | None
    """Tokens of a text that the classifier has positions for."""
    engine: Engine

    def tokens(
        self, texts: Sequence[str], max_length: int, *, long_text: KeptText = "head"
    ) -> Tokens:
        """The texts as it reads them."""
        return self.read(texts, max_length, long_text=long_text)

    def logits(
        self, tokens: Tokens, *, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """``logits_NK`` of the texts, in their order."""
        return all_logits(self.engine, tokens, advance=advance)


def through_transformers(
    classifier: Classifier, longest: int | None, padded_tokens: int | None = None
) -> EngineModel:
    """A classifier whose inside only ``transformers`` knows; it moves to where it computes."""
    device = best_device()
    module = classifier.module.eval().to(device)
    engine = TorchEngine(module, padded_tokens=padded_tokens or most_padded_tokens(device))
    return EngineModel(partial(tokenise, classifier.tokenizer), longest, engine)


def torch_engine(model: LogitsOfTexts, dtype: torch.dtype = torch.float32) -> Engine:
    """The fastest way through a finished classifier in PyTorch.

    Args:
        model: its weights stay as they are.
        dtype: of the products; what goes through ``transformers`` computes in fp32 all the same.
    """
    if isinstance(model, FrozenClassifier):
        return model.on_torch(dtype=dtype)
    assert isinstance(model, EngineModel)
    return model.engine


def open_session(path: Path) -> Any:
    """A graph in ONNX Runtime, on the processor, with as many threads as torch has.

    Raises:
        ArtefactError: the file is missing or damaged.
        MissingExtraError: ONNX Runtime is not installed.
    """
    runtime = require("onnxruntime", "an ONNX graph")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    # ONNX Runtime's errors share no class but this one.
    except Exception as error:
        raise _unusable(path, str(error)) from error


@dataclass(frozen=True)
class OnnxEngine:
    """A graph with the inputs ``input_ids``, ``attention_mask`` and, of pairs, ``token_type_ids``;
    its output is ``logits``."""

    session: Any
    multiple: int = 1
    padded_tokens: int = BATCH_PADDED_TOKENS
    segments: bool = False
    """Whether the graph reads segments."""

    @classmethod
    def open(cls, path: Path) -> OnnxEngine:
        """Load a graph for the processor.

        Raises:
            ArtefactError: the file is missing, damaged, or has other inputs.
            MissingExtraError: ONNX Runtime is not installed.
        """
        session = open_session(path)
        inputs = [each.name for each in session.get_inputs()]
        if inputs not in (GRAPH_INPUTS, [*GRAPH_INPUTS, SEGMENTS]):
            raise _unusable(path, f"inputs {', '.join(inputs)}")
        return cls(session, segments=SEGMENTS in inputs)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""
        given = {name: tensor.numpy() for name, tensor in batch.inputs.items()}
        return self.session.run(["logits"], given)[0]


@dataclass(frozen=True)
class OpenVinoEngine:
    """The same graph in OpenVINO, in the number format that it finds best for the processor."""

    model: Any
    multiple: int = 8
    """It prepares its products for each shape, and keeps them."""
    padded_tokens: int = BATCH_PADDED_TOKENS

    @classmethod
    def open(cls, path: Path) -> OpenVinoEngine:
        """Load and compile a graph for the processor.

        Raises:
            ArtefactError: the file is missing or damaged.
            MissingExtraError: OpenVINO is not installed.
        """
        openvino = require("openvino", "the engine openvino")
        settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads()}
        try:
            return cls(openvino.Core().compile_model(str(path), "CPU", settings))
        # OpenVINO raises nothing more special.
        except RuntimeError as error:
            raise _unusable(path, str(error)) from error

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""
        given = {name: tensor.numpy() for name, tensor in batch.inputs.items()}
        return np.array(self.model(given)[0], dtype=np.float32)


def _unusable(path: Path, seen: str) -> ArtefactError:
    return ArtefactError(
        "the ONNX graph cannot be used",
        seen=f"{path}: {seen}",
        allowed="a model.onnx as 'tightfit export' writes it",
        next_step="export the run again",
    )
