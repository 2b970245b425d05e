"""The one form that labelled or unlabelled rows take once they are read."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tightfit.data.rows import Place, Unit, say_places
from tightfit.data.text_pair import as_bytes
from tightfit.errors import DataError

MissingPart = Literal["text", "label"]
"""What a row may lack."""


@dataclass(frozen=True)
class Table:
    """Texts and, where there are any, their labels; row i is ``texts[i]``, ``labels[i]``.

    Raises:
        DataError: there are labels or weights, but not one for each text; or a weight is none.
    """

    texts: list[str]
    labels: list[Any] | None = None
    """Raw values as the source has them: all integers, all strings, or, of ratings, all floats."""
    label_names: tuple[str, ...] | None = None
    """Class names that the source itself carries; the labels are then integers indexing it."""
    source: str = "memory"
    """Where the rows come from, as the user wrote it."""
    label_values: tuple[int | str, ...] | None = None
    """What stands there for each class that has a name, where it is not the integer itself; of
    labels without names, that they are booleans."""
    groups: list[str | None] | None = None
    """The group of each row, where a column of groups was asked for; None is a group of its own."""
    left_out: Mapping[MissingPart, int] = field(default_factory=dict, compare=False)
    """Rows that were left out, by what they lack."""
    places: Sequence[Place] | None = field(default=None, compare=False, repr=False)
    """Where each row stands in the source, counted as ``unit`` says; None counts rows from 0."""
    unit: Unit = field(default="row", compare=False)
    numbers: Sequence[int] | None = field(default=None, compare=False, repr=False)
    """Which rows of the source these are, counted from 0 without a header; None is all of them."""
    weights: list[float] | None = None
    """How much each row counts, above 0; None is as much as every other. A row of weight 2 is two
    rows to a loss, a solved head and a score; one that is left out is no weight of 0."""
    label_sets: list[tuple[int | str, ...]] | None = None
    """In place of ``labels``, where a row may have several labels or none."""
    separator: str = "|"
    """Between several labels in one cell of a text file."""

    def __post_init__(self) -> None:
        found = self.targets
        if found is not None and len(found) != len(self.texts):
            raise DataError(
                "a table needs one label for each text",
                seen=f"{len(self.texts):,} texts and {len(found):,} labels",
            )
        weights = self.weights or []
        if self.weights is not None and len(weights) != len(self.texts):
            raise DataError(
                "a table needs one weight for each text",
                seen=f"{len(self.texts):,} texts and {len(weights):,} weights",
            )
        if bad := [weight for weight in weights if not 0 < weight < math.inf]:
            raise DataError("a weight must be above 0 and finite", seen=bad[0])

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def kind(self) -> Literal["single", "multi", "rating"]:
        """What a label is, as in the setting ``data.task``."""
        if self.label_sets is not None:
            return "multi"
        return "rating" if self.labels and isinstance(self.labels[0], float) else "single"

    @property
    def targets(self) -> Sequence[Any] | None:
        """The labels of each row, in whatever form; None of rows without."""
        return self.labels if self.label_sets is None else self.label_sets

    def flat(self) -> Table:
        """Every label of every row as a row of its own, beside the text that it is of."""
        pairs = [
            (text, label)
            for text, own in zip(self.texts, self.label_sets or (), strict=True)
            for label in own
        ]
        texts, labels = [text for text, _ in pairs], [label for _, label in pairs]
        return replace(self, texts=texts, labels=labels, label_sets=None, groups=None)

    def select(self, rows: Sequence[int]) -> Table:
        """The given rows, in the given order."""
        a_row = ("texts", "labels", "label_sets", "groups", "weights", "places", "numbers")
        found = {name: values for name in a_row if (values := getattr(self, name)) is not None}
        chosen: dict[str, Any] = {
            name: [values[row] for row in rows] for name, values in found.items()
        }
        return replace(self, **chosen)

    def place(self, row: int) -> str:
        """Where a row stands, as its reader counts: ``line 1,204``."""
        place = row if self.places is None else self.places[row]
        return place if isinstance(place, str) else f"{self.unit} {place:,}"

    def say(self, rows: Sequence[int]) -> str:
        """The same of several, the first of many: ``lines 3, 17``."""
        places: Sequence[Place] = (
            rows if self.places is None else [self.places[row] for row in rows]
        )
        return say_places(places, self.unit)

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the texts, raw labels and weights in their order."""
        digest = hashlib.sha256()
        found = self.targets
        labels = [None] * len(self) if found is None else found
        for text, label in zip(self.texts, labels, strict=True):
            # The length in front keeps "a" + "bc" apart from "ab" + "c"; repr keeps 1 from "1".
            row = as_bytes(text) + repr(label).encode("utf-8", "surrogatepass")
            digest.update(b"%d:%d:" % (len(text), len(row)) + row)
        if self.weights is not None:
            digest.update(repr(self.weights).encode())
        return digest.hexdigest()
