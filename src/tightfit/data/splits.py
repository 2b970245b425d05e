"""Which rows train, which validate, and which are left out by a limit; all seeded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tightfit import extras
from tightfit.data.label_strata import Strata, one_each, several_labels, shared_out
from tightfit.errors import DataError, UsageError

if TYPE_CHECKING:
    from sklearn import model_selection
else:  # which what is wrong with the rows does not wait for
    model_selection = extras.lazy("sklearn.model_selection", "a split of rows")

PUBLISHED_ROWS = 640
"""Held out by the published system, whose rows are many; of others at most :data:`SMALL_SHARE`."""
SMALL_SHARE = 0.1


@dataclass(frozen=True)
class Split:
    """Row indices of two parts that have no row in common and together are all rows."""

    train: list[int]
    validation: list[int]
    note: str | None = None
    """What was decided against, or beyond, the settings; a sentence for people."""


def split_rows(strata: Strata, *, validation_rows: float, stratify: bool, seed: int) -> Split:
    """Hold out rows for validation.

    Not stratified, the parts and their order are those of the datasets library's
    ``train_test_split(test_size=..., seed=...)``.

    Args:
        strata: the same number for rows that are alike, such as those of a label; or the labels of
            each row, which are then kept in proportion one by one.
        validation_rows: a count, or, below 1, a share. The published 640 become a tenth of the
            rows, rounded up, where they are more than that.
        stratify: keep the shares of the classes, with at least one row of each on both sides, or
            where there are too many of them in training; a class with a single row then trains.
        seed: of the shuffle.

    Raises:
        DataError: one of the two sides would be empty.
    """
    held_out, note = held_out_rows(len(strata), validation_rows)
    if not stratify:
        return _shuffled(range(len(strata)), held_out, seed, note)
    labels_NK = several_labels(strata)
    if labels_NK is not None:
        parts_N = shared_out(labels_NK, [len(strata) - held_out, held_out], seed)
        train, held = (np.flatnonzero(parts_N == part).tolist() for part in (0, 1))
        return Split(train, held, note)
    return _stratified(one_each(strata), held_out, seed, note)


def limit_rows(rows: Sequence[int], strata: Strata, limit: int, seed: int) -> list[int]:
    """A stratified sample of ``rows`` in their order, each of their classes at least once.

    Args:
        rows: row indices to choose from, such as the training side of a split.
        strata: of every row of the table, so that ``strata[rows[0]]`` exists.
        limit: how many to keep; all are kept if there are no more.
        seed: of the choice.

    Raises:
        UsageError: ``limit`` is below the number of classes.
    """
    if limit >= len(rows):
        return list(rows)
    labels_NK = several_labels(strata)
    if labels_NK is not None:
        sizes = [limit, len(rows) - limit]
        parts_N = shared_out(labels_NK[list(rows)], sizes, seed)
        return [row for row, part in zip(rows, parts_N.tolist(), strict=True) if part == 0]
    ids = np.asarray([strata[row] for row in rows])
    classes, counts = np.unique(ids, return_counts=True)
    if limit < len(classes):
        raise UsageError(
            "the limit of rows leaves a class without any",
            seen=f"{limit} rows for {len(classes)} classes",
            next_step=f"use a --limit of at least {len(classes)}",
        )
    random = np.random.default_rng(seed)
    kept = [
        random.choice(np.flatnonzero(ids == one), size=quota, replace=False)
        for one, quota in zip(classes, _quotas(counts.tolist(), limit), strict=True)
    ]
    return [rows[position] for position in np.sort(np.concatenate(kept)).tolist()]


def held_out_rows(rows: int, wanted: float) -> tuple[int, str | None]:
    """How many of some rows to hold out, and the note if that is not what was wanted.

    ``wanted`` is the ``validation_rows`` of :func:`split_rows`.

    Raises:
        DataError: one of the two sides would be empty.
    """
    share, note = wanted, None
    if wanted == PUBLISHED_ROWS > rows * SMALL_SHARE:
        share = SMALL_SHARE
        note = (
            f"{wanted:,.0f} validation rows are more than a tenth of {rows:,}: "
            f"{math.ceil(rows * share):,} rows are held out instead"
        )
    held_out = int(share) if share >= 1 else math.ceil(rows * share)
    if not 0 < held_out < rows:
        raise DataError(
            "the split leaves nothing to train on or nothing to validate on",
            seen=f"{held_out:,} of {rows:,} rows for validation",
            next_step="give more rows, another data.validation_rows, or a file of validation rows",
        )
    return held_out, note


def _shuffled(rows: Sequence[int], held_out: int, seed: int, note: str | None) -> Split:
    # The library itself, because published results depend on its very permutation.
    datasets = extras.require("datasets", "the published split")
    table = datasets.Dataset.from_dict({"row": list(rows)})
    parts = table.train_test_split(test_size=held_out, seed=seed)
    return Split(parts["train"][:]["row"], parts["test"][:]["row"], note)


def _stratified(strata: Sequence[int], held_out: int, seed: int, note: str | None) -> Split:
    counts = Counter(strata)
    single = [row for row, label in enumerate(strata) if counts[label] == 1]
    rest = [row for row, label in enumerate(strata) if counts[label] > 1]
    classes = len(counts) - len(single)
    notes = [note] if note else []
    if single:
        notes.append(f"classes with a single row, which trains: {len(single):,}")
    if len(rest) <= held_out:
        raise DataError(
            "too few rows to hold any out by class",
            seen=f"{held_out:,} wanted of {len(rest):,} rows whose class has another row",
            next_step="give more rows, or set data.stratify=false",
        )
    if min(held_out, len(rest) - held_out) < classes:
        notes.append(f"one side is too small for all {classes:,} kinds of label: not stratified")
        first = {strata[row]: row for row in reversed(rest)}
        spare = [row for row in rest if first[strata[row]] != row]
        if len(spare) > held_out:
            single += sorted(first.values())  # so that no class is left without a row to train on
            rest = spare
        split = _shuffled(rest, held_out, seed, None)
    else:
        ids = [strata[row] for row in rest]
        train, validation = model_selection.train_test_split(
            rest, test_size=held_out, stratify=ids, random_state=seed
        )
        split = _with_each_class(train, validation, strata)
    return Split([*split.train, *single], split.validation, "; ".join(notes) or None)


def _quotas(counts: Sequence[int], limit: int) -> list[int]:
    """Split ``limit`` in proportion to ``counts``, at least 1 for each, by largest remainder."""
    exact = [count * limit / sum(counts) for count in counts]
    quotas = [max(1, math.floor(share)) for share in exact]
    while (missing := limit - sum(quotas)) != 0:
        step = 1 if missing > 0 else -1
        # The class that is furthest on the wrong side; taking away never empties one.
        movable = [i for i, quota in enumerate(quotas) if quota + step >= 1]
        quotas[max(movable, key=lambda i: step * (exact[i] - quotas[i]))] += step
    return quotas


def _with_each_class(train: list[int], validation: list[int], strata: Sequence[int]) -> Split:
    """The split with a held-out row of each class: a share of a rare one may be less than a row.

    Each changes places with a row of the class that most held-out rows have.
    """
    train, validation = list(train), list(validation)
    held = Counter(strata[row] for row in validation)
    for one in sorted({strata[row] for row in train} - held.keys()):
        (common, _), *_ = held.most_common(1)
        given = next(i for i, row in enumerate(train) if strata[row] == one)
        taken = next(i for i, row in enumerate(validation) if strata[row] == common)
        train[given], validation[taken] = validation[taken], train[given]
        held.update({one: 1, common: -1})
    return Split(train, validation)
