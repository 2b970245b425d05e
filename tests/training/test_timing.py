"""Fitting a training into a time: what is chosen, what goes on record, and the end in time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch

import tightfit
from tests.toy_setups import SHORT, Notes, toy_job, toy_loop
from tests.toys import toy_rows, write_jsonl
from tightfit.config import Decision
from tightfit.data.batches import Batch
from tightfit.errors import UsageError
from tightfit.model.classifier import Classifier, predict_logits
from tightfit.model.lean import LeanEncoder
from tightfit.training import time_budget, timing
from tightfit.training.setup import Setup
from tightfit.training.time_budget import TimeLimit, fit_into
from tightfit.training.timing import Timing, rehearse


def limit(minutes: float) -> TimeLimit:
    """A clock that begins now."""
    return TimeLimit(minutes, time.monotonic())


def fitted(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, minutes: float, found: Timing | None = None
) -> tuple[Setup, Notes]:
    """The setup after fitting, at a timing of one second a step."""
    progress = Notes()
    monkeypatch.setattr(time_budget, "rehearse", lambda _: found or Timing(1.0, 0.0))
    return fit_into(setup, limit(minutes), progress)[0], progress


@pytest.mark.parametrize("every", [1, 7, 200])
def test_the_most_steps_that_fit(every: int) -> None:
    """One more would be too long, counted with every evaluation and the head's start."""
    cost = Timing(step=0.5, evaluation=2.0, startup=2.0, probe=1.0)
    steps = cost.steps_in(100.0, every)
    assert cost.seconds(steps, every) <= 100.0
    assert cost.seconds(steps + every, every) > 100.0


def test_no_step_fits_when_evaluations_do_not() -> None:
    """Never a negative number."""
    assert Timing(1.0, 60.0).steps_in(100.0, 10) == 0


def test_a_long_time_changes_nothing(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All steps, and a word on it."""
    setup = toy_job(bert)
    long, progress = fitted(setup, monkeypatch, 60)
    assert long.schedule == setup.schedule
    assert "all of them fit into 60 minutes" in progress.said[-1]


def test_more_epochs_than_one_are_cut(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """48 rows in batches of 16: 3 steps an epoch, 9 in all; 5 fit."""
    short, progress = fitted(toy_job(bert), monkeypatch, 5.9 / 60 / 0.9)
    assert short.schedule.total == 5
    assert "1.7 epochs, the most that fits" in progress.said[-1]


def test_less_than_an_epoch_is_fewer_rows(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of an epoch is drawn over all rows, so that its startup is a sample of them."""
    short, progress = fitted(toy_job(bert), monkeypatch, 2.9 / 60 / 0.9)
    assert (short.schedule.total, short.schedule.warmup) == (2, 0)
    assert "32 of 48 rows" in progress.said[-1]


@pytest.mark.parametrize(("seconds", "kept"), [(2.9, "off"), (0.1, "off"), (5.9, "on")])
def test_states_that_are_read_once_are_not_kept(
    seconds: float, kept: str, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three steps are an epoch; without the states' cost of two seconds more rows fit."""
    setup, timings = toy_job(bert, "adapters.layers=1"), {"on": 2.0, "off": 0.0}
    monkeypatch.setattr(
        time_budget,
        "rehearse",
        lambda j: Timing(1.0, 0.0, timings[j.decisions.prefix_cache.value]),
    )
    assert setup.decisions.prefix_cache == Decision("on", ANY)
    short, _ = fit_into(setup, limit((2 + seconds) / 60 / 0.9), Notes())
    assert short.decisions.prefix_cache == Decision(kept, ANY)
    assert short.schedule.total == int(seconds + (2 if kept == "off" else 0))


def test_a_short_time_sets_fewer_rows_aside(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe has 15% of what is left, 54 seconds here, and evaluations have 5%."""
    setup = toy_job(bert, "head.start=probe", rows=1200)
    eval_subset, probe = len(setup.eval_subset.targets), len(setup.train.targets)
    cost = Timing(step=1.0, evaluation=2.7, probe=16.2)
    monkeypatch.setattr(time_budget, "LEAST_ROWS", 2)
    short, _ = fitted(setup, monkeypatch, 1, cost)
    assert short.probe_rows == pytest.approx(probe / 2, rel=0.02)
    assert len(short.eval_subset.targets) == pytest.approx(eval_subset / 2, abs=1)
    assert short.decisions.eval_rows is not None
    assert "of the time left" in short.decisions.eval_rows.reason
    # 54 seconds, less a half of the probe and of two evaluations.
    assert short.schedule.total == pytest.approx(54 - 8.1 - 2.7, abs=1.5)
    again, _ = fitted(replace(setup, decisions=short.decisions), monkeypatch, 60, cost)
    assert again.eval_subset.targets.tolist() == short.eval_subset.targets.tolist()
    assert again.probe_rows == short.probe_rows


def test_no_fewer_rows_than_some(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A score of a handful of rows would say nothing, however slow the machine is."""
    setup = toy_job(bert, rows=1200)
    short, _ = fitted(setup, monkeypatch, 1, Timing(0.1, 20.0))
    assert len(short.eval_subset.targets) == min(
        time_budget.LEAST_ROWS, len(setup.validation.targets)
    )
    assert short.validation.targets.tolist() == setup.validation.targets.tolist()


def test_the_choice_on_record_is_kept(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed run neither times anything again nor changes its schedule."""
    short, _ = fitted(toy_job(bert), monkeypatch, 5.9 / 60 / 0.9)
    again = replace(toy_job(bert), decisions=short.decisions)
    found, _ = fitted(again, monkeypatch, 60, Timing(math.nan, math.nan))
    assert found.schedule == short.schedule


def test_too_short_a_time_is_one_step(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been read and loaded is not thrown away, though a forecast is too long."""
    setup, progress = fitted(
        toy_job(bert, "head.start=probe"), monkeypatch, 0.01, Timing(60.0, 0.0)
    )
    assert (setup.schedule.total, setup.schedule.warmup) == (1, 0)
    (told,) = [words for words in progress.warned if "no time is left for more" in words]
    assert told.startswith("1 step: ")
    assert "the head alone is sealed, or this step where it is better, at about 1.1 min" in told


def test_a_time_that_reading_took_is_refused() -> None:
    """Before anything is computed."""
    with pytest.raises(UsageError, match=r"leave no time to train[\s\S]*0.083 minutes for start"):
        TimeLimit(0.01, time.monotonic() - 5).check()


def test_no_time_for_steps_is_sealed_all_the_same(bert: Path, tmp_path: Path) -> None:
    """The whole way, from rows to seal."""
    notes, rows = Notes(), write_jsonl(tmp_path / "rows.jsonl", toy_rows(200))
    given: dict[str, Any] = {
        "model": str(bert),
        "settings": [*SHORT, "head.start=probe"],
        "progress": notes,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_budget, "rehearse", lambda _: Timing(900.0, 0.0))
        found = tightfit.train(rows, out=tmp_path / "run", minutes=2, **given)
    assert (found.steps, found.proofs["gradients"]["ok"]) == (1, True)
    assert [words for words in notes.warned if "no time is left for more" in words]


def test_a_cached_step_is_never_free(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the two short measurements behind it come out."""
    monkeypatch.setattr(timing, "_token_seconds", lambda setup, forward: 1.0)
    found = rehearse(toy_job(bert, "adapters.layers=1"))
    assert found.step > 0
    assert found.evaluation == pytest.approx(timing.LEAST_SHARE * found.scoring, rel=0.5)


def test_a_rehearsal_leaves_the_weights(bert: Path) -> None:
    """It takes real steps, and puts everything back."""
    setup = toy_job(bert, "head.start=probe")
    before = setup.classifier.state()
    found = rehearse(setup)
    assert all(torch.equal(before[name], p) for name, p in setup.classifier.state().items())
    assert 0 < found.step < 10
    assert 0 < found.evaluation < 10
    assert 0 < found.probe < 10
    # The model is loaded once more at the end.
    assert found.finishing > 0


@dataclass
class Clock:
    """Time that passes in forward passes alone, a millisecond for each token place."""

    now: float = 0.0

    def spend(self, real: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """The same function, which takes its time."""

        def slow(owner: Any, *given: Any) -> torch.Tensor:
            batch = next(each for each in given if isinstance(each, Batch))
            self.now += batch.ids_BL.numel() / 1000
            return real(owner, *given)

        return slow


@pytest.mark.parametrize(
    "settings",
    [
        ["train.forward=own"],
        ["train.forward=own", "train.group_by_length=false", "head.start=probe"],
        ["train.forward=own", "optim.accumulate=2", "optim.batch=4", "train.eval_rows=8"],
        ["adapters.layers=1", "head.start=probe"],
        ["adapters.method=none"],
    ],
)
def test_the_forecast_is_what_training_takes(
    settings: list[str], bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that counts padded tokens, whether frozen layers are computed once or always.

    The probe passes over its rows in batches of its own, hence not to the last millisecond.
    """
    setup = toy_job(bert, *settings, "train.eval_every=4", rows=200)
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", lambda: clock.now)
    parts = [(Classifier, "logits"), (LeanEncoder, "prefix"), (LeanEncoder, "pooled")]
    for owner, name in parts:
        monkeypatch.setattr(owner, name, clock.spend(getattr(owner, name)))
    told = rehearse(setup)
    forecast = told.seconds(setup.schedule.total, 4)
    began = clock.now
    toy_loop(setup, tmp_path).fit()
    assert forecast == pytest.approx(clock.now - began, rel=0.1)
    began = clock.now
    predict_logits(setup.classifier, setup.validation.tokens, batch=setup.config.train.eval_batch)
    assert told.scoring == pytest.approx(clock.now - began, rel=0.1)


def test_training_ends_at_the_deadline(bert: Path, tmp_path: Path) -> None:
    """A machine that became slow: the step at hand is the last, and it is evaluated and saved."""
    setup = replace(toy_job(bert, "optim.warmup_steps=0"), deadline=time.monotonic() - 1)
    done = toy_loop(setup, tmp_path).fit()
    assert (done.steps, done.counters.best_step) == (1, 1)
    assert [row["step"] for row in done.history] == [0, 1]


def test_a_late_training_ends_with_a_step_that_learned(bert: Path, tmp_path: Path) -> None:
    """The first of a warm-up has a rate of zero, and would look like adapters that are dead."""
    notes = Notes()
    setup = replace(toy_job(bert, "optim.epochs=20"), deadline=time.monotonic() - 1)
    done = toy_loop(setup, tmp_path, progress=notes).fit()
    assert (done.steps, done.counters.best_step) == (2, 2)
    assert f"the time was up after step 2 of {setup.schedule.total}" in notes.warned


def test_a_run_within_minutes(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """The whole way: 6 seconds are too few for 40,000 epochs, and hold all from rows to seal."""
    began = time.monotonic()
    result = tightfit.train(
        rows_file,
        model=str(bert),
        out=tmp_path / "run",
        minutes=0.1,
        settings=[*SHORT, "optim.epochs=40000", "optim.lr=1e-2"],
        progress=Notes(),
    ).to_json()
    assert 0 < result["steps"] < 40_000 * math.ceil(108 / 16)
    assert time.monotonic() - began < 6 * 1.2


@pytest.mark.parametrize("eval_rows", [7, 20])
def test_what_is_watched_is_scored_in_the_end(bert: Path, eval_rows: int) -> None:
    """A start on other rows seemed two points better than what trained, which had gained three."""
    setup = toy_job(bert, rows=400).with_decisions(
        scored_rows=Decision(20, ""), eval_rows=Decision(eval_rows, "")
    )
    found = time_budget._with_fewer(setup).eval_subset.tokens
    scored = setup.validation.select(setup.scored_rows()).tokens
    texts, among = (
        [own.select([i]).ids.tolist() for i in range(len(own))] for own in (found, scored)
    )
    assert len(texts) == eval_rows
    assert all(text in among for text in texts)


def test_evaluations_score_a_sample(bert: Path, tmp_path: Path) -> None:
    """The same rows each time, while the setup keeps them all for the end."""
    setup = toy_job(bert, "train.eval_rows=5")
    assert (len(setup.eval_subset.targets), len(setup.validation.targets)) == (5, 16)
    history = toy_loop(setup, tmp_path).fit().history
    assert all(round(row["eval_accuracy"] * 5, 6).is_integer() for row in history)
    all_of_them = toy_job(bert, "train.eval_rows=16").eval_subset.targets
    assert all_of_them.tolist() == setup.validation.targets.tolist()
