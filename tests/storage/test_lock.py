"""One process at a time trains into a run folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock
import pytest

from tests.toy_setups import toy_table
from tightfit import train
from tightfit.errors import MachineError
from tightfit.progress import Progress
from tightfit.storage import lock_output, read_json

HOLDER = """
import sys, time
from pathlib import Path
from tightfit.storage import lock_output
with lock_output(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_holder_is_refused(tmp_path: Path) -> None:
    """With the first one's process, host and time; through a link as well."""
    (tmp_path / "link").symlink_to(tmp_path)
    with lock_output(tmp_path / "run"):
        since = read_json(tmp_path / ".run.holder.json")["since"]
        assert (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds() < 60
        for path in (tmp_path / "run", tmp_path / "link" / "run"):
            with pytest.raises(MachineError, match="another process is writing") as caught:
                lock_output(path).__enter__()
            told = f"process {os.getpid()} on {socket.gethostname()}, since {since}"
            assert (caught.value.seen, caught.value.exit_code) == (told, 9)


def test_the_lock_leaves_nothing(tmp_path: Path) -> None:
    """Whether the work succeeded or not; other runs beside it were free all the while."""
    a, b = tmp_path / "new" / "folders" / "a", tmp_path / "b"
    with pytest.raises(ZeroDivisionError), lock_output(a), lock_output(b):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []
    with lock_output(tmp_path / "a"):
        pass


def test_a_kill_frees_the_lock(tmp_path: Path) -> None:
    """What it leaves on the disk is in nobody's way."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(MachineError, match=f"process {process.pid} on"):
        lock_output(tmp_path / "run").__enter__()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with lock_output(tmp_path / "run"):
        assert read_json(tmp_path / ".run.holder.json")["pid"] == os.getpid()


def test_a_second_holder_is_refused_at_once(tmp_path: Path) -> None:
    """It does not wait; the fastest of three tries, since the machine may be busy."""
    tries = []
    with lock_output(tmp_path / "run"):
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(MachineError, match="another process"):
                lock_output(tmp_path / "run").__enter__()
            tries.append(time.monotonic() - started)
    assert min(tries) < 0.9


def test_a_lock_that_was_deleted_meanwhile(tmp_path: Path) -> None:
    """Somebody cleared the folder: the work that was done is not lost to that."""
    with lock_output(tmp_path / "run"):
        for path in tmp_path.iterdir():
            path.unlink()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, "", "[]", '{"pid": 1}'])
def test_a_holder_that_says_nothing(content: str | None, tmp_path: Path) -> None:
    """It is refused all the same: it has not come to it yet, or is at its end."""
    with lock_output(tmp_path / "run"):
        (tmp_path / ".run.holder.json").unlink()
        if content is not None:
            (tmp_path / ".run.holder.json").write_text(content, "utf-8")
        with pytest.raises(MachineError, match="only just begun, or is ending"):
            lock_output(tmp_path / "run").__enter__()


def test_a_disk_that_refuses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Told as what it is, not as a lock that is held."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.raises(MachineError, match="cannot lock") as caught:
        lock_output(tmp_path / "run").__enter__()
    assert caught.value.seen == "Permission denied"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="such a folder is there on Linux alone")
@pytest.mark.parametrize("path", ["/proc/run", "/proc/folder/run"])
def test_a_folder_in_which_nothing_can_be_made(path: str) -> None:
    """The library takes it for a lock that is held."""
    with pytest.raises(MachineError, match=r"cannot (lock|make) /proc") as caught:
        lock_output(Path(path)).__enter__()
    assert (caught.value.seen, caught.value.next_step) == (
        "No such file or directory",
        "something on this path is not there, and cannot be made; choose another path",
    )


@pytest.mark.parametrize("resume", [False, True])
def test_train_asks_for_the_lock(resume: bool, bert: Path, tmp_path: Path) -> None:
    """Before it reads a row; the folder of the other is not touched."""
    held = pytest.raises(MachineError, match="another process is writing")
    with lock_output(tmp_path / "run"), held:
        train(
            toy_table(), model=str(bert), out=tmp_path / "run", resume=resume, progress=Progress()
        )
    assert list(tmp_path.iterdir()) == []
