"""Batches in which every class has as many rows, and parts of rows for a cross-validation.

Both are pure functions of the targets, a seed, and their number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from statistics import median

import numpy as np
from numpy.typing import NDArray

from tightfit.data.label_strata import Strata, one_each, several_labels, shared_out


def balanced_batch(
    targets_N: NDArray[np.int64], *, classes: int, class_rows: int, seed: int, step: int
) -> list[int]:
    """Rows of one step: the same number of each of its classes, as far as they have them.

    Args:
        targets_N: the class of each row.
        classes: of a step at most.
        class_rows: of each class.
        seed: of all steps.
        step: of this one.
    """
    random = np.random.default_rng((seed, step))
    rows: list[int] = []
    for one in random.permutation(np.unique(targets_N))[:classes]:
        own = np.flatnonzero(targets_N == one)
        rows += random.permutation(own)[:class_rows].tolist()
    return rows


def even_parts(strata: Strata, alike: Sequence[Hashable], most: int) -> int:
    """How many parts a cross-validation of few rows has: no more than a class has rows that differ.

    Of two rows a class, left out one by one, each is missed most by its own class: a classifier of
    the others then says anything else, and is right on next to none, however good it is.

    Args:
        strata: the class of each row, or its labels, which say nothing here.
        alike: rows for which this is equal, such as a text, count as one.
        most: parts that are wanted.
    """
    if several_labels(strata) is not None:
        return most
    # A class with a single row cannot be found in any case.
    rows = [count for count in different_rows(strata, alike).values() if count > 1]
    return min(most, int(median(rows))) if rows else most


def different_rows(strata: Strata, alike: Sequence[Hashable]) -> Counter[int]:
    """Rows of each class that differ; arguments are those of :func:`even_parts`."""
    return Counter(stratum for stratum, _ in set(zip(one_each(strata), alike, strict=True)))


def held_first(alike: Sequence[Hashable], most: int) -> NDArray[np.bool_]:
    """Which rows are held out, ``held_N``: the first ones, at most so many, and none of which a row
    that is alike stays."""
    sizes, held, left = Counter(alike), set(), most
    for each in dict.fromkeys(alike):
        if sizes[each] <= left:
            held.add(each)
            left -= sizes[each]
    return np.array([each in held for each in alike], dtype=bool)


def deal(strata: Strata, alike: Sequence[Hashable], folds: int, seed: int) -> NDArray[np.int64]:
    """The part of each row, ``parts_N``: strata are shared out as evenly as can be.

    Args:
        strata: rows of the same number are alike, such as those of a label; or labels of each.
        alike: rows for which this is equal, such as a text, come into the same part.
        folds: how many parts.
        seed: of the order within a stratum.
    """
    labels_NK = several_labels(strata)
    if labels_NK is not None:
        return _deal_labels(labels_NK, alike, folds, seed)
    random = np.random.default_rng(seed)
    dealt: dict[Hashable, int] = {}
    next_part = 0
    for stratum in sorted(set(strata)):
        own = [row for row, other in enumerate(strata) if other == stratum]
        for row in random.permutation(own).tolist():
            if alike[row] not in dealt:
                dealt[alike[row]] = next_part % folds
                next_part += 1
    return np.array([dealt[each] for each in alike], dtype=np.int64)


def _deal_labels(
    labels_NK: NDArray[np.bool_], alike: Sequence[Hashable], folds: int, seed: int
) -> NDArray[np.int64]:
    """The same for rows that may have several labels: of those that are alike the first counts."""
    first = {each: row for row, each in reversed(list(enumerate(alike)))}
    rows = sorted(first.values())
    sizes = [len(rows[part::folds]) for part in range(folds)]
    dealt = dict(zip(rows, shared_out(labels_NK[rows], sizes, seed).tolist(), strict=True))
    return np.array([dealt[first[each]] for each in alike], dtype=np.int64)
