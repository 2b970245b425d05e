"""ELECTRA (arXiv:2003.10555)."""

from __future__ import annotations

from dataclasses import replace

from tightfit.families import bert, roberta
from tightfit.families.family import Family
from tightfit.families.other_parameters import narrow_embeddings, norms
from tightfit.families.sizes import Sizes


def _other_parameters(sizes: Sizes, blocks: int) -> int:
    projected = sizes.count("embedding_size", 128) != sizes.hidden
    return narrow_embeddings(sizes, projected) + norms(sizes, 2 * blocks)


ELECTRA = Family(
    "electra",
    bert.LINEARS,
    (replace(roberta.TWO_LAYERS, activation="gelu"),),
    segments=2,
    other_parameters=_other_parameters,
    inside=replace(bert.BLOCK, embedding_projection="embeddings_project"),
)
