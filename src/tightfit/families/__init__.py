"""The families of encoders that are known, one record a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tightfit.families.albert import ALBERT
from tightfit.families.bert import BERT
from tightfit.families.deberta_v2 import DEBERTA_V2
from tightfit.families.distilbert import DISTILBERT
from tightfit.families.electra import ELECTRA
from tightfit.families.family import (
    TO_ALL,
    Attention,
    Block,
    Family,
    HeadSpec,
    Reading,
    Role,
    Roles,
)
from tightfit.families.modernbert import MODERNBERT
from tightfit.families.mpnet import MPNET
from tightfit.families.pooling import MEAN_SCALE, Pooling, mean_block
from tightfit.families.roberta import ROBERTA

FAMILIES: Mapping[str, Family] = {
    "bert": BERT,
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "electra": ELECTRA,
    "distilbert": DISTILBERT,
    "mpnet": MPNET,
    "deberta-v2": DEBERTA_V2,
    "modernbert": MODERNBERT,
    "albert": ALBERT,
}
"""By ``model_type`` of ``config.json``; the order is that in which messages name them."""

COMPUTED = tuple(name for name, family in FAMILIES.items() if family.inside is not None)
"""Those whose forward pass is our own; for the others ``transformers`` computes."""


def family_of(config: Mapping[str, Any]) -> Family:
    """Of a ``config.json`` whose family is known."""
    return FAMILIES[config["model_type"]]


def reads_segments(config: Mapping[str, Any]) -> bool:
    """Whether an encoder is told which text of a pair a token belongs to, by its ``config.json``.

    Others tell by the separators between both.
    """
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None or family.segments is None:
        return False
    return int(config.get("type_vocab_size", family.segments)) > 1
