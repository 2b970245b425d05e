"""What computes logits: the run's own PyTorch model, or an exported graph in ONNX Runtime.

Shapes: B rows of a batch, L tokens, N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tightfit.data.batches import Batch, Tokens, collate, length_sorted
from tightfit.errors import ArtefactError
from tightfit.inference.predictor import PREDICT_BATCH
from tightfit.optional import require


class Engine(Protocol):
    """Anything that turns padded token ids into logits."""

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""


@dataclass(frozen=True)
class TorchEngine:
    """A PyTorch model for sequence classification, with or without adapters."""

    module: nn.Module

    @torch.inference_mode()
    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""
        self.module.eval()
        batch = batch.to(next(self.module.parameters()).device)
        out = self.module(input_ids=batch.ids_BL, attention_mask=batch.mask_BL)
        logits_BK: NDArray[np.float32] = out.logits.float().cpu().numpy()
        return logits_BK


@dataclass(frozen=True)
class OnnxEngine:
    """A graph with the inputs ``input_ids`` and ``attention_mask`` and the output ``logits``."""

    session: Any

    @classmethod
    def open(cls, path: Path) -> OnnxEngine:
        """Load a graph for the processor.

        Raises:
            ArtefactError: the file is missing, damaged, or has other inputs.
            MissingExtraError: ONNX Runtime is not installed.
        """
        runtime = require("onnxruntime", "an ONNX graph")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            inputs = [each.name for each in session.get_inputs()]
        # ONNX Runtime's errors share no class but this one.
        except Exception as error:
            raise _unusable(path, str(error)) from error
        if inputs != ["input_ids", "attention_mask"]:
            raise _unusable(path, f"inputs {', '.join(inputs)}")
        return cls(session)

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """``logits_BK`` of one batch."""
        given = {"input_ids": batch.ids_BL.numpy(), "attention_mask": batch.mask_BL.numpy()}
        logits_BK: NDArray[np.float32] = self.session.run(["logits"], given)[0]
        return logits_BK


def all_logits(
    engine: Engine,
    tokens: Tokens,
    *,
    batch: int = PREDICT_BATCH,
    advance: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """``logits_NK`` of all rows, in their order; rows of like length share a batch.

    Args:
        engine: what computes.
        tokens: at least one row.
        batch: rows of one batch.
        advance: told the number of rows done since the last call.
    """
    parts = []
    order = length_sorted(tokens.lengths, batch)
    for rows in order:
        parts.append(engine.logits(collate(tokens, rows)))
        if advance is not None:
            advance(len(rows))
    joined_NK = np.concatenate(parts)
    logits_NK = np.empty_like(joined_NK)
    logits_NK[np.concatenate(order)] = joined_NK
    return logits_NK


def _unusable(path: Path, seen: str) -> ArtefactError:
    return ArtefactError(
        "the ONNX graph cannot be used",
        seen=f"{path}: {seen}",
        allowed="a model.onnx as 'tightfit export' writes it",
        next_step="export the run again",
    )
