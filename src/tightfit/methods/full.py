"""Full fine-tuning: every weight of the model trains."""

from __future__ import annotations

from tightfit.methods.record import Method

FULL = Method("full", form="model", where="the encoder")
