"""DistilBERT (arXiv:1910.01108)."""

from __future__ import annotations

from tightfit.families import bert
from tightfit.families.family import Block, Family, HeadSpec, six
from tightfit.families.other_parameters import plain

DISTILBERT = Family(
    "distilbert",
    six(
        "attention.q_lin",
        "attention.k_lin",
        "attention.v_lin",
        "attention.out_lin",
        "ffn.lin1",
        "ffn.lin2",
    ),
    (
        HeadSpec("pre_classifier", {"pre_classifier": "hidden"}, activation="relu"),
        bert.CLASSIFIER,
    ),
    block="transformer.layer.{}",
    renamed={
        "dim": "hidden_size",
        "hidden_dim": "intermediate_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "activation": "hidden_act",
    },
    inside=Block(
        "sa_layer_norm",
        "ffn.activation",
        "output_layer_norm",
        dropouts=("attention.dropout", None, "ffn.dropout"),
        token_types=False,
        eps=1e-12,
    ),
    other_parameters=plain,
)
