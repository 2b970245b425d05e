"""A finished run that another is to replace: never gone before that one is worth something."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.toy_setups import SHORT, Notes, toy_job
from tightfit import Run, TrainResult, train
from tightfit.config import Decision
from tightfit.errors import Interrupted, MachineError
from tightfit.storage import DECIDED, RunFolder, files, kept_beside
from tightfit.training.callbacks import CheckpointSaver, HistoryFile, TrainingState
from tightfit.training.resume import RunStart, write_decided
from tightfit.verbs import run_training

SETTINGS = [*SHORT, "train.max_steps=4", "train.eval_every=2"]


class Again:
    """Trainings into one folder."""

    def __init__(self, bert: Path, rows: Path, out: Path) -> None:
        self.bert, self.rows, self.out, self.notes = bert, rows, out, Notes()

    def __call__(self, *, resume: bool = False, overwrite: bool = False) -> TrainResult:
        """One of them."""
        return train(
            self.rows,
            model=str(self.bert),
            out=self.out,
            settings=SETTINGS,
            resume=resume,
            overwrite=overwrite,
            progress=self.notes,
        )

    @property
    def seal(self) -> bytes:
        """Of the run that is there."""
        return RunFolder(self.out).manifest.read_bytes()


@pytest.fixture
def again(bert: Path, rows_file: Path, tmp_path: Path) -> Again:
    """Trainings into one folder, in which a run is already."""
    again = Again(bert, rows_file, tmp_path / "run")
    again()
    return again


def test_a_training_that_fails_at_once_replaces_nothing(
    again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there is nothing to resume."""

    def fail(*_: object) -> None:
        assert not RunFolder(again.out).manifest.exists()
        raise MachineError("the disk is gone")

    before = again.seal
    monkeypatch.setattr(HistoryFile, "on_evaluation", fail)
    with pytest.raises(MachineError, match="the disk is gone"):
        again(overwrite=True)
    assert again.seal == before
    assert [path.name for path in again.out.parent.iterdir()] == ["run"]


def stop(saver: CheckpointSaver, state: TrainingState) -> None:
    """After the first checkpoint, as a signal would."""
    if state.evaluated:
        saver._store.save(state.step, state.snapshot())
        raise Interrupted("stopped", signal_number=2, next_step="go on")


def test_a_run_stays_beside_the_new_one_until_that_is_sealed(
    again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new one was interrupted, and can be resumed."""
    before, kept = again.seal, kept_beside(again.out)
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointSaver, "on_step_end", stop)
        with pytest.raises(Interrupted):
            again(overwrite=True)
    assert str(kept) in again.notes.said[-1]
    assert RunFolder(Run.open(kept).folder.root).manifest.read_bytes() == before
    again(resume=True)
    assert again.seal != before
    assert [path.name for path in again.out.parent.iterdir()] == ["run"]


def test_a_run_that_lies_beside_is_left_to_whoever_moved_it(
    again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that replaces nothing neither brings it back nor removes it."""
    kept = kept_beside(again.out)
    again.out.rename(kept)

    def fail(*_: object) -> None:
        raise MachineError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(run_training, "choose_plan", fail)
        with pytest.raises(MachineError):
            again()
    assert not again.out.exists()
    again()
    assert Run.open(kept).path == kept


@pytest.mark.parametrize("writes", range(5))
def test_a_kill_while_decisions_are_written_anew_leaves_a_run_to_go_on(
    writes: int, bert: Path, tmp_path: Path
) -> None:
    """By the old ones or by the new ones, as a whole."""
    setup, start = toy_job(bert), RunStart(tmp_path / "run", resume=True)
    folder, left = start.create(setup), iter(range(writes))
    plan, newer = setup.plan, setup.with_decisions(max_steps=Decision(7, "the clock"))
    newer = replace(newer, classifier=replace(setup.classifier, plan=replace(plan, why="new")))
    real = files.write_bytes
    killed = patch.object(files, "write_bytes", lambda *given: next(left) + 1 and real(*given))
    with killed, suppress(StopIteration):
        write_decided(folder, newer)
    found = start.stored()
    assert found is not None
    assert (found.decisions.max_steps is None) == (found.plan.why != "new") == (writes == 0)
    write_decided(folder, newer)
    assert not (folder.checkpoints / DECIDED).exists()
