"""One look at all that can be wrong with rows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from tightfit.data.checks.characters import (
    find_decomposed,
    find_undecodable,
    is_empty,
    lacks_text,
)
from tightfit.data.checks.findings import (
    KINDS,
    Example,
    Finding,
    Findings,
    Kind,
    Suspected,
    excerpt,
)
from tightfit.data.checks.markup import find_markup
from tightfit.data.checks.near import Match
from tightfit.data.checks.repeats import alike_rows, contradictory_rows, repeated_rows, text_key
from tightfit.data.checks.spelling import likely_meant
from tightfit.data.checks.suspects import find_suspects, judgeable_rows
from tightfit.data.labels import own_classes
from tightfit.data.table import Table
from tightfit.data.text_pair import TextPair
from tightfit.extras import ensure
from tightfit.progress import Progress

EXAMPLES = 3
"""Rows of each kind that are shown."""

NONE = "(none)"
"""The labels of a row without any."""

NO_LABELS = "the rows have no labels"

RATINGS = "the labels are ratings"

TOKENS_AT_ONCE = 1_000
"""Texts handed to a tokenizer together."""

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each of some texts, the model's special tokens included."""

_T = TypeVar("_T")


def check_table(
    table: Table,
    *,
    test: Table | None = None,
    count_tokens: CountTokens | None = None,
    max_length: int = 0,
    label_errors: bool = True,
    progress: Progress = Progress(),
) -> Findings:
    """Look for everything in :data:`KINDS`; nothing is changed.

    Args:
        table: rows with or without labels, as many as memory holds.
        test: rows that must not be among them; their labels are not looked at.
        count_tokens: the model's tokenizer; None leaves truncation out.
        max_length: longest text that the model will read, in tokens.
        label_errors: look for suspect labels, which takes most of the time.
        progress: how to show progress.

    Raises:
        MissingExtraError: the extra ``checks`` is not installed.
    """
    ensure("datasketch", "checking rows")
    if label_errors:
        ensure("cleanlab", "the search for label errors (--no-label-errors goes without it)")
    rows = _Rows.of(table, progress)
    suspects = rows.suspects() if label_errors else "not asked for"
    found: dict[Kind, Finding] = {
        **rows.repeats(),
        **rows.alike(test),
        "suspect_labels": rows.suspicions(suspects),
        "truncated": rows.truncated(count_tokens, max_length),
        **rows.characters(),
        "label_spelling": rows.spelling(),
    }
    counts = rows.counts()
    told = () if isinstance(suspects, str) else suspects
    every = {kind: found[kind] for kind in KINDS}
    return Findings(len(table), counts, every, told, table.left_out.get("label", 0))


@dataclass(frozen=True)
class _Rows:
    """The rows, and what several checks need of them."""

    texts: list[str]
    keys: list[str]
    """What makes two texts the same."""
    ids: list[int] | None
    """Class id of each row; None for rows without labels."""
    names: tuple[str, ...]
    """By class id; of several labels a row, each set of them that occurs is a class."""
    labels: list[tuple[str, ...]] | None
    """Of each row, where it may have several."""
    rated: bool
    """Whether labels are ratings: each number is a class, which is right for repeats alone."""
    place: Callable[[int], str]
    progress: Progress

    @classmethod
    def of(cls, table: Table, progress: Progress) -> _Rows:
        keys = [text_key(text) for text in table.texts]
        labels, rated = None, table.kind == "rating"
        if table.label_sets:
            classes = own_classes(table.flat())
            own = [sorted(ids) for ids in classes.encode_sets(table)]
            labels = [tuple(classes.names[i] for i in ids) for ids in own]
            table = replace(table, label_sets=None, labels=[", ".join(x) or NONE for x in labels])
            table = replace(table, label_names=None, label_values=None)
        if not table.labels:
            return cls(table.texts, keys, None, (), labels, rated, table.place, progress)
        if rated:
            table = replace(table, labels=[str(label) for label in table.labels])
        classes = own_classes(table)
        ids, names = classes.encode(table), classes.names
        return cls(table.texts, keys, ids, names, labels, rated, table.place, progress)

    def counts(self) -> dict[str, int]:
        """Rows of each label; ratings have none to count."""
        if self.rated:
            return {}
        if self.labels is not None:
            return dict(sorted(Counter(label for own in self.labels for label in own).items()))
        counts = Counter(self.ids)
        return {name: counts[i] for i, name in enumerate(self.names)}

    def repeats(self) -> dict[Kind, Finding]:
        labels = self.ids or [0] * len(self.texts)
        exact = repeated_rows(self.keys, labels)
        contradictory = {
            row: (labels[row], labels[other], other)
            for row, other in contradictory_rows(self.keys, labels).items()
        }
        contradiction = self._finding(contradictory, self._two_labels)
        return {
            "exact_duplicates": self._finding(exact, lambda row: f"as in {self.place(row)}"),
            "contradictory": contradiction if self.ids else Finding(skipped=NO_LABELS),
        }

    def alike(self, test: Table | None) -> dict[Kind, Finding]:
        test_keys = [text_key(text) for text in test.texts] if test is not None else []
        alike = alike_rows(self.keys, test_keys, progress=self.progress)
        shared = self._finding(
            alike.shared,
            lambda match: (
                _as_other(match, f"test {test.place(match.other)}", exact=True)
                if test is not None
                else ""
            ),
        )
        return {
            "near_duplicates": self._finding(
                alike.near, lambda match: _as_other(match, self.place(match.other), exact=False)
            ),
            "shared": shared if test is not None else Finding(skipped="no test rows were given"),
        }

    def suspects(self) -> tuple[Suspected, ...] | str:
        """The suspect labels, or why nobody looked."""
        if self.ids is None:
            return NO_LABELS
        if self.rated:
            return RATINGS
        if self.labels is not None:
            return "rows have several labels each"
        # A text that repeats would be known from its copy in another fold, and one with two labels
        # is reported as such.
        twice = contradictory_rows(self.keys, self.ids) | repeated_rows(self.keys, self.ids)
        rows = [row for row, key in enumerate(self.keys) if key and row not in twice]
        texts, ids = [self.texts[row] for row in rows], [self.ids[row] for row in rows]
        if not judgeable_rows(texts, ids).size:
            return "too few different rows of two classes to learn from"
        with self.progress.track("judging labels", total=1) as bar:
            suspects = find_suspects(texts, ids, self.names)
            bar.advance()
        return tuple(replace(suspect, row=rows[suspect.row]) for suspect in suspects)

    def suspicions(self, suspects: tuple[Suspected, ...] | str) -> Finding:
        if isinstance(suspects, str):
            return Finding(skipped=suspects)
        return self._finding({each.row: each for each in suspects}, _suspicion)

    def truncated(self, count_tokens: CountTokens | None, max_length: int) -> Finding:
        if count_tokens is None:
            return Finding(skipped="no tokenizer to count with")
        cut: dict[int, int] = {}
        with self.progress.track("counting tokens", len(self.texts)) as bar:
            for start in range(0, len(self.texts), TOKENS_AT_ONCE):
                counts = count_tokens(self.texts[start : start + TOKENS_AT_ONCE])
                bar.advance(len(counts))
                cut |= {start + i: n for i, n in enumerate(counts) if n > max_length}
        return self._finding(cut, lambda count: f"{count:,} tokens; {max_length:,} are read")

    def characters(self) -> dict[Kind, Finding]:
        empty = {row: text for row, text in enumerate(self.texts) if lacks_text(text)}
        return {
            "empty": self._finding(empty, _emptiness),
            "undecodable": self._places(find_undecodable),
            "unicode_form": self._places(find_decomposed),
            "markup": self._places(find_markup),
        }

    def spelling(self) -> Finding:
        if self.ids is None:
            return Finding(skipped=NO_LABELS)
        if self.rated:
            return Finding(skipped=RATINGS)
        meant, own = (
            likely_meant(self.counts()),
            self.labels or [(self.names[i],) for i in self.ids],
        )
        found = {
            row: (name, meant[name])
            for row, names in enumerate(own)
            for name in names
            if name in meant
        }
        return self._finding(found, lambda pair: f"labelled {pair[0]}, mostly spelt {pair[1]}")

    def _places(self, find: Callable[[str], tuple[int, str] | None]) -> Finding:
        """Rows in whose text something is found, each shown at that place."""
        places = {row: place for row, text in enumerate(self.texts) if (place := find(text))}
        return self._finding(places, lambda place: excerpt(place[1]), start=lambda place: place[0])

    def _finding(
        self,
        found: Mapping[int, _T],
        why: Callable[[_T], str],
        *,
        start: Callable[[_T], int] = lambda _: 0,
    ) -> Finding:
        rows = tuple(found)
        shown = [
            Example(
                row, self.place(row), excerpt(self.texts[row], start(found[row])), why(found[row])
            )
            for row in rows[:EXAMPLES]
        ]
        return Finding(rows, tuple(shown))

    def _two_labels(self, found: tuple[int, int, int]) -> str:
        label, other_label, row = found
        return f"{self.names[label]} here, {self.names[other_label]} in {self.place(row)}"


def _emptiness(text: str) -> str:
    """What is not to be read in a row."""
    if not isinstance(text, TextPair) or is_empty(text):
        return f"{len(text):,} invisible characters"
    return f"no {'first' if is_empty(text.first) else 'second'} text"


def _suspicion(found: Suspected) -> str:
    return f"labelled {found.given}, reads like {found.suggested} ({found.confidence:.0%})"


def _as_other(match: Match, what: str, *, exact: bool) -> str:
    if match.likeness == 1:
        rest = "" if exact else ", but for case, punctuation or markup"
        return f"as in {what}{rest}"
    # Rounding must not promise more than there is.
    return f"{math.floor(100 * match.likeness)}% like {what}"
