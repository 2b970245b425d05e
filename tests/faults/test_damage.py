"""Whatever happens to a byte of a run folder, no command takes the folder for sound."""

from __future__ import annotations

import errno
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import cycle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.command import cli
from tests.toy_setups import SHORT, Notes, toy_table
from tightfit import Run, TrainResult, train
from tightfit.errors import ArtefactError, Interrupted, MachineError, TightfitError
from tightfit.storage import START_DIGESTS, RunFolder
from tightfit.tasks.calibrate import DERIVED_NAME
from tightfit.training import checkpoint
from tightfit.training.callbacks import CheckpointSaver, TrainingState

Damage = Callable[[bytes], bytes | None]


def flip(place: float) -> Damage:
    """One bit of the byte at this share of the file."""

    def damage(content: bytes) -> bytes:
        spoilt = bytearray(content)
        spoilt[int(place * (len(content) - 1))] ^= 1 << random.Random(len(content)).randrange(8)
        return bytes(spoilt)

    return damage


DAMAGES: dict[str, Damage] = {
    **{f"bit flipped at {place:.0%}": flip(place) for place in (0, 0.03, 0.31, 0.5, 0.77, 1)},
    "a byte lost": lambda content: content[:-1],
    "half of it lost": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "a byte added": lambda content: content + b"\n",
    "deleted": lambda content: None,
}


def spoilt(path: Path, whole: bytes, ways: Iterable[str] = DAMAGES) -> Iterator[str]:
    """Damage a file in one way after the other, and mend it at the end."""
    for name in ways:
        content = DAMAGES[name](whole)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        if content != whole:
            yield name
    path.write_bytes(whole)


@pytest.fixture
def run(finished: TrainResult, tmp_path: Path) -> RunFolder:
    """A copy of a finished run as training left it, to be damaged."""
    derived = str(RunFolder(finished.run).derived)

    def by_others(folder: str, names: list[str]) -> list[str]:
        """What other tests worked out later (evaluations, a page): few verbs read it."""
        return [name for name in names if folder == derived and Path(name).stem != DERIVED_NAME]

    shutil.copytree(finished.run, tmp_path / "run", ignore=by_others)
    return RunFolder(tmp_path / "run")


def verbs(run: Path, rows: Path) -> dict[str, list[str]]:
    """Everything that opens a run."""
    beside = run.parent
    return {
        "predict": ["predict", str(run), "--text", "goal"],
        "evaluate": ["evaluate", str(run), "--data", str(rows)],
        "report": ["report", str(run), "--out", str(beside / "page.html")],
        "export": ["export", str(run), "--format", "peft", "--out", str(beside / "export")],
        "audit": ["audit", str(run)],
    }


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["predict", "evaluate", "report", "export", "audit"])
def test_no_damaged_run_opens(verb: str, run: RunFolder, rows_file: Path) -> None:
    """Every file, each in another way: exit code 8 each time, and nothing is written."""
    words, ways = verbs(run.root, rows_file)[verb], cycle(DAMAGES)
    opened, tried = [], 0
    for path in read_by(verb, run):
        # What is looked at beside the seal is tried in every way, by each who looks at it.
        late = DAMAGES if run.derived in path.parents else [next(ways)]
        for name in spoilt(path, path.read_bytes(), late):
            tried += 1
            # What was worked out after sealing may be there or not: without it, none was.
            absent = run.derived in path.parents and name == "deleted"
            if not absent and cli(*words).exit_code != 8:
                opened.append(f"{path.relative_to(run.root)}: {name}")
    assert opened == []
    assert tried > 10
    assert [path.name for path in run.root.parent.iterdir()] == ["run"]


def test_no_damage_passes_the_seal(run: RunFolder) -> None:
    """Every sealed file, in every way: what all verbs begin with."""
    opened, tried = [], 0
    for path in read_by("audit", run):
        for name in spoilt(path, path.read_bytes()):
            tried += 1
            try:
                opened.append(f"{Run.open(run.root)}: {path.name} {name}")
            except ArtefactError:
                continue
    assert opened == []
    assert tried > 100


def read_by(verb: str, run: RunFolder) -> list[Path]:
    """The files that a command relies on: all but checkpoints, and for audit the temperature."""
    left_out = {run.checkpoints, *([run.derived] if verb == "audit" else [])}
    files = [path for path in run.root.rglob("*") if path.is_file()]
    return [path for path in files if not left_out & set(path.parents)]


# --- a run that is not finished ----------------------------------------------------------------


@pytest.fixture
def stopped(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that stopped after a checkpoint."""
    save = CheckpointSaver.on_step_end

    def stop(saver: CheckpointSaver, state: TrainingState) -> None:
        save(saver, state)
        if state.evaluated:
            raise Interrupted("stopped", signal_number=2, next_step="go on")

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointSaver, "on_step_end", stop)
        with pytest.raises(Interrupted):
            again(bert, tmp_path / "run", resume=False)
    return RunFolder(tmp_path / "run")


def again(bert: Path, run: Path, *, resume: bool = True) -> TrainResult:
    """Train, or go on."""
    settings = [*SHORT, "train.max_steps=4", "train.eval_every=2"]
    table = toy_table()
    return train(
        table, model=str(bert), out=run, settings=settings, resume=resume, progress=Notes()
    )


def test_no_damaged_run_resumes(stopped: RunFolder, bert: Path) -> None:
    """Its beginning and its checkpoint, in every way; mended, it goes on."""
    files = [*stopped.root.glob("*.*"), *stopped.checkpoints.rglob("*.*")]
    read = [p for p in files if p.is_file() and p not in (stopped.history, stopped.proofs)]
    assert len(read) == 9
    for path in read:
        for name in spoilt(path, path.read_bytes()):
            # Without the digests of its beginning a folder is in the way, with them it is damaged.
            code = 2 if path.name == START_DIGESTS and name == "deleted" else 8
            with pytest.raises(TightfitError) as caught:
                again(bert, stopped.root)
            assert caught.value.exit_code == code, (path, name)
    again(bert, stopped.root)
    assert stopped.manifest.is_file()


class Filling:
    """Writes tensors as long as the disk has room, which is ``room`` times."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __call__(self, tensors: dict[str, torch.Tensor], path: Path) -> None:
        """Write all of them, or a part."""
        self.room -= 1
        if self.room < 0:
            path.write_bytes(b"a part")
            raise OSError(errno.ENOSPC, "No space left on device")
        save_file(tensors, path)


@pytest.mark.parametrize("at", [0, 1])
def test_a_disk_that_is_full_while_training(
    at: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first checkpoint, or a later one: told, and what there is resumes."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", Filling(at))
        with pytest.raises(MachineError, match="No space left") as caught:
            again(bert, tmp_path / "run", resume=False)
    assert (caught.value.exit_code, "resume=True" in str(caught.value)) == (9, True)
    again(bert, tmp_path / "run")
    assert RunFolder(tmp_path / "run").manifest.is_file()


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_a_clock_that_jumps(
    jump: float, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of day decides nothing: only the monotonic clock does."""
    real, calls = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: real() + jump * (next(calls) % 2))
    result = again(bert, tmp_path / "run", resume=False)
    assert result.steps == 4
    assert 0 <= result.seconds < 3600
