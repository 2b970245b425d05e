"""The last words of ``train``: what came of it, what was proven, what to type next."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import tightfit
from tests.command import cli
from tests.reports import scores_of
from tests.toy_setups import SHORT, Notes
from tests.toys import toy_rows, write_jsonl
from tightfit import TrainResult


def page_of(result: TrainResult, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the command says after this training, on standard output."""
    monkeypatch.setitem(vars(tightfit), "train", lambda *_, **__: result)
    told = cli("train", "--data", "sample")
    assert (told.exit_code, told.stderr) == (0, "")
    return str(told.stdout)


def test_what_was_reached(finished: TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start and end on the same rows, both scores with intervals, the size on disk."""
    page, run = page_of(finished, monkeypatch), tightfit.Run(finished.run)
    end = run.proofs["no_regression"]["accuracy"]
    assert f"before the first step {finished.start_accuracy:.1%} → trained {end:.1%}" in page
    assert f"macro F1 {finished.macro_f1:.1%} on 12 validation rows" in page
    assert "weakest label" not in page  # each label of the toy is always right
    assert "KiB on disk; the report is " + str(finished.run / "report.html") in page


def test_few_held_out_rows_are_said_to_tell_little(
    bert: Path, tmp_path: Path, finished: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line that scores all rows, unless holding out was somebody's choice."""
    options: dict[str, Any] = {"model": str(bert), "out": tmp_path / "run", "progress": Notes()}
    settings = [*SHORT, "train.folds=auto"]
    result = tightfit.train(toy_rows(200), settings=settings, max_steps=3, **options)
    told = "20 rows tell little: --set train.folds=4 trains on all 200 and scores them, in about"
    assert told in page_of(result, monkeypatch)
    assert "tell little" not in page_of(finished, monkeypatch)  # train.folds=0 is in its settings


@pytest.mark.parametrize(("limit", "told"), [(40, "trains on all 40 and"), (8, "")])
def test_of_a_sample_folds_are_offered_where_they_score_more(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, told: str
) -> None:
    """They are made of the rows that train, of which there may be fewer than are held out."""
    options: dict[str, Any] = {"model": str(bert), "out": tmp_path / "run", "progress": Notes()}
    settings = [*SHORT, "train.folds=auto"]
    result = tightfit.train(toy_rows(200), settings=settings, max_steps=3, limit=limit, **options)
    page = page_of(result, monkeypatch)
    assert (told in page, "tell little" in page) == (True, bool(told))


def test_what_was_proven(finished: TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line a proof, with its meaning; one that the recipe gave up says so."""
    assert "✓ movement: every adapter changed its layer\n" in page_of(finished, monkeypatch)
    proofs = {**finished.proofs, "movement": {"ok": False, "expected": True}}
    page = page_of(replace(finished, proofs=proofs), monkeypatch)
    assert "✗ movement: does not hold: the recipe declares that these adapters stay dead" in page
    assert page.count("✓") == 4


def test_few_rows_are_scored_by_cross_validation(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a head that is solved has a line of its own."""
    options: dict[str, Any] = {"model": str(bert), "out": tmp_path / "run", "progress": Notes()}
    settings = [*SHORT, "head.start=probe", "train.folds=2", "optim.objective=contrastive"]
    rows = write_jsonl(tmp_path / "rows.jsonl", toy_rows(16))
    page = page_of(tightfit.train(rows, settings=settings, **options), monkeypatch)
    assert "on each row by a training without it" in page
    assert "on 16 rows by cross-validation" in page
    assert "✓ head solved: the gradient of the head's own objective is zero" in page


def test_sentences_of_labels_are_among_what_was_seen(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are in ``epochs``: both say how often one text was seen."""
    options: dict[str, Any] = {"model": str(bert), "out": tmp_path / "run", "progress": Notes()}
    settings = [*SHORT, "train.folds=2", "optim.objective=contrastive", "data.label_names=on"]
    result = tightfit.train(toy_rows(16), settings=settings, **options)
    page = page_of(result, monkeypatch)
    assert f"trained on 16 rows and 2 label names, each seen {result.epochs:.2g} times" in page


def test_a_start_that_is_kept_has_no_adapters_to_prove(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told while training and at the end, and nothing is said to have moved."""
    monkeypatch.setattr("tightfit.training.setup.Setup.as_good_as_start", False)
    notes = Notes()
    options: dict[str, Any] = {"model": str(bert), "out": tmp_path / "run", "progress": notes}
    settings = [*SHORT, "head.start=probe", "train.folds=2", "optim.objective=contrastive"]
    page = page_of(tightfit.train(toy_rows(16), settings=settings, **options), monkeypatch)
    assert any(line.endswith(": the start is kept, without adapters") for line in notes.said)
    assert "→ kept without adapters: what they learned was no gain" in page
    assert "- movement: no adapter is there\n" in page
    assert "- gradients: nothing was trained by steps\n" in page


def test_what_to_type_next(finished: TrainResult, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three commands with the run's own path, which the command line understands as they are."""
    page = page_of(finished, monkeypatch)
    lines = [line.strip() for line in page.partition("next:\n")[2].splitlines() if line.strip()]
    verbs = [shlex.split(line)[1:3] for line in lines]
    assert verbs == [[verb, str(finished.run)] for verb in ("evaluate", "predict", "export")]
    said = cli(*shlex.split(lines[1])[1:])
    assert said.exit_code == 0, said.stderr


def test_a_rare_label_is_kept_and_named(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rows in a hundred: accuracy alone would hide that none of them is found."""
    rows = toy_rows(300)
    few = [row for row in rows if row["label"] == "money"][:6]
    rows = [row for row in rows if row["label"] == "sport"] + few
    options: dict[str, Any] = {"model": str(bert), "progress": Notes()}
    settings = [*SHORT, "train.max_steps=3"]
    file = write_jsonl(tmp_path / "rows.jsonl", rows)
    result = tightfit.train(file, out=tmp_path / "run", settings=settings, **options)
    supports = [each.support for each in scores_of(tightfit.Run(result.run)).per_class]
    assert min(supports) >= 1
    page = page_of(result, monkeypatch)
    assert "macro F1 4" in page
    assert "weakest label: money, F1 0.0%, 0.0% of its 1 row found" in page
