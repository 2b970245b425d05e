"""What is to be known of a method, a way to tune an encoder: one record, which all who ask read.

No torch and no PEFT: a price is a sum of integers, and what PEFT is to attach is said in the words
of its own settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

WITHOUT_MATRICES: Mapping[str, object] = {
    "budget.allocation": "uniform",
    "budget.spend": "all",
    "adapters.dora": False,
    "adapters.init": "kaiming",
    "optim.lora_plus": 1,
}
"""What is set for LoRA's matrices, with the values that it has under methods without them."""


class AdapterSettings(Protocol):
    """What PEFT is told of adapters; :class:`tightfit.config.Adapters` says what each means."""

    alpha: float
    rslora: bool
    dora: bool
    init: Literal["kaiming", "pissa", "eva"]
    dropout: float


@dataclass(frozen=True)
class AdapterKind:
    """An adapter with a rank and its price, which is LoRA's unless a method says otherwise."""

    name: str
    title: str
    lengths: bool = False
    """Whether a number for each output trains beside the matrices."""
    weighed: bool = False
    """Whether ``budget.allocation=importance`` can say what each of its ranks is worth."""
    most_rank: int = 64
    """Where ranks that the cap decides stop. So many parameters more of LoRA's were never seen to
    help a classifier."""

    def price(self, rank: int, wide_in: int, wide_out: int) -> int:
        """All that trains in it, on a layer (out, in): so much a rank, and at any rank."""
        return rank * (wide_in + wide_out) + self.lengths * wide_out

    def price_words(self, rank: int, wide_in: int, wide_out: int) -> str:
        """The sum behind :meth:`price`."""
        return f"{rank} x ({wide_in} + {wide_out})" + f" + {wide_out}" * self.lengths

    def largest_rank(self, wide_in: int, wide_out: int) -> int:
        """The rank that already reaches every matrix of the layer's size."""
        return min(wide_in, wide_out)


@dataclass(frozen=True)
class Method:
    """One way to tune an encoder; the head trains with all of them."""

    name: str
    """Value of ``adapters.method``."""
    form: Literal["peft", "head", "model"] = "head"
    """What a run leaves: PEFT's folder, one file of tensors under the base model's own names (PEFT
    has no form for it), or a whole model."""
    peft_type: str = ""
    """What PEFT calls it, where it has a form for it."""
    peft_more: Mapping[str, object] = field(default_factory=dict)
    """What PEFT is told besides layers, rank and dropout."""
    words: str = "weights"
    """What people call that which trains in the encoder."""
    where: str = "adapters"
    """The same in a sentence: so many parameters in ..."""
    unit: str = ""
    """What it puts on one layer, where that is no pair of matrices."""
    kinds: tuple[AdapterKind, ...] = ()
    """Its adapters, none where it has no ranks; the last is the one for ``adapters.dora``."""
    vectors: tuple[str, ...] = ()
    """Tensors on each layer, where these are vectors, by their names below it: one as wide as its
    output and, where there are ranks, one as wide as the rank. The first alone, at another value
    than ``start``, changes what the layer gives."""
    start: float = 0.0
    late: tuple[str, ...] = ()
    """Tensors on each layer that may stand still, and whose gradient is zero at the start: what
    follows them is zero then."""
    replicates: bool = False
    """Whether PEFT's folder can bring one more block of the encoder (``layer_replication``)."""
    constants: tuple[str, ...] = ()
    """Tensors that are saved beside the trained ones and never train."""
    dead: str = ""
    """What is true, in words, of vectors on layers that never changed."""
    idle: Mapping[str, object] = field(default_factory=lambda: WITHOUT_MATRICES)
    """Settings that it does not take, with the values that say so."""

    @property
    def whole(self) -> bool:
        """Whether every weight of the model trains, and nothing stays frozen."""
        return self.form == "model"

    @property
    def takes_block(self) -> bool:
        """Whether one more block, which never trains, can go with what it leaves."""
        return self.form == "head" or self.replicates

    @property
    def matrices(self) -> bool:
        """Whether a plan lists layers with ranks, rather than vectors or nothing."""
        return bool(self.kinds) and not self.vectors

    def suits(self, roles: tuple[str, ...], *, bias: bool) -> bool:
        """Whether it has something to train on a layer that does this, with or without a bias."""
        return True

    def peft_settings(self, ranks: Mapping[str, int], settings: AdapterSettings) -> dict[str, Any]:
        """What PEFT is to attach, besides the head.

        Args:
            ranks: by the path of each layer; of vectors, the width of the last.
            settings: what else is set.
        """
        told = {"peft_type": self.peft_type, "target_modules": sorted(ranks), **self.peft_more}
        if self.kinds:
            told |= {"r": max(ranks.values()), f"{self.name}_dropout": settings.dropout}
        return told
