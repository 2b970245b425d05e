"""Full fine-tuning: every weight of the model trains."""

from __future__ import annotations

from tightfit.methods.method import Method

FULL = Method("full", form="model", where="the encoder")
