"""The documentation knows every verb and recipe, and its examples run."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import tightfit
from tests.command import Recorder, cli, replace
from tightfit import config
from tightfit.cli import app

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")

COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
# Asked of the functions: the file of the verb "import" cannot have that name.
VERBS = {verb: sys.modules[COMMANDS[verb].callback.__module__] for verb in COMMANDS}
# A long command goes on after a backslash, as in a shell.
EXAMPLES = {
    verb: module.EXAMPLES.replace("\\\n", "").splitlines() for verb, module in VERBS.items()
}


class Reached(Exception):
    """An example got through to the pipeline."""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    """A sentence of what it does, words for every option, and examples of its own."""
    command = COMMANDS[verb]
    assert command.help[0].isupper()
    assert all(option.help for option in command.params)
    page = cli(verb, "--help").stdout
    lines = [line.strip() for line in page.splitlines()]
    for line in VERBS[verb].EXAMPLES.splitlines():
        assert line.strip() in lines, "an example is folded, and cannot be copied"
    assert f"tightfit {verb}" in EXAMPLES[verb][0]


@pytest.mark.parametrize("example", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_in_the_help_run(monkeypatch: pytest.MonkeyPatch, example: str) -> None:
    """Their options exist and go together: each gets as far as the pipeline."""
    for name in tightfit.__all__:
        recorder: Any = Recorder(Reached("here"))
        recorder.load = recorder
        replace(monkeypatch, name, recorder)
    before, _, after = example.partition("tightfit ")
    words = shlex.split(after.partition(" > ")[0])
    result = cli(*words, "--debug", stdin="a text\n" if before else None)
    assert "Reached: here" in result.stderr, result.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_in_the_readme(verb: str) -> None:
    """By an example that begins with it."""
    assert f"tightfit {verb}" in README


@pytest.mark.parametrize("recipe", config.recipe_names())
def test_every_recipe_is_in_the_readme(recipe: str) -> None:
    """By its name, set as code."""
    assert f"`{recipe}`" in README
