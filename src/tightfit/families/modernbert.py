"""ModernBERT (arXiv:2412.13663)."""

from __future__ import annotations

from tightfit.families.bert import CLASSIFIER
from tightfit.families.family import Family, HeadSpec
from tightfit.families.sizes import Sizes


def _other_parameters(sizes: Sizes, blocks: int) -> int:
    # One norm for the embeddings and one at the end; the first block lacks one of its two.
    norms = (1 + sizes.flag("norm_bias", False)) * sizes.hidden * (2 * blocks + 1)
    return sizes.count("vocab_size") * sizes.hidden + norms


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
    other_parameters=_other_parameters,
)
