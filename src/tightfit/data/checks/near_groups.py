"""Rows that are nearly the same as groups; and how many of them a split has torn apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tightfit import extras
from tightfit.data.checks.near import find_near, join_near
from tightfit.data.checks.repeats import first_rows, text_key
from tightfit.data.facts import NearCopies
from tightfit.progress import Progress

if TYPE_CHECKING:
    from scipy.cluster import hierarchy
else:
    hierarchy = extras.lazy("scipy.cluster.hierarchy", "looking for near duplicates")

MOST_HELD, MOST_TRAINED = 200, 1_000
"""Rows of either side that are compared: about a second, whatever the size of the data."""

GROUPED = 0.5
"""Least likeness of rows of a group. Lower than that of near duplicates: a short question with one
word less is as far from itself, and a split is harmed more by a copy that crosses it than by two
rows too many on one side."""


def near_groups(texts: Sequence[str], progress: Progress = Progress()) -> list[int]:
    """A number for each row: the same for rows whose texts are nearly the same, or both like a
    third.

    Rows without a visible character are each on their own.

    Args:
        texts: of the rows.
        progress: how to show progress.

    Raises:
        MissingExtraError: ``datasketch`` is not installed.
    """
    keys = [text_key(text) for text in texts]
    place = {key: number for number, key in enumerate(first_rows(keys))}
    sets = hierarchy.DisjointSet(range(len(place)))
    join_near(list(place), sets, least=GROUPED, progress=progress)
    lonely = iter(range(len(place), len(place) + len(texts)))
    return [sets[place[key]] if key else next(lonely) for key in keys]


def near_crossing(train: Sequence[str], held: Sequence[str], seed: int) -> NearCopies | None:
    """Compare a sample of both sides; None where ``datasketch`` is not installed.

    Exact copies are left out: :func:`tightfit.data.checks.quick.quick_warnings` counts them all.
    """
    if not extras.available("datasketch"):
        return None
    random = np.random.default_rng(seed)
    held_keys = _sample([text_key(text) for text in held], MOST_HELD, random)
    known = set(held_keys)
    train_keys = _sample([text_key(text) for text in train], MOST_TRAINED, random)
    fresh = [key for key in train_keys if key not in known]
    # Each validation row is to be found, so they are what is searched, not what is searched for.
    found = find_near(held_keys, fresh).held
    return NearCopies(len(found), len(held_keys), len(fresh))


def _sample(keys: Sequence[str], most: int, random: np.random.Generator) -> list[str]:
    """Different keys, at most so many."""
    rows = random.permutation(len(keys))[:most].tolist()
    return list(first_rows([keys[row] for row in rows]))
