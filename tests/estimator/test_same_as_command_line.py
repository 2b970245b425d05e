"""The same rows, settings and seed, through the command line and through the estimators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tightfit
from tests.command import cli
from tests.toy_estimators import RATINGS, SETTINGS, TEXTS, TWO, toy_estimator, toy_regressor
from tightfit.progress import Progress

# A few steps on a toy teach it little.
pytestmark = pytest.mark.filterwarnings("ignore:no step did better than the start:UserWarning")

FIT = {**SETTINGS, "train.max_steps": 6, "optim.lr": 1e-2, "data.validation_rows": 0.4}

SEVERAL = ["--set", "data.task=multi", "--set", "data.label_separator=|"]


def in_process(*command: str) -> None:
    """A command that ends well."""
    done = cli(*command)
    assert done.exit_code == 0, done.stderr


def answers_of_commands(bert: Path, folder: Path, targets: Sequence[Any], *more: str) -> Any:
    """What ``tightfit train`` and then ``tightfit predict`` make of the rows: a frame."""
    data, run, out = (str(folder / name) for name in ("rows.csv", "run", "answers.csv"))
    pd.DataFrame({"text": TEXTS, "label": targets}).to_csv(data, index=False)
    settings = [f"{k}={','.join(v) if isinstance(v, list) else v}" for k, v in FIT.items()]
    asked = [part for each in settings for part in ("--set", each)]
    trained = ["train", "--data", data, "--model", str(bert), "--seed", "1", "--out", run]
    in_process(*trained, *asked, *more)
    shares = [] if "data.task=rating" in more else ["--probabilities"]
    in_process("predict", run, "--data", data, "--out", out, *shares)
    return pd.read_csv(out, keep_default_na=False)


def test_classes(bert: Path, tmp_path: Path) -> None:
    """Label by label, and probabilities to the digits that are written."""
    found = answers_of_commands(bert, tmp_path, TWO.tolist())
    one = toy_estimator(bert, settings=FIT).fit(TEXTS, TWO)
    assert found["label"].tolist() == one.predict(TEXTS).tolist()
    np.testing.assert_allclose(found[["no", "yes"]], one.predict_proba(TEXTS), atol=1e-6)


@pytest.mark.parametrize("ends", [("no", "yes"), (5, 6), (-1, 1), (False, True), (1.0, 2.0)])
def test_the_run_answers_in_the_classes_that_y_had(ends: Any, bert: Path, tmp_path: Path) -> None:
    """Into a file, in Python, and scored on what ``fit`` took: as a run of the command line."""
    y = np.array(ends)[(TWO == "yes").astype(int)]
    found = answers_of_commands(bert, tmp_path, y.tolist())
    one = toy_estimator(bert, settings=FIT).fit(TEXTS, y)
    again = tmp_path / "again.csv"
    tightfit.predict(one.run_, TEXTS, again, progress=Progress())
    assert pd.read_csv(again)["label"].tolist() == found["label"].tolist()
    assert one.run_.predict(TEXTS).labels == one.predict(TEXTS).tolist()
    said = tightfit.evaluate(one.run_, (TEXTS, y.tolist()), progress=Progress())
    assert said.accuracy.value == one.score(TEXTS, y)


def test_ratings(bert: Path, tmp_path: Path) -> None:
    """Values and intervals."""
    found = answers_of_commands(bert, tmp_path, RATINGS.tolist(), "--set", "data.task=rating")
    one = toy_regressor(bert, settings=FIT).fit(TEXTS, RATINGS)
    np.testing.assert_allclose(found["value"], one.predict(TEXTS), atol=1e-6)
    np.testing.assert_allclose(found[["low", "high"]], one.predict_interval(TEXTS), atol=1e-6)


def test_several_labels(bert: Path, tmp_path: Path) -> None:
    """The same sets, and probabilities."""
    own = [[["sport"], ["money"], ["money", "sport"], []][i % 4] for i in range(len(TEXTS))]
    found = answers_of_commands(bert, tmp_path, ["|".join(each) for each in own], *SEVERAL)
    one = toy_estimator(bert, settings=FIT).fit(TEXTS, own)
    said = [cell.split("|") if cell else [] for cell in found["labels"]]
    assert said == one.predict(TEXTS).tolist()
    np.testing.assert_allclose(found[["money", "sport"]], one.predict_proba(TEXTS), atol=1e-6)
