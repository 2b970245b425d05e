"""The sizes of contrastive steps, by how many rows a class has and how long they are."""

from __future__ import annotations

import numpy as np
import pytest

from tightfit.config import ASKED
from tightfit.config.sections import Contrastive
from tightfit.training.objective import ContrastiveSteps, decide_class_rows


@pytest.mark.parametrize(
    ("classes", "each", "longest", "rows", "reason"),
    [
        (3, 16, 30, 4, "16 rows a class"),
        (3, 17, 30, 21, "17 rows a class"),
        (2, 64, 128, 32, "64 rows a class"),
        (2, 64, 256, 16, "64 rows a class of up to 256 tokens"),
        (4, 30, 256, 8, "30 rows a class of up to 256 tokens"),
        (9, 30, 4_000, 4, "30 rows a class of up to 4000 tokens"),
    ],
)
def test_many_rows_a_class_are_drawn_more_at_a_time(
    classes: int, each: int, longest: int, rows: int, reason: str
) -> None:
    """As far as a step has room, of rows and of tokens of the longest."""
    targets_N = np.repeat(np.arange(classes), each)
    found = decide_class_rows(Contrastive(), targets_N, longest, crowded=False)
    assert (found.value, found.reason) == (rows, reason)
    assert decide_class_rows(Contrastive(), targets_N, longest, crowded=True).value == 4


@pytest.mark.parametrize(("rows", "steps"), [(4, 15), (5, 20)])
def test_many_rows_in_a_step_take_more_steps(rows: int, steps: int) -> None:
    """Of four classes at most."""
    assert ContrastiveSteps.of(Contrastive(), rows) == ContrastiveSteps(steps, rows, 4)


@pytest.mark.parametrize(
    ("classes", "batch", "rows", "shown"),
    [(4, 64, 16, 4), (4, 32, 8, 4), (4, 16, 4, 4), (4, 8, 4, 2), (2, 16, 8, 2), (9, 16, 4, 4)],
)
def test_a_batch_that_is_asked_for_shows_several_classes(
    classes: int, batch: int, rows: int, shown: int
) -> None:
    """However many rows of each there are: those of one class alone are told from no others."""
    asked = Contrastive(batch=batch)
    found = decide_class_rows(asked, np.repeat(np.arange(classes), 30), 30, crowded=False)
    assert found.value == rows
    assert (f"{batch} rows in a step" in found.reason) == (rows < 16)
    assert ContrastiveSteps.of(asked, rows).classes == shown


@pytest.mark.parametrize(("batch", "classes"), [(16, 3), (12, 2), (5, 2), (2, 2)])
def test_what_is_asked_for_is_taken(batch: int, classes: int) -> None:
    """As many classes as the batch has room for, and two where it has less."""
    asked = Contrastive(steps=3, batch=batch, class_rows=5)
    rows = decide_class_rows(asked, np.zeros(64, np.int64), 30, crowded=True)
    assert (rows.value, rows.reason) == (5, ASKED)
    assert ContrastiveSteps.of(asked, 5) == ContrastiveSteps(3, 5, classes)
