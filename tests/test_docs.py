"""The documentation knows every verb and recipe, and its examples run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Any

import docs_pages
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

_GROUP: Any = typer.main.get_command(app)
COMMANDS: dict[str, Any] = {verb: _GROUP.get_command(None, verb) for verb in _GROUP.commands}
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


PAGES = {path.relative_to(ROOT).as_posix(): path for path in sorted(ROOT.glob("docs/**/*.md"))}
WRITTEN = {"README.md": ROOT / "README.md", "CONTRIBUTING.md": ROOT / "CONTRIBUTING.md", **PAGES}
MADE = docs_pages.pages()


def commands_of(page: Path) -> list[str]:
    """Each command of tightfit's in the page's shell blocks, where it can be typed as it stands."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    typed = [line for line in lines if line.startswith("tightfit ") and "…" not in line]
    return [re.split(r" [<>|] ", line)[0] for line in typed]


@pytest.mark.parametrize("name", [name for name in WRITTEN if "experiments" not in name])
def test_commands_on_pages_run(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Their options exist and go together: each gets as far as its function."""
    for function in tightfit.__all__:
        recorder: Any = Recorder(Reached("here"))
        recorder.load = recorder
        replace(monkeypatch, function, recorder)
    for command in commands_of(WRITTEN[name]):
        result = cli(*shlex.split(command, comments=True)[1:], "--debug")
        assert "Reached: here" in result.stderr, f"{command}\n{result.stderr}"


@pytest.mark.parametrize("name", WRITTEN)
def test_links_lead_somewhere(name: str) -> None:
    """To a page, a made page, or a file of the repository."""
    text = re.sub(r"```.*?```", "", WRITTEN[name].read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            path = (WRITTEN[name].parent / target).resolve()
            made = {(ROOT / "docs" / page).resolve() for page in MADE}
            assert path.exists() or path in made, f"{name}: {target}"


def test_the_readme_is_short() -> None:
    """At most 900 words, and no sentence above 30."""
    assert len(README.split()) <= 900
    prose = re.sub(
        r"```.*?```|^\|.*?$|!?\[|\]\([^)]*\)", " ", README, flags=re.DOTALL | re.MULTILINE
    )
    sentences = re.split(r"(?<=[.!?:])\s+|\n\s*\n|\n- ", prose)
    assert max(len(sentence.split()) for sentence in sentences) <= 30


def test_every_setting_has_a_meaning() -> None:
    """On its page, with its default; every verb has a page as well."""
    meanings = docs_pages.meanings()
    assert [name for name, words in meanings.items() if not words] == []
    assert all(f"| `{name}` |" in MADE["reference/settings.md"] for name in config.setting_names())
    assert {f"reference/verbs/{verb}.md" for verb in VERBS} < set(MADE)


@pytest.mark.parametrize("verb", VERBS)
def test_the_site_has_every_page(verb: str) -> None:
    """Verbs in the navigation; written pages are there, or linked from one that is."""
    navigation = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert f"reference/verbs/{verb}.md" in navigation


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
