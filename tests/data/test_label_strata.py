"""Rows of several labels, shared out so that each label is in every part."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from tightfit.data.balanced import deal
from tightfit.data.label_strata import one_each, rows_a_class, shared_out
from tightfit.data.splits import limit_rows, split_rows


def labels_of(count: int, labels: int = 28, seed: int = 0) -> NDArray[np.bool_]:
    """Labels whose frequency falls to a few rows; some rows have none."""
    chance = np.random.default_rng(seed)
    shares_K = np.geomspace(0.3, 12 / count, labels)
    return chance.random((count, labels)) < shares_K


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_each_label_is_held_out_in_proportion(share: float) -> None:
    """Within one row of its share, or two of a label in many rows, which others pull along."""
    labels_NK = labels_of(3_000)
    split = split_rows(labels_NK, validation_rows=share, stratify=True, seed=3)
    assert sorted(split.train + split.validation) == list(range(3_000))
    assert len(split.validation) == 3_000 * share
    held_K, all_K = labels_NK[split.validation].sum(0), labels_NK.sum(0)
    assert (held_K >= 1).all()
    assert (np.abs(held_K - share * all_K) <= 2 + 0.02 * all_K).all()


def test_a_label_of_two_rows_is_on_both_sides() -> None:
    """Whatever the share: by chance one in ten of such labels would be."""
    labels_NK = labels_of(400)
    labels_NK[:, 5] = False
    labels_NK[[7, 300], 5] = True
    split = split_rows(labels_NK, validation_rows=0.1, stratify=True, seed=0)
    assert labels_NK[split.train, 5].sum() == labels_NK[split.validation, 5].sum() == 1


def test_a_sample_and_folds_keep_every_label() -> None:
    """The same each time; rows of one text are in one part."""
    labels_NK = labels_of(600, labels=8)
    rows = limit_rows(range(600), labels_NK, 100, seed=1)
    assert rows == limit_rows(range(600), labels_NK, 100, seed=1) == sorted(rows)
    assert len(rows) == 100
    assert labels_NK[rows].any(0).all()
    alike = [f"text {row // 2}" for row in range(600)]
    parts_N = deal(labels_NK, alike, 4, 0)
    assert (parts_N[::2] == parts_N[1::2]).all()
    assert all(labels_NK[parts_N == part].any(0).all() for part in range(4))


def test_one_number_a_row_is_the_rarest_label() -> None:
    """And one more of rows without any; numbers stay what they are."""
    labels_NK = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [0, 0, 1]], dtype=bool)
    assert one_each(labels_NK) == [1, 0, 3, 2, 2]
    assert one_each([4, 2]) == [4, 2]


def test_rows_a_class_are_those_of_classes_that_have_some() -> None:
    """Of several labels the rarest counts; no rows are none."""
    assert rows_a_class([0, 0, 0, 5]) == 2.0
    assert rows_a_class(np.array([[1, 0], [1, 1], [1, 0]], dtype=bool)) == 1.5
    assert rows_a_class([]) == 0.0


def test_as_many_rows_as_goemotions_take_seconds() -> None:
    """43,410 rows of 28 labels."""
    labels_NK = labels_of(43_410)
    started = time.perf_counter()
    parts_N = shared_out(labels_NK, [39_069, 4_341], seed=0)
    assert np.bincount(parts_N).tolist() == [39_069, 4_341]
    assert time.perf_counter() - started < 10
