"""The ways to tune an encoder that are known, one record a file."""

from __future__ import annotations

from collections.abc import Mapping

from tightfit.methods.bias import BIAS
from tightfit.methods.full import FULL
from tightfit.methods.head_only import HEAD_ONLY
from tightfit.methods.ia3 import IA3
from tightfit.methods.lora import LORA, PLAIN
from tightfit.methods.method import AdapterKind, Method
from tightfit.methods.vera import VERA

METHODS: Mapping[str, Method] = {
    method.name: method for method in (LORA, VERA, IA3, BIAS, HEAD_ONLY, FULL)
}
"""By name; the order is that in which messages name them."""

KINDS: Mapping[str, AdapterKind] = {
    kind.name: kind for method in METHODS.values() if method.matrices for kind in method.kinds
}
"""Of the adapters that a plan lists, by name."""
