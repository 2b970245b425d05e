"""Hardly any rows, through the command: a sealed run by a rule that is told, or clear words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.command import cli
from tests.toys import toy_rows, write_jsonl
from tightfit import Run

ROWS = toy_rows(8)
"""Four a class."""

QUICK = [
    word
    for value in ("contrastive.steps=3", "head.pooling=mean", "train.precision=fp32")
    for word in ("--set", value)
]


class Few(NamedTuple):
    """Rows, options, and what is said of them."""

    rows: list[dict[str, Any]]
    options: tuple[str, ...] = ()
    exit_code: int = 0
    words: str = ""


ALIKE = [*ROWS[:7], {**ROWS[1]}]
CASES = {
    "one row a class": Few(
        [{"text": word, "label": word} for word in ("goal", "bank", "season")],
        exit_code=4,
        words="give two rows or more for a class, or a file of rows with --validation",
    ),
    "two rows": Few(
        ROWS[:2], exit_code=4, words="no class has two different texts, so that no row can be"
    ),
    "two rows, and others to validate": Few(
        ROWS[:2], ("--validation",), words="no adapters: no class has two rows that could be"
    ),
    "a class with one row": Few(
        [*ROWS, {"text": "the a of", "label": "other"}], words="weakest label: other, F1 0.0%"
    ),
    "two of eight alike": Few(ALIKE, words="in 3 parts: 4 rows a class"),
    "one text of both classes": Few([*ROWS[:7], {**ROWS[0], "label": "sport"}]),
    "rows of one class": Few(
        ROWS[1::2], exit_code=4, words="a classifier needs rows of at least 2 classes"
    ),
    "cap that pays the head alone": Few(
        ROWS, ("--budget", "66"), words="66 parameters solved on 8 rows"
    ),
    "cap below the head": Few(ROWS, ("--budget", "60"), words="the head's weight has rank 1"),
    "cap below any head": Few(ROWS, ("--budget", "35"), exit_code=5, words="35"),
    "fewer rows than were asked for as parts": Few(
        ROWS, ("--set", "train.folds=9"), words="cross-validation in 8 parts"
    ),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_run_that_is_no_worse_than_its_start_or_words(
    name: str, bert: Path, tmp_path: Path
) -> None:
    """Nothing is written where it is refused."""
    case, out = CASES[name], tmp_path / "run"
    options = [*case.options, str(write_jsonl(tmp_path / "held.jsonl", toy_rows(12, seed=3)))]
    options = options if "--validation" in options else list(case.options)
    data = write_jsonl(tmp_path / "rows.jsonl", case.rows)
    given = ["--data", str(data), "--model", str(bert), "--out", str(out), *QUICK, *options]
    told = cli("train", *given)
    assert told.exit_code == case.exit_code, told.stderr
    assert case.words in " ".join(told.output.split())
    assert out.exists() == (case.exit_code == 0)
    if out.exists():
        proofs = json.loads((out / "proofs.json").read_text())
        assert all(proof["ok"] for proof in proofs.values())
        assert set(Run.load(out).predict(["goal", "bank"]).labels) <= {"money", "other", "sport"}


POOLS = {
    "empty": (b"", 4, "pool.txt is empty"),
    "blank lines": (b"\n\n \n", 4, "pool.txt is empty"),
    "no text": (b"\xff\xfe\x00\x01\x9c", 4, "pool.txt is not utf-16"),
    "one text": (b"goal match\n", 0, "1 text shapes the solved head"),
    "one text three times": (b"goal\ngoal\ngoal\n", 0, "3 texts shape the solved head"),
    "a text of a megabyte": (b"goal " * 200_000, 0, "1 text shapes the solved head"),
}


@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("name", sorted(POOLS))
def test_odd_files_of_texts_without_labels(
    name: str, names: bool, bert: Path, tmp_path: Path
) -> None:
    """Beside rows, or beside names alone."""
    content, exit_code, words = POOLS[name]
    (pool := tmp_path / "pool.txt").write_bytes(content)
    rows = ["--data", str(write_jsonl(tmp_path / "rows.jsonl", ROWS))]
    given = ["--label-names", "goal match,bank trade"] if names else rows
    out = ["--model", str(bert), "--out", str(tmp_path / "run"), *QUICK]
    told = cli("train", *given, "--unlabelled", str(pool), *out)
    assert (told.exit_code, (tmp_path / "run").exists()) == (exit_code, exit_code == 0), told.stderr
    assert words in " ".join(told.stderr.split())
