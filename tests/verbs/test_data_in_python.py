"""Rows and settings as a Python program holds them, through every verb that takes rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tightfit
from tests.toy_setups import SHORT
from tests.toys import toy_rows
from tightfit.config import typed
from tightfit.errors import DataError, UsageError
from tightfit.progress import Progress

ROWS = toy_rows(40)
TEXTS, LABELS = [row["text"] for row in ROWS], [row["label"] for row in ROWS]
QUIET = Progress()


def test_a_run_is_trained_on_texts_and_labels(bert: Path, tmp_path: Path) -> None:
    """With settings as a dict, and validated on columns."""
    settings = {**typed(SHORT), "optim.lr": 1e-3}
    result = tightfit.train(
        (TEXTS, LABELS),
        validation={"label": LABELS[:10], "text": TEXTS[:10]},
        model=str(bert),
        out=tmp_path / "run",
        max_steps=2,
        settings=settings,
        progress=QUIET,
    )
    run = tightfit.Run.load(result.run)
    assert (run.config.optim.lr, run.data.rows, run.data.validation_rows) == (1e-3, 40, 10)


@pytest.mark.parametrize(
    "data",
    [(TEXTS, LABELS), {"text": TEXTS, "label": pd.Series(LABELS)}, ROWS],
    ids=["texts and labels", "columns", "records"],
)
def test_the_other_verbs_take_the_same(
    data: Any, finished: tightfit.TrainResult, tmp_path: Path
) -> None:
    """Rows are scored, checked and predicted."""
    assert tightfit.evaluate(finished.run, data, progress=QUIET).to_json()["n"] == 40
    assert tightfit.check(data, label_errors=False, progress=QUIET).findings.rows == 40
    out = tmp_path / "out.csv"
    assert tightfit.predict(finished.run, data, out, progress=QUIET).rows == 40


def test_a_fault_is_told_before_anything_is_written(bert: Path, tmp_path: Path) -> None:
    """As for a file."""
    with pytest.raises(DataError, match="different lengths"):
        tightfit.train((TEXTS, LABELS[:3]), model=str(bert), out=tmp_path / "r", progress=QUIET)
    with pytest.raises(DataError, match="has no column 'text'"):
        tightfit.train({"body": TEXTS}, model=str(bert), out=tmp_path / "r", progress=QUIET)
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("epochs", "among settings={…}, did you mean 'optim.epochs'"),
        ("learning_rate", "did you mean 'optim.lr'"),
        ("max_step", "did you mean 'max_steps'"),
        ("zzz", "'zzz'$"),
    ],
)
@pytest.mark.parametrize("verb", ["train", "dry_run", "compare"])
def test_an_unknown_argument_is_refused(verb: str, name: str, hint: str) -> None:
    """As of any function: what is passed over in silence is taken for done."""
    with pytest.raises(TypeError, match=hint):
        getattr(tightfit, verb)((TEXTS, LABELS), progress=QUIET, **{name: 3})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "nothing to train on"),
        ({"data": ROWS, "resume": True}, "which run to go on with"),
        ({"data": ROWS, "resume": True, "overwrite": True, "out": "a"}, "give one of the two"),
    ],
)
def test_what_makes_no_training_is_refused(asked: dict[str, Any], words: str) -> None:
    """As on the command line: a run that is to be resumed was trained anew."""
    with pytest.raises(UsageError, match=words):
        tightfit.train(progress=QUIET, **asked)
