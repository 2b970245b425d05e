"""MPNet (arXiv:2004.09297)."""

from __future__ import annotations

from tightfit.families.family import Block, Family, six
from tightfit.families.other_parameters import plain
from tightfit.families.roberta import TWO_LAYERS
from tightfit.families.sizes import Sizes


def _other_parameters(sizes: Sizes, blocks: int) -> int:
    buckets = sizes.count("relative_attention_num_buckets", 32)
    return plain(sizes, blocks) + buckets * sizes.count("num_attention_heads")


MPNET = Family(
    "mpnet",
    six(
        "attention.attn.q",
        "attention.attn.k",
        "attention.attn.v",
        "attention.attn.o",
        "intermediate.dense",
        "output.dense",
    ),
    (TWO_LAYERS,),
    positions_after_pad=True,
    # It numbers positions as if this were its pad id, whatever its settings say.
    pad_id=1,
    inside=Block(
        "attention.LayerNorm",
        "intermediate.intermediate_act_fn",
        "output.LayerNorm",
        dropouts=("attention.attn.dropout", "attention.dropout", "output.dropout"),
        token_types=False,
        position_bias="encoder.relative_attention_bias",
    ),
    other_parameters=_other_parameters,
)
