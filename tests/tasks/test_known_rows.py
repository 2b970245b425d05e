"""The rows of a training that goes on: none trains that validates, and none validates twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.toys import toy_rows
from tightfit.config import load_config
from tightfit.data.facts import ContinuedFacts
from tightfit.data.table import Table
from tightfit.data.text_digests import text_digests
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.known_rows import KnownRows
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.tasks.single_label import SingleLabel

OLD, NEW = (
    Table([row["text"] for row in rows], [row["label"] for row in rows])
    for rows in (toy_rows(40), toy_rows(200, seed=3))
)
BOTH = Table([*OLD.texts, *NEW.texts], [*(OLD.labels or ()), *(NEW.labels or ())])


def joined(
    data: Table, validation: Table | None, *, trained: bool, learned: Sequence[str] | None = None
) -> Dataset:
    """Rows beside those of a run that kept :data:`OLD`, and was trained on the texts learned."""
    task = SingleLabel.from_table(OLD)
    digests = None if learned is None else text_digests(learned)
    known = KnownRows(
        "first", "", task, LabelledTexts(task.encode(OLD), OLD.texts), trained, digests
    )
    config = load_config(settings={"train.folds": 0})
    return known.dataset(config, data, validation, None, progress=Progress())


def continued(found: Dataset) -> ContinuedFacts:
    """What became of the run's rows among them."""
    assert found.facts.continued is not None
    return found.facts.continued


@pytest.mark.parametrize("trained", [False, True])
def test_rows_given_again_are_on_one_side(trained: bool) -> None:
    """Also where the run trained on them: its weights know what validates otherwise."""
    found = joined(BOTH, None, trained=trained)
    assert not {*found.train.texts} & {*found.validation.texts}
    assert len(found.train) + len(found.validation) == len(BOTH)
    assert continued(found).repeats_left_out == len(OLD)


@pytest.mark.parametrize("trained", [False, True])
def test_validation_rows_given_again_count_once(trained: bool) -> None:
    """As a file that the run was validated on; one that it was trained on is warned of."""
    found = joined(NEW, OLD.select(range(30)), trained=trained)
    assert not {*found.train.texts} & {*found.validation.texts}
    assert len({*found.validation.texts}) == len(found.validation)
    assert continued(found).kept_rows == 10
    warned = [each for each in found.facts.warnings if "first was trained on" in each]
    assert len(warned) == trained


def test_rows_that_the_run_was_trained_on_do_not_validate() -> None:
    """Its weights know them, however they are spaced: scores and best step would be its own."""
    learned = [f" {text}\n" for text in NEW.texts[:150]]
    found = joined(BOTH, None, trained=False, learned=learned)
    assert not {*NEW.texts[:150]} & {*found.validation.texts}
    own = len(found.validation) - len(OLD)
    left_out = continued(found).learned_left_out
    assert (own > 0, own + left_out) == (True, 20)
    assert found.facts.validation_rows == len(found.validation)


def test_kept_rows_count_where_all_others_with_weights_are_left_out() -> None:
    """Their weight was the mean of none, and so were the scores."""
    weighed = Table(NEW.texts, NEW.labels, weights=[2.0] * len(NEW))
    found = joined(weighed, None, trained=False, learned=NEW.texts)
    assert found.validation.texts == OLD.texts
    assert found.validation.weights_N is not None
    assert found.validation.weights_N.tolist() == [1.0] * len(OLD)


def test_validation_rows_that_the_run_was_trained_on_are_told_of() -> None:
    """Those that are given stay; so do those held out, where there are no others."""
    told = "10 of the validation rows are among those that first was trained on"
    found = joined(NEW, OLD.select(range(30)), trained=False, learned=OLD.texts[:10])
    assert any(told in each for each in found.facts.warnings)
    found = joined(NEW, None, trained=True, learned=NEW.texts)
    assert any("20 of the validation rows" in each for each in found.facts.warnings)
