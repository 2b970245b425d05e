"""Several labels a text through every verb, on toys: what single labels have, these have too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score
from transformers import pipeline

import tightfit
from tests.command import cli
from tests.exports import by_itself
from tests.toy_setups import SHORT
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TightfitClassifier, TrainResult
from tightfit.errors import UsageError
from tightfit.progress import Progress
from tightfit.reporting.page import render

SETTINGS = [*SHORT, "optim.lr=2e-2", "optim.epochs=15", "train.eval_every=15"]
SETTINGS += ["data.label_separator=;"]


BOTH = "goal match team striker bank profit stock market"
"""Words of either label."""


def rows_of(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Texts with words of one label, of both, or of neither."""
    singles = toy_rows(2 * count, seed)
    rows = []
    for i, (one, two) in enumerate(zip(singles[::2], singles[1::2], strict=True)):
        kind = i % 4
        texts = {0: [one], 1: [two], 2: [one, two], 3: []}[kind]
        words = " ".join(each["text"] for each in texts) or "the of in and a new"
        rows.append({"text": f"{words} {i % 7}", "label": [each["label"] for each in texts]})
    return rows


def train(bert: Path, data: Any, out: Path, **options: Any) -> TrainResult:
    """A run on toy rows."""
    given = {"settings": SETTINGS, "progress": Progress(), **options}
    return tightfit.train(data, model=str(bert), out=out, **given)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Training rows, and others."""
    folder = tmp_path_factory.mktemp("several")
    write_jsonl(folder / "rows.jsonl", rows_of(240))
    write_jsonl(folder / "test.jsonl", rows_of(80, seed=5))
    return folder


@pytest.fixture(scope="module")
def result(bert: Path, folder: Path) -> TrainResult:
    """A finished run; not to be changed but by evaluations."""
    return train(bert, folder / "rows.jsonl", folder / "run")


def test_it_learns_and_tells_its_own_scores(result: TrainResult) -> None:
    """Under the names of the contract; all proofs hold."""
    told = result.to_json()
    assert list(told)[:3] == ["run", "task", "total"]
    assert told["task"] == "multi"
    assert {"micro_f1", "macro_f1", "sample_f1", "exact_match"} <= told.keys()
    assert "accuracy" not in told
    assert told["micro_f1"] > 0.75
    assert all(proof["ok"] for proof in result.proofs.values())
    with pytest.raises(AttributeError, match="have no accuracy: micro_f1"):
        _ = result.accuracy


def test_few_rows_that_training_made_worse_keep_their_start(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A regression a label on the frozen encoder, solved and proven."""
    monkeypatch.setattr("tightfit.training.setup.Setup.as_good_as_start", False)
    own = ["train.folds=2", "head.kind=linear", "head.start=probe", "data.label_separator=;"]
    result = train(bert, rows_of(24), tmp_path / "run", settings=[*SHORT, *own])
    run = Run(result.run)
    assert run.decisions.kept is not None
    assert run.decisions.kept.value == "start"
    assert not run.plan.adapters
    solved = run.proofs["head_solved"]
    assert solved["ok"]
    assert solved["largest_gradient"] < solved["tolerance"]


def test_the_run_has_thresholds_with_reasons(result: TrainResult) -> None:
    """And is read back with all its parts."""
    run = Run.open(result.run)
    assert {each.label for each in run.chosen_thresholds} == {"money", "sport"}
    assert all(each.reason for each in run.chosen_thresholds)
    assert run.metrics.train.scores["micro_f1"] == run.metrics.validation.micro_f1.value
    assert f"eval_{run.task.metric}" in run.history[-1]
    page = render(run)
    assert "micro F1 on" in page
    assert "Labels a row" in page
    assert "Can its confidence be believed?" in page
    assert "share true by share probable in" in page
    assert "What silence would buy" not in page


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_predictions_are_joined_or_listed(result: TrainResult, folder: Path, suffix: str) -> None:
    """With a column of probabilities for each label."""
    out = folder / f"p{suffix}"
    tightfit.predict(result.run, folder / "test.jsonl", out, probabilities=True, overwrite=True)
    found = Run.load(result.run).predict([row["text"] for row in rows_of(80, seed=5)])
    if suffix == ".csv":
        frame = pd.read_csv(out, keep_default_na=False)
        own = [cell.split(";") if cell else [] for cell in frame["labels"]]
    elif suffix == ".jsonl":
        frame = pd.read_json(out, lines=True)
        own = frame["labels"].tolist()
    else:
        frame = pq.read_table(out).to_pandas()
        own = [list(cell) for cell in frame["labels"]]
    assert own == found.labels
    assert list(frame) == ["id", "labels", "money", "sport"]


def test_texts_on_the_command_line(result: TrainResult) -> None:
    """A line each, and thresholds that are given for one label leave the others."""
    all_of_them = ["--threshold", "money=0.001", "--threshold", "sport=0.001"]
    line = cli("predict", str(result.run), "--text", BOTH, *all_of_them).stdout
    assert line.split("\t")[0] == "money;sport"
    assert len(line.split("\t")[1].split(";")) == 2
    none = ["--threshold", "money=1", "--threshold", "sport=1"]
    told = cli("predict", str(result.run), "--text", "goal match", "--json", *none)
    assert json.loads(told.stdout) == {"predictions": [{"id": 0, "labels": []}]}


def test_evaluations_are_scikit_learns(result: TrainResult, folder: Path) -> None:
    """At the run's own thresholds; the paired test of a run with itself finds nothing."""
    rows = rows_of(80, seed=5)
    found = tightfit.evaluate(result.run, folder / "test.jsonl", against=result.run)
    said: Any = Run.load(result.run).predict([row["text"] for row in rows])
    true_NK = np.array([[name in row["label"] for name in ("money", "sport")] for row in rows])
    for kind in ("micro", "macro", "samples"):
        wanted = f1_score(true_NK, said.given, average=kind, zero_division=0)
        name = f"{kind.removesuffix('s') if kind == 'samples' else kind}_f1"
        assert found.to_json()[name]["value"] == pytest.approx(wanted, abs=1e-9)
    assert found.to_json()["paired"]["p_value"] == 1.0
    assert {"per_label", "paired_macro_f1", "log_loss", "ece"} <= found.to_json().keys()


def test_a_threshold_for_recall_leaves_the_others(result: TrainResult, folder: Path) -> None:
    """And is what predict answers by from then on; what is for one label a text is refused."""
    before = Run.open(result.run).thresholds
    (found,) = tightfit.evaluate(result.run, recall={"money": 1.0}).thresholds
    after = Run.open(result.run).thresholds
    assert (found.label, found.goal) == ("money", "recall")
    assert after == {0: found.threshold, 1: before[1]}
    with pytest.raises(UsageError, match="offered for one label a text"):
        Run.load(result.run, max_error=0.1)
    for arguments in (["--text", "goal", "--explain"], ["--text", "goal", "--cascade"]):
        assert cli("predict", str(result.run), *arguments).exit_code == 2


def test_a_merged_export_answers_in_a_plain_pipeline(result: TrainResult, folder: Path) -> None:
    """To 1e-5, by sigmoids, with what transformers calls it; and so does its own program."""
    out, text = folder / "merged", BOTH
    parity = tightfit.export(result.run, "merged", out, data=folder / "test.jsonl").parity
    assert parity.agreement == 1.0
    assert "take one for all labels, mostly a half" in (out / "README.md").read_text("utf-8")
    assert json.loads((out / "config.json").read_text())["problem_type"].startswith("multi_label")
    classify = pipeline("text-classification", str(out), top_k=None, function_to_apply="sigmoid")
    bare_K = 1 / (1 + np.exp(-Run.load(result.run).predictor.logits([text])[0]))
    scores = {each["label"]: each["score"] for each in classify([text])[0]}
    assert [scores["money"], scores["sport"]] == pytest.approx(bare_K.tolist(), abs=1e-5)
    ((said, _),) = by_itself(out, [text])
    assert said == ";".join(Run.load(result.run).predict(text).labels[0])


@pytest.mark.filterwarnings("ignore::UserWarning")  # a toy reads few words, of rows that repeat
@pytest.mark.parametrize("as_lists", [True, False])
def test_the_estimator_takes_columns_or_lists(bert: Path, as_lists: bool) -> None:
    """And gives back what it was given."""
    rows = rows_of(120)
    texts, lists = [row["text"] for row in rows], [row["label"] for row in rows]
    marks_NK = np.array([[name in own for name in ("money", "sport")] for own in lists], dtype=int)
    settings = dict(pair.split("=", 1) for pair in SETTINGS)
    model = TightfitClassifier(model=str(bert), random_state=0)
    model.settings = {name: json_value(value) for name, value in settings.items()}
    model.fit(texts, lists if as_lists else marks_NK)
    assert model.predict_proba(texts).shape == (120, 2)
    found = model.predict(texts)
    if as_lists:
        found = np.array([[name in own for name in ("money", "sport")] for own in found], dtype=int)
    assert found.shape == (120, 2)
    assert (found == marks_NK).mean() > 0.7


def json_value(text: str) -> Any:
    """As a setting has it."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text.split(",") if "," in text else text


def test_checks_count_each_label(folder: Path) -> None:
    """Repeats and contradictions are those of whole sets."""
    pytest.importorskip("datasketch")
    rows = [*rows_of(20), {**rows_of(20)[0], "label": ["sport"]}, rows_of(20)[2]]
    path = write_jsonl(folder / "odd.jsonl", rows)
    found = tightfit.check(path, label_errors=False, progress=Progress())
    assert found.findings.label_counts == {"money": 11, "sport": 12}
    assert found.findings.count("exact_duplicates") == 1
    assert found.findings.count("contradictory") == 2


def test_baselines_are_one_versus_rest(bert: Path, folder: Path) -> None:
    """Of the same rows, and with scores of the same names."""
    only = ("majority class", "tf-idf + logistic regression")
    options: dict[str, Any] = {"model": str(bert), "settings": SHORT, "progress": Progress()}
    rows = folder / "rows.jsonl"
    found = tightfit.compare(rows, only=only, out=folder / "table", **options)
    majority, words = found.rows
    assert list(majority.scores) == ["micro_f1", "macro_f1", "sample_f1", "exact_match"]
    assert words.scores["micro_f1"].value > majority.scores["micro_f1"].value
    assert "micro F1 (95% interval)" in repr(found)
