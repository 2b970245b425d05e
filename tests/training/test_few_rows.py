"""Few rows from a table to a sealed run: the rules, the scores, and what is kept."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reports import scores_of
from tests.toy_setups import FEW, SHORT, TEXTS, Notes, stopped_at_once, toy_job, toy_settings
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TrainResult, train
from tightfit.data.table import Table
from tightfit.errors import DataError, Interrupted, ProofError, SettingsError
from tightfit.model.adapters import output_layer
from tightfit.progress import Progress
from tightfit.tasks import SingleLabel
from tightfit.tasks.dataset import Dataset, read_dataset
from tightfit.training.cross_validate import cross_validate
from tightfit.training.gradients import watch_over
from tightfit.training.keep_start import choose_by_folds
from tightfit.training.loop import Loop
from tightfit.training.objective import decide_objective
from tightfit.training.solve import head_is_solved
from tightfit.verbs import run_training


def few_run(encoder: Path, out: Path, *settings: str, rows: int = 16) -> TrainResult:
    """A training on a few toy rows, as a user would have it."""
    data = write_jsonl(out.parent / f"{out.name}.jsonl", toy_rows(rows))
    values = [*SHORT, *FEW, *settings]
    return train(data, model=str(encoder), out=out, settings=values, progress=Progress())


def few_dataset(encoder: Path, table: Table, *settings: str) -> Dataset:
    """Rows read under the settings of few rows."""
    return read_dataset(toy_settings(encoder, *FEW, *settings), table, None, None)


@pytest.fixture(scope="module")
def few(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run on eight rows a class; not to be changed."""
    return few_run(bert, tmp_path_factory.mktemp("few") / "run")


def kept(run: Path, name: str) -> Any:
    """A JSON file of a run."""
    return json.loads((run / f"{name}.json").read_text())


def test_every_row_trains_and_is_scored_by_trainings_without_it(few: TrainResult) -> None:
    """The metrics say so, and the record holds all rows."""
    assert few.source == kept(few.run, "metrics")["source"] == "cross_validation"
    run = Run.open(few.run)
    assert run.metrics.train.source == "cross_validation"
    assert (run.data.train_rows, run.data.validation_rows, run.data.folds) == (16, 16, 4)
    assert run.validation is not None
    assert len(run.validation) == 16
    assert scores_of(run).n == 16


def test_epochs_are_rows_drawn_by_rows_there(bert: Path, tmp_path: Path) -> None:
    """Not by whole steps an epoch; of a class a step draws no more rows than it has."""
    for rows in (6, 10):
        found = few_run(bert, tmp_path / str(rows), "data.label_names=off", rows=rows)
        assert found.steps == 6
        assert found.epochs == pytest.approx(found.examples / rows)


def test_decisions_are_there_with_their_reasons(few: TrainResult) -> None:
    """What was decided by rows a class, and by the cross-validation."""
    decisions = Run.open(few.run).decisions
    assert decisions.objective is not None
    assert decisions.folds is not None
    assert decisions.kept is not None
    assert (decisions.objective.value, decisions.folds.value) == ("contrastive", 4)
    assert "8 rows a class" in decisions.objective.reason
    assert decisions.kept.reason.startswith("out of fold")
    assert decisions.epochs is None


def test_the_head_is_exempt_from_gradients_and_proven_in_its_own_way(few: TrainResult) -> None:
    """The gates count it all the same."""
    proofs = kept(few.run, "proofs")
    assert all(proof["ok"] for proof in proofs.values())
    assert proofs["gradients"]["exempt"] == ["classifier.bias", "classifier.weight"]
    gates = proofs["gates"]
    assert gates["plan"] == gates["built"] == gates["optimizer"] == gates["saved"]
    assert proofs["head_solved"]["largest_gradient"] < proofs["head_solved"]["tolerance"]


def test_the_run_answers(few: TrainResult) -> None:
    """As any other does."""
    found = Run.load(few.run).predict(TEXTS)
    assert found.labels[2] == "money"
    assert np.isfinite(found.probabilities).all()


def test_a_head_that_is_not_solved_is_found_out(bert: Path) -> None:
    """A hundredth more of every weight."""
    setup = toy_job(bert, *FEW, "train.folds=0", rows=24)
    frozen = Loop(setup, watch_over(setup)).fit().counters.best_step == 0
    assert head_is_solved(setup, frozen=frozen).ok
    output_layer(setup.classifier.module, setup.classifier.plan).weight.data *= 1.01
    with pytest.raises(ProofError, match="the head is not where its objective is least"):
        head_is_solved(setup, frozen=frozen)


def test_out_of_fold_logits_are_those_of_trainings_without_the_row(bert: Path) -> None:
    """A part of them, by a training on the other rows alone."""
    setup = cross_validate(toy_job(bert, *FEW, rows=16), Progress())
    assert setup.out_of_fold is not None
    assert setup.validation.parts_N is not None
    own = setup.validation.parts_N == 1
    assert own.sum() == 4
    fresh = toy_job(bert, *FEW, rows=16)
    again = cross_validate(fresh, Progress()).out_of_fold
    assert again is not None
    np.testing.assert_array_equal(
        again.trained.logits_NK[own], setup.out_of_fold.trained.logits_NK[own]
    )


def test_what_is_no_better_than_its_start_is_not_kept(bert: Path, tmp_path: Path) -> None:
    """A rate that ruins the encoder: the probe on the frozen one is sealed, and it is said."""
    result = few_run(bert, tmp_path / "run", "contrastive.lr=30", rows=32)
    run = Run.open(result.run)
    assert run.decisions.kept is not None
    assert run.decisions.kept.value == "start"
    assert result.accuracy == result.start_accuracy
    assert (run.plan.method, result.total, result.steps) == ("none", run.plan.head, 0)
    assert kept(result.run, "proofs")["head_solved"]["ok"]
    assert result.kept_start
    page = (result.run / "report.html").read_text("utf-8")
    assert "The start was kept: they did no better." in page
    assert "and it learned" not in page


def test_folds_serve_cross_entropy_as_well(bert: Path, tmp_path: Path) -> None:
    """Any number of rows, for who asks."""
    values = ("train.folds=3", "optim.objective=cross-entropy", "optim.lr=3e-3")
    result = few_run(bert, tmp_path / "run", *values, rows=40)
    assert result.source == "cross_validation"
    assert Run.open(result.run).data.folds == 3
    assert result.examples >= 40


@pytest.mark.parametrize(
    ("rows", "classes", "objective", "reason"),
    [
        (16, 2, "contrastive", "8 rows a class are few"),
        (150, 2, "contrastive", "150 rows are few"),
        (151, 2, "cross-entropy", "151 rows are enough for it"),
        (151, 3, "contrastive-first", "151 rows of 3 classes gain by both"),
        (600, 9, "contrastive-first", "600 rows of 9 classes gain by both"),
        (601, 9, "cross-entropy", "601 rows are enough for it"),
        (599, 35, "contrastive-first", "599 rows of 35 classes gain by both"),
        (320, 20, "contrastive", "16 rows a class are few"),
        (400, 50, "cross-entropy", "it tells 50 classes apart better"),
        (2, 2, "probe", "no class has two rows that could be brought together"),
    ],
)
def test_rows_in_all_and_a_class_decide(
    bert: Path, rows: int, classes: int, objective: str, reason: str
) -> None:
    """And the number of classes."""
    config = toy_settings(bert, *FEW)
    plan = toy_job(bert, *FEW).classifier.plan
    task = SingleLabel.from_names(list("ab"))
    found = decide_objective(config, plan, task, np.arange(rows) % classes)
    assert found is not None
    assert (found.value, found.reason) == (objective, reason)


def test_with_more_than_16_rows_a_class_and_150_in_all_rows_are_held_out(bert: Path) -> None:
    """Of fewer none are: ten rows would tell nothing."""
    folds = [toy_job(bert, *FEW, rows=rows).dataset.folds for rows in (32, 150, 152)]
    reasons = [each and each.reason for each in folds]
    each, few = (
        "16 rows a class are too few to hold any out",
        "150 rows are too few to hold any out",
    )
    assert reasons == [each, few, None]


def test_rows_that_nothing_can_score_are_refused(bert: Path) -> None:
    """One row a class, or one text twice."""
    table = Table(["goal", "goal", "bank"], ["sport", "sport", "money"], source="toys")
    with pytest.raises(DataError, match="no class has two different texts"):
        few_dataset(bert, table)


def test_more_parts_than_rows_are_told(bert: Path) -> None:
    """As many are made as rows differ, and it is said that more were wanted."""
    dataset = toy_job(bert, *FEW, "train.folds=50", rows=16).dataset
    assert dataset.folds is not None
    most = len(set(dataset.train.texts))
    assert dataset.folds.value == most < 50
    assert f"50 were wanted, and no more than {most} rows differ" in str(dataset.facts.note)


def test_folds_and_validation_rows_exclude_each_other(bert: Path) -> None:
    """Both would be the score."""
    table = Table(["a goal", "a bank"] * 8, ["sport", "money"] * 8, source="toys")
    with pytest.raises(SettingsError, match="a cross-validation needs no validation rows"):
        read_dataset(toy_settings(bert, *FEW, "train.folds=2"), table, table, None)


def test_a_class_with_a_single_row_does_no_harm(bert: Path) -> None:
    """It trains, and its one row is scored wrongly, which is what is known."""
    texts = [f"goal {word}" for word in "team coach season".split()] + ["bank"]
    labels: list[int | str] = ["sport", "sport", "sport", "money"]
    table = Table(texts, labels, source="toys")
    dataset = few_dataset(bert, table)
    assert dataset.folds is not None
    assert dataset.folds.value == 3
    assert "'money' has one row, which is scored by a training with none of" in str(
        dataset.facts.note
    )


def test_the_choice_is_told(bert: Path) -> None:
    """In a sentence with the counts of both."""
    notes = Notes()
    choose_by_folds(toy_job(bert, *FEW, rows=16), notes)
    assert notes.said[-1].startswith("out of fold ")


def test_an_interrupted_run_goes_on_to_the_same_end(bert: Path, tmp_path: Path) -> None:
    """The cross-validation is repeated; the steps go on from their checkpoint."""
    whole, out = few_run(bert, tmp_path / "whole"), tmp_path / "cut"
    settings: Any = {"model": str(bert), "settings": [*SHORT, *FEW], "progress": Progress()}
    again = partial(train, tmp_path / "whole.jsonl", out=out, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_training, "stop_on_signals", stopped_at_once)
        with pytest.raises(Interrupted):
            again()
    assert (again(resume=True).accuracy, whole.steps) == (whole.accuracy, 6)
    one, other = (Run.load(run).predict(TEXTS).probabilities for run in (whole.run, out))
    np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_run_that_began_without_this_choice_goes_on_without_it(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those on several labels did: its checkpoint has adapters, which a start has not."""
    own = [*SHORT, *FEW, "optim.objective=cross-entropy", "head.kind=linear", "head.start=probe"]
    data = write_jsonl(tmp_path / "rows.jsonl", toy_rows(16))
    again = partial(train, data, model=str(bert), out=tmp_path / "run", progress=Progress())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_training, "choose_by_folds", cross_validate)
        patch.setattr(run_training, "stop_on_signals", stopped_at_once)
        with pytest.raises(Interrupted):
            again(settings=own)
    monkeypatch.setattr("tightfit.training.answers.Answers.as_good_as", lambda *_: False)
    run = Run.load(again(settings=own, resume=True).run)
    assert (run.decisions.kept, bool(run.plan.adapters)) == (None, True)
