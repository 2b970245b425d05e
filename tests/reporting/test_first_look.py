"""What stands first on a page: true to the run, whatever came of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.reports import scores_of, with_outcomes
from tightfit import Run, TrainResult
from tightfit.reporting.first_look import first_points
from tightfit.reporting.page import render
from tightfit.tasks import SingleLabel


@pytest.fixture(scope="module")
def run(finished: TrainResult) -> Run:
    """Of the toy run, a quarter of whose answers are wrong."""
    return with_outcomes(Run.open(finished.run), ["<i>", "sport", "money"], ["a text"])


def tones_of(run: Run) -> dict[str, str]:
    """Each point by its title, and how it is marked."""
    return {each.title: each.tone for each in first_points(run, ())}


def said(run: Run, title: str) -> str:
    """The words of one point."""
    return next(each.words for each in first_points(run, ["Odd."]) if each.title == title)


def test_it_comes_before_all_else(run: Run) -> None:
    """How good, weakest label, trust; then labels, and the budget after all that is of use."""
    page = render(run)
    order = [
        "lies between",
        "Weakest label",
        "proofs hold",
        "Confidence is",
        '<section id="labels"',
    ]
    order += [f'<section id="{name}"' for name in ("mistakes", "confidence", "rows", "budget")]
    places = [page.index(each) for each in order]
    assert places == sorted(places)


def test_the_weakest_label_and_what_it_is_taken_for(run: Run) -> None:
    """By F1; a label that is never found is amiss, and where all are right none is weak."""
    weakest = min(scores_of(run).per_class, key=lambda each: each.f1.value)
    words = said(run, "Weakest label")
    assert f"F1 {weakest.f1.value:.1%}" in words
    assert "it is taken for <bdi>" in words
    task = SingleLabel.from_names(["a", "<i>"])
    three = SingleLabel.from_names(["a", "b", "<i>"])
    lost = three.score(np.array([0, 1] * 9 + [2]), np.eye(3)[[0, 1] * 9 + [0]])
    never = run.with_parts(task=three, metrics=replace(run.metrics, validation=lost))
    assert tones_of(never)["Weakest label"] == "bad"
    assert "No row was found of <bdi>&lt;i&gt;</bdi>: more of its rows" in said(
        never, "Weakest label"
    )
    right = task.score(np.array([0, 1]), np.eye(2))
    metrics = replace(run.metrics, validation=right)
    assert tones_of(run.with_parts(task=task, metrics=metrics))["No label is weak"] == ""


def test_where_a_constant_answer_is_as_good_nobody_says_that_it_learned(run: Run) -> None:
    """Not even where all proofs hold."""
    assert said(run, "All 5 proofs hold").endswith("and it learned.")
    task = SingleLabel.from_names(["a", "b"])
    lost = task.score(np.array([0, 0, 1]), np.eye(2)[[0, 0, 0]])
    never = run.with_parts(task=task, metrics=replace(run.metrics, validation=lost))
    assert "always 'a' is right in 66.7%" in said(never, "Nothing shows that it learned")
    assert tones_of(never)["Nothing shows that it learned"] == "bad"
    assert "it learned" not in said(never, "All 5 proofs hold")


@pytest.mark.parametrize(
    ("reason", "after", "title", "tone", "words"),
    [
        (None, 0.1, "Confidence is calibrated", "", "before calibration by 20.0%"),
        (None, 0.2, "Confidence is calibrated", "note", "the log loss did"),
        ("few", 0.2, "Confidence is as trained", "note", "did not make it better: few."),
    ],
)
def test_whether_calibration_made_it_better(
    run: Run, reason: str | None, after: float, title: str, tone: str, words: str
) -> None:
    """It did; its loss alone did; it was left out."""
    assert run.calibration is not None
    found = replace(run.calibration, reason=reason, ece_before=0.2, ece_after=after)
    other = run.with_parts(calibration=found)
    assert tones_of(other)[title] == tone
    assert words in said(other, title)


def test_proofs_and_rows(run: Run) -> None:
    """How many proofs hold, and the first of the warnings."""
    assert "All 5 proofs hold" in tones_of(run)
    proofs = {**run.proofs, "gates": {**run.proofs["gates"], "ok": False}}
    failed = run.with_parts(proofs=proofs)
    assert tones_of(failed)["Not everything learned"] == "bad"
    assert said(failed, "Not everything learned").endswith("4 of 5 proofs hold.")
    assert said(run, "Of the rows") == "Odd."
