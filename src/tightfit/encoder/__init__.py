"""A frozen encoder with adapters laid over it, from files alone: no torch, no transformers."""

from __future__ import annotations

from tightfit.encoder.adapter_weights import AdapterWeights
from tightfit.encoder.classifier import FrozenClassifier, LogitsOfTexts, open_classifier
from tightfit.encoder.frozen import FrozenEncoder, UnknownInside
