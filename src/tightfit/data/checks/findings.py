"""What a check found: for each kind of fault the rows that have it, and a few of them in words."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from tightfit.data.text_pair import TextPair

Kind = Literal[
    "exact_duplicates",
    "near_duplicates",
    "shared",
    "contradictory",
    "suspect_labels",
    "truncated",
    "empty",
    "undecodable",
    "markup",
    "label_spelling",
    "unicode_form",
]
"""What can be wrong with a row; :data:`MEANING` says each in words."""

KINDS: tuple[Kind, ...] = get_args(Kind)

MEANING: dict[Kind, str] = {
    "exact_duplicates": "text and label of an earlier row, spacing aside",
    "near_duplicates": "nearly the text of an earlier row",
    "shared": "text, or nearly the text, of a test row",
    "contradictory": "a text that also has another label",
    "suspect_labels": "a label that the other rows speak against",
    "truncated": "more tokens than the model will read",
    "empty": "no visible character; of a pair in one of its texts",
    "undecodable": "characters that were lost or misread",
    "markup": "HTML tags, or entities such as &lt; and #39;",
    "label_spelling": "a label that others spell with another case or Unicode form",
    "unicode_form": "letters and marks apart (not NFC): other characters than both in one",
}

EXCERPT = 72
"""Characters of a text that an example shows."""

_SPACES = re.compile(r"[ \t\r\n]+")


@dataclass(frozen=True)
class Example:
    """One faulty row."""

    row: int
    """Counted from 0, among rows with a label where there are labels."""
    place: str
    """Where it stands, as train and people count: ``line 14``, ``sheet row 7``."""
    text: str
    """A printable excerpt, where possible of the faulty place."""
    why: str


@dataclass(frozen=True)
class Suspected:
    """A label that the other rows speak against."""

    row: int
    """Counted from 0."""
    given: str
    suggested: str
    """The label that they speak for."""
    confidence: float
    """Its probability, by a model that did not see the row."""


@dataclass(frozen=True)
class Finding:
    """All rows with one kind of fault."""

    rows: tuple[int, ...] = ()
    """Counted from 0; ascending, but the most suspect label first."""
    examples: tuple[Example, ...] = ()
    skipped: str | None = None
    """Why nobody looked; None where somebody did."""


@dataclass(frozen=True)
class Findings:
    """Everything that a check found in ``rows`` rows."""

    rows: int
    label_counts: dict[str, int]
    """Rows of each class, in label order; empty for rows without labels."""
    found: dict[Kind, Finding]
    suspects: tuple[Suspected, ...] = ()
    """All suspect labels, the most suspect first."""
    unlabelled: int = 0
    """Rows without a label, which are not among ``rows``."""

    @property
    def imbalance(self) -> float | None:
        """Rows of the largest class over rows of the smallest that has any; None without labels."""
        present = [count for count in self.label_counts.values() if count]
        return max(present) / min(present) if present else None

    def count(self, kind: Kind) -> int:
        """How many rows have this fault; 0 too where nobody looked."""
        return len(self.found[kind].rows)

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit check --json`` prints: a count for each kind, then examples.

        ``skipped`` names the kinds whose 0 only means that nobody looked, each with the reason.
        """
        found = self.found
        return {
            "rows": self.rows,
            "labels": list(self.label_counts),
            "imbalance": self.imbalance,
            **{kind: self.count(kind) for kind in KINDS},
            "unlabelled": self.unlabelled,
            "label_counts": self.label_counts,
            "examples": {kind: [asdict(e) for e in found[kind].examples] for kind in KINDS},
            "skipped": {kind: found[kind].skipped for kind in KINDS if found[kind].skipped},
        }


def excerpt(text: str, start: int = 0) -> str:
    """A printable piece of a text, of about ``EXCERPT`` characters, around position ``start``.

    Runs of spaces and line ends become one space; what cannot be seen is written as an escape.
    """
    if isinstance(text, TextPair) and not start:
        half = EXCERPT // 2
        parts = (text.first, text.second)
        return " | ".join(excerpt(x[:half] + "…" * (len(x) > half)) for x in parts)
    # A little of what stands before helps to find the place, unless that is the beginning anyway.
    first = start - EXCERPT // 4 if start > EXCERPT // 2 else 0
    piece = _SPACES.sub(" ", text[first : first + EXCERPT]).strip(" ")
    visible = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in piece
    )
    return ("…" if first else "") + visible + ("…" if len(text) > first + EXCERPT else "")
