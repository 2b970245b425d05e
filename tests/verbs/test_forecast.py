"""A dry run tells what training would do and take, and writes nothing."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import pytest

from tests.toy_setups import SHORT, Notes
from tightfit import Forecast, dry_run
from tightfit.errors import BudgetError, DataError, SettingsError
from tightfit.progress import Progress
from tightfit.training import time_budget
from tightfit.training.timing import Timing


def forecast(bert: Path, rows: Any, *settings: str, **more: Any) -> Forecast:
    """Of toy rows."""
    options = {"progress": Progress(), **more}
    return dry_run(rows, model=str(bert), settings=[*SHORT, *settings], **options)


def test_everything_is_told_in_finite_numbers(bert: Path, rows_file: Path) -> None:
    """Plan, rows, truncation, steps, minutes, bytes; as JSON without a NaN."""
    told = forecast(bert, rows_file, "data.max_length=8")
    assert told.plan.total == 1090
    assert (told.rows, told.validation_rows, told.steps) == (108, 12, 21)
    assert 0 < told.truncated < 108
    assert 0 < told.minutes < 1
    assert 10**8 < told.memory_bytes < 10**11
    assert math.isfinite(told.minutes)
    keys = "plan rows validation_rows folds truncated steps minutes memory_bytes notes".split()
    assert list(json.loads(json.dumps(told.to_json(), allow_nan=False))) == keys


def test_a_cross_validation_holds_out_no_row(bert: Path, rows_file: Path) -> None:
    """Every row trains, and is scored by a training without it."""
    told = forecast(bert, rows_file, "train.folds=3", limit=30)
    assert (told.rows, told.validation_rows, told.folds) == (30, 0, 3)


def test_nothing_is_written(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a run, nor anything else where one would be."""
    monkeypatch.chdir(tmp_path)
    forecast(bert, rows_file)
    assert os.listdir(tmp_path) == []


def test_longer_trainings_take_longer(bert: Path, rows_file: Path) -> None:
    """A hundred times the epochs take far longer, however roughly a few steps were timed."""
    few, many = forecast(bert, rows_file), forecast(bert, rows_file, "optim.epochs=300")
    assert many.steps == 100 * few.steps
    assert many.minutes > 3 * few.minutes


def test_what_is_cut_to_a_limit_is_said_to_keep_it(
    bert: Path, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schedule is not timed anew: a slower second measurement would contradict the first."""
    timings = iter([Timing(step=0.4, evaluation=0.1, scoring=1.0, finishing=1.0)])
    monkeypatch.setattr(time_budget, "rehearse", lambda *_: next(timings))
    told = forecast(bert, rows_file, "optim.epochs=300", minutes=1, started=time.monotonic())
    assert told.steps < 2100
    assert 0.8 < told.minutes < 1


def test_what_was_decided_is_in_the_notes(bert: Path, rows_file: Path) -> None:
    """Rows held out against the settings, and why this number format."""
    notes = forecast(bert, rows_file, recipe="paper").notes
    assert any("12 rows are held out instead" in note for note in notes)
    assert "computing in fp32: asked for" in notes


def test_a_dry_run_of_one_step_works(bert: Path, rows_file: Path) -> None:
    """No more steps are rehearsed than there are."""
    assert forecast(bert, rows_file, max_steps=1, limit=2).steps == 1


def test_faults_are_those_of_training(bert: Path, tmp_path: Path, rows_file: Path) -> None:
    """Whoever tries first is told what would be wrong."""
    with pytest.raises(DataError, match="nowhere"):
        forecast(bert, tmp_path / "nowhere.csv")
    with pytest.raises(BudgetError, match="66"):
        forecast(bert, rows_file, budget=60)
    with pytest.raises(SettingsError, match="recipe"):
        forecast(bert, rows_file, recipe="none")


def test_it_speaks_as_training_does(bert: Path, rows_file: Path) -> None:
    """The number format and its reason."""
    notes = Notes()
    forecast(bert, rows_file, progress=notes)
    assert any(said.startswith("computing in fp32") for said in notes.said)
