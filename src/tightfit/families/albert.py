"""ALBERT (arXiv:1909.11942)."""

from __future__ import annotations

from tightfit.families.bert import CLASSIFIER
from tightfit.families.family import Family, HeadSpec, six
from tightfit.families.other_parameters import narrow_embeddings, norms
from tightfit.families.sizes import Sizes


def _other_parameters(sizes: Sizes, blocks: int) -> int:
    return narrow_embeddings(sizes, projected=True) + norms(sizes, 2 * blocks)


ALBERT = Family(
    "albert",
    six(
        "attention.query",
        "attention.key",
        "attention.value",
        "attention.dense",
        "ffn",
        "ffn_output",
    ),
    (
        HeadSpec(
            "albert.pooler", {"albert.pooler": "hidden"}, activation="tanh", often_stored=True
        ),
        CLASSIFIER,
    ),
    # ALBERT goes through the same few blocks again and again.
    block="encoder.albert_layer_groups.{}.albert_layers.{}",
    counters=(("num_hidden_groups", 1), ("inner_group_num", 1)),
    segments=2,
    other_parameters=_other_parameters,
)
