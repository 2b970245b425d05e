"""Trackers: real event files, a real offline run, and nothing secret in the run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from tests.toy_setups import SHORT, toy_job, toy_settings
from tightfit import Run, TrainResult, train
from tightfit.errors import MissingExtraError, SettingsError
from tightfit.extras import available
from tightfit.model.proofs import GradientWatch
from tightfit.progress import Progress
from tightfit.training.checkpoint import CheckpointStore
from tightfit.training.loop import Loop
from tightfit.training.tracking import open_tracker

with_tensorboard = pytest.mark.skipif(not available("tensorboard"), reason="an extra")
with_wandb = pytest.mark.skipif(not available("wandb"), reason="an extra")

SECRET = "5ec2e7" * 6 + "cafe"
"""As long as a key of wandb is."""

SECRETS = (
    *("WANDB_API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "MLFLOW_TRACKING_PASSWORD"),
    *("MLFLOW_TRACKING_TOKEN", "AWS_SECRET_ACCESS_KEY", "COMET_API_KEY", "MY_OWN_PASSWORD"),
)
"""Where trackers, the Hub and their stores look for keys."""


def tracked(bert: Path, rows: Path, out: Path, tracker: str) -> TrainResult:
    """A run of six steps under a tracker."""
    return train(
        rows,
        model=str(bert),
        out=out,
        max_steps=6,
        settings=[*SHORT, "train.eval_every=2", f"tracking.to={tracker}"],
        progress=Progress(),
    )


def history_of(run: Path) -> list[dict[str, Any]]:
    """The rows of a run."""
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_without_a_tracker_nothing_is_made(bert: Path, tmp_path: Path) -> None:
    """And rows may be logged all the same."""
    setup = toy_job(bert, "train.max_steps=2")
    with open_tracker(setup.config, tmp_path / "tracking") as tracker:
        Loop(setup, GradientWatch({}), [tracker]).fit()
    assert not (tmp_path / "tracking").exists()


@pytest.fixture
def fresh_state() -> Iterator[None]:
    """Accelerate's one state of the process, as if it had just begun."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@with_tensorboard
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("fresh_state")
@pytest.mark.parametrize("before", [None, "bf16"])
def test_an_accelerator_of_somebody_else_is_no_hindrance(
    before: str | None, bert: Path, tmp_path: Path
) -> None:
    """A notebook may have made one in another precision; that stays, and ours asks for none."""
    if before:
        Accelerator(mixed_precision=before)
    config = toy_settings(bert, "train.precision=fp16", "tracking.to=tensorboard")
    with open_tracker(config, tmp_path):
        assert AcceleratorState().mixed_precision == (before or "no")


@with_tensorboard
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_gets_the_history(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """Every value of every row under its step, read by TensorBoard's own reader."""
    run = tracked(bert, rows_file, tmp_path / "run", "tensorboard").run
    events = read_events(run / "derived" / "tracking")
    history = history_of(run)
    for name in ("eval_loss", "eval_accuracy", "train_loss", "lr", "rows", "tokens"):
        wanted = {row["step"]: row[name] for row in history if row[name] is not None}
        assert events[name] == pytest.approx(wanted, rel=1e-6), name
    assert 0 not in events["train_loss"]
    assert "step" not in events


def read_events(folder: Path) -> dict[str, dict[int, float]]:
    """The scalars in a folder of event files: name, step, value."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, dict[int, float]] = {}
    for file in folder.rglob("events.out.*"):
        events = EventAccumulator(str(file))
        events.Reload()
        for tag in events.Tags()["scalars"]:
            assert tag not in found
            found[tag] = {event.step: event.value for event in events.Scalars(tag)}
    return found


@with_tensorboard
def test_a_tracked_run_can_still_be_opened(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """What the tracker wrote lies beside the seal, not under it."""
    run = tracked(bert, rows_file, tmp_path / "run", "tensorboard").run
    manifest = json.loads((run / "manifest.json").read_text())
    assert not any("tracking" in file["path"] for file in manifest["files"])
    assert len(Run.load(run).predict(["goal"])) == 1


def files_below(*folders: Path) -> set[Path]:
    """Every file in these folders."""
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, a working folder and a folder for temporary files that nobody else uses."""
    for name in ("home", "work", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in SECRETS:
        monkeypatch.setenv(name, SECRET)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@with_wandb
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_wandb_offline_writes_a_run_and_no_secret(
    bert: Path, rows_file: Path, private: Path
) -> None:
    """Inside the run folder, nothing outside it, and the key in no file."""
    run = tracked(bert, rows_file, private / "run", "wandb").run
    (log,) = run.rglob("run-*.wandb")
    assert log.is_relative_to(run / "derived" / "tracking")
    content = log.read_bytes()
    assert b"eval_accuracy" in content
    assert b"optim.lr" in content
    outside = files_below(private / "home", private / "work")
    # Where wandb keeps the logs of its own service is not ours to say.
    assert all("/.cache/wandb/logs/" in str(file) for file in outside)
    for file in files_below(run) | outside:
        assert SECRET.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("tracker", ["none", pytest.param("tensorboard", marks=with_tensorboard)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_secret_of_the_environment_is_in_a_run(
    tracker: str,
    bert: Path,
    rows_file: Path,
    private: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not a byte of it in any file: of the run, of its checkpoints, beside it, or elsewhere."""
    monkeypatch.setattr(CheckpointStore, "clear", lambda store: None)
    assert os.environ["HF_TOKEN"] == SECRET
    tracked(bert, rows_file, private / "runs" / "run", tracker)
    files = files_below(private)
    assert private / "runs" / "run" / "manifest.json" in files
    assert any("checkpoints" in str(file) for file in files)
    for file in files:
        assert SECRET.encode() not in file.read_bytes(), file


def test_a_missing_extra_is_named_before_anything_is_written(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3, the command that installs it, and no folder in the way of the next try."""
    monkeypatch.setattr("tightfit.extras.available", lambda package: False)
    with pytest.raises(MissingExtraError, match=r"tracking\.to=mlflow") as caught:
        tracked(bert, rows_file, tmp_path / "run", "mlflow")
    assert caught.value.exit_code == SettingsError.exit_code == 3
    assert "pip install 'tightfit[mlflow]'" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_an_unknown_tracker_is_refused(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """With those that there are."""
    with pytest.raises(SettingsError, match="'none', 'tensorboard', 'wandb' or 'mlflow'"):
        tracked(bert, rows_file, tmp_path / "run", "neptune")


@with_tensorboard
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_trackers_are_ended_after_a_fault(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their files are closed, also where a proof failed."""
    ended: list[bool] = []
    monkeypatch.setattr("accelerate.Accelerator.end_training", lambda self: ended.append(True))
    with pytest.raises(RuntimeError):
        train(
            rows_file,
            model=str(bert),
            out=tmp_path / "run",
            max_steps=3,
            settings=[*SHORT, "optim.lr=1e-30", "tracking.to=tensorboard"],
            progress=Progress(),
        )
    assert ended == [True]
