"""ModernBERT (arXiv:2412.13663)."""

from __future__ import annotations

from tightfit.families.bert import CLASSIFIER
from tightfit.families.family import Family, HeadSpec

MODERNBERT = Family(
    "model",
    {
        "attn.Wqkv": ("query", "key", "value"),
        "attn.Wo": ("attention-output",),
        "mlp.Wi": ("mlp-in",),
        "mlp.Wo": ("mlp-out",),
    },
    (
        HeadSpec(
            "head",
            {"head.dense": "hidden"},
            norm="head.norm",
            optional_bias=True,
            often_stored=True,
        ),
        CLASSIFIER,
    ),
    block="layers.{}",
    gated=True,
    optional_bias=True,
)
