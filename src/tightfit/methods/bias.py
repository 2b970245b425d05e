"""Bias tuning (BitFit, arXiv:2106.10199): the biases of the encoder's linear layers train."""

from __future__ import annotations

from tightfit.methods.method import Method


class _Bias(Method):
    def suits(self, roles: tuple[str, ...], *, bias: bool) -> bool:
        # Softmax does not see a bias of the keys, which is added to every score alike.
        return bias and roles != ("key",)


BIAS = _Bias("bias", words="biases", where="biases of the encoder", unit="bias", vectors=("bias",))
