"""A frozen encoder with adapters laid over it, from files alone: no torch, no transformers."""

from __future__ import annotations

from tightfit.encoder.adapter_weights import AdapterWeights
from tightfit.encoder.frozen import FrozenEncoder, UnknownInside
from tightfit.encoder.frozen_classifier import (
    FrozenClassifier,
    LogitsOfTexts,
    open_classifier,
    open_encoder,
)

__all__ = [
    "AdapterWeights",
    "FrozenClassifier",
    "FrozenEncoder",
    "LogitsOfTexts",
    "UnknownInside",
    "open_classifier",
    "open_encoder",
]
