"""``tightfit compare``: what it asks of its function, its table, its object."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.command import Recorder, cli, replace
from tightfit import Comparison
from tightfit.errors import SettingsError
from tightfit.experiments.cells import Row
from tightfit.metrics.interval import Interval

HALF, MOST = Interval(0.5, 0.469, 0.531), Interval(0.889, 0.868, 0.907)
LESS = Interval(0.88, 0.86, 0.9)
FOUND = Comparison(
    folder=Path("runs/my table"),
    validation_rows=1000,
    rows=(
        Row("tf-idf + logistic regression", 183_204, {"accuracy": HALF, "macro_f1": HALF}, 1.6, 1),
        Row("tight", 22_741_124, {"accuracy": MOST, "macro_f1": LESS}, 1234.5, 900_000),
    ),
    left_out={"full fine-tuning": "it would take about 60 minutes, and 2 were left"},
    runs={"tight": Path("runs/my table/runs/tight-1")},
)

OPTIONS: dict[str, Any] = {
    **{"ablate": ["rank=1,2", "lr=1e-3"], "only": ["tight", "rank=2"]},
    **{"validation": "v.csv", "model": ["m"]},
    **{"budget": 100_000, "out": Path("o"), "seed": 7, "max_steps": 5, "limit": 400},
    **{"minutes": 2.5, "text_column": "a,b", "label_column": "c", "settings": ["optim.epochs=1"]},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """In place of the comparison."""
    recorder = Recorder(FOUND)
    replace(monkeypatch, "compare", recorder)
    return recorder


def test_options_reach_its_function(asked: Recorder) -> None:
    """Each under its own name; counts may be written short."""
    line = (
        "compare --data d.csv --ablate rank=1,2 --ablate lr=1e-3 --only tight --only rank=2 "
        "--validation v.csv --model m "
        "--budget 100k --out o --seed 7 --max-steps 5 --limit 400 --minutes 2.5 "
        "--text-column a,b --label-column c --set optim.epochs=1"
    )
    assert cli(*line.split()).exit_code == 0
    assert asked.arguments == ("d.csv",)
    assert {name: asked.options[name] for name in OPTIONS} == OPTIONS


@pytest.mark.usefixtures("asked")
def test_the_table_for_people() -> None:
    """Intervals, bars, sizes, what is missing, and where it is kept; nothing on stderr."""
    result = cli("compare", "--data", "d.csv")
    assert (result.exit_code, result.stderr) == (0, "")
    page = result.stdout
    for part in (
        *("88.9 (86.8-90.7)", "22,741,124", "1,234", "0.9", "1,000 validation rows"),
        "left out: full fine-tuning: it would take about 60 minutes",
        "'runs/my table/comparison.md'",
        "the best run is that of tight\nnext:\n  tightfit predict 'runs/my table/runs/tight-1' ",
    ):
        assert part in page
    assert max(map(len, page.splitlines())) <= 80


def test_rows_of_a_cross_validation_are_no_validation_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the title, in the file for people and in the object."""
    found = dataclasses.replace(FOUND, folds=4, validation_rows=16)
    replace(monkeypatch, "compare", Recorder(found))
    result = cli("compare", "--data", "d.csv")
    assert "of 16 rows in a cross-validation, in %" in " ".join(result.stdout.split())
    assert "on the same 16 rows in a cross-validation." in repr(found)
    assert "on the same 1,000 validation rows." in repr(FOUND)
    assert found.to_json()["folds"] == 4


def test_a_table_without_rows_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was left out, and why, is all there is to show."""
    replace(monkeypatch, "compare", Recorder(dataclasses.replace(FOUND, rows=(), runs={})))
    result = cli("compare", "--data", "d.csv")
    assert result.exit_code == 0
    assert result.stdout.startswith("left out: full fine-tuning: it would take about 60 minutes")


@pytest.mark.usefixtures("asked")
def test_bars_are_as_long_as_the_accuracy() -> None:
    """Half of the width for one half, four fifths for 0.889."""
    lines = cli("compare", "--data", "d.csv").stdout.splitlines()
    bars = [sum(line.count(mark) for mark in "█#") for line in lines]
    assert [length for length in bars if length] == [2, 4]


@pytest.mark.usefixtures("asked")
def test_the_object() -> None:
    """The keys that others rely on."""
    result = cli("compare", "--data", "d.csv", "--json")
    told = json.loads(result.stdout)
    assert told == FOUND.to_json()
    assert list(told["rows"][1]) == "name trainable accuracy macro_f1 seconds bytes".split()
    assert told["rows"][1]["accuracy"] == {"value": 0.889, "low": 0.868, "high": 0.907}


def test_a_mistake_has_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """And standard output stays empty."""
    replace(monkeypatch, "compare", Recorder(SettingsError("unknown key to ablate", seen="rnak")))
    result = cli("compare", "--data", "d.csv", "--ablate", "rnak=1", "--json")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "seen:    rnak" in result.stderr
