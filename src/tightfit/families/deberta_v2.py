"""DeBERTa, versions 2 and 3 (arXiv:2006.03654, arXiv:2111.09543)."""

from __future__ import annotations

from tightfit.families import bert
from tightfit.families.family import Family, HeadSpec, six

DEBERTA_V2 = Family(
    "deberta",
    six(
        "attention.self.query_proj",
        "attention.self.key_proj",
        "attention.self.value_proj",
        *bert.OUTPUTS,
    ),
    # DeBERTa was pre-trained without a pooler, so that no checkpoint brings a trained one.
    (HeadSpec("pooler", {"pooler.dense": "hidden"}), bert.CLASSIFIER),
)
