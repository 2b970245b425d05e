"""Help, version, mistyped words, and how numbers may be written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.command import Recorder, cli, like_result, replace
from tightfit import __version__, config
from tightfit.cli.options import complete_recipe, complete_setting, parse_count

VERBS = ["plan", "train", "evaluate", "predict", "audit", "doctor"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1),
        ("741124", 741_124),
        ("750_000", 750_000),
        ("1,000,000", 1_000_000),
        ("100k", 100_000),
        ("1M", 1_000_000),
        ("0.5m", 500_000),
        ("1.25K", 1_250),
        (" 7 ", 7),
    ],
)
def test_counts(text: str, count: int) -> None:
    """As people write them."""
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "0", "0k", "-5", "1.5", "1.2345k", "k", "1g", "1e6", "x"])
def test_what_is_no_count(text: str) -> None:
    """The message repeats what was written."""
    with pytest.raises(typer.BadParameter, match=f"'{text}' is no whole number above 0"):
        parse_count(text)


def test_the_budget_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is parsed before its function sees it, and a bad one is a mistake of usage."""
    recorder = Recorder(like_result({}))
    replace(monkeypatch, "plan", recorder)
    assert cli("plan", "--json", "--budget", "0.1M").exit_code == 0
    assert recorder.options["budget"] == 100_000
    result = cli("plan", "--budget", "much")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'much' is no whole number above 0" in result.stderr


def test_version() -> None:
    """One line."""
    result = cli("--version")
    assert (result.exit_code, result.stdout) == (0, f"tightfit {__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["plan", "--help"], ["train", "-h"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    """It answers in a moment, also on a machine where torch takes seconds to load."""
    program = (
        "import sys\nfrom tightfit.cli import main\n"
        f"sys.argv = ['tightfit', *{arguments}]\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(shown.stderr.decode().split())
    assert not {"torch", "transformers", "peft", "numpy", "huggingface_hub"} & loaded
    if arguments == ["--help"]:
        assert not {"pydantic", "tightfit.budget", "tightfit.config", "tightfit.data.rows"} & loaded
    assert b"Usage: tightfit" in shown.stdout


def test_planning_loads_no_torch() -> None:
    """The verb itself, not only its help."""
    program = (
        "import sys\nfrom tightfit.cli import app\n"
        "app(['plan', '--model', 'roberta-base'], standalone_mode=False)\n"
        "print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(shown.stdout.decode().split())
    assert not {"torch", "transformers", "peft", "numpy"} & loaded
    verbs = {name for name in loaded if name.endswith("_command")}
    assert verbs == {"tightfit.cli.plan_command"}, "each verb is a file of its own"


def test_a_cap_that_is_too_small_is_told_without_torch(tmp_path: Path) -> None:
    """The rows say how many labels there are, and shipped integers what they cost."""
    program = (
        "import sys, tightfit.errors\nfrom tightfit.progress import Progress\n"
        f"try:\n    tightfit.train('sample', budget=100, out={str(tmp_path / 'r')!r}, "
        "progress=Progress())\nexcept tightfit.errors.BudgetError:\n    print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = set(shown.stdout.decode().split())
    assert "tightfit.verbs.origin" in loaded
    assert not {"torch", "transformers", "peft"} & loaded


def test_completion_knows_the_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that begin so, with what each is for, though none of them is loaded before."""
    monkeypatch.setenv("_TIGHTFIT_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "tightfit p")
    found = cli().stdout
    assert re.findall(r'"(\w+)":"[A-Z]', found) == ["plan", "predict"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "Did you mean 'train'?"),
        (["evalute", "runs/001"], "Did you mean 'evaluate'?"),
        (["train", "--dta", "x"], "--data"),
        (["plan", "--bugdet", "5"], "--budget"),
        (["train"], "there is nothing to train on"),
        (["evaluate"], "Missing argument 'RUN'"),
        (["plan", "--labels", "1"], "greater than or equal to 2"),
        (["train", "--data", "sample", "--limit", "0"], "greater than or equal to 1"),
        (["train", "--data", "sample", "--max-steps", "many"], "--max-steps"),
        (["predict", "runs/001", "--label-format", "nam"], "'name'"),
    ],
)
def test_mistyped_words(arguments: list[str], words: str) -> None:
    """Code 2, nothing on standard output, and the word that was meant."""
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("train --dta x", "(Possible options: --data)"),
        ("train --column x", "(Possible options: --label-column, --out, --text-column)"),
    ],
)
def test_the_option_that_was_meant(given: str, seen: str) -> None:
    """The nearest alone where one is near, else all that are like it."""
    assert seen in " ".join(cli(*given.split()).stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("train a.csv", "train --data a.csv"),
        ("train a.csv b.csv", "train --data a.csv --data b.csv"),
        ("train --data a.csv b.csv", "train --data a.csv --data b.csv"),
        ("train --out a.csv a.csv", "train --out a.csv --data a.csv"),
        ("train -- a.csv", "train --data a.csv"),
        ("evaluate r sample:test --json", "evaluate r --data sample:test --json"),
        ("predict r a.csv#x --out p.csv", "predict r --data 'a.csv#x' --out p.csv"),
    ],
)
def test_rows_without_data(
    given: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command with the option before them."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.csv", "b.csv"):
        Path(name).write_text("text,label\n", "utf-8")
    result = cli(*given.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"\n  next:    tightfit {meant}\n" in result.stderr


@pytest.mark.parametrize("given", ["train nope.csv", "plan ."])
def test_arguments_that_are_no_rows(given: str) -> None:
    """No file, or a verb without rows."""
    result = cli(*given.split())
    assert result.exit_code == 2
    assert "unexpected extra argument" in result.stderr


def test_a_pattern_that_the_shell_wrote_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where one option is one source."""
    monkeypatch.chdir(tmp_path)
    Path("b.csv").write_text("text,label\n", "utf-8")
    result = cli("check", "--data", "a.csv", "b.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "seen:    b.csv beside them\n  next:    write a pattern in quotes" in result.stderr


@pytest.mark.parametrize("verb", ["plan", "train"])
def test_help_lists_recipes_and_settings(verb: str) -> None:
    """Every one, since errors about settings send their readers there."""
    page = cli(verb, "--help").stdout
    for recipe in config.recipe_names():
        assert f"  {recipe} " in page
    words = page.replace("{", " ").replace("}", " ").replace(",", " ").split()
    for name in config.setting_names():
        assert name.rpartition(".")[2] in words, name


def test_paragraphs_of_help_are_folded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the terminal alone, which left a word or two on every other line of the source."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.rstrip() for line in cli("compare", "--help").stdout.splitlines()]
    first = next(row for row, line in enumerate(lines) if line.startswith(" The majority"))
    end = lines.index("", first)
    assert min(map(len, lines[first : end - 1])) > 60


def test_help_is_the_same_when_asked_twice() -> None:
    """The listing is put in once."""
    assert cli("train", "--help").stdout == cli("train", "--help").stdout
    assert cli("train", "--help").stdout.count("paper-as-run") == 1


def test_completion() -> None:
    """Shells are offered recipes with their purpose, and settings ready for a value."""
    assert ("tight", config.recipe_about("tight")) in complete_recipe()
    found = ["optim.label_smoothing=", "optim.lora_plus=", "optim.lr="]
    assert complete_setting("optim.l") == found


def test_a_second_value_of_an_option_is_refused() -> None:
    """The first would be lost, and nobody would see it."""
    result = cli("evaluate", "r", "--data", "a.csv", "--data", "b.csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "'--data': is given 2 times, and takes one value" in result.stderr


def test_data_of_a_training_may_be_given_several_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it counts; one is given on as it stands."""
    recorder = Recorder(like_result({}))
    replace(monkeypatch, "dry_run", recorder)
    for given, seen in ((["a.csv"], "a.csv"), (["a.csv", "b.tsv"], "a.csv + b.tsv")):
        options = [part for name in given for part in ("--data", name)]
        assert cli("train", *options, "--dry-run", "--json").exit_code == 0
        assert str(recorder.arguments[0]) == seen
