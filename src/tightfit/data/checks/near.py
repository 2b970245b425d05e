"""Near duplicates: MinHash signatures find candidates (LSH), their exact likeness decides.

The likeness of two texts is the Jaccard index of their sets of 5-character pieces, case,
punctuation and markup aside. Signatures and their banding: Broder 1997, "On the resemblance and
containment of documents"; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", ch. 3.
Shapes: N texts, P permutations.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tightfit.data.checks.markup import decode_markup
from tightfit.extras import require
from tightfit.progress import Bar, Progress

if TYPE_CHECKING:
    from scipy.cluster.hierarchy import DisjointSet

ALIKE = 0.7
"""Least likeness of near duplicates: a sentence of ten words with one of them replaced."""

PIECE = 5
"""Characters of a piece; pieces need no words, and so suit every script."""

BANDS, BAND = 32, 4
"""32 bands of 4 permutations miss a pair of likeness 0.7 with a chance of 1 - (1 - 0.7^4)^32, or
1 in 6,500, and one of 0.8 hardly ever; unrelated texts are hardly ever compared."""

BANDS_AT_ONCE = 8
"""The index of all bands at once would take four times the memory and find the same."""

SLACK = 0.15
"""A likeness estimated from 128 permutations is as far off once in 10,000 times."""

CROWD = 500
"""A text with so many candidates is not indexed itself: it stands among a crowd of look-alikes
(one template, filled in), where comparing all with all would take hours."""

TRIES = 20
"""Candidates of one text, the likeliest first, whose exact likeness is computed."""

PIECES_AT_ONCE = 4096
"""Pieces hashed together; a text of a megabyte has a million."""

STRIDE = 500
"""Texts between two reports of progress."""

_NO_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Match:
    """Another text that is nearly the same."""

    other: int
    """Its position among the texts that were searched."""
    likeness: float
    """Jaccard index, from ``ALIKE`` to 1; 1 where only case, punctuation or markup differ."""


@dataclass(frozen=True)
class Near:
    """For each text that has one: an earlier text, and a held-out text, that is like it."""

    earlier: dict[int, Match]
    held: dict[int, Match]


def find_near(
    texts: Sequence[str], held: Sequence[str] = (), *, progress: Progress = Progress()
) -> Near:
    """Search texts for near duplicates among themselves and of held-out texts.

    Texts without letters or digits are like none. In a crowd of more than ``CROWD`` texts that
    are all alike some pairs may be missed.

    Args:
        texts: no two of them the same.
        held: texts that are searched, but not among themselves.
        progress: how to show progress.

    Raises:
        MissingExtraError: ``datasketch`` is not installed.
    """
    found = Near({}, {})
    with _search("comparing texts", (*held, *texts), len(held), progress) as search:
        for row, in_held, earlier in search.candidates():
            if row >= len(held):
                search.keep(found.earlier, row, earlier)
                search.keep(found.held, row, in_held)
    return found


def join_near(
    texts: Sequence[str],
    sets: DisjointSet,
    *,
    least: float,
    progress: Progress,
) -> None:
    """Merge the sets of texts, by their positions, whose likeness is at least ``least``.

    Unlike :func:`find_near`, which wants one text that is alike, this looks at every candidate
    that is not yet in the same set. Other words are as there.

    Raises:
        MissingExtraError: ``datasketch`` is not installed.
    """
    with _search("grouping near duplicates", texts, 0, progress) as search:
        for row, _, earlier in search.candidates():
            tried = 0
            for other in search.likeliest(row, earlier, least):
                if tried == TRIES:
                    break
                if not sets.connected(row, other):
                    tried += 1
                    if likeness(search.forms[row], search.forms[other]) >= least:
                        sets.merge(row, other)


def plain_form(text: str) -> str:
    """A text as it is compared: markup decoded, no case, letters and digits only."""
    folded = unicodedata.normalize("NFKC", decode_markup(text)).casefold()
    return _NO_LETTERS.sub(" ", folded).strip()


def likeness(form: str, other: str) -> float:
    """The Jaccard index of the pieces of two plain forms, from 0 to 1."""
    one, two = set(_pieces(form)), set(_pieces(other))
    shared = len(one & two)
    return shared / (len(one) + len(two) - shared)


def _pieces(form: str) -> Iterator[str]:
    """Every 5 consecutive characters; a shorter text is one piece."""
    return (form[i : i + PIECE] for i in range(max(len(form) - PIECE + 1, 1)))


@contextmanager
def _search(what: str, texts: Sequence[str], held: int, progress: Progress) -> Iterator[_Search]:
    """The search, under a bar that moves once for the signatures and once for each index."""
    datasketch = require("datasketch", "the search for near duplicates")
    steps = len(texts) * (1 + BANDS // BANDS_AT_ONCE)
    with progress.track(what, steps) as bar:
        forms = [plain_form(text) for text in texts]
        yield _Search(datasketch, forms, _signatures(datasketch, forms, bar), held, bar)


def _counted(forms: Sequence[str], bar: Bar) -> Iterator[tuple[int, str]]:
    """Each form with its number, while the bar moves."""
    for row, form in enumerate(forms):
        if row % STRIDE == 0:
            bar.advance(min(STRIDE, len(forms) - row))
        yield row, form


def _signatures(datasketch: Any, forms: Sequence[str], bar: Bar) -> NDArray[np.uint32]:
    sketch = datasketch.MinHash(num_perm=BANDS * BAND, hashfunc=zlib.crc32)
    signatures_NP = np.empty((len(forms), BANDS * BAND), dtype=np.uint32)
    for row, form in _counted(forms, bar):
        sketch.clear()
        pieces = iter(set(_pieces(form)))
        while some := [piece.encode() for piece in islice(pieces, PIECES_AT_ONCE)]:
            sketch.update_batch(some)
        signatures_NP[row] = sketch.hashvalues
    return signatures_NP


@dataclass(frozen=True)
class _Search:
    """Held-out texts first, then the others, each compared with those before it."""

    datasketch: Any
    forms: Sequence[str]
    signatures_NP: NDArray[np.uint32]
    held: int
    bar: Bar

    def candidates(self) -> Iterator[tuple[int, list[int], list[int]]]:
        """Each text, once for each index, with those held-out and earlier ones that agree with it.

        That is, in at least one band of the index. For a held-out text the earlier ones are those.
        """
        width = BANDS_AT_ONCE * BAND
        for first in range(0, BANDS * BAND, width):
            sketch = self.datasketch.MinHash(num_perm=width)
            held, earlier = (
                self.datasketch.MinHashLSH(num_perm=width, params=(BANDS_AT_ONCE, BAND))
                for _ in range(2)
            )
            for row, form in _counted(self.forms, self.bar):
                if not form:
                    continue
                sketch.hashvalues = self.signatures_NP[row, first : first + width]
                index = held if row < self.held else earlier
                found = index.query(sketch)
                yield row, held.query(sketch) if row >= self.held else found, found
                if len(found) < CROWD:
                    index.insert(row, sketch, check_duplication=False)

    def keep(self, matches: dict[int, Match], row: int, candidates: list[int]) -> None:
        """Remember the closest candidate, if it is close, unless earlier bands found one."""
        text = row - self.held
        if candidates and text not in matches:
            closest = self._closest(row, candidates)
            if closest is not None:
                matches[text] = closest

    def likeliest(self, row: int, found: Sequence[int], least: float = ALIKE) -> Iterator[int]:
        """Those that may be so much alike by their signatures, the likeliest first."""
        candidates = np.array(sorted(found), dtype=np.int64)
        agreement = (self.signatures_NP[candidates] == self.signatures_NP[row]).mean(axis=1)
        for place in np.argsort(-agreement, kind="stable"):
            if agreement[place] < least - SLACK:
                break
            yield int(candidates[place])

    def _closest(self, row: int, candidates: Sequence[int]) -> Match | None:
        for other in islice(self.likeliest(row, candidates), TRIES):
            exact = likeness(self.forms[row], self.forms[other])
            if exact >= ALIKE:
                return Match(other - self.held if other >= self.held else other, exact)
        return None
