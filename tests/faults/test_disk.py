"""Real disks that fill up or may only be read, where this user may mount one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.command import cli
from tests.faults.test_damage import again
from tightfit import Run
from tightfit.errors import ArtefactError, MachineError
from tightfit.storage import open_run

pytestmark = pytest.mark.slow

KIB = 1024


@dataclass(frozen=True)
class Disk:
    """A file system of its own, in memory."""

    root: Path

    def remount(self, options: str) -> None:
        """Change it while it is in use."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.root], check=True)

    def leave(self, free: int) -> None:
        """Fill it up to so many bytes."""
        room = shutil.disk_usage(self.root).free
        (self.root / "ballast").write_bytes(bytes(room - free))
        assert shutil.disk_usage(self.root).free == free


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Four megabytes; skipped where they cannot be mounted, such as without root."""
    root = tmp_path / "disk"
    root.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(root)]
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("this system has no mount")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield Disk(root)
    # Lazily: the error that was caught may still hold a file open.
    subprocess.run(["umount", "-l", root], check=True)


@pytest.fixture(scope="module")
def undisturbed(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that all others must equal in the end."""
    return again(bert, tmp_path_factory.mktemp("undisturbed") / "run", resume=False).run


def weights(run: Path) -> dict[str, bytes]:
    """Every tensor of a run, as bytes."""
    return {file.name: file.read_bytes() for file in run.rglob("adapter/*.safetensors")}


@pytest.mark.parametrize("free", [0, 4, 16, 32, 64, 96, 128])
def test_a_disk_that_fills_while_training(
    free: int, disk: Disk, bert: Path, undisturbed: Path
) -> None:
    """Wherever it fills, that is told and nothing opens as a run; with room it becomes the same."""
    run = disk.root / "run"
    disk.leave(free * KIB)
    with pytest.raises(MachineError, match="No space left") as caught:
        again(bert, run, resume=False)
    assert caught.value.exit_code == 9
    with pytest.raises(ArtefactError):
        open_run(run)
    (disk.root / "ballast").unlink()
    again(bert, run, resume=any((run / "checkpoints").glob("*")))
    assert weights(run) == weights(undisturbed)
    assert Run.load(run).predict(["goal"]).ids == Run.load(undisturbed).predict(["goal"]).ids


def test_a_disk_that_fills_while_predicting(disk: Disk, undisturbed: Path, rows_file: Path) -> None:
    """No file, code 9; with room the same command writes what it writes elsewhere."""
    out, elsewhere = disk.root / "out.csv", disk.root.parent / "out.csv"
    words = ["predict", str(undisturbed), "--data", str(rows_file), "--out"]
    disk.leave(0)
    failed = cli(*words, str(out))
    assert (failed.exit_code, out.exists()) == (9, False)
    assert "No space left" in failed.stderr
    (disk.root / "ballast").unlink()
    assert [cli(*words, str(path)).exit_code for path in (out, elsewhere)] == [0, 0]
    assert out.read_bytes() == elsewhere.read_bytes()


@pytest.fixture
def sealed(disk: Disk, bert: Path) -> Path:
    """A run on a disk that can only be read now."""
    run = again(bert, disk.root / "run", resume=False).run
    disk.remount("ro")
    return run


def test_nothing_is_trained_on_a_read_only_disk(disk: Disk, sealed: Path, bert: Path) -> None:
    """It is called what it is: no permissions help."""
    with pytest.raises(MachineError, match=r"Read-only file system(.|\n)*on another one") as caught:
        again(bert, disk.root / "other", resume=False)
    assert caught.value.exit_code == 9
    assert [path.name for path in disk.root.iterdir()] == [sealed.name]


@pytest.mark.parametrize(
    "words",
    [
        "predict {run} --data {rows} --out {disk}/out.csv",
        "export {run} --format peft --out {disk}/export",
        "report {run} --out {disk}/page.html",
    ],
)
def test_nothing_is_written_to_a_read_only_disk(
    words: str, disk: Disk, sealed: Path, rows_file: Path
) -> None:
    """Code 9 from each command, with the reason."""
    failed = cli(*words.format(run=sealed, rows=rows_file, disk=disk.root).split())
    assert failed.exit_code == 9, failed.stderr
    assert "read-only" in failed.stderr.lower()
    assert [path.name for path in disk.root.iterdir()] == [sealed.name]


def test_a_run_on_a_read_only_disk_is_used(sealed: Path, rows_file: Path, tmp_path: Path) -> None:
    """What only reads needs no more."""
    out = tmp_path / "out.csv"
    told = cli("predict", str(sealed), "--data", str(rows_file), "--out", str(out))
    assert (told.exit_code, len(out.read_text().splitlines())) == (0, 121)
    assert cli("audit", str(sealed)).exit_code == 0
