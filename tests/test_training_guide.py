"""The page on training: its commands exist, and what it says of numbers is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.command import Recorder, cli, replace
from tightfit.cli.train_command import MEANING
from tightfit.training import setup, time_budget

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "training.md").read_text("utf-8")
COMMANDS = re.findall(r"^tightfit .+$", PAGE, re.MULTILINE)


class Reached(Exception):
    """A command got through to its function."""


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_are_understood(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each gets as far as its function."""
    recorder: Any = Recorder(Reached("here"))
    for verb in ("train", "runs"):
        replace(monkeypatch, verb, recorder)
    assert "Reached: here" in cli(*shlex.split(command)[1:], "--debug").stderr


def test_its_numbers_are_those_of_the_code() -> None:
    """Shares of the time, the margin of the proof, and what each proof means."""
    assert (time_budget.PROBE_ASIDE, time_budget.SCORE_ASIDE) == (0.15, 0.15)
    assert (time_budget.EVAL_ASIDE, time_budget.RESERVE) == (0.05, 0.1)
    assert setup.FAR_WORSE == 3
    told = re.findall(r"^\| ([a-z ]+) \| (?!what a tick)", PAGE, re.MULTILINE)
    assert [name.replace(" ", "_") for name in told] == list(MEANING)
