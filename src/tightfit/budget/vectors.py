"""The methods that train vectors of the encoder: what these are called, and how wide they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tightfit.budget.parts import LayerPlan, VectorPlan
from tightfit.budget.shapes import LinearShape

VERA = ("vera_lambda_b", "vera_lambda_d")
"""VeRA's vectors (arXiv:2310.11454), as wide as a layer's output and as its rank."""

VECTORS: Mapping[str, tuple[str, ...]] = {"vera": VERA, "ia3": ("ia3_l",), "bias": ("bias",)}
"""By method, what a layer's vectors are called."""

WORDS: Mapping[str, str] = {"vera": "vectors", "ia3": "factors", "bias": "biases"}
"""By method, what people call them."""

SHARED = ("base_model.vera_A", "base_model.vera_B")
"""VeRA's matrices, which all layers share: drawn from a key, saved, never trained."""


def one_each(layers: Sequence[LinearShape], method: str) -> tuple[VectorPlan, ...]:
    """A vector as wide as its layer's output, for all layers that can have it."""
    # Softmax does not see a bias of the keys, which is added to every score alike.
    able = [x for x in layers if method != "bias" or (x.bias and x.roles != ("key",))]
    (kind,) = VECTORS[method]
    return tuple(VectorPlan(f"{x.name}.{kind}", x.out_features) for x in able)


def around_shared(layers: Sequence[LayerPlan]) -> tuple[VectorPlan, ...]:
    """VeRA's two vectors on each layer."""
    return tuple(
        VectorPlan(f"{layer.name}.{kind}", width)
        for layer in layers
        for kind, width in zip(VERA, (layer.out_features, layer.rank), strict=True)
    )
