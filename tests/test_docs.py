"""The documentation knows every verb and recipe, and its examples run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

import tightfit
from tests.command import Recorder, cli, replace
from tests.test_house import FLOORS, SOURCE
from tightfit import config
from tightfit.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
HOUSE = (ROOT / "docs" / "house.md").read_text("utf-8")

COMMANDS: dict[str, Any] = vars(typer.main.get_command(app))["commands"]
# Asked of the functions: the file of the verb "import" cannot have that name.
VERBS = {verb: sys.modules[COMMANDS[verb].callback.__module__] for verb in COMMANDS}
# A long command goes on after a backslash, as in a shell.
EXAMPLES = {
    verb: module.EXAMPLES.replace("\\\n", "").splitlines() for verb, module in VERBS.items()
}


class Reached(Exception):
    """An example got through to its function."""


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
    """Their options exist and go together: each gets as far as its function."""
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


def test_the_floors_of_the_house_are_those_of_its_test() -> None:
    """Each package and module on the floor that may be imported from above it."""
    told: dict[str, int] = {}
    for floor, names in re.findall(r"^\| (\d+) \| ([^|]+) \|", HOUSE, re.MULTILINE):
        told |= {name.rstrip("/"): int(floor) for name in re.findall(r"`([^`]+)`", names)}
    assert told == {name or "__init__": floor for name, floor in FLOORS.items()}


def test_what_the_house_names_is_there() -> None:
    """Every file, and every package, that the page names in code."""
    named = re.findall(r"`((?:[a-z_0-9]+/)+[a-z_0-9.]*)`", HOUSE)
    assert len(named) > 40
    assert [name for name in named if not (SOURCE / name).exists() | (ROOT / name).exists()] == []


def test_recipes_of_the_house_are_short() -> None:
    """At most 15 lines to add something: a longer one would say that the house is wrong."""
    recipes = re.findall(r"^### To add .*\n((?:(?!#).*\n?)*)", HOUSE, re.MULTILINE)
    assert len(recipes) == 4
    assert all(len(recipe.strip().splitlines()) <= 15 for recipe in recipes)
