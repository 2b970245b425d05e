"""Activations in numpy, in fp32 and in place of their argument where that saves memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MILLS_ABOVE = (0.49999998409039226, 0.30726864900549755, 0.09091727487844063, 0.010822751614712668)
MILLS_BELOW = (
    1.0,
    1.4124210900793077,
    0.8087898183908994,
    0.22669198170697943,
    0.02718932936880778,
)
"""Coefficients, lowest first, of a quotient of polynomials that is exp(z^2/2) (1 - Phi(z)) for
z >= 0 (Mills' ratio over the root of 2 pi), fitted so that GELU is off by 2e-10 at most."""


def gelu(x: Floats) -> Floats:
    """``x Phi(x)`` exactly (arXiv:1606.08415): to 1e-7 of the larger of 1 and the value.

    As ``max(x, 0) - |x| (1 - Phi(|x|))``, whose second term is never more than 0.17, so that its
    rounding stays below that of the first; numpy has no erf, and scipy's takes long to import.
    """
    z = np.abs(x)
    above, below = _polynomial(z, MILLS_ABOVE), _polynomial(z, MILLS_BELOW)
    above *= z
    above /= below
    np.multiply(z, z, out=below)
    below *= np.float32(-0.5)
    above *= np.exp(below, out=below)
    return np.subtract(np.maximum(x, np.float32(0), out=z), above, out=z)


def gelu_tanh(x: Floats) -> Floats:
    """The approximation by a tanh, from the same paper."""
    risen: Floats = np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3))
    risen += np.float32(1)
    risen *= np.float32(0.5)
    return x * risen


def relu(x: Floats) -> Floats:
    """``max(x, 0)``."""
    return np.maximum(x, np.float32(0))


def silu(x: Floats) -> Floats:
    """``x / (1 + exp(-x))``, by the exponential that cannot overflow."""
    small = np.exp(-np.abs(x))
    return x * np.where(x >= 0, np.float32(1), small) / (1 + small)


ACTIVATIONS: Mapping[str, Callable[[Floats], Floats]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "relu": relu,
    "silu": silu,
    "swish": silu,
    "tanh": np.tanh,
}
"""By the names of ``hidden_act`` in ``config.json``."""


def _polynomial(z: Floats, coefficients: tuple[float, ...]) -> Floats:
    value = z * np.float32(coefficients[-1])
    for coefficient in coefficients[-2:0:-1]:
        value += np.float32(coefficient)
        value *= z
    value += np.float32(coefficients[0])
    return value
