"""ModernBERT (arXiv:2412.13663)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tightfit.families.bert import CLASSIFIER
from tightfit.families.family import Attention, Block, Family, HeadSpec
from tightfit.families.sizes import Sizes


def _other_parameters(sizes: Sizes, blocks: int) -> int:
    # One norm for the embeddings and one at the end; the first block lacks one of its two.
    norms = (1 + sizes.flag("norm_bias", False)) * sizes.hidden * (2 * blocks + 1)
    return sizes.count("vocab_size") * sizes.hidden + norms


def _attention(config: Mapping[str, Any], number: int) -> Attention:
    """Every third block attends to all tokens, the others to their neighbours."""
    types, every = config.get("layer_types"), config.get("global_attn_every_n_layers", 3)
    to_all = types[number] == "full_attention" if types else number % every == 0
    kind, old, usual = _TO_ALL if to_all else _NEAR
    base = _rotary(config, kind).get("rope_theta") or config.get(old) or usual
    window = int(config.get("local_attention", 128))
    return Attention(float(base), None if to_all else window // 2)


_TO_ALL = ("full_attention", "global_rope_theta", 160_000.0)
_NEAR = ("sliding_attention", "local_rope_theta", 10_000.0)
"""Kinds of attention: their names, and where older configurations have their rotary base."""


def _rotary(config: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return (config.get("rope_parameters") or {}).get(kind) or {}


def _strange(config: Mapping[str, Any]) -> str | None:
    kinds = [_rotary(config, kind) for kind, *_ in (_TO_ALL, _NEAR)]
    said = [config.get("rope_scaling") or {}, *kinds]
    ways = {each.get("rope_type", each.get("type", "default")) for each in said}
    return None if ways == {"default"} else "its rotary positions are scaled"


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
    renamed={"hidden_activation": "hidden_act", "norm_eps": "layer_norm_eps"},
    gated=True,
    optional_bias=True,
    other_parameters=_other_parameters,
    inside=Block(
        "attn_norm",
        "mlp.act",
        "mlp_norm",
        dropouts=None,
        token_types=False,
        usual_eps=1e-5,
        embeddings=("tok_embeddings", None, "norm"),
        final_norm="final_norm",
        attention=_attention,
        averages="classifier_pooling",
        head_dropout="drop",
        strange=_strange,
    ),
)
