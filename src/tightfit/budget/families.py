"""The table of model families: what their linear layers and heads are called.

Names are those of the ``transformers`` classes ``…ForSequenceClassification``. What a layer does
(its roles) also fixes its size, so the table holds names only. Linear layers without a role are
left out: projections of the embeddings, poolers, and DeBERTa's projections of positions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from tightfit.config import Role

Roles = tuple[Role, ...]


@dataclass(frozen=True)
class HeadSpec:
    """One module of a head; every linear layer in it reads the hidden width."""

    module: str
    linears: Mapping[str, Literal["hidden", "labels"]]
    """Linear layers by full path, with the width that they write."""
    norm: str | None = None
    """Full path of a norm in the module."""
    optional_bias: bool = False
    """Biases are there only if ``classifier_bias`` and ``norm_bias`` say so."""
    tanh: bool = False
    """Its hidden layer is followed by a tanh, which near zero changes nothing."""
    often_stored: bool = False
    """Published checkpoints hold it, trained: new, and so in the head, only where one does not."""


@dataclass(frozen=True)
class Family:
    """How one family of encoders names its parts."""

    encoder: str
    """Path of the encoder inside the classifier; checkpoints may lack this prefix."""
    linears: Mapping[str, Roles]
    """Linear layers of one block by their path below it; several roles are one fused layer."""
    head: tuple[HeadSpec, ...]
    block: str = "encoder.layer.{}"
    """Path of one block below the encoder."""
    counters: tuple[tuple[str, int | None], ...] = (("num_hidden_layers", None),)
    """Settings that count the blocks, one for each place in ``block``, with their defaults."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """This family's own keys in ``config.json``, with the names that the others use."""
    gated: bool = False
    """The MLP writes a gate beside its values: its first layer is twice as wide."""
    optional_bias: bool = False
    """Biases are there only if ``attention_bias``, ``mlp_bias`` and ``norm_bias`` say so."""


def _six(*paths: str) -> dict[str, Roles]:
    """A block of the usual six layers, named in the order in which it uses them."""
    roles: Roles = ("query", "key", "value", "attention-output", "mlp-in", "mlp-out")
    return {path: (role,) for path, role in zip(paths, roles, strict=True)}


_BERT_OUTPUTS = ("attention.output.dense", "intermediate.dense", "output.dense")
_BERT_BLOCK = _six(
    "attention.self.query", "attention.self.key", "attention.self.value", *_BERT_OUTPUTS
)
_ONE_LAYER = HeadSpec("classifier", {"classifier": "labels"})
_TWO_LAYERS = HeadSpec(
    "classifier", {"classifier.dense": "hidden", "classifier.out_proj": "labels"}, tanh=True
)
_TWO_LAYERS_GELU = replace(_TWO_LAYERS, tanh=False)
_ROBERTA = Family("roberta", _BERT_BLOCK, (_TWO_LAYERS,))

FAMILIES: Mapping[str, Family] = {
    "bert": Family(
        "bert",
        _BERT_BLOCK,
        (
            HeadSpec("bert.pooler", {"bert.pooler.dense": "hidden"}, tanh=True, often_stored=True),
            _ONE_LAYER,
        ),
    ),
    "roberta": _ROBERTA,
    # XLM-R and CamemBERT are RoBERTa on other texts, down to the names of the modules.
    "xlm-roberta": _ROBERTA,
    "camembert": _ROBERTA,
    "electra": Family("electra", _BERT_BLOCK, (_TWO_LAYERS_GELU,)),
    "distilbert": Family(
        "distilbert",
        _six(
            "attention.q_lin",
            "attention.k_lin",
            "attention.v_lin",
            "attention.out_lin",
            "ffn.lin1",
            "ffn.lin2",
        ),
        (HeadSpec("pre_classifier", {"pre_classifier": "hidden"}), _ONE_LAYER),
        block="transformer.layer.{}",
        renamed={
            "dim": "hidden_size",
            "hidden_dim": "intermediate_size",
            "n_layers": "num_hidden_layers",
            "n_heads": "num_attention_heads",
        },
    ),
    "mpnet": Family(
        "mpnet",
        _six(
            "attention.attn.q",
            "attention.attn.k",
            "attention.attn.v",
            "attention.attn.o",
            "intermediate.dense",
            "output.dense",
        ),
        (_TWO_LAYERS,),
    ),
    "deberta-v2": Family(
        "deberta",
        _six(
            "attention.self.query_proj",
            "attention.self.key_proj",
            "attention.self.value_proj",
            *_BERT_OUTPUTS,
        ),
        # DeBERTa was pre-trained without a pooler, so that no checkpoint brings a trained one.
        (HeadSpec("pooler", {"pooler.dense": "hidden"}), _ONE_LAYER),
    ),
    "modernbert": Family(
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
            _ONE_LAYER,
        ),
        block="layers.{}",
        gated=True,
        optional_bias=True,
    ),
    "albert": Family(
        "albert",
        _six(
            "attention.query",
            "attention.key",
            "attention.value",
            "attention.dense",
            "ffn",
            "ffn_output",
        ),
        (
            HeadSpec("albert.pooler", {"albert.pooler": "hidden"}, tanh=True, often_stored=True),
            _ONE_LAYER,
        ),
        # ALBERT goes through the same few blocks again and again (arXiv:1909.11942).
        block="encoder.albert_layer_groups.{}.albert_layers.{}",
        counters=(("num_hidden_groups", 1), ("inner_group_num", 1)),
    ),
}
"""By ``model_type`` of ``config.json``."""
