"""Activations in numpy against torch in double precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from tightfit.encoder.activations import ACTIVATIONS
from tightfit.encoder.on_numpy import BUCKETS, FARTHEST, buckets
from tightfit.encoder.padded_ops import ACTIVATIONS as IN_TORCH

FAR = np.linspace(-40, 40, 800_001, dtype=np.float32)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_as_in_torch(name: str) -> None:
    """To 2e-7 of the larger of 1 and the value, over all that a network gives; none is changed."""
    given = FAR.copy()
    expected = IN_TORCH[name](torch.from_numpy(FAR).double()).numpy()
    off = np.abs(ACTIVATIONS[name](given) - expected) / np.maximum(1, np.abs(expected))
    assert off.max() < 2e-7
    assert (given == FAR).all()


def test_gelu_is_closer_than_1e_7() -> None:
    """Closer than torch's own in fp32."""
    exact = np.array([0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in FAR[::7].tolist()])
    scale = np.maximum(1, np.abs(exact))
    own = np.abs(ACTIVATIONS["gelu"](FAR[::7]) - exact) / scale
    theirs = np.abs(IN_TORCH["gelu"](torch.from_numpy(FAR[::7].copy())).numpy() - exact) / scale
    assert own.max() < 1e-7 < theirs.max()


def test_distances_fall_into_mpnets_buckets() -> None:
    """All of them, also where a logarithm is a whole number."""
    from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

    length = 4 * FARTHEST
    places = torch.arange(length)
    theirs = MPNetEncoder.relative_position_bucket(places[None] - places[:, None], BUCKETS)
    assert (buckets(length) == theirs.numpy()).all()
