"""What is known of a family of encoders: one record, which pricing and computing both read.

Names are those of the ``transformers`` classes ``…ForSequenceClassification``. What a layer does
(its roles) also fixes its size, so a record holds names only. Linear layers without a role are
left out: projections of the embeddings, poolers, and DeBERTa's projections of positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tightfit.families.other_parameters import with_types
from tightfit.families.sizes import Sizes

Role = Literal["query", "key", "value", "attention-output", "mlp-in", "mlp-out"]
"""What a linear layer does in an encoder; each family maps roles to its own layers."""

Roles = tuple[Role, ...]

Reading = Literal["first", "mean", "average"]
"""What a head reads: :mod:`tightfit.families.pooling`, which defines all three."""

SIX_ROLES: Roles = ("query", "key", "value", "attention-output", "mlp-in", "mlp-out")
"""The usual linear layers of a block, in the order in which it uses them."""


@dataclass(frozen=True)
class HeadSpec:
    """One module of a head; every linear layer in it reads the hidden width."""

    module: str
    linears: Mapping[str, Literal["hidden", "labels"]]
    """Linear layers by full path, with the width that they write, in the order of their use."""
    norm: str | None = None
    """Full path of a norm in the module."""
    optional_bias: bool = False
    """Biases are there only if ``classifier_bias`` and ``norm_bias`` say so."""
    activation: str | None = None
    """What follows its hidden layer; None where the configuration says it."""
    often_stored: bool = False
    """Published checkpoints hold it, trained: new, and so in the head, only where one does not."""

    @property
    def tanh(self) -> bool:
        """Whether its hidden layer is followed by a tanh, which near zero changes nothing."""
        return self.activation == "tanh"


@dataclass(frozen=True)
class Attention:
    """What a block's attention goes by, besides its weights."""

    rotary_base: float | None = None
    """By its powers positions turn queries and keys (arXiv:2104.09864); None where they do not."""
    reach: int | None = None
    """Tokens to either side that a token attends to; None is all."""


TO_ALL = Attention()
"""Every token attends to every other, wherever they are."""


def _to_all(config: Mapping[str, Any], number: int) -> Attention:
    return TO_ALL


def _nothing(config: Mapping[str, Any]) -> None:
    return None


@dataclass(frozen=True)
class Block:
    """The inside of an encoder with the blocks of arXiv:1706.03762.

    With it a forward pass can be computed from the weights alone: words, positions (and the first
    token type, where there are types) are added and normalised; each block is attention, then an
    MLP, with a norm behind each half or before it; the head reads the first token, or the mean
    (:mod:`tightfit.families.pooling`).
    """

    attention_norm: str
    """Path below the block."""
    activation: str
    """Of the module between the MLP's layers."""
    mlp_norm: str
    dropouts: tuple[str, str | None, str] | None
    """Paths below the block of those that act while it trains: on what attention weighs tokens by,
    on what attention gives, and on what the MLP gives; None where they are at other places."""
    token_types: bool = True
    eps: float | None = None
    """Of the norms; None where ``layer_norm_eps`` says it."""
    usual_eps: float = 1e-12
    """Where it does not."""
    embeddings: tuple[str, str | None, str] = (
        "word_embeddings",
        "position_embeddings",
        "LayerNorm",
    )
    """Words, positions (None without) and norm, below the encoder's ``embeddings``."""
    final_norm: str | None = None
    """Path below the encoder of a norm behind the last block. With it each half of a block reads
    what its norm gives and adds to what stood before that norm, and the first block lacks the norm
    of its attention, since the embeddings have one."""
    attention: Callable[[Mapping[str, Any], int], Attention] = _to_all
    """Of a block by its number, as the configuration has it."""
    averages: str | None = None
    """The setting that may say that the stock head reads the mean of all tokens, as it is."""
    head_dropout: str = "dropout"
    """Path in the classifier."""
    strange: Callable[[Mapping[str, Any]], str | None] = _nothing
    """What a configuration asks that is not known here."""

    position_bias: str | None = None
    """Path below the encoder of a table, buckets x heads, added to attention by distance."""
    embedding_projection: str | None = None
    """Path below the encoder of what widens narrow embeddings; absent where they are not."""

    def unknown(self, config: Mapping[str, Any]) -> str | None:
        """What a configuration asks that is computed by ``transformers`` alone."""
        if config.get("is_decoder") or config.get("add_cross_attention"):
            return "the encoder is set up as a decoder"
        return self.strange(config)

    @property
    def norm_first(self) -> bool:
        """Whether norms are before the halves of a block, and not behind them."""
        return self.final_norm is not None


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
    positions_after_pad: bool = False
    """Positions are numbered from pad id + 1, so that there are that many fewer for tokens."""
    pad_id: int | None = None
    """From which positions are numbered; None where ``pad_token_id`` says it."""
    segments: int | None = None
    """Token types where ``type_vocab_size`` does not say how many; two tell the texts of a pair
    apart. None where it is not asked: such a family goes by the separators alone."""
    other_parameters: Callable[[Sizes, int], int] = with_types
    """Parameters outside the linear layers of so many blocks, and outside the head."""
    inside: Block | None = None
    """None where only ``transformers`` knows how to compute it."""

    def reading(self, config: Mapping[str, Any]) -> Reading:
        """What the stock head reads."""
        setting = None if self.inside is None else self.inside.averages
        return "average" if setting and config.get(setting) == "mean" else "first"

    def setting(self, config: Mapping[str, Any], key: str, default: object) -> Any:
        """One of ``config.json``, by the name that most families have for it."""
        own = next((name for name, usual in self.renamed.items() if usual == key), key)
        return config.get(own, default)

    def norm_eps(self, config: Mapping[str, Any]) -> float:
        """Of every norm in an encoder whose inside is known."""
        assert self.inside is not None
        usual = self.inside.usual_eps
        return self.inside.eps or float(self.setting(config, "layer_norm_eps", usual))

    def padding_index(self, config: Mapping[str, Any]) -> int | None:
        """The id whose places count as no position; None where places alone count."""
        if not self.positions_after_pad:
            return None
        return int(config.get("pad_token_id", 1)) if self.pad_id is None else self.pad_id


def six(*paths: str) -> dict[str, Roles]:
    """A block of the usual six layers, named in the order in which it uses them."""
    return {path: (role,) for path, role in zip(paths, SIX_ROLES, strict=True)}
