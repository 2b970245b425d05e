"""VeRA (arXiv:2310.11454): two vectors on each layer, around random matrices that all layers share.

h = W x + b * (B (d * (A x)))    A and B random, shared and frozen; b, which starts at zero, and d
                                 train
"""

from __future__ import annotations

from tightfit.methods.method import AdapterKind, Method


class _Vectors(AdapterKind):
    def price(self, rank: int, wide_in: int, wide_out: int) -> int:
        return rank + wide_out

    def price_words(self, rank: int, wide_in: int, wide_out: int) -> str:
        return f"{rank} + {wide_out}"

    def largest_rank(self, wide_in: int, wide_out: int) -> int:
        # Each rank adds a fixed direction, of which so many span all matrices.
        return wide_in * wide_out


VERA = Method(
    "vera",
    form="peft",
    peft_type="VERA",
    # A and B are drawn from the key, by PEFT and in the same way everywhere; yet another version of
    # torch may draw other numbers from it.
    peft_more={"projection_prng_key": 0, "save_projection": True},
    words="vectors",
    where="vectors around random matrices (VeRA)",
    unit="VeRA",
    # PEFT's own rank; one more costs one parameter a layer.
    kinds=(_Vectors("vera", "VeRA", most_rank=256),),
    vectors=("vera_lambda_b", "vera_lambda_d"),
    late=("vera_lambda_d",),
    constants=("base_model.vera_A", "base_model.vera_B"),
    dead="have a vector that is zero",
)
