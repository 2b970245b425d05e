"""The sizes of contrastive steps, by how many rows a class has."""

from __future__ import annotations

import pytest

from tightfit.config import ASKED
from tightfit.config.sections import Contrastive
from tightfit.training.objective import contrastive_steps


@pytest.mark.parametrize(("each", "steps", "rows"), [(2, 15, 4), (16, 15, 4), (16.5, 20, 16)])
def test_many_rows_a_class_are_drawn_more_at_a_time(each: float, steps: int, rows: int) -> None:
    """Four classes in a step, as before; the reason says how many rows there are."""
    found = contrastive_steps(Contrastive(), each)
    assert (found.steps, found.class_rows.value, found.classes) == (steps, rows, 4)
    assert found.class_rows.reason == f"{each:.3g} rows a class"


@pytest.mark.parametrize(("batch", "classes"), [(12, 2), (5, 1), (2, 1)])
def test_what_is_asked_for_is_taken(batch: int, classes: int) -> None:
    """As many classes as the batch has room for, and one where it has none."""
    found = contrastive_steps(Contrastive(steps=3, batch=batch, class_rows=5), 64)
    assert (found.steps, found.class_rows.value, found.classes) == (3, 5, classes)
    assert found.class_rows.reason == ASKED
