"""A contrastive phase, and cross-entropy from where it ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.toy_setups import FEW, SHORT, Notes, toy_job, toy_settings, watch_of
from tests.toys import toy_rows, write_jsonl
from tests.training.test_time_budget import stopped_clock
from tightfit import train
from tightfit.data.labels import LabelSet
from tightfit.errors import SettingsError
from tightfit.progress import Progress
from tightfit.tasks import MultiLabel, SingleLabel
from tightfit.training.cross_validate import cross_validate
from tightfit.training.divergence import prove_no_regression
from tightfit.training.gradients import watch_over
from tightfit.training.loop import Loop
from tightfit.training.objective import decide_objective
from tightfit.training.optim import Schedule, contrastive_schedule
from tightfit.training.time_budget import TimeLimit, fit_into
from tightfit.training.timing import Timing

BOTH = [*FEW, "train.folds=0", "optim.lr=3e-3", "optim.objective=contrastive-first"]
"""Six steps, and as many as three epochs have."""

FULL = [*SHORT, *BOTH, "data.validation_rows=0.25"]


def test_the_first_steps_are_those_of_a_contrastive_training(bert: Path) -> None:
    """Weights and the solved head to the bit, where cross-entropy has no step."""
    alone = toy_job(bert, *BOTH, "optim.objective=contrastive")
    Loop(alone, watch_over(alone)).fit()
    led = toy_job(bert, *BOTH)
    assert (led.schedule.lead, led.schedule.total) == (6, 15)
    led = replace(led, schedule=replace(led.schedule, total=6))
    Loop(led, watch_over(led)).fit()
    for name, tensor in alone.classifier.trainable().items():
        assert torch.equal(tensor, led.classifier.trainable()[name]), name


def test_cross_entropy_goes_on_from_there(bert: Path) -> None:
    """With its own rates and batches: by a training that begins at what the first steps left."""
    led, alone = toy_job(bert, *BOTH), toy_job(bert, *BOTH, "optim.objective=cross-entropy")
    whole = Loop(led, watch_over(led)).fit()
    first = toy_job(bert, *BOTH, "optim.objective=contrastive")
    Loop(first, watch_over(first)).fit()
    alone.classifier.load_state(first.classifier.state())
    begun = replace(alone, config=alone.config.with_values({"head.start": "run"}))
    rest = Loop(begun, watch_of(begun)).fit()
    assert [row["epoch"] for row in whole.history] == [0.0, 0.0, 3.0]
    for mine, other in zip(whole.history[1:], rest.history, strict=True):
        assert mine["eval_loss"] == pytest.approx(other["eval_loss"], abs=1e-5)


def test_rates_are_those_of_each_phase() -> None:
    """And of a schedule that was cut on the way."""
    rest = Schedule(20, 2, 10)
    led = rest.led_by(10)
    first = contrastive_schedule(10)
    assert [led.scale(x) for x in range(10)] == [first.scale(x) for x in range(10)]
    assert [led.scale(10 + x) for x in range(20)] == [rest.scale(x) for x in range(20)]
    cut, behind = rest.turned(5, 12), led.turned(15, 22)
    assert [behind.scale(10 + x) for x in range(12)] == [cut.scale(x) for x in range(12)]
    assert (led.epochs(10), led.epochs(25)) == (0, 1.5)


def test_where_the_first_phase_ends_is_left_for_steps_that_are_no_worse(bert: Path) -> None:
    """As the start is: of two that have as many rows right the later is kept."""
    setup = toy_job(bert, *BOTH, "optim.lr=1e-9", "optim.epochs=1")
    found = Loop(setup, watch_over(setup)).fit()
    assert [row["step"] for row in found.history] == [0, 6, 9]
    assert found.history[1]["eval_accuracy"] == found.history[2]["eval_accuracy"]
    assert found.counters.best_step == 9


def test_what_chance_explains_twice_it_does_not_explain_at_once(
    bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is as good as the one before, and the last worse than the start: a failed proof."""
    setup, real = toy_job(bert, *BOTH, rows=400), Loop._scores
    assert len(setup.eval_subset.targets) == 100
    scores = iter((0.80, 0.72, 0.64))
    monkeypatch.setattr(Loop, "_scores", lambda self: {**real(self), "eval_accuracy": next(scores)})
    trained = Loop(setup, watch_over(setup))
    found = trained.fit()
    assert found.counters.best_step == 6
    assert prove_no_regression(trained.state.setup, found, Notes()).ok


@pytest.mark.parametrize(("step", "lead", "total"), [(0.1, 6, 15), (20.0, 0, 4)])
def test_where_time_is_short_cross_entropy_has_all_of_it(
    step: float, lead: int, total: int, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a resumed training and a frugal one, too."""
    stopped_clock(monkeypatch, Timing(step=step, evaluation=0.0, finishing=20))
    said = Notes()
    short, _ = fit_into(toy_job(bert, *BOTH), TimeLimit(2, 1000.0), said)
    assert any("all steps are of cross-entropy" in words for words in said.warned) == (not lead)
    assert (short.schedule.lead, short.schedule.total) == (lead, total)
    assert short.objective == ("contrastive-first" if lead else "cross-entropy")
    again = toy_job(bert, *BOTH)
    again = replace(again, decisions=short.decisions)
    again, _ = fit_into(again, TimeLimit(2, 1000.0), Notes())
    assert again.schedule == short.schedule


def test_a_cross_validation_has_both_phases(bert: Path) -> None:
    """Its trainings are like the last."""
    setup = toy_job(bert, *BOTH, "train.folds=3", rows=30)
    found = cross_validate(setup, Progress()).out_of_fold
    assert found is not None
    assert setup.schedule.lead == 6
    assert np.isfinite(found.trained.logits_NK).all()


@pytest.mark.parametrize("settings", ["train.max_steps=20", "adapters.method=none"])
def test_not_of_few_steps_or_a_head_alone(settings: str, bert: Path) -> None:
    """Nor of an encoder whose texts lie close together."""
    plan = toy_job(bert, *FEW, settings).classifier.plan
    task = SingleLabel.from_names(list("ab"))
    config, targets_N = toy_settings(bert, *FEW, settings), np.arange(300) % 3
    found = decide_objective(config, plan, task, targets_N)
    assert found is not None
    assert found.value == "cross-entropy"
    plain, plan = toy_settings(bert, *FEW), toy_job(bert, *FEW).classifier.plan
    crowded = decide_objective(plain, plan, task, targets_N, crowded=True)
    assert crowded is not None
    assert crowded.value == "cross-entropy"


@pytest.mark.parametrize(("most", "lead"), [(8, 6), (4, 3), (1, 0)])
def test_a_limit_of_steps_holds_for_both(most: int, lead: int, bert: Path) -> None:
    """Where both were asked for."""
    notes = Notes()
    setup = toy_job(bert, *BOTH, f"train.max_steps={most}", progress=notes)
    assert (setup.schedule.total, setup.schedule.lead) == (most, lead)
    assert setup.objective == ("contrastive-first" if lead else "cross-entropy")
    assert any(f"{lead} steps by contrastive.lr" in words for words in notes.said) == bool(lead)


def test_of_several_labels_it_is_refused(bert: Path) -> None:
    """As the contrastive loss alone is."""
    config, plan = toy_settings(bert, *BOTH), toy_job(bert, *FEW).classifier.plan
    task = MultiLabel(LabelSet(("a", "b"), ("a", "b")))
    with pytest.raises(SettingsError, match="one label a text") as caught:
        decide_objective(config, plan, task, np.ones((300, 2)))
    assert caught.value.seen == "optim.objective=contrastive-first with data.task=multi"


def test_a_whole_run_tells_of_both_phases(bert: Path, tmp_path: Path) -> None:
    """In its messages, its card and its page; every proof holds."""
    data, said = write_jsonl(tmp_path / "rows.jsonl", toy_rows(64)), Notes()
    found = train(data, model=str(bert), out=tmp_path / "run", settings=FULL, progress=said)
    assert all(proof["ok"] for proof in found.proofs.values())
    assert (found.steps, found.epochs) == (15, 3.0)
    told = "objective contrastive-first: asked for; 6 steps by contrastive.lr"
    assert any(sentence.startswith(told) for sentence in said.said)
    card = (found.run / "adapter" / "README.md").read_text("utf-8")
    assert "rate 0.001; then cross-entropy: AdamW, rate 0.003, 3 epochs" in card
    page = (found.run / "report.html").read_text("utf-8")
    assert "The training loss is contrastive at first, unlike the validation loss." in page
