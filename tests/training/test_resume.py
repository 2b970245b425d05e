"""A run that was stopped and resumed is the run that was never stopped, to the bit."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch
from safetensors.torch import load_file

from tests.toy_setups import SHORT, Notes, ToyLoop, toy_job, toy_loop
from tests.toys import toy_encoder, toy_rows, write_jsonl
from tightfit import TrainResult, train
from tightfit.config import Decision
from tightfit.errors import ArtefactError, DataError, Interrupted, SettingsError, UsageError
from tightfit.progress import Bar, Progress
from tightfit.storage import RunFolder
from tightfit.training.gradients import watch_over
from tightfit.training.precision import Precision
from tightfit.training.setup import Fitted, HistoryRow
from tightfit.training.signals import StopRequest
from tightfit.verbs.train_result import read_result

STEPS = 10
SETTINGS = ["optim.batch=5", "optim.accumulate=2", "train.eval_every=3", "optim.lr=1e-2"]
"""Four steps an epoch, the last of them ragged; evaluations after 3, 6, 9 and 10."""

WAYS = {
    "dropouts on": ["model.frozen_dropout=true", "adapters.dropout=0.1"],
    "own": ["train.forward=own", "adapters.dropout=0.1", "model.frozen_dropout=true"],
    "recomputed": ["model.frozen_dropout=true", "train.checkpointing=on"],
    "lean": ["train.forward=auto"],
    "frozen layers kept": ["adapters.layers=1"],
    "by tokens": ["train.batch_by=tokens"],
    "B faster": ["optim.lora_plus=4"],
    "dora": ["adapters.dora=true"],
    "vera": ["adapters.method=vera", "adapters.dropout=0.1"],
    "pissa": ["adapters.init=pissa"],
    "eva": ["adapters.init=eva"],
    "contrastive first": ["optim.objective=contrastive-first", "contrastive.steps=4"],
}


class StopAt(Progress, Bar):
    """Asks to stop while the given step is on its way, as a signal would."""

    def __init__(self, step: int, stop: StopRequest) -> None:
        """Count the steps on the progress bar; the first one is asked for beforehand."""
        self.left, self.stop = step, stop
        if step == 1:
            stop.signal = signal.SIGTERM

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """A bar that counts down."""
        self.left -= done
        yield self if what == "training" else Bar()

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """A step is complete; asking now stops after the next one."""
        self.left -= count
        if self.left == 1:
            self.stop.signal = signal.SIGTERM


def timeless(history: list[HistoryRow]) -> list[HistoryRow]:
    """Rows without the time that they took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def outcome(loop: ToyLoop, fitted: Fitted) -> dict[str, Any]:
    """All that must not depend on stopping; weights as they were after the last step."""
    last = loop.store.load()
    assert last is not None
    counters = {k: v for k, v in asdict(fitted.counters).items() if "seconds" not in k}
    kept = {k: v for k, v in last.state.items() if k not in ("history", "counters")}
    return {
        "tensors": last.tensors,
        "best": loop.setup.classifier.state(),
        "history": timeless(fitted.history),
        "state": {**kept, "counters": counters},
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Tensors bit for bit, everything else equal."""
    assert (one["history"], one["state"]) == (other["history"], other["state"])
    for group in ("tensors", "best"):
        assert one[group].keys() == other[group].keys()
        for name, tensor in one[group].items():
            assert torch.equal(tensor, other[group][name]), name


def toy(bert: Path, folder: Path, way: str, **more: Any) -> ToyLoop:
    """A loop over the same rows with the same seed."""
    setup = toy_job(bert, *SETTINGS, f"train.max_steps={STEPS}", *WAYS[way])
    return toy_loop(setup, folder, watch=watch_over(setup), **more)


@cache
def uninterrupted(bert: Path, folder: Path, way: str) -> dict[str, Any]:
    """What a run gives that nobody stopped."""
    loop = toy(bert, folder / way, way)
    return outcome(loop, loop.fit())


def stopped_at(step: int, loop: ToyLoop) -> None:
    """Run until the stop."""
    loop.progress = StopAt(step, loop.stop)
    with pytest.raises(Interrupted, match=f"stopped after step {step} of 10, with a checkpoint"):
        loop.fit()


@pytest.mark.parametrize("step", range(1, STEPS))
def test_a_run_can_be_stopped_after_any_step(
    step: int, bert: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In the middle of an epoch, at its end, between evaluations and at one; dropouts on."""
    stopped_at(step, toy(bert, tmp_path, "dropouts on"))
    again = toy(bert, tmp_path, "dropouts on")
    resumed = outcome(again, again.fit(resume=True))
    straight = uninterrupted(bert, tmp_path_factory.getbasetemp() / "straight", "dropouts on")
    assert_same(resumed, straight)


@pytest.mark.parametrize(
    "way",
    ["own", "recomputed", "lean", "frozen layers kept", "by tokens", "contrastive first"],
)
def test_every_forward_pass_can_be_resumed(
    way: str, bert: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Stopped twice, at steps without an evaluation."""
    for step in (4, 8):
        loop = toy(bert, tmp_path, way)
        loop.progress = StopAt(step, loop.stop)
        with pytest.raises(Interrupted, match=f"after step {step} of"):
            loop.fit(resume=True)
    again = toy(bert, tmp_path, way)
    kept = "on" if "kept" in way else "off"
    assert again.setup.decisions.prefix_cache == Decision(kept, ANY)
    straight = uninterrupted(bert, tmp_path_factory.getbasetemp() / "straight", way)
    assert_same(outcome(again, again.fit(resume=True)), straight)


def test_dropouts_do_act_in_these_runs(bert: Path, tmp_path: Path) -> None:
    """Otherwise the tests above would say nothing of random states: another draw shows at once."""
    losses = []
    for draw in (False, True):
        loop = toy(bert, tmp_path / str(draw), "dropouts on")
        torch.rand(int(draw))
        losses.append([row["train_loss"] for row in loop.fit().history])
    assert losses[0] != losses[1]


def test_resuming_where_nothing_is_begins_at_the_start(bert: Path, tmp_path: Path) -> None:
    """With the evaluation before the first step."""
    fitted = toy(bert, tmp_path, "lean").fit(resume=True)
    assert [row["step"] for row in fitted.history] == [0, 3, 6, 9, 10]


def test_resuming_after_the_last_step_only_restores(bert: Path, tmp_path: Path) -> None:
    """A run may be stopped between its last step and its seal."""
    loop = toy(bert, tmp_path, "lean")
    first = outcome(loop, loop.fit())
    again = toy(bert, tmp_path, "lean")
    assert_same(outcome(again, again.fit(resume=True)), first)


def test_a_stop_during_the_last_step_lets_the_run_end(bert: Path, tmp_path: Path) -> None:
    """There is nothing left to stop."""
    loop = toy(bert, tmp_path, "lean")
    loop.progress = StopAt(STEPS, loop.stop)
    assert loop.fit().steps == STEPS
    assert loop.stop.signal == signal.SIGTERM


def test_a_signal_late_in_a_step_stops_after_the_next(bert: Path, tmp_path: Path) -> None:
    """It came after the checkpoint of its own step was due: what is told must be on the disk."""
    loop = toy(bert, tmp_path, "lean")
    stopped_at(2, loop)
    checkpoint = loop.store.load()
    assert checkpoint is not None
    assert checkpoint.state["step"] == 2


def test_the_exit_code_is_that_of_the_signal(bert: Path, tmp_path: Path) -> None:
    """As shells know it; and the message says how to go on."""
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        loop = toy(bert, tmp_path / number.name, "lean")
        loop.stop.signal = number
        with pytest.raises(Interrupted, match="after step 1 of 10") as caught:
            loop.fit()
        assert caught.value.exit_code == code
        assert "resume=True" in str(caught.value)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> StopRequest:
    """The request that a verb gives its loop, in our hands."""
    request = StopRequest()

    @contextmanager
    def ours() -> Iterator[StopRequest]:
        yield request

    monkeypatch.setattr("tightfit.verbs.run_training.stop_on_signals", ours)
    return request


def run(bert: Path, rows: Path, out: Path, *settings: str, **more: Any) -> TrainResult:
    """A training by the verb, with dropouts."""
    values = [*SHORT, *SETTINGS, *WAYS["dropouts on"], f"train.max_steps={STEPS}", *settings]
    return train(
        rows, model=str(bert), out=out, settings=values, **{"progress": Progress(), **more}
    )


def interrupted(bert: Path, rows: Path, out: Path, stop: StopRequest, *settings: str) -> None:
    """The same, stopped after its fifth step."""
    with pytest.raises(Interrupted, match="stopped after step 5 of 10"):
        run(bert, rows, out, *settings, progress=StopAt(5, stop))
    stop.signal = None


def test_a_resumed_training_leaves_the_same_run(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """Weights, history, scores and proofs, times aside."""
    straight, resumed = RunFolder(tmp_path / "straight"), RunFolder(tmp_path / "resumed")
    run(bert, rows_file, straight.root)
    interrupted(bert, rows_file, resumed.root, stop)
    assert not resumed.manifest.exists()
    run(bert, rows_file, resumed.root, resume=True)
    one, other = (load_file(f.adapter / "adapter_model.safetensors") for f in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one.keys() | other.keys())
    for path in ("config", "data", "plan", "labels", "proofs"):
        assert getattr(straight, path).read_text() == getattr(resumed, path).read_text()
    assert without_times(straight) == without_times(resumed)


def test_the_settings_that_a_run_began_with_resume_it(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """Those in its folder: whoever lost the options needs but the rows."""
    folder = RunFolder(tmp_path / "run")
    interrupted(bert, rows_file, folder.root, stop)
    began = folder.config.read_text("utf-8")
    recipe = str(folder.config)
    train(rows_file, recipe=recipe, out=folder.root, resume=True, progress=Progress())
    assert folder.manifest.is_file()
    assert folder.config.read_text("utf-8") == began


def without_times(folder: RunFolder) -> object:
    """History and metrics, less what a clock says."""
    history = [json.loads(line) for line in folder.history.read_text().splitlines()]
    metrics = json.loads(folder.metrics.read_text())
    summary = {k: v for k, v in metrics["train"].items() if "second" not in k}
    return timeless(history), {**metrics, "train": summary}


def test_resuming_a_finished_run_returns_its_result(
    bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """Without a step, and without touching a file."""
    first = run(bert, rows_file, tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")}
    notes = Notes()
    assert run(bert, rows_file, tmp_path / "run", resume=True, progress=notes) == first
    assert notes.said == [f"{tmp_path / 'run'} is complete; nothing to resume"]
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*")} == before


def test_another_length_is_refused_with_both_numbers(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """Of a run that is finished as well, which would else be given for what was asked."""
    interrupted(bert, rows_file, tmp_path / "run", stop)
    message = r"train\.max_steps is 99, the run has[\s\S]*cannot be made longer or shorter"
    with pytest.raises(SettingsError, match=message):
        run(bert, rows_file, tmp_path / "run", resume=True, max_steps=99)
    run(bert, rows_file, tmp_path / "run", resume=True)
    with pytest.raises(SettingsError, match=message):
        run(bert, rows_file, tmp_path / "run", resume=True, max_steps=99)


def test_resuming_what_never_began_begins(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """A script may always say ``--resume``."""
    assert run(bert, rows_file, tmp_path / "run", resume=True).steps == STEPS


def test_automatic_choices_are_those_of_the_beginning(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another machine would decide otherwise; the run goes on as it began."""
    decide = "tightfit.training.prepare.decide_precision"
    monkeypatch.setattr(decide, lambda *a, **k: Precision("bf16", "measured there"))
    interrupted(bert, rows_file, tmp_path / "run", stop, "train.precision=auto")
    monkeypatch.setattr(decide, lambda *a, **k: Precision("fp32", "measured here"))
    run(bert, rows_file, tmp_path / "run", "train.precision=auto", resume=True)
    decisions = json.loads((tmp_path / "run" / "decisions.json").read_text())
    assert decisions["precision"] == {"value": "bf16", "reason": "measured there"}


def test_changed_settings_are_refused(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """All of them are named, and the run can still be resumed afterwards."""
    interrupted(bert, rows_file, tmp_path / "run", stop)
    with pytest.raises(SettingsError, match="needs the settings that the run began with") as caught:
        run(bert, rows_file, tmp_path / "run", "optim.lr=1", "optim.clip=3", resume=True, seed=1)
    seen = str(caught.value.seen).split("; ")
    assert [one.split()[0] for one in seen] == ["seed", "optim.lr", "optim.clip"]
    assert seen[0] == "seed is 1, the run has 42"
    assert "overwrite=True" in str(caught.value)
    assert run(bert, rows_file, tmp_path / "run", resume=True).steps == STEPS


def test_lengths_that_were_lowered_are_those_that_were_asked_for(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """The encoder has 64 positions; the same command resumes."""
    longer = "data.max_length=100"
    interrupted(bert, rows_file, tmp_path / "run", stop, longer)
    assert run(bert, rows_file, tmp_path / "run", longer, resume=True).steps == STEPS


def test_changed_rows_are_refused(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """Which of them have changed is told."""
    interrupted(bert, rows_file, tmp_path / "run", stop)
    other = write_jsonl(tmp_path / "other.jsonl", toy_rows(120, seed=1))
    with pytest.raises(DataError, match="needs the rows that the run began with") as caught:
        run(bert, other, tmp_path / "run", resume=True)
    assert caught.value.seen == "train rows have changed"
    with pytest.raises(DataError, match="rows have changed"):
        run(bert, rows_file, tmp_path / "run", resume=True, validation=rows_file)


def test_another_beginning_is_refused_before_a_model_is_built(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """The stored plan would fit neither another encoder nor another number of labels."""
    interrupted(bert, rows_file, tmp_path / "run", stop)
    other = toy_encoder(tmp_path / "roberta", "roberta")
    with pytest.raises(SettingsError, match="the settings that the run began with") as settings:
        run(other, rows_file, tmp_path / "run", resume=True)
    assert str(settings.value.seen).startswith(f"model.name is {other}, the run has ")
    three = [{**row, "label": i % 3} for i, row in enumerate(toy_rows(120))]
    with pytest.raises(DataError, match="the rows that the run began with") as rows:
        run(bert, write_jsonl(tmp_path / "3.jsonl", three), tmp_path / "run", resume=True)
    assert rows.value.seen == "the labels have changed"


def test_an_unfinished_run_is_neither_replaced_nor_read(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """Without ``--resume`` it is in the way, and says so."""
    interrupted(bert, rows_file, tmp_path / "run", stop)
    with pytest.raises(UsageError, match=r"exists already(.|\n)*resume=True"):
        run(bert, rows_file, tmp_path / "run")
    with pytest.raises(ArtefactError, match=r"not finished|incomplete"):
        read_result(tmp_path / "run")


def test_a_damaged_checkpoint_is_told(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """And ``--overwrite`` starts anew."""
    interrupted(bert, rows_file, tmp_path / "run", stop)
    (tmp_path / "run" / "checkpoints" / "step-00000005" / "state.json").write_text("{")
    with pytest.raises(ArtefactError, match="the checkpoint is damaged"):
        run(bert, rows_file, tmp_path / "run", resume=True)
    assert run(bert, rows_file, tmp_path / "run", overwrite=True).steps == STEPS


def test_a_run_can_be_moved_before_it_is_resumed(
    bert: Path, rows_file: Path, tmp_path: Path, stop: StopRequest
) -> None:
    """Nothing in it names its own place."""
    interrupted(bert, rows_file, tmp_path / "here", stop)
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert run(bert, rows_file, tmp_path / "there", resume=True).steps == STEPS
