"""Nothing in the encoder trains: the head alone does."""

from __future__ import annotations

from tightfit.methods.record import Method

HEAD_ONLY = Method("none")
