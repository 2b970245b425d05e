"""The benchmark of going on from a run: its rows, and the two questions that it asks of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.continue_training import Parts, answers, compared

import tightfit
from tests.toy_setups import SHORT
from tests.toys import toy_rows
from tightfit.progress import Progress

LABELS = {"money": 0, "sport": 1}


def rows(count: int, labels: int = 6) -> pa.Table:
    """Texts of which no two are alike."""
    texts, label = [f"text {i}" for i in range(count)], np.arange(count) % labels
    return pa.table({"text": texts, "label": label})


def test_without_a_test_file_other_rows_and_labels_are_drawn() -> None:
    """No row is in two parts, the first has known labels alone, and another seed has others."""
    parts, again = (Parts.of(rows(600), None, 2, 50, seed) for seed in (1, 3))
    texts = [set(part["text"].to_pylist()) for part in (parts.first, parts.more, parts.scored)]
    assert [len(each) for each in texts] == [50, 50, 200]
    assert len(set.union(*texts)) == 300
    assert set(parts.first["label"].to_pylist()) == set(parts.known) != set(again.known)
    assert len(set(parts.more["label"].to_pylist())) == 6


def test_a_test_file_is_scored_as_it_is() -> None:
    """And the first labels are the lowest."""
    test = rows(30)
    parts = Parts.of(rows(300), test, 4, 50, 42)
    assert parts.known == [0, 1, 2, 3]
    assert parts.scored.equals(test)


def test_a_run_is_asked_among_the_first_labels_and_among_all(bert: Path, tmp_path: Path) -> None:
    """Among one label alone every answer is that one."""
    data = [{"text": row["text"], "label": LABELS[row["label"]]} for row in toy_rows(60)]
    table = pa.Table.from_pylist(data)
    options: Any = {"model": str(bert), "settings": SHORT, "max_steps": 1, "progress": Progress()}
    run = tightfit.train(table, out=tmp_path / "run", **options).run
    found = answers(run, Parts(table, table, table, [1]))
    asked = tightfit.Run.load(run).predict([row["text"] for row in data]).labels
    assert found["among the first"].tolist() == [1] * 30
    assert found["all rows"].tolist() == list(map(int, asked))
    assert len(found["among all"]) == 30


def test_differences_are_paired() -> None:
    """By question, where both trainings are there."""
    parts = Parts(rows(6, 3), rows(6, 3), rows(6, 3), [0, 1])
    right = {"among the first": [0, 1, 0, 1], "among all": [0, 1, 0, 1], "all rows": [0, 1, 2] * 2}
    first = {name: np.array(each) for name, each in right.items()}
    last = {**first, "among all": np.array([0, 1, 2, 2])}
    one, two, three = compared({"first": first, "continued": last}, parts)
    assert (one["first"], one["continued"], two["continued"], three["rows"]) == (100, 100, 50, 6)
    assert two["less first"].startswith("no difference that 4 rows could show (-50.0 points")
    assert "less together" not in two
