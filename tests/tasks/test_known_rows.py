"""The rows of a training that goes on: none trains that validates, and none validates twice."""

from __future__ import annotations

import pytest

from tests.toys import toy_rows
from tightfit.config import load_config
from tightfit.data.table import Table
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.known_rows import KnownRows
from tightfit.tasks.single_label import SingleLabel

OLD, NEW = (
    Table([row["text"] for row in rows], [row["label"] for row in rows])
    for rows in (toy_rows(40), toy_rows(200, seed=3))
)
BOTH = Table([*OLD.texts, *NEW.texts], [*(OLD.labels or ()), *(NEW.labels or ())])


def joined(data: Table, validation: Table | None, *, trained: bool) -> Dataset:
    """Rows beside those of a run that kept :data:`OLD`."""
    task = SingleLabel.from_table(OLD)
    known = KnownRows("first", "", task, tuple(OLD.texts), task.encode(OLD), trained)
    config = load_config(settings={"train.folds": 0})
    return known.dataset(config, data, validation, None, progress=Progress())


@pytest.mark.parametrize("trained", [False, True])
def test_rows_given_again_are_on_one_side(trained: bool) -> None:
    """Also where the run trained on them: its weights know what validates otherwise."""
    found = joined(BOTH, None, trained=trained)
    assert not {*found.train_texts} & {*found.validation_texts}
    assert len(found.train_texts) + len(found.validation_texts) == len(BOTH)
    assert found.facts["continued"]["repeats_left_out"] == len(OLD)


@pytest.mark.parametrize("trained", [False, True])
def test_validation_rows_given_again_count_once(trained: bool) -> None:
    """As a file that the run was validated on; one that it was trained on is warned of."""
    found = joined(NEW, OLD.select(range(30)), trained=trained)
    assert not {*found.train_texts} & {*found.validation_texts}
    assert len({*found.validation_texts}) == len(found.validation_texts)
    assert found.facts["continued"]["kept_rows"] == 10
    warned = [each for each in found.facts["warnings"] if "first was trained on" in each]
    assert len(warned) == trained
