"""``--recipe FILE.toml``: settings from a file, a run's own among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tightfit
from tests.command import cli
from tests.toy_setups import Notes
from tightfit.config import load_config, recipe_names
from tightfit.errors import SettingsError


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_run_s_settings_are_read_back(recipe: str, tmp_path: Path) -> None:
    """To the last one, limits that were taken away included; what is given on top wins."""
    asked = load_config(recipe, ["optim.lr=3e-4", "train.patience=none", "data.labels=a,b"])
    file = tmp_path / "config.toml"
    file.write_text(asked.to_toml(), "utf-8")
    assert load_config(str(file)) == asked
    assert load_config(str(file), ["optim.lr=1e-5"]).optim.lr == 1e-5


def test_a_file_of_some_settings(tmp_path: Path) -> None:
    """Over the recipe that it names, or the default one."""
    file = tmp_path / "mine.toml"
    file.write_text("[optim]\nlr = 7e-4\n")
    assert load_config(str(file)) == load_config(settings=["optim.lr=7e-4"])
    file.write_text('recipe = "paper"\n[optim]\nlr = 7e-4\n')
    assert load_config(str(file)) == load_config("paper", ["optim.lr=7e-4"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[optim", "not TOML"),
        ("[optim]\nrate = 1\n", "rate"),
        ('recipe = "imported"', "unknown recipe[\\s\\S]*imported"),
        ('extends = "self.toml"', "unknown recipe[\\s\\S]*self.toml"),
        (None, "cannot be read[\\s\\S]*No such file[\\s\\S]*paper"),
    ],
)
def test_faulty_files(content: str | None, message: str, tmp_path: Path) -> None:
    """Exit 3, with what is wrong."""
    file = tmp_path / "self.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError, match=message):
        load_config(str(file))


@pytest.mark.parametrize("content", ["budget = 100_000", "[seed]\nfirst = 1"])
def test_a_value_for_a_section_is_a_mistake(content: str, tmp_path: Path) -> None:
    """And a section for a value, whatever is set inside of it besides."""
    file = tmp_path / "mine.toml"
    file.write_text(content)
    with pytest.raises(SettingsError, match=r"(budget|seed) = [\s\S]*valid (dictionary|integer)"):
        load_config(str(file), budget="100k")


def test_a_run_folder_is_answered_with_its_file(
    finished: tightfit.TrainResult, tmp_path: Path
) -> None:
    """A slip that is easily made."""
    with pytest.raises(SettingsError, match=r"did you mean '.*finished/config\.toml'"):
        load_config(str(finished.run))


def test_a_repeated_run_is_the_same(
    finished: tightfit.TrainResult, rows_file: Path, tmp_path: Path
) -> None:
    """Same rows and settings: the same losses to the last digit, decisions and answers."""
    options: dict[str, Any] = {"out": tmp_path / "again", "progress": Notes()}
    recipe = str(finished.run / "config.toml")
    again = tightfit.Run(tightfit.train(rows_file, recipe=recipe, **options).run)
    first = tightfit.Run(finished.run)
    losses = [[row["train_loss"], row["eval_loss"]] for row in again.history]
    assert losses == [[row["train_loss"], row["eval_loss"]] for row in first.history]
    assert (again.config, again.decisions) == (first.config, first.decisions)
    assert again.metrics.validation == first.metrics.validation


def test_the_command_takes_one(finished: tightfit.TrainResult, rows_file: Path) -> None:
    """With options on top, as with a recipe's name."""
    recipe = str(finished.run / "config.toml")
    told = cli("train", "--data", str(rows_file), "--recipe", recipe, "--dry-run", "--max-steps=9")
    assert told.exit_code == 0, told.stderr
    assert "9 steps" in told.stdout
