"""``--minutes`` is the wall clock of the whole command: what is planned, on a clock of our own."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
import torch

import tightfit
from tests.command import cli
from tests.reports import scores_of
from tests.toy_setups import SHORT, Notes, toy_job, toy_loop
from tests.toys import toy_rows, write_jsonl
from tests.training.test_resume import StopAt
from tightfit.cli import options
from tightfit.config import Decision
from tightfit.errors import Interrupted
from tightfit.training import time_budget
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.gradients import Gradients
from tightfit.training.setup import Setup
from tightfit.training.time_budget import TimeLimit, fit_into
from tightfit.training.timing import Timing

LONG = ["head.start=probe", "optim.epochs=500", "train.eval_every=20"]
"""More than fits into any of the times here."""

PACES = [
    Timing(step=0.1, evaluation=1.5, startup=2, probe=8, scoring=35, finishing=5),
    Timing(step=0.1, evaluation=0.01, probe=0.1, scoring=0.1, finishing=4),
    Timing(step=1.0, evaluation=9.0, probe=40, scoring=150, finishing=10),
    Timing(step=0.01, evaluation=4.0, scoring=5, finishing=1),
    Timing(step=0.02, evaluation=0.3, startup=20, probe=1, scoring=15, finishing=3),
]
"""Seconds on fast machines and slow ones, with few rows and many."""


@dataclass
class Whole:
    """The planned seconds of each part of a command."""

    evaluations: float
    scoring: float
    all_of_it: float


def planned(setup: Setup, short: Setup, timing: Timing) -> Whole:
    """What a command takes that keeps to its plan, part by part."""
    shares = {
        "watched": len(short.eval_subset.targets) / len(setup.eval_subset.targets),
        "probed": min(short.probe_rows, 900) / min(setup.probe_rows, 900),
        "scored": len(short.scored_rows()) / len(setup.validation.targets),
    }
    count = 1 + math.ceil(short.schedule.total / short.eval_every)
    evaluations = count * timing.evaluation * shares["watched"]
    scoring = timing.scoring * shares["scored"]
    steps = timing.startup + timing.probe * shares["probed"] + timing.step * short.schedule.total
    return Whole(evaluations, scoring, steps + evaluations + scoring + timing.finishing)


@pytest.fixture(scope="module")
def setup(bert: Path) -> Setup:
    """900 rows to train on and 300 to validate on."""
    return toy_job(bert, *LONG, rows=1200)


def stopped_clock(monkeypatch: pytest.MonkeyPatch, timing: Timing) -> None:
    """No time passes while planning, and a rehearsal finds this timing."""
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    monkeypatch.setattr(time_budget, "rehearse", lambda _: timing)
    monkeypatch.setattr(time_budget, "LEAST_ROWS", 20)


@pytest.mark.parametrize("timing", PACES)
@pytest.mark.parametrize("spent", [15, 60])
def test_the_whole_command_fits(
    timing: Timing, spent: int, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Imports, reading and tokenising took ``spent`` seconds of two minutes; most of the rest
    goes to steps, and what is not planned is for a machine that slows down."""
    stopped_clock(monkeypatch, timing)
    short, _ = fit_into(setup, TimeLimit(2, 1000.0 - spent), Notes())
    found, left = planned(setup, short, timing), 120 - spent
    assert found.all_of_it <= left
    assert found.all_of_it >= 0.8 * left or short.schedule.total == setup.schedule.total
    assert found.scoring <= 0.15 * left + timing.scoring * 20 / 300
    least = 2 * timing.evaluation * 20 / len(setup.eval_subset.targets)
    assert found.evaluations <= max(0.05 * left, least)


def test_training_stops_where_the_rest_begins(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own deadline leaves the last evaluation, the scores and all that comes after them."""
    timing = Timing(step=0.1, evaluation=0.2, scoring=6, finishing=5)
    stopped_clock(monkeypatch, timing)
    short, _ = fit_into(setup, TimeLimit(2, 990.0), Notes())
    assert short.deadline == pytest.approx(990 + 120 - 5 - 6 - 0.2)
    again, _ = fit_into(replace(setup, decisions=short.decisions), TimeLimit(2, 990.0), Notes())
    assert again.deadline < 990 + 120 - 20, "a resumed run times nothing anew"
    assert again.scored_rows() == short.scored_rows()


def test_few_evaluations_rather_than_small_ones(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows in each as long as five fit; fewer rows before there are fewer than five."""
    stopped_clock(monkeypatch, Timing(step=0.1, evaluation=0.8))
    short, _ = fit_into(setup, TimeLimit(2, 1000.0), Notes())
    assert short.decisions.eval_rows is None
    assert short.eval_every > 20
    assert short.decisions.eval_every is not None
    assert "more evaluations would take over 5%" in short.decisions.eval_every.reason
    stopped_clock(monkeypatch, Timing(step=0.1, evaluation=3.0))
    short, _ = fit_into(setup, TimeLimit(2, 1000.0), Notes())
    assert 20 < len(short.eval_subset.targets) < len(setup.eval_subset.targets)
    assert math.ceil(short.schedule.total / short.eval_every) in (3, 4)


def test_the_loop_keeps_to_the_evaluations(bert: Path, tmp_path: Path) -> None:
    """Where the plan has fewer than the settings."""
    setup = toy_job(bert, "train.eval_every=1")
    every = Decision(4, "few")
    setup = replace(setup, decisions=replace(setup.decisions, eval_every=every))
    assert [row["step"] for row in toy_loop(setup, tmp_path).fit().history] == [0, 4, 8, 9]


def test_a_cross_validation_shares_the_time(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five trainings, of the parts and of all rows, each as long; every row is scored anyhow."""
    stopped_clock(monkeypatch, Timing(step=0.1, evaluation=0.0, scoring=15, finishing=5))
    alone, parted = (
        fit_into(toy_job(bert, *LONG, f"train.folds={folds}"), TimeLimit(2, 1000.0), Notes())[0]
        for folds in (0, 4)
    )
    assert alone.schedule.total * 0.1 == pytest.approx(100 * 0.9, rel=0.02)
    assert parted.schedule.total * 0.1 == pytest.approx(100 * 0.9 / 5, rel=0.02)
    assert parted.decisions.scored_rows is None
    assert parted.decisions.max_steps is not None
    assert "5 times over" in parted.decisions.max_steps.reason


@pytest.mark.parametrize(("folds", "ends"), [(0, 1120.0), (2, math.inf)])
def test_what_is_scored_by_trainings_like_it_is_not_cut(
    folds: int, ends: float, bert: Path
) -> None:
    """The scores would be those of longer ones."""
    setup = toy_job(bert, f"train.folds={folds}", "optim.objective=contrastive")
    assert fit_into(setup, TimeLimit(2, 1000.0), Notes())[0].deadline == ends


@pytest.mark.parametrize(
    ("step", "fits", "says"), [(1, 15, "all"), (2, 9, "5 times"), (99, 1, "no")]
)
def test_trainings_before_a_solved_head_share_the_time(
    step: float, fits: int, says: str, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many steps in each of the five, and in a resumed one; the first of all says how many."""
    stopped_clock(monkeypatch, Timing(step=step, evaluation=0.0, finishing=20))
    settings = ("train.folds=4", "optim.objective=contrastive", "contrastive.steps=15")
    setup, said = toy_job(bert, *settings), Notes()
    short, _ = fit_into(setup, TimeLimit(2, 1000.0), said)
    assert short.schedule.total == fits
    assert says in (said.warned if fits == 1 else said.said)[-1]
    again, _ = fit_into(replace(setup, decisions=short.decisions), TimeLimit(2, 1.0), Notes())
    assert again.schedule == short.schedule


def test_the_sample_is_stratified(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shares of the labels, the order of the rows, each time the same; said aloud."""
    stopped_clock(monkeypatch, Timing(step=0.1, evaluation=0.1, scoring=60))
    said, setup = Notes(), toy_job(bert, *LONG, rows=1200)
    short, _ = fit_into(setup, TimeLimit(2, 1000.0), said)
    rows = short.scored_rows()
    assert rows == sorted(set(rows))
    assert 80 <= len(rows) <= 100
    shares = Counter(setup.validation.targets[rows].tolist())
    assert abs(shares[0] - shares[1]) <= 1
    assert any("stratified sample: 300 would take over 15%" in words for words in said.said)


def test_a_run_that_scored_a_sample_says_so(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its words, metrics, decisions, card and record of the rows; report and reader agree."""
    timing = Timing(step=0.01, evaluation=0.01, scoring=60)
    monkeypatch.setattr(time_budget, "rehearse", lambda _: timing)
    monkeypatch.setattr(time_budget, "LEAST_ROWS", 12)
    rows = write_jsonl(tmp_path / "rows.jsonl", toy_rows(400))
    given: dict[str, Any] = {"model": str(bert), "settings": [*SHORT, "optim.epochs=1"]}
    result = tightfit.train(rows, out=tmp_path / "run", minutes=1, progress=Notes(), **given)
    run = tightfit.Run(result.run)
    assert run.decisions.scored_rows is not None
    assert scores_of(run).n == run.decisions.scored_rows.value == 12
    assert json.loads(run.folder.metrics.read_text())["sample"]["of"] == 40
    assert getattr(run.validation, "rows_N", np.zeros(1)).max() > 12, "of all rows"
    assert "on a sample of 12 rows" in run.folder.report.read_text("utf-8")
    assert "12 of the validation rows" in (run.artefact / "README.md").read_text("utf-8")
    monkeypatch.setitem(vars(tightfit), "train", lambda *_, **__: result)
    assert "on a sample of 12 validation rows" in cli("train", "--data", "x").stdout


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="read off /proc")
def test_the_clock_begins_with_the_process() -> None:
    """Not with the first import of ours."""
    program = (
        "import time; time.sleep(0.3)\n"
        "from tightfit.cli.options import STARTED\n"
        "print(time.monotonic() - STARTED)"
    )
    before = time.monotonic()
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert 0.3 <= float(said) <= time.monotonic() - before + 0.02


def test_where_the_machine_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor time is the least that has passed."""

    def refuse(path: Path, *_: str) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = options.process_started()
    assert abs(time.monotonic() - found - time.process_time()) < 1


class Clock:
    """Time that steps alone take, in seconds a token."""

    def __init__(self, pace: float, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the machine's own."""
        self.now, self.pace, real = 1000.0, pace, Gradients.of_step
        for name in ("perf_counter", "monotonic"):
            monkeypatch.setattr(time, name, lambda: self.now)

        def slow(gradients: Gradients, batches: list[list[int]]) -> None:
            lengths = gradients._state.setup.train.tokens.lengths
            self.now += self.pace * sum(int(lengths[rows].sum()) for rows in batches)
            real(gradients, batches)

        monkeypatch.setattr(Gradients, "of_step", slow)


def timed_job(bert: Path, monkeypatch: pytest.MonkeyPatch, *, rehearsed: float) -> Setup:
    """A minute for all, five seconds of it for the end, and so many for a step in a rehearsal."""
    setup = toy_job(bert, "train.minutes=1", "optim.epochs=500", "optim.warmup_steps=4", rows=100)
    timing = Timing(step=rehearsed, evaluation=0.0, finishing=5.0)
    monkeypatch.setattr(time_budget, "rehearse", lambda _: timing)
    return fit_into(setup, TimeLimit(1, 1000.0), Notes())[0]


@pytest.mark.parametrize("rehearsed", [0.7, 1.0, 2.0, 4.0])
def test_the_time_given_is_used(
    rehearsed: float, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether steps are faster than rehearsed or slower: of 55 seconds 96%, and no end in haste."""
    clock, said = Clock(1.0, monkeypatch), Notes()
    setup = timed_job(bert, monkeypatch, rehearsed=rehearsed)
    clock.pace = setup.schedule.steps_per_epoch / int(setup.train.tokens.lengths.sum())
    loop = toy_loop(setup, tmp_path, progress=said)
    done = loop.fit()
    assert 1000 + 55 * 0.94 < clock.now <= 1000 + 55
    assert not said.warned
    decided = loop.setup.decisions.max_steps
    assert decided == Decision(loop.setup.schedule.total, ANY)
    assert decided.value == done.steps
    assert loop.loop.state.rate < 0.05 * setup.config.optim.lr, "down to nothing"
    assert "as the first" in said.said[-1]


def weights_of(store: CheckpointStore) -> dict[str, torch.Tensor]:
    """Of the newest checkpoint."""
    checkpoint = store.load()
    assert checkpoint is not None
    return checkpoint.group("trainable")


@pytest.mark.parametrize("step", [5, 12])
def test_a_resumed_training_keeps_the_steps_it_found(
    step: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once more steps were found to fit the rates are the same, to the last bit; before that it
    goes by those that it began with."""
    clock, loops = Clock(0.008, monkeypatch), []
    for folder in ("straight", "stopped", "stopped"):
        clock.now = 1000.0
        setup = timed_job(bert, monkeypatch, rehearsed=3.0)
        loops.append(toy_loop(setup, tmp_path / folder))
        if len(loops) == 2:
            loops[1].progress = StopAt(step, loops[1].stop)
        with pytest.raises(Interrupted) if len(loops) == 2 else nullcontext():
            loops[-1].fit(resume=len(loops) == 3)
    straight, _, resumed = (loop.setup.in_time for loop in loops)
    assert setup.in_time != straight
    assert resumed == (straight if step > 6 else setup.in_time)
    whole, _, found = (weights_of(loop.store) for loop in loops)
    assert all(torch.equal(whole[name], found[name]) for name in whole) == (step > 6)
