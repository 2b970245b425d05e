"""Rows with their targets: some of them, and others behind them."""

from __future__ import annotations

import numpy as np

from tightfit.tasks.labelled_rows import LabelledRows, numbered
from tightfit.tasks.labelled_texts import LabelledTexts

ROWS = LabelledTexts(
    np.array([1, 0, 1]),
    ["a", "b", "a"],
    weights_N=np.array([1.0, 2.0, 3.0]),
    alike_N=numbered("aba"),
    parts_N=np.array([0, 1, 0]),
)


def test_some_rows_keep_all_that_is_known_of_them() -> None:
    """In the order that is asked for."""
    some = ROWS.select([2, 1])
    assert (some.targets.tolist(), some.texts) == ([1, 0], ["a", "b"])
    found = [each.tolist() for each in (some.weights_N, some.alike_N, some.parts_N)]  # type: ignore[union-attr]  # all three are there
    assert found == [[3.0, 2.0], [0, 1], [0, 1]]


def test_rows_that_are_added_count_as_the_mean_and_are_in_no_part() -> None:
    """Those of them that are alike stay so, and are like none before."""
    more = LabelledTexts(np.array([0, 0, 1]), ["c", "c", "d"], alike_N=numbered("ccd"))
    both = ROWS.followed_by(more)
    assert both.texts == ["a", "b", "a", "c", "c", "d"]
    assert both.groups_N.tolist() == [0, 1, 0, 2, 2, 3]
    assert both.weights_N is not None
    assert both.weights_N[3:].tolist() == [2.0] * 3
    assert both.parts_N is not None
    assert both.parts_N[3:].tolist() == [-1] * 3


def test_rows_behind_none_count_as_one() -> None:
    """Of no weights there is no mean."""
    none = LabelledTexts(np.zeros(0, np.int64), [], weights_N=np.zeros(0))
    found = none.followed_by(ROWS).weights_N
    assert found is not None
    assert found.tolist() == [1.0] * 3


def test_without_numbers_no_two_rows_are_alike() -> None:
    """And none counts more than another."""
    assert LabelledRows(np.zeros(3)).groups_N.tolist() == [0, 1, 2]
    assert LabelledRows(np.zeros(3)).weights_N is None
