"""RoBERTa (arXiv:1907.11692), and XLM-R and CamemBERT, which are RoBERTa on other texts."""

from __future__ import annotations

from tightfit.families import bert
from tightfit.families.family import Family, HeadSpec

TWO_LAYERS = HeadSpec(
    "classifier",
    {"classifier.dense": "hidden", "classifier.out_proj": "labels"},
    activation="tanh",
)

ROBERTA = Family(
    "roberta", bert.LINEARS, (TWO_LAYERS,), positions_after_pad=True, inside=bert.BLOCK
)
