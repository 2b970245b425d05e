"""BERT (arXiv:1810.04805)."""

from __future__ import annotations

from tightfit.families.family import Block, Family, HeadSpec, six

OUTPUTS = ("attention.output.dense", "intermediate.dense", "output.dense")
LINEARS = six("attention.self.query", "attention.self.key", "attention.self.value", *OUTPUTS)
BLOCK = Block(
    "attention.output.LayerNorm",
    "intermediate.intermediate_act_fn",
    "output.LayerNorm",
    dropouts=("attention.self.dropout", "attention.output.dropout", "output.dropout"),
)

CLASSIFIER = HeadSpec("classifier", {"classifier": "labels"})
"""A single layer."""

BERT = Family(
    "bert",
    LINEARS,
    (
        HeadSpec(
            "bert.pooler", {"bert.pooler.dense": "hidden"}, activation="tanh", often_stored=True
        ),
        CLASSIFIER,
    ),
    segments=2,
    inside=BLOCK,
)
