"""Bad input to training: a clear word, the right exit code, and nothing half-written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.toy_setups import SHORT, Notes
from tests.toys import toy_rows, write_jsonl
from tightfit import TrainResult, evaluate, predict, train
from tightfit.errors import MachineError, TightfitError, UsageError
from tightfit.progress import Progress


def trained(bert: Path, data: Any, out: Path, **more: Any) -> TrainResult:
    """Three steps, unless something is wrong."""
    settings = [*SHORT, *more.pop("settings", [])]
    options = {"model": str(bert), "max_steps": 3, "progress": Progress(), **more}
    return train(data, out=out, settings=settings, **options)


def rows_with(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """A file of toy rows after a change."""
    rows = toy_rows(40)
    change(rows)
    return write_jsonl(folder / "rows.jsonl", rows)


def csv_of(folder: Path, content: bytes) -> Path:
    """A CSV file."""
    (folder / "rows.csv").write_bytes(content)
    return folder / "rows.csv"


def good(folder: Path) -> Path:
    """Rows with no fault."""
    return rows_with(folder, lambda rows: None)


def unlabelled(rows: list[dict[str, Any]]) -> None:
    """Take the label from the third row."""
    rows[2]["label"] = None


def all_alike(rows: list[dict[str, Any]]) -> None:
    """Give every row one label."""
    for row in rows:
        row["label"] = "sport"


@dataclass(frozen=True)
class Fault:
    """Something wrong with a training, and what is told of it."""

    exit_code: int
    words: tuple[str, ...]
    """All of them are in the message."""
    data: Callable[[Path], Any] = good
    options: dict[str, Any] = field(default_factory=dict)


FAULTS = {
    "missing file": Fault(4, ("nowhere.csv",), lambda folder: folder / "nowhere.csv"),
    "wrong text column": Fault(4, ("body", "text", "label"), options={"text_column": "body"}),
    "wrong label column": Fault(4, ("lable", "'label'"), options={"label_column": "lable"}),
    "empty file": Fault(4, ("rows.csv",), lambda folder: csv_of(folder, b"")),
    "header only": Fault(4, ("rows.csv",), lambda folder: csv_of(folder, b"text,label\n")),
    "one class": Fault(4, ("sport",), lambda folder: rows_with(folder, all_alike)),
    "missing label": Fault(4, ("line 3",), lambda folder: rows_with(folder, unlabelled)),
    "bytes": Fault(4, ("UTF-8", "line 2"), lambda f: csv_of(f, b"text,label\n\xff\xfe,a\nb,b\n")),
    "empty cell": Fault(4, ("line 3",), lambda f: csv_of(f, b"text,label\ngoal,a\n,b\n")),
    "two columns": Fault(4, ("text",), lambda f: csv_of(f, b"text,text,label\na,b,c\n")),
    "ragged": Fault(4, ("line 3",), lambda f: csv_of(f, b"text,label\ngoal,a\ngoal,b,c,d\n")),
    "two rows": Fault(4, ("1",), lambda folder: csv_of(folder, b"text,label\ngoal,a\n")),
    "NaN": Fault(
        4,
        ("row 1 (counted from 0)",),
        lambda f: pd.DataFrame({"text": ["a", float("nan")], "label": [0, 1]}),
    ),
    "unknown suffix": Fault(4, (".xlsx",), lambda folder: folder / "rows.xlsx"),
    "limit below the classes": Fault(2, ("limit",), options={"limit": 1}),
    "unknown model": Fault(6, ("all-MiniLM-L7",), options={"model": "all-MiniLM-L7"}),
    "no model folder": Fault(6, ("./nowhere",), options={"model": "./nowhere"}),
    "unknown recipe": Fault(3, ("papper", "'paper'"), options={"recipe": "papper"}),
    "misspelt key": Fault(3, ("optim.lrr", "'optim.lr'"), options={"settings": ["optim.lrr=1"]}),
    "two mistakes": Fault(3, ("2 mistakes",), options={"settings": ["optim.lr=-1", "sed=1"]}),
    "a contradiction": Fault(
        3, ("expect_dead",), options={"settings": ["train.checkpointing=reentrant"]}
    ),
    "cap below the head": Fault(5, ("1,090", "66"), options={"budget": 65}),
    "cap below the adapters": Fault(5, ("1,090", "largest"), options={"budget": 1089}),
    "unknown role": Fault(3, ("adapters.targets",), options={"settings": ["adapters.targets=qq"]}),
}
"""Those that the issue names, and their neighbours."""


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_and_nothing_is_written(name: str, bert: Path, tmp_path: Path) -> None:
    """The exit code of its kind, the offending value, and no run folder afterwards."""
    fault = FAULTS[name]
    data = fault.data(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(TightfitError) as caught:
        trained(bert, data, tmp_path / "runs" / "001", **fault.options)
    assert caught.value.exit_code == fault.exit_code, str(caught.value)
    for word in fault.words:
        assert word in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_a_label_unseen_in_training_is_refused(bert: Path, tmp_path: Path) -> None:
    """In the rows to validate on, with its row and the labels that are known."""

    def rename(rows: list[dict[str, Any]]) -> None:
        rows[4]["label"] = "weather"

    (tmp_path / "other").mkdir()
    other = rows_with(tmp_path / "other", rename)
    with pytest.raises(TightfitError, match="weather") as caught:
        trained(bert, good(tmp_path), tmp_path / "run", validation=other)
    assert caught.value.exit_code == 4
    assert "weather in line 5; 1 of 40 rows" in str(caught.value)
    assert "money, sport" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_never_replaced(bert: Path, tmp_path: Path) -> None:
    """Not even with ``overwrite``; and it is refused before a row is read."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(UsageError, match="is not a run folder"):
            trained(bert, tmp_path / "nowhere.csv", tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_a_finished_run_is_replaced_only_when_asked(bert: Path, tmp_path: Path) -> None:
    """And not by a training that cannot begin."""
    data = good(tmp_path)
    first = trained(bert, data, tmp_path / "run")
    manifest = (tmp_path / "run" / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match=r"exists already(.|\n)*overwrite=True") as caught:
        trained(bert, data, tmp_path / "run")
    assert caught.value.exit_code == 2
    with pytest.raises(TightfitError, match="nowhere"):
        trained(bert, "./nowhere.csv", tmp_path / "run", overwrite=True)
    assert (tmp_path / "run" / "manifest.json").read_bytes() == manifest
    again = trained(bert, data, tmp_path / "run", overwrite=True, seed=7)
    assert again.run == first.run
    assert (tmp_path / "run" / "manifest.json").read_bytes() != manifest


def test_an_output_below_a_file_is_a_fault_of_the_machine(bert: Path, tmp_path: Path) -> None:
    """Told before a row is read."""
    (tmp_path / "file").touch()
    with pytest.raises(MachineError) as caught:
        trained(bert, tmp_path / "nowhere.csv", tmp_path / "file" / "run")
    assert caught.value.exit_code == 9


def test_a_read_only_folder_is_a_fault_of_the_machine(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's answer is made up here, since root may write anywhere."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(MachineError, match="Permission denied"):
        trained(bert, tmp_path / "nowhere.csv", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("writes", range(4))
def test_a_disk_that_is_full_at_the_start_leaves_nothing(
    writes: int, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settings, plan, labels, data: whichever does not fit, the next try finds a free place."""
    replace, left = os.replace, iter(range(writes))

    def full_disk(*args: Any) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(*args)

    data = good(tmp_path)
    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(MachineError, match="No space left on device"):
        trained(bert, data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_text_of_a_megabyte_is_no_fault(bert: Path, tmp_path: Path) -> None:
    """It is cut and counted, in any format."""
    rows = pd.DataFrame(toy_rows(40))
    rows.loc[3, "text"] = "goal " * 200_000
    rows.to_csv(tmp_path / "rows.csv", index=False)
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    for name in ("rows.csv", "rows.parquet"):
        run = trained(bert, tmp_path / name, tmp_path / f"run-{name}", seed=3).run
        assert '"truncated": 1' in (run / "data.json").read_text()


def test_empty_texts_are_rows_like_others(bert: Path, tmp_path: Path) -> None:
    """Blank ones, and missing ones where the settings take them for empty."""

    def blank(rows: list[dict[str, Any]]) -> None:
        rows[0]["text"], rows[1]["text"], rows[2]["text"] = "", "  \n", None

    data = rows_with(tmp_path, blank)
    with pytest.raises(TightfitError, match="line 3"):
        trained(bert, data, tmp_path / "run")
    result = trained(bert, data, tmp_path / "run", settings=["data.missing_text=empty"])
    assert result.steps == 3


def test_a_run_may_take_missing_texts_for_empty_later(
    finished: TrainResult, tmp_path: Path
) -> None:
    """Whoever predicts need not have trained."""

    def blank(rows: list[dict[str, Any]]) -> None:
        rows[0]["text"] = None

    data, out = rows_with(tmp_path, blank), tmp_path / "out.csv"
    with pytest.raises(TightfitError, match=r"line 1[\s\S]*missing_text='empty'"):
        predict(finished.run, data, out, progress=Progress())
    found = predict(finished.run, data, out, missing_text="empty", progress=Progress())
    scores = evaluate(finished.run, data, missing_text="empty", progress=Progress()).scores
    assert found.rows == scores.n


def test_full_training_says_that_no_cap_holds(bert: Path, tmp_path: Path) -> None:
    """Aloud, and so does the recipe that leaves its adapters dead."""
    data = good(tmp_path)
    for recipe, words in (("full", "no cap holds"), ("paper-as-run", "dead on purpose")):
        notes = Notes()
        trained(bert, data, tmp_path / recipe, recipe=recipe, progress=notes)
        assert any(words in warning for warning in notes.warned)


def test_full_training_under_a_cap_must_fit(bert: Path, tmp_path: Path) -> None:
    """Where a cap is given it holds for every recipe."""
    data = good(tmp_path)
    with pytest.raises(TightfitError, match="35,618") as caught:
        trained(bert, data, tmp_path / "run", recipe="full", budget=35_617)
    assert caught.value.exit_code == 5
    assert trained(bert, data, tmp_path / "run", recipe="full", budget=35_618).run.is_dir()
