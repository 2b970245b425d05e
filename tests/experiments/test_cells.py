"""The cells of the accuracy tables: the same rows for all, and nothing computed twice."""

from __future__ import annotations

import argparse
import json
import subprocess
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks import caps, cells, datasets, variants
from benchmarks.cells import Figures, Task, columns, figure, options, task

from tightfit.errors import BudgetError

FOUND = {"right": 90, "rows": 100, "seconds": 2.0, "trainable": 7}


@pytest.fixture
def asked(tmp_path: Path) -> argparse.Namespace:
    """Options over two data sets of 40 rows, one of them with test rows."""
    rows = pa.table({"text": [f"text {i}" for i in range(40)], "label": [i % 3 for i in range(40)]})
    for name in ("tested", "untested"):
        (tmp_path / name).mkdir()
        pq.write_table(rows, tmp_path / name / "train.parquet")
    pq.write_table(rows.slice(0, 5), tmp_path / "tested" / "test.parquet")
    parser = argparse.ArgumentParser()
    options(parser, str(tmp_path / "TABLE.md"))
    words = ["--root", str(tmp_path), "--work", str(tmp_path / "work"), "--rows", "20"]
    return parser.parse_args([*words, "--cells", str(tmp_path / "cells")])


def test_rows_to_train_on_and_to_score(asked: argparse.Namespace) -> None:
    """Test rows where there are any; else rows that are not trained on. The same each time."""
    found = task(asked, "untested", scored=15)
    train, held = columns(found.train)[0], columns(found.held)[0]
    assert (len(train), len(held), set(train) & set(held)) == (20, 15, set())
    found.train.unlink()
    assert columns(task(asked, "untested", scored=15).train)[0] == train
    tested = task(asked, "tested", 8)
    assert len(columns(tested.train)[0]) == 8
    assert columns(tested.held) == ([f"text {i}" for i in range(5)], [0, 1, 2, 0, 1])


def test_fewer_test_rows(asked: argparse.Namespace) -> None:
    """Some of them, in their order."""
    texts = columns(task(asked, "tested", scored=3).held)[0]
    assert len(texts) == 3
    assert texts == sorted(texts)
    assert {*texts} < {f"text {i}" for i in range(5)}


@pytest.mark.parametrize("found", [FOUND, None])
def test_a_cell_is_computed_once(asked: argparse.Namespace, found: Figures | None) -> None:
    """That nothing fits is a finding, too."""
    given: list[float] = []

    def system(task: Task, seconds: float) -> Figures | None:
        given.append(seconds)
        return found

    for _ in range(2):
        assert task(asked, "tested").cell("system", system, 3.0) == found
    assert given == [3.0]


def failing(code: int) -> cells.System:
    """A system whose command ends with this exit code."""

    def system(task: Task, seconds: float) -> Figures:
        raise subprocess.CalledProcessError(code, "train")

    return caps.within(system)


def test_only_a_plan_over_the_cap_is_an_empty_cell(asked: argparse.Namespace) -> None:
    """Any other failure stops the table."""
    rows = task(asked, "tested")
    assert failing(BudgetError.exit_code)(rows, 0.0) is None
    with pytest.raises(subprocess.CalledProcessError, match="exit status 9"):
        failing(9)(rows, 0.0)


def noting(given: dict[str, float], name: str) -> cells.System:
    """A system that notes the seconds it gets."""

    def run(task: Task, seconds: float) -> Figures:
        given[name] = seconds
        return FOUND

    return run


def test_the_table_of_data_sets(
    asked: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Systems that learn by steps get the first one's seconds; each row has all figures."""
    given: dict[str, float] = {}
    systems = {name: noting(given, name) for name in datasets.SYSTEMS}
    monkeypatch.setattr(datasets, "SYSTEMS", systems)
    monkeypatch.setattr(datasets, "SETS", ["tested"])
    monkeypatch.setattr(datasets, "FEWER", {"tested": (10, 3)})
    words = ["--root", str(tmp_path), "--work", str(tmp_path / "work"), "--sets", "tested"]
    datasets.main([*words, "--cells", str(tmp_path / "c"), "--out", str(asked.out)])
    assert given == dict.fromkeys(datasets.SYSTEMS, 0.0) | dict.fromkeys(datasets.TIMED, 2.0)
    row = asked.out.read_text().splitlines()[6]
    assert row == "| tested | 10 | 100 |" + f" {figure(FOUND)} |" * len(systems)
    assert figure(FOUND) == "90.0% (82.6% to 94.5%)"


def listing(ran: list[tuple[str, float]], recipe: str, *settings: str) -> cells.System:
    """A system that lists its settings and seconds; what is published trains ten times as much."""

    def run(task: Task, seconds: float) -> Figures:
        ran.append((" ".join([recipe, *settings]), seconds))
        return FOUND | {"trainable": 700 if recipe == "paper" else 70}

    return run


def test_the_table_of_caps(
    asked: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is published trains once for all caps that hold it, and for as long as `tight` did."""
    ran: list[tuple[str, float]] = []
    monkeypatch.setattr(caps, "by_recipe", partial(listing, ran))
    words = ["--root", str(tmp_path), "--work", str(tmp_path / "work"), "--sets", "tested"]
    words += ["--caps", "1000000", "800", "600", "--cells", str(tmp_path / "c")]
    caps.main([*words, "--out", str(asked.out)])
    auto = "paper budget.cap=600 adapters.rank=auto"
    assert ran[:2] == [("tight", 0.0), ("paper", 2.0)]
    assert ran[2:] == [("tight budget.cap=800", 0.0), ("tight budget.cap=600", 0.0), (auto, 2.0)]
    assert [row.split(" | ")[4] for row in asked.out.read_text().splitlines()[6:]] == ["700"] * 3


def test_the_table_of_variants(
    asked: argparse.Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean over seeds; what is not there yet says so."""
    right = iter((80, 70, 90, 80))

    def run(task: Task, seconds: float) -> Figures:
        return FOUND | {"right": next(right)}

    monkeypatch.setattr(variants, "by_recipe", lambda *settings: run)
    words = ["--root", str(tmp_path), "--work", str(tmp_path / "work"), "--sets", "tested"]
    words += ["--variants", "as it is", "DoRA", "--out", str(asked.out)]
    variants.main([*words, "--cells", str(tmp_path / "c")])
    rows = asked.out.read_text().splitlines()[6:]
    assert rows[0] == "| as it is |  | 85.0%, 2 s |"
    assert rows[1] == "| DoRA | `adapters.dora=true` | 75.0%, 2 s |"
    assert variants._words([]) == "not run"


def test_rows_of_labels_that_no_row_trains_count_as_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``evaluate`` refuses them, so that it sees the others alone."""
    task = Task("toys", 0, tmp_path / "cells", tmp_path)
    for path, labels in ((task.train, [0, 1]), (task.held, [0, 1, 2, 0])):
        path.write_text("".join(json.dumps({"text": "a", "label": x}) + "\n" for x in labels))
    seen = {"n": 3, "accuracy": {"value": 2 / 3}}
    monkeypatch.setattr(
        cells, "tightfit_json", lambda words: {"total": 5} if words[0] == "train" else seen
    )
    found = cells.by_recipe("tight")(task, 0.0)
    assert found is not None
    assert (found["right"], found["rows"]) == (2, 4)
    assert len(cells.read_lines(tmp_path / "known.jsonl")) == 3
