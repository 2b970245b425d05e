"""An output is never an input, however it is written, and no foreign file unasked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.command import cli
from tests.toys import toy_rows, write_jsonl
from tightfit import TrainResult, predict
from tightfit.data.output_paths import check_new_file, check_not_input
from tightfit.errors import UsageError
from tightfit.progress import Progress


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of rows, the only one in its folder."""
    (tmp_path / "in").mkdir()
    return write_jsonl(tmp_path / "in" / "rows.jsonl", toy_rows(5))


def symlink(rows: Path) -> Path:
    """Another name for the rows."""
    (rows.parent / "link.jsonl").symlink_to(rows.name)
    return rows.parent / "link.jsonl"


def hardlink(rows: Path) -> Path:
    """The same file in another folder."""
    os.link(rows, rows.parent.parent / "hard.jsonl")
    return rows.parent.parent / "hard.jsonl"


WAYS: dict[str, Callable[[Path], Path]] = {
    "itself": lambda rows: rows,
    "relative": lambda rows: Path(os.path.relpath(rows)),
    "roundabout": lambda rows: rows.parent / ".." / "in" / rows.name,
    "symlink": symlink,
    "hardlink": hardlink,
    "its folder": lambda rows: rows.parent,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_an_input_is_seen_however_it_is_written(way: Callable[[Path], Path], rows: Path) -> None:
    """As the output, and as the input."""
    out = way(rows)
    for pair in ((out, rows), (rows, out)):
        with pytest.raises(UsageError, match="the output would replace an input"):
            check_not_input(pair[0], pair[1])


@pytest.mark.parametrize("source", ["in/*.jsonl", "in", "in/rows.jsonl#Sheet"])
def test_every_file_of_a_source_is_an_input(
    source: str, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a pattern, of a folder, of a workbook."""
    monkeypatch.chdir(rows.parent.parent)
    with pytest.raises(UsageError, match="the output would replace an input"):
        check_not_input(Path("in", "rows.jsonl"), "sample", source)


def test_the_folder_in_which_an_output_grows_holds_no_input(rows: Path) -> None:
    """It is removed in the end."""
    inside = rows.parent / "out.csv.partial"
    inside.mkdir()
    with pytest.raises(UsageError, match="would replace an input"):
        check_not_input(rows.parent / "out.csv", rows.rename(inside / rows.name))


def test_other_outputs_pass(rows: Path) -> None:
    """Whatever is read, and whether or not it is there."""
    frame = pd.DataFrame({"text": ["a"]})
    check_not_input(rows.parent / "out.csv", rows, rows.parent / "no.csv", "hf:x", frame, None)
    check_new_file(rows.parent / "out.csv", overwrite=False)
    check_new_file(rows, overwrite=True)
    with pytest.raises(
        UsageError, match=r"the output exists already\n  seen: .*\n.*overwrite=True"
    ):
        check_new_file(rows, overwrite=False)


def test_predict_never_replaces_its_input(finished: TrainResult, rows: Path) -> None:
    """Even where a file may be replaced; another one is, when that is asked for."""
    before, run = rows.read_bytes(), str(finished.run)
    words = ["--data", str(rows), "--out"]
    for more in ([], ["--overwrite"]):
        told = cli("predict", run, *words, str(symlink(rows) if more else rows), *more)
        assert (told.exit_code, rows.read_bytes()) == (2, before)
    other = rows.parent / "other.csv"
    other.write_text("mine")
    assert cli("predict", run, *words, str(other)).exit_code == 2
    assert other.read_text() == "mine"
    assert cli("predict", run, *words, str(other), "--overwrite").exit_code == 0
    assert other.read_text().startswith("id,label,confidence\n0,")


def test_predict_adds_nothing_to_a_run(finished: TrainResult, rows: Path) -> None:
    """It would no longer be whole."""
    with pytest.raises(UsageError, match="cannot lie inside a run"):
        predict(finished.run, rows, finished.run / "p.csv", progress=Progress())


def test_train_and_check_never_replace_their_input(finished: TrainResult, rows: Path) -> None:
    """A run that holds its own rows is not deleted; nor is a file that is in the way."""
    words = ["check", "--data", str(rows), "--fix", "empty", "--out"]
    for more in ([], ["--overwrite"]):
        told = cli(*words, str(rows), *more)
        assert (told.exit_code, "would replace an input" in told.stderr) == (2, True)
    other = rows.parent / "other.csv"
    other.write_text("mine")
    assert (cli(*words, str(other)).exit_code, other.read_text()) == (2, "mine")
    inside = finished.run / "metrics.json"
    told = cli("train", "--data", str(inside), "--out", str(finished.run), "--overwrite")
    assert (told.exit_code, "would replace an input" in told.stderr) == (2, True)


def test_nothing_is_made_inside_a_run(finished: TrainResult, rows: Path) -> None:
    """A training, a comparison or an import there would leave the run around it damaged."""
    made = ["train", "--data", str(rows)], ["compare", "--data", str(rows)]
    imported = ["import", str(finished.run / "adapter"), "--base", "all-MiniLM-L6-v2"]
    for words in (*made, [*made[0], "--resume"], imported):
        told = cli(*words, "--out", str(finished.run / "inner"))
        assert (told.exit_code, "cannot lie inside a run" in told.stderr) == (2, True)
    assert not (finished.run / "inner").exists()


def test_a_run_is_not_replaced_by_what_is_made_of_it(finished: TrainResult, rows: Path) -> None:
    """Nor told to be replaced with an option that would be refused."""
    run, adapter = str(finished.run), str(finished.run / "adapter")
    train = ["train", "--data", str(rows)]
    made = [*train, "--from", run], [*train, "--model", adapter]
    for words in (*made, ["import", adapter, "--base", "all-MiniLM-L6-v2"]):
        for more in ([], ["--overwrite"]):
            told = cli(*words, "--out", run, *more)
            assert (told.exit_code, "would replace an input" in told.stderr) == (2, True)


def test_import_replaces_runs_alone(finished: TrainResult, rows: Path) -> None:
    """Pages of the web have a ``manifest.json``, too."""
    site = rows.parent / "site"
    site.mkdir()
    for name in ("manifest.json", "index.html"):
        (site / name).write_text("{}")
    words = ["import", str(finished.run / "adapter"), "--base", "all-MiniLM-L6-v2"]
    told = cli(*words, "--out", str(site), "--overwrite")
    assert (told.exit_code, "are no part of a run" in told.stderr) == (2, True)
    assert (site / "index.html").exists()


def test_a_report_replaces_pages_alone(finished: TrainResult, rows: Path) -> None:
    """An older page of this kind; no rows."""
    told = cli("report", str(finished.run), "--out", str(rows))
    assert (told.exit_code, "is no page" in told.stderr) == (2, True)
    page = rows.parent / "page.html"
    for _ in range(2):
        assert cli("report", str(finished.run), "--out", str(page)).exit_code == 0
