"""Names that are probably one: they differ only in case, spaces or Unicode form."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Mapping

from tightfit.errors import first_few

NAMED = 3
"""Groups of such names that a warning lists."""


def likely_meant(counts: Mapping[str, int]) -> dict[str, str]:
    """For each rarer spelling of a label, the spelling that most rows have.

    Args:
        counts: rows of each label.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name, count in counts.items():
        if count:
            groups[spelling_key(name)].append(name)
    commonest = {key: max(names, key=counts.__getitem__) for key, names in groups.items()}
    return {
        name: commonest[key]
        for key, names in groups.items()
        for name in names
        if name != commonest[key]
    }


def spelling_warning(counts: Mapping[str, int]) -> str | None:
    """A sentence about labels that differ in nothing but their spelling; None where none do."""
    meant = likely_meant(counts)
    if not meant:
        return None
    pairs = first_few([f"{name!r} and {other!r}" for name, other in meant.items()], NAMED)
    return (
        f"labels differ only in case or Unicode form, and are classes apart: "
        f"{pairs}; write each in one way if they are one"
    )


def spelling_key(name: str) -> str:
    """The same for names that differ in nothing but case, blanks or Unicode form."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return " ".join(folded.split())
