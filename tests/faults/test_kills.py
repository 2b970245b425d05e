"""Killed at any moment, a training resumes to what it would have been, to the bit."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.programs import EVERY, STEPS, finish, make_home, start, step_of, traces, wait_for
from tests.warm import Program

KILLS = int(os.environ.get("TIGHTFIT_KILLS", "3"))
"""Moments to try; ``make test-faults`` tries 30."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder, rows, and the run that nobody killed."""
    home = make_home(tmp_path_factory.mktemp("home"))
    finish(home, home / "straight")
    return home


@pytest.fixture(scope="module")
def straight(home: Path) -> dict[str, Any]:
    """What the run left that nobody killed."""
    return traces(home / "straight")


def moment(seed: int) -> tuple[int, float]:
    """What of :func:`step_of` to wait for, and seconds to wait after it."""
    chance = random.Random(seed)
    # Three at least: before any checkpoint, between two, and while the run is being sealed.
    some = chance.choice([0, 1, *range(EVERY, STEPS + 1, EVERY)])
    step = {0: 0, 2: STEPS}.get(seed, some)
    return step, chance.uniform(0, 0.06)


def kill(process: Program) -> None:
    """As a power cut would, if it spared the disk."""
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_and_resumed(
    seed: int, home: Path, straight: dict[str, Any], tmp_path: Path
) -> None:
    """SIGKILL cannot be caught: what lies on the disk then must be enough."""
    run = tmp_path / "run"
    step, delay = moment(seed)
    process = start(home, run)
    wait_for(lambda: step_of(run) >= step, process)
    time.sleep(delay)
    kill(process)
    assert not (run / "manifest.json").exists()
    finish(home, run, "--resume")
    found = traces(run)
    assert [name for name in straight if found.get(name) != straight[name]] == []
    assert found.keys() == straight.keys()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_asked_to_stop(
    number: signal.Signals, code: int, home: Path, straight: dict[str, Any], tmp_path: Path
) -> None:
    """The step is finished, a checkpoint written, and the way on told."""
    process = start(home, tmp_path / "run")
    wait_for(lambda: step_of(tmp_path / "run") >= EVERY, process)
    process.send_signal(number)
    said = process.communicate()[1]
    assert process.returncode == code
    assert "with a checkpoint" in said
    assert f"--resume --out {tmp_path / 'run'}" in " ".join(said.split())
    finish(home, tmp_path / "run", "--resume")
    assert traces(tmp_path / "run") == straight


@pytest.mark.timeout(300)
def test_two_writers(home: Path, tmp_path: Path) -> None:
    """The second is refused and told who holds the run; the lock goes with its holder."""
    run, holder = tmp_path / "run", tmp_path / ".run.holder.json"
    first = start(home, run)
    wait_for(run.exists, first)
    first.send_signal(signal.SIGSTOP)  # so that it holds the run however long the second takes
    second = start(home, run, "--resume")
    said = " ".join(second.communicate()[1].split())
    assert second.returncode == 9
    assert f"process {first.pid} on" in said
    assert json.loads(holder.read_text("utf-8"))["since"] in said
    kill(first)
    finish(home, run, "--resume")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
