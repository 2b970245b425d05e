"""Which encoders are at hand, and what may stand before their texts; imports no numpy."""

from __future__ import annotations

from tightfit.config import Model
from tightfit.extras import available
from tightfit.model.embedded import EMBEDDED, MINILM
from tightfit.model.locate import find_embedded

AUTO = "auto"
"""The name that stands for the encoder at hand which suits the rows."""


def candidate_names(model: Model) -> tuple[str, ...]:
    """Encoders that a training may stand on: the one that is named, or all to choose from.

    Embedded ones come in the order in which they are listed. Where none is installed the first one
    stands for them all, and says what to install once it is asked for.
    """
    if model.name != AUTO:
        return (model.name,)
    installed = tuple(each.name for each in EMBEDDED.values() if available(each.package))
    return model.candidates or installed or (MINILM.name,)


def prefixes(model: Model, name: str) -> tuple[str, ...]:
    """What may stand before every text of an encoder."""
    if model.prefix not in (AUTO, "none"):
        return (model.prefix,)
    embedded = find_embedded(name)
    if model.prefix == "none" or embedded is None or not embedded.prefix:
        return ("",)
    return "", embedded.prefix


def variants(model: Model) -> list[tuple[str, str]]:
    """Name and prefix of each encoder that a training may stand on; one leaves no choice."""
    return [(name, prefix) for name in candidate_names(model) for prefix in prefixes(model, name)]


def planned_name(model: Model) -> str:
    """The encoder that a plan without rows is for."""
    return model.name if model.name != AUTO else (*model.candidates, MINILM.name)[0]
