"""The page of a run whose start, or whose earlier knowledge, was as good as what its steps made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.reporting.test_page import words_of
from tests.reports import with_outcomes
from tightfit import Run, TrainResult
from tightfit.config.decisions import Decision
from tightfit.reporting.examples import rows, warnings
from tightfit.reporting.first_look import first_points
from tightfit.reporting.page import render
from tightfit.training.summary import Continued

KEPT = {"movement": {"ok": False, "expected": True, "kept_start": True}}


@pytest.fixture(scope="module")
def run(finished: TrainResult) -> Run:
    """Of the toy run."""
    return Run.open(finished.run)


def trained(run: Run, **changes: Any) -> Run:
    """The same run with another summary of its training."""
    metrics = replace(run.metrics, train=replace(run.metrics.train, **changes))
    return run.with_parts(metrics=metrics)


def kept(run: Run, known: Continued | None) -> Run:
    """The same run with its start kept, which is what another run knew where one is given."""
    movement = {**run.proofs["movement"], **KEPT["movement"]}
    movement |= {"adapters": dict.fromkeys(movement["adapters"], 0.0)}
    no_regression = {**run.proofs["no_regression"], "kept_start": True}
    proofs = {**run.proofs, "movement": movement, "no_regression": no_regression}
    told = {name: {**KEPT.get(name, {}), "ok": proofs[name]["ok"]} for name in proofs}
    told["no_regression"]["kept_start"] = True
    return trained(run, proofs=told, best_step=0, continued=known).with_parts(proofs=proofs)


def test_a_better_start_is_told(run: Run) -> None:
    """What was kept is not the best on the validation rows, and its tick is no praise."""
    accuracy = {"start_accuracy": 0.95, "accuracy": 0.75}
    proofs = {**run.proofs, "no_regression": {**run.proofs["no_regression"], **accuracy}}
    fell = run.with_parts(proofs=proofs)
    assert words_of(fell).count("its start has 95.0% right, and what was kept 75.0%: chance") == 2
    assert "the best on the validation rows" not in words_of(fell)
    assert "the best on the validation rows" in words_of(run)
    point = next(each for each in first_points(fell, ()) if each.section == "proofs")
    assert (point.title, point.tone) == ("All 5 proofs hold", "note")


@pytest.mark.parametrize(("head", "told"), [("solved", True), ("trained", False)])
def test_a_head_solved_anew_is_told(run: Run, head: Any, told: bool) -> None:
    """What stands in the curves at that step is not what the step left."""
    decided = replace(run.decisions, head=Decision(head, "of 22 rows"))
    assert ("Then the head was solved anew" in words_of(run.with_parts(decisions=decided))) is told


def test_a_kept_start_is_the_start(run: Run) -> None:
    """Its adapters change nothing, of which no picture is needed."""
    words = words_of(kept(run, None))
    assert "The start was kept: no step did better on the validation rows." in words
    assert "4 dead" in words
    assert "Change of weight by layer" not in words


def test_what_another_run_knew_is_not_dead(run: Run) -> None:
    """Its adapters are as that run had learned them, though nothing moved since."""
    page = render(kept(run, Continued("runs/<i>", True, 9, 0.8, 0.8)))
    assert "every part stays as runs/&lt;i&gt; had learned it" in page
    assert "<b>What it knew is kept.</b>" in page
    for wrong in ("dead:", "Not everything learned", "lower optim.lr", 'class="bad"', "bar alert"):
        assert wrong not in page


@pytest.mark.parametrize(
    ("kept", "words"),
    [("head", "their ends were"), ("head+tail", "their middles were"), ("windows", None)],
)
def test_what_is_not_read_of_long_texts(run: Run, kept: Any, words: str | None) -> None:
    """It depends on what is kept of them."""
    assert run.data.tokens is not None
    data = replace(run.data, tokens=replace(run.data.tokens, truncated=run.data.train_rows))
    decisions = replace(run.decisions, long_text=Decision(kept, "x"))
    cut = run.with_parts(data=data, decisions=decisions)
    found, lengths = " ".join(warnings(cut)), rows(cut, explain=False).lengths
    assert ("never read" in found) == (words is not None)
    assert lengths is not None
    assert lengths.y.name == ("texts" if words else "windows")
    assert (words or "") in found


def test_a_cross_validation_has_no_validation_rows(run: Run) -> None:
    """Each row was answered by a training without it, as the headline says."""
    words = words_of(trained(run, source="cross_validation"))
    assert "rows, each answered by a training without it, are labelled right" in words
    assert "validation rows are labelled right" not in words


def test_a_contrastive_training_has_other_curves(run: Run) -> None:
    """Its loss is another, and so is what is counted as right; it has no epochs."""
    contrastive = replace(run.decisions, objective=Decision("contrastive", "few rows"))
    words = words_of(run.with_parts(decisions=contrastive))
    assert "The training loss is contrastive, unlike the validation loss." in words
    assert "nearest other row in the batch" in words
    assert "epochs took" not in words


def test_mistakes_that_are_not_explained_are_not_counted(run: Run) -> None:
    """Where the finished model answers otherwise, as after a cross-validation."""
    found = rows(with_outcomes(run, ["money", "sport"], ["goal match team"]), explain=True)
    assert 0 < found.explained < len(found.mistakes)
    assert found.explained == sum(len(each.parts) > 1 for each in found.mistakes)
    assert found.not_explained is None


@pytest.mark.parametrize("labels", [2, 40])
def test_the_mark_of_one_label_for_all_is_named(run: Run, labels: int) -> None:
    """Wherever it stands, among very many labels at the left edge too."""
    words = words_of(with_outcomes(run, [str(i) for i in range(labels)], ["text"]))
    assert ("one label for all: 50%" if labels == 2 else "one label for all: 2%") in words
