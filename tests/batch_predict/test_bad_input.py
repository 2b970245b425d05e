"""Bad input to the verbs that ship a run: clear words, the right exit code, nothing overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import cli
from tests.exports import toy_run, wide_encoder
from tightfit.batch_predict.stream import STREAM_ROWS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, not to be changed."""
    home = tmp_path_factory.mktemp("bad")
    return toy_run(wide_encoder(home / "encoder"), home / "run")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Three good rows."""
    path = tmp_path / "rows.csv"
    path.write_text("text\ngoal\nstock\nmatch\n")
    return path


def said(*words: object, code: int) -> str:
    """What a command tells of a fault, in one line."""
    found = cli(*map(str, words))
    assert found.exit_code == code, found.stderr
    assert (found.stdout, "Traceback" in found.stderr) == ("", False)
    return " ".join(found.stderr.split())


@pytest.mark.parametrize(
    ("later", "told"),
    [
        ("goal,1,extra\n", "a row with 3 cells under a header with 2"),
        ("goal\n", "a row with 1 cell under a header with 2"),
        ('goal,"1\n', "broken quotes"),
    ],
)
def test_a_csv_that_changes_its_columns_halfway(
    later: str, told: str, run: Path, tmp_path: Path
) -> None:
    """Beyond the first chunk: the line is named, and an older output stays as it was."""
    (tmp_path / "rows.csv").write_text("text,other\n" + "goal,1\n" * (STREAM_ROWS + 10) + later)
    (tmp_path / "out.csv").write_text("older")
    words = ["predict", run, "--data", tmp_path / "rows.csv", "--out", tmp_path / "out.csv"]
    words.append("--overwrite")
    found = said(*words, code=4)
    assert told in found
    assert f"line {STREAM_ROWS + 12}" in found.replace(",", "")
    assert (tmp_path / "out.csv").read_text() == "older"


def cut(path: Path) -> None:
    """Take the end of a file away."""
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("adapter/tokenizer.json", Path.unlink),
        ("adapter/adapter_model.safetensors", cut),
        ("adapter/adapter_model.safetensors", Path.unlink),
        ("labels.json", cut),
    ],
)
def test_a_run_that_lacks_something(
    name: str, spoil: Callable[[Path], None], run: Path, rows: Path, tmp_path: Path
) -> None:
    """Exit code 8 with the file's name, of predict and of export."""
    shutil.copytree(run, tmp_path / "run")
    spoil(tmp_path / "run" / name)
    for words in (["predict", "--data", rows], ["export", "--format", "merged"]):
        verb, *rest = words
        out = tmp_path / "out.csv"
        assert name in said(verb, tmp_path / "run", *rest, "--out", out, code=8)
        assert not out.exists()


@pytest.mark.parametrize("name", ["tokenizer.json", "adapter_model.safetensors"])
def test_an_adapter_that_lacks_something(name: str, run: Path, tmp_path: Path) -> None:
    """The base lends its tokenizer; nothing lends the weights."""
    adapter, out = tmp_path / "adapter", tmp_path / "out"
    shutil.copytree(run / "adapter", adapter)
    (adapter / name).unlink()
    words = ["import", adapter, "--base", run.parent / "encoder", "--out", out]
    if name == "tokenizer.json":
        assert cli(*map(str, words)).exit_code == 0
    else:
        assert "weights are missing" in said(*words, code=8)
        assert not out.exists()
