"""The page about predicting: every command on it runs, in its order, and writes what it says."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest

from tests.command import cli
from tests.toy_setups import SHORT
from tightfit import train
from tightfit.progress import Progress

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "predicting.md").read_text("utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a toy run in the place of the one that the page trains."""
    monkeypatch.chdir(tmp_path)
    settings = [*SHORT, "optim.lr=2e-2", "data.validation_rows=120"]
    train("sample", model=str(bert), out="runs/first", settings=settings, progress=Progress())
    return tmp_path


def run(line: str) -> None:
    """One line of the page, without a shell."""
    words = shlex.split(line)
    stdin = None
    if words[0] == "printf":
        stdin = words[1].replace("\\n", "\n")
        if words[2] == ">":
            Path(words[3]).write_text(stdin)
            return
        words = words[3:]  # behind a pipe
    told = cli(*words[1:], stdin=stdin)
    # What this toy cannot reach is told with what it can.
    assert told.exit_code == 0 or "so precise" in told.stderr, f"{line}\n{told.stderr}"


def test_every_command_runs(home: Path) -> None:
    """But for the training itself, which took longer."""
    assert COMMANDS[0].startswith("tightfit train")
    for line in COMMANDS[1:]:
        run(line)
    for block in PYTHON:
        exec(compile(block, "the page", "exec"), {})
    with (home / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    [shown] = re.findall(r"^```csv\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert list(rows[0]) == shown.splitlines()[0].split(",")
    assert [row["id"] for row in rows] == ["7", "9"]
    assert (home / "submission.csv").read_text().startswith("ID,Label\n0,")
