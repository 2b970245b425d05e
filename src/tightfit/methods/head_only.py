"""Nothing in the encoder trains: the head alone does."""

from __future__ import annotations

from tightfit.methods.method import Method

HEAD_ONLY = Method("none")
