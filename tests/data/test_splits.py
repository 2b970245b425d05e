"""Held-out rows and samples: nothing lost, nothing twice, the same again for the same seed."""

from __future__ import annotations

from collections import Counter

import datasets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightfit.data.splits import Split, limit_rows, split_rows
from tightfit.errors import DataError, UsageError

some_labels = st.lists(st.integers(0, 3), min_size=2, max_size=60)


def split(labels: list[int], rows: float = 0.1, *, stratify: bool = False, seed: int = 42) -> Split:
    """The tenth of the rows held out, unless told."""
    return split_rows(labels, validation_rows=rows, stratify=stratify, seed=seed)


@settings(deadline=None)
@given(
    labels=some_labels.map(lambda labels: [*labels, *[0] * 8]),
    rows=st.floats(0.01, 0.5) | st.integers(1, 7) | st.just(640),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize("stratify", [False, True])
def test_a_split_is_a_partition(labels: list[int], rows: float, seed: int, stratify: bool) -> None:
    """Each row on exactly one side, and no side empty."""
    parts = split_rows(labels, validation_rows=rows, stratify=stratify, seed=seed)
    assert sorted(parts.train + parts.validation) == list(range(len(labels)))
    assert parts.train
    assert parts.validation


@pytest.mark.parametrize(("count", "wanted"), [(6400, 640), (7001, 640), (100, 10), (50, 0.25)])
def test_the_plain_split_is_the_librarys(count: int, wanted: float) -> None:
    """The published run depends on its permutation, order included."""
    library = datasets.Dataset.from_dict({"row": range(count)})
    parts = library.train_test_split(test_size=wanted, seed=42)
    ours = split([0] * count, wanted)
    assert ours == Split(list(parts["train"]["row"]), list(parts["test"]["row"]), None)


def test_the_published_split_is_pinned() -> None:
    """120,000 rows, 640 of them held out with seed 42: what any version must reproduce."""
    parts = split([0] * 120_000, 640)
    assert (len(parts.train), len(parts.validation)) == (119_360, 640)
    assert parts.validation[:5] == PUBLISHED_VALIDATION_HEAD


PUBLISHED_VALIDATION_HEAD = [6304, 100605, 33765, 58777, 37485]
"""Of numpy's ``default_rng(42).permutation(120_000)``, which the library uses."""


def test_the_published_count_becomes_a_tenth_of_fewer_rows() -> None:
    """It needs 6,400 of them; the note says what happened."""
    parts = split([0] * 6_399, 640)
    assert len(parts.validation) == 640
    assert parts.note == (
        "640 validation rows are more than a tenth of 6,399: 640 rows are held out instead"
    )
    assert len(split([0] * 5_452, 640).validation) == 546
    assert split([0] * 6_400, 640).note is None


def test_any_other_count_is_what_was_asked_for() -> None:
    """However few rows are left to train on: 60 were held out where 121 of 600 were asked for."""
    assert len(split([0] * 600, 121).validation) == 121
    assert split([0] * 600, 121).note is None
    with pytest.raises(DataError, match="600 of 600 rows"):
        split([0] * 600, 600)


@pytest.mark.parametrize(("labels", "rows"), [([0], 640), ([], 0.1), ([0] * 9, 0), ([0] * 9, 0.99)])
def test_no_side_is_ever_empty(labels: list[int], rows: float) -> None:
    """Neither for want of rows nor by the setting."""
    with pytest.raises(
        DataError, match=r"leaves nothing(.|\n)*\d of \d rows(.|\n)*validation_rows"
    ):
        split(labels, rows)


@pytest.mark.parametrize("stratify", [False, True])
def test_a_seed_is_a_split(stratify: bool) -> None:
    """Equal for equal seeds; of 10^89 ways to hold out 100 of 1,000 rows, two seeds share none."""
    labels = [i % 3 for i in range(1_000)]
    assert split(labels, stratify=stratify) == split(labels, stratify=stratify)
    other = split(labels, stratify=stratify, seed=43)
    assert sorted(other.validation) != sorted(split(labels, stratify=stratify).validation)


def test_a_stratified_split_keeps_the_shares() -> None:
    """Exactly, where the counts divide."""
    labels = [0] * 500 + [1] * 300 + [2] * 200
    parts = split(labels, 100, stratify=True)
    assert Counter(labels[row] for row in parts.validation) == {0: 50, 1: 30, 2: 20}
    assert parts.note is None


@settings(deadline=None)
@given(counts=st.lists(st.integers(2, 60), min_size=2, max_size=6), seed=st.integers(0, 999))
def test_each_class_is_on_both_sides(counts: list[int], seed: int) -> None:
    """Also one whose share of the held-out rows is less than a row."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    held_out = max(len(counts), len(labels) // 10)
    parts = split(labels, rows=held_out / len(labels), stratify=True, seed=seed)
    for side in (parts.train, parts.validation):
        assert {labels[row] for row in side} == set(range(len(counts)))


def test_a_single_row_of_a_class_trains() -> None:
    """Held out, its class would never be learnt."""
    labels = [0] * 20 + [1] * 20 + [2, 3]
    parts = split(labels, 4, stratify=True)
    assert {40, 41} <= set(parts.train)
    assert parts.note == "classes with a single row, which trains: 2"


def test_more_classes_than_held_out_rows_are_split_unstratified() -> None:
    """And the note says so, beside the one on the count."""
    labels = [i % 30 for i in range(90)]
    parts = split(labels, 640, stratify=True)
    assert len(parts.validation) == 9
    assert parts.note == (
        "640 validation rows are more than a tenth of 90: 9 rows are held out instead; "
        "one side is too small for all 30 kinds of label: not stratified"
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_class_is_left_without_a_row_to_train_on(seed: int) -> None:
    """Of 151 classes with 200 rows; where more is asked for than can be spared, it is given."""
    labels = [*range(151), *range(49)]
    parts = split_rows(labels, validation_rows=20, stratify=True, seed=seed)
    assert sorted([*parts.train, *parts.validation]) == list(range(200))
    assert len(parts.validation) == 20
    assert {labels[row] for row in parts.train} == set(range(151))
    few = split_rows([i % 30 for i in range(60)], validation_rows=0.6, stratify=True, seed=seed)
    assert len(few.validation) == 36


def test_single_rows_alone_cannot_be_stratified() -> None:
    """All of them would have to train."""
    with pytest.raises(DataError, match=r"too few rows(.|\n)*data\.stratify=false"):
        split([0, 1, 2, 3], 0.25, stratify=True)


# Limits


@given(labels=some_labels, data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_a_limit_keeps_each_class_and_the_order(
    labels: list[int], data: st.DataObject, seed: int
) -> None:
    """Some of the given rows, as many as asked for."""
    rows = data.draw(st.permutations(range(len(labels))))[: len(labels) // 2 + 1]
    classes = {labels[row] for row in rows}
    limit = data.draw(st.integers(len(classes), len(rows)))
    kept = limit_rows(rows, labels, limit, seed)
    assert len(kept) == limit
    assert [row for row in rows if row in set(kept)] == kept
    assert {labels[row] for row in kept} == classes


@given(counts=st.lists(st.integers(30, 300), min_size=1, max_size=8), share=st.floats(0.1, 1))
def test_a_limit_keeps_the_shares(counts: list[int], share: float) -> None:
    """Within one row of the exact share, unless the floor of one row a class gets in the way."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    limit = int(share * len(labels))
    kept = Counter(labels[row] for row in limit_rows(range(len(labels)), labels, limit, 0))
    for label, count in enumerate(counts):
        assert abs(kept[label] - count * limit / len(labels)) < 1


def test_a_rare_class_keeps_its_one_row() -> None:
    """Its exact share of ten rows would be 0.01 of a row; the others give way."""
    labels = [0] * 600 + [1] * 398 + [2, 3]
    kept = limit_rows(range(1000), labels, 10, 42)
    assert Counter(labels[row] for row in kept) == {0: 5, 1: 3, 2: 1, 3: 1}


def test_a_limit_is_seeded() -> None:
    """Of 10^139 samples of 100 of 1,000 rows, two seeds do not draw the same one."""
    rows, labels = range(1_000), [0] * 1_000
    assert limit_rows(rows, labels, 100, 1) == limit_rows(rows, labels, 100, 1)
    assert limit_rows(rows, labels, 100, 1) != limit_rows(rows, labels, 100, 2)


def test_a_limit_above_the_rows_keeps_them() -> None:
    """In their order."""
    assert limit_rows([3, 1], [0, 0, 0, 1], 5, 42) == [3, 1]


@pytest.mark.parametrize("limit", [1, 0, -5])
def test_a_limit_below_the_classes_is_refused(limit: int) -> None:
    """Some class would be lost."""
    with pytest.raises(UsageError, match=rf"{limit} rows for 2 classes\n.*limit=… of at least 2"):
        limit_rows([0, 1, 2], [0, 1, 0], limit, 42)
