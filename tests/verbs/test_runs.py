"""``tightfit runs``: what lies in a folder of runs, whole, unfinished or damaged."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import tightfit
from tests.command import cli
from tests.toy_setups import Notes
from tightfit import TrainResult
from tightfit.cli.runs_command import _table
from tightfit.errors import ArtefactError
from tightfit.verbs.runs import ListedRun, RunList, Score


@pytest.fixture
def folder(finished: TrainResult, tmp_path: Path) -> Path:
    """Three runs: one that is whole, one that never ended, one that lost a file."""
    for name in ("001", "002", "003"):
        shutil.copytree(finished.run, tmp_path / "runs" / name)
    (tmp_path / "runs" / "002" / "manifest.json").unlink()
    (tmp_path / "runs" / "003" / "labels.json").unlink()
    (tmp_path / "runs" / ".004.tightfit-tmp").mkdir()
    (tmp_path / "runs" / "notes").mkdir()
    return tmp_path / "runs"


def test_each_run_is_what_it_is(folder: Path, finished: TrainResult) -> None:
    """In the order of their names; whatever is no run is passed over."""
    first, second, third = tightfit.runs(folder)
    assert [each.run.name for each in (first, second, third)] == ["001", "002", "003"]
    assert [first.state, second.state, third.state] == ["finished", "unfinished", "damaged"]
    assert first.score is not None
    assert (first.score.name, first.score.value) == ("accuracy", finished.accuracy)
    assert first.score.low < first.score.value <= first.score.high
    assert (first.score.rows, first.parameters) == (12, finished.total)
    assert second.data == first.data == tightfit.Run(finished.run).data.source
    assert third.fault is not None
    assert "labels.json" in third.fault


def test_the_size_is_that_of_the_sealed_files(folder: Path) -> None:
    """What was derived since comes and goes."""
    (found,) = tightfit.runs(folder / "001")
    files = [file for file in found.run.rglob("*") if file.is_file()]
    loose = [file for file in files if file.parent.name == "derived"]
    sealed = sum(file.stat().st_size for file in {*files} - {*loose})
    assert found.bytes == sealed - (found.run / "manifest.json").stat().st_size


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", "{"),
        ("manifest.json", "{}"),
        ("metrics.json", "[]"),
        ("data.json", "null"),
        ("plan.json", "{}"),
    ],
)
def test_a_damaged_file_damages_its_run_alone(name: str, content: str, folder: Path) -> None:
    """Also one that has the size it should have."""
    file = folder / "001" / name
    padding = " " * (file.stat().st_size - len(content))
    file.write_text(content + padding)
    found = tightfit.runs(folder)
    assert [each.state for each in found] == ["damaged", "unfinished", "damaged"]


def test_an_adapter_from_elsewhere_has_no_score(finished: TrainResult, tmp_path: Path) -> None:
    """It was never scored here."""
    options = {"out": tmp_path / "runs" / "theirs", "progress": Notes()}
    base = tightfit.Run(finished.run).manifest.base["name"]
    tightfit.import_adapter(finished.run / "adapter", base, **options)  # type: ignore[arg-type]
    (found,) = tightfit.runs(tmp_path / "runs")
    assert (found.state, found.score) == ("finished", None)


def test_no_runs_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual folder need not be there; one that is named must be."""
    monkeypatch.chdir(tmp_path)
    assert not tightfit.runs().runs
    assert "no runs in runs; 'tightfit train' makes one" in cli("runs").stdout
    with pytest.raises(ArtefactError, match="no folder of runs"):
        tightfit.runs("elsewhere")
    assert cli("runs", "elsewhere").exit_code == 8


def test_the_object(folder: Path) -> None:
    """One entry a run, in plain values."""
    answer = json.loads(cli("runs", str(folder), "--json").stdout)
    assert list(answer) == ["runs"]
    assert list(answer["runs"][0]) == list(ListedRun.__annotations__)
    assert answer["runs"][1]["score"] is None
    assert answer["runs"][0]["score"]["name"] == "accuracy"


def test_the_table(folder: Path, finished: TrainResult) -> None:
    """A line a run; what is wrong is said below, and how far was looked."""
    page = cli("runs", str(folder)).stdout
    assert f"{finished.accuracy:.1%} (" in page
    assert f"{folder / '002'} is unfinished: no seal" in page
    assert f"{folder / '003'} is damaged: missing, or of another size: labels.json" in page
    assert "'tightfit audit RUN' reads every byte" in page


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("r", "run data score rows size date"),
        ("n" * 30, "run data score date"),
        ("n" * 50, "run score"),
    ],
)
def test_names_are_whole_where_there_is_little_room(name: str, kept: str) -> None:
    """80 columns: others fold or go before the name of a run does."""
    score = Score(0.958, 0.86, 0.988, "accuracy", 48)
    each = ListedRun(Path(name), "finished", "data/of/a/long/name.csv", score=score, bytes=9)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(_table(RunList(Path("runs"), (each,)), console))
    page = capture.get()
    assert next(line for line in page.splitlines() if "run" in line).split() == kept.split()
    assert name in page
    assert max(map(len, page.splitlines())) <= 80


def test_listing_reads_no_weights_and_loads_nothing_heavy(folder: Path) -> None:
    """Neither torch nor SciPy, and of each run its small files alone, each once."""
    program = (
        "import sys, tightfit\n"
        "list_runs, opened = tightfit.runs, []\n"
        "sys.addaudithook(lambda event, given: opened.append(given[0]) if event == 'open' else 0)\n"
        f"assert len(list_runs({str(folder)!r})) == 3\n"
        "heavy = {'torch', 'numpy', 'scipy', 'sklearn', 'pyarrow', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        f"print(*(path for path in map(str, opened) if {str(folder)!r} in path), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded, *opened = done.stdout.decode().split("\n")[:-1]
    assert loaded == "[]"
    small = {"manifest.json", "metrics.json", "data.json", "plan.json"}
    assert sorted(opened) == sorted({*opened})
    assert {Path(path).name for path in opened} == small


def test_it_shows_itself(folder: Path) -> None:
    """In a terminal and a notebook."""
    assert "002=unfinished" in repr(tightfit.runs(folder))
