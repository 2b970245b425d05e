"""Thresholds as people ask for them: chosen, kept beside the run, and answered by."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix

from tests.command import cli
from tests.toy_setups import Notes
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TrainResult, evaluate, predict, report
from tightfit.errors import ArtefactError, DataError, UsageError
from tightfit.progress import Progress
from tightfit.tasks import SingleLabel
from tightfit.tasks.label_thresholds import ThresholdGoals, choose_thresholds, thresholds_by_id

TASK = SingleLabel.from_names(("ham", "spam", "news"))


def asked(**what: Any) -> ThresholdGoals:
    """What is not named is not asked for."""
    return ThresholdGoals(**{"recall": {}, "precision": {}, "cost": {}, **what})


def sure_of(rows: int = 60) -> tuple[Any, Any]:
    """Rows of three labels, each about as sure as the last."""
    chance = np.random.default_rng(5)
    targets_N = np.arange(rows) % 3
    logits_NK = chance.normal(size=(rows, 3)) + 2 * np.eye(3)[targets_N]
    return TASK.probabilities(logits_NK), targets_N


def test_a_threshold_and_what_it_brings() -> None:
    """Chosen on all rows, measured on rows kept apart."""
    [found] = choose_thresholds(TASK, *sure_of(), asked(recall={"spam": 0.9}).goals(TASK))
    assert (found.label, found.goal, found.least, found.rows) == ("spam", "recall", 0.9, 20)
    shares_NK, targets_N = sure_of()
    own = shares_NK[targets_N == 1, 1]
    assert np.sum(own >= found.threshold) == 18
    assert found.recall.low < found.recall.value < found.recall.high


def test_dear_mistakes_move_the_threshold() -> None:
    """A label that must not be missed is answered sooner, and costs less a row."""
    thresholds = []
    for cost in (1, 20):
        goals = asked(cost={("spam", "ham"): cost, ("spam", "news"): cost}).goals(TASK)
        [found] = choose_thresholds(TASK, *sure_of(300), goals)
        thresholds.append(found.threshold)
    assert thresholds[1] < thresholds[0]
    assert found.mean_cost is not None
    assert found.usual_cost is not None
    assert found.mean_cost.low <= found.mean_cost.value < found.usual_cost


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ({"recall": {"spma": 0.9}}, "no such label\n  seen: .*spma\n.*\n.*did you mean 'spam'"),
        (
            {"recall": {"spam": 95}},
            "a share above 0, up to 1\n  seen: .*spam=95\n.*did you mean spam=0.95",
        ),
        ({"precision": {"spam": 0}}, "a share above 0, up to 1"),
        ({"recall": {"spam": 1.3}}, "give a share, such as spam=0.95"),
        ({"cost": {("spam", "spam"): 5}}, "of taking one label for another"),
        ({"cost": {("spam", "ham"): -1}}, "above 0\n  seen: .*spam:ham=-1"),
        ({"recall": {"spam": 0.9}, "precision": {"1": 0.9}}, "one goal only"),
        ({"recall": dict.fromkeys(TASK.names, 0.9)}, "must be without a threshold"),
    ],
)
def test_what_cannot_be_asked_for(what: dict[str, Any], words: str) -> None:
    """Each told before a row is read."""
    with pytest.raises(UsageError, match=words):
        asked(**what).goals(TASK)


def test_what_rows_cannot_show() -> None:
    """No such precision, no such rows, or too few of them."""
    shares_NK, targets_N = sure_of()
    wrong_N = np.where(np.arange(60) == shares_NK[:, 1].argmax(), 0, targets_N)
    with pytest.raises(UsageError, match=r"so precise\n.*\n  allowed: up to 0\.\d+"):
        choose_thresholds(TASK, shares_NK, wrong_N, asked(precision={"spam": 1.0}).goals(TASK))
    goals = asked(recall={"spam": 0.9}).goals(TASK)
    with pytest.raises(DataError, match="no row is labelled 'spam'"):
        choose_thresholds(TASK, shares_NK, targets_N * 0, goals)
    with pytest.raises(DataError, match=r"too few to choose thresholds.*\n.*spam: 1 rows"):
        choose_thresholds(TASK, shares_NK, np.arange(60) // 59, goals)


def test_labels_are_named_as_they_stood_or_as_they_are_called() -> None:
    """An integer, or its text."""
    assert thresholds_by_id(TASK, {"spam": 0.3, 2: 0.4}) == {1: 0.3, 2: 0.4}


@pytest.fixture
def run(finished: TrainResult, tmp_path: Path) -> Path:
    """A run that may be added to."""
    return shutil.copytree(finished.run, tmp_path / "run")


def test_predict_answers_by_what_evaluate_kept(run: Path, tmp_path: Path) -> None:
    """In Python, in files and on the command line; a threshold of its own comes first."""
    texts = [row["text"] for row in toy_rows(20)]
    usual = Run.load(run).predict(texts)
    [kept] = evaluate(run, precision={"sport": 0.5}, progress=Progress()).thresholds
    spoilt = json.loads((run / "derived" / "thresholds.json").read_text())
    assert spoilt["thresholds"][0]["threshold"] == kept.threshold
    found = Run.load(run).predict(texts)
    assert found.ids == (usual.probabilities[:, 1] >= kept.threshold).astype(int).tolist()
    out = tmp_path / "o.csv"
    told = predict(run, texts, out, progress=Progress()).to_json()["thresholds"]
    assert told == {"sport": kept.threshold}
    assert pd.read_csv(out)["label"].tolist() == found.labels
    for more, labels in (({}, usual.labels), ({"money": 1e-9}, ["money"] * 20)):
        predict(run, texts, out, thresholds=more, overwrite=True, progress=Progress())
        assert pd.read_csv(out)["label"].tolist() == labels


def test_the_command_line_says_when_it_uses_thresholds(run: Path) -> None:
    """Those that were kept, those that are given, and none."""
    assert cli("evaluate", str(run), "--recall", "sport=0.5").exit_code == 0
    told = cli("predict", str(run), "--text", "goal team")
    assert "sport is answered from " in told.stderr
    assert "(kept by evaluate; --threshold none leaves it out)" in told.stderr
    told = cli("predict", str(run), "--text", "goal team", "--threshold", "money=0.0001")
    assert told.stderr == "money is answered from 0.01% on\n"
    assert told.stdout.startswith("money\t0.")
    assert cli("predict", str(run), "--text", "goal", "--threshold", "none").stderr == ""


def test_thresholds_are_chosen_on_other_rows_too(run: Path, tmp_path: Path) -> None:
    """The table says what they bring."""
    data = write_jsonl(tmp_path / "rows.jsonl", toy_rows(80, seed=3))
    words = ["--data", str(data), "--recall", "sport=0.9", "--cost", "money:sport=5"]
    told = cli("evaluate", str(run), *words)
    assert "one label at least must be without a threshold" in told.stderr
    told = cli("evaluate", str(run), *words[:2], "--cost", "money:sport=5")
    assert told.exit_code == 0
    assert "cost a row: " in told.stdout
    assert "true label by predicted label, with the thresholds" in told.stdout
    told = cli("evaluate", str(run), *words[:4], "--json")
    answer = json.loads(told.stdout)
    [each], counts = answer["thresholds"], answer["confusion_at_thresholds"]
    assert counts[1][1] >= 0.9 * sum(counts[1])
    assert (each["label"], each["least"], each["rows"]) == ("sport", 0.9, 40)
    assert Run.load(run).thresholds == {1: each["threshold"]}


def test_scores_are_told_from_answers_by_what_was_kept(run: Path) -> None:
    """As predict gives these, they have a table, and their accuracy is told."""
    rows, said = toy_rows(80, seed=3), Notes()
    assert not evaluate(run, rows, progress=said).confusion_at
    assert not said.warned
    evaluate(run, recall={"sport": 1.0}, progress=Progress())
    due = [row["label"] for row in rows]
    answers = Run.load(run).predict([row["text"] for row in rows]).labels
    found = evaluate(run, rows, progress=said)
    assert found.confusion_at == tuple(map(tuple, confusion_matrix(due, answers).tolist()))
    assert f"so that {accuracy_score(due, answers):.1%} of these rows are right" in said.warned[0]
    assert found.to_json()["thresholds"] == []


def test_it_says_what_was_met_and_what_is_replaced(run: Path) -> None:
    """On the run's own validation rows."""
    assert "this replaces" not in cli("evaluate", str(run), "--recall", "sport=0.5").output
    told = cli("evaluate", str(run), "--recall", "sport=0.9").output
    assert "this replaces what was kept before: sport 0." in told
    assert "recall 0.9 of sport: " in told


def test_the_report_tells_them(run: Path) -> None:
    """With what they bring."""
    assert "Labels with a threshold" not in report(run).read_text()
    evaluate(run, recall={"sport": 0.5}, progress=Progress())
    page = report(run).read_text()
    assert "Labels with a threshold" in page
    assert "<td>recall 50%</td>" in page


def test_thresholds_count_where_errors_are_held_down(run: Path) -> None:
    """The share of wrong answers is that of the answers as they are given."""
    kept = Run.open(run).validation
    assert kept is not None
    confidence_N, right_N = kept.confidences(1.0, {1: 1e-9})
    probabilities_NK = kept.task.probabilities(kept.logits_NK)
    assert confidence_N.tolist() == probabilities_NK[:, 1].tolist()
    assert right_N.tolist() == (kept.targets_N == 1).tolist()


def test_a_damaged_file_of_thresholds_is_refused(run: Path) -> None:
    """By its digest."""
    evaluate(run, recall={"sport": 0.5}, progress=Progress())
    path = run / "derived" / "thresholds.json"
    path.write_text(path.read_text().replace("sport", "money"))
    with pytest.raises(ArtefactError, match="does not match"):
        Run.load(run)


def test_thresholds_need_rows(run: Path) -> None:
    """And scores do, too."""
    with pytest.raises(UsageError, match="no rows to evaluate on"):
        evaluate(run, progress=Progress())
    (run / "derived").mkdir(exist_ok=True)
    told = cli("evaluate", str(run), "--recall", "sport")
    assert "--recall takes a label and a number" in told.stderr
    told = cli("evaluate", str(run), "--recall", "sport=0,9")
    assert "did you mean sport=0.9?" in told.stderr
    told = cli("evaluate", str(run), "--cost", "sport=3")
    assert "--cost takes two labels and a number" in told.stderr
