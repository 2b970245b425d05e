"""Evaluating runs: alone, with their temperature, against another, and over seeds."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss

from tests.toy_setups import LABELS, SHORT, Notes
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TrainResult, evaluate, train
from tightfit.errors import DataError, UsageError
from tightfit.metrics.intervals import over_seeds
from tightfit.metrics.paired import compare_accuracy, compare_macro_f1
from tightfit.progress import Progress
from tightfit.storage import RunFolder, read_derived, write_derived
from tightfit.tasks.calibrate import DERIVED_NAME
from tightfit.verbs.evaluation import _why_not_halved


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rows that no run has seen."""
    return write_jsonl(tmp_path_factory.mktemp("test") / "test.jsonl", toy_rows(200, seed=7))


@pytest.fixture(scope="module")
def seeds(
    bert: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ...]:
    """Three short trainings that differ in their seed, on many validation rows."""
    root = tmp_path_factory.mktemp("seeds")
    settings = [*SHORT, "optim.lr=1e-2", "data.validation_rows=0.5"]
    for seed in (1, 2, 3):
        train(
            rows_file,
            model=str(bert),
            out=root / str(seed),
            seed=seed,
            max_steps=12,
            settings=settings,
            progress=Progress(),
        )
    return tuple(root / str(seed) for seed in (1, 2, 3))


def test_scores_are_those_of_the_predictions(seeds: tuple[Path, ...], unseen: Path) -> None:
    """Accuracy and log loss by scikit-learn, from what the run predicts."""
    found = evaluate(seeds[0], unseen, progress=Progress())
    rows = toy_rows(200, seed=7)
    predicted = Run.load(seeds[0]).predict([row["text"] for row in rows])
    truth = [predicted.label_names.index(row["label"]) for row in rows]
    assert found.scores.accuracy.value == accuracy_score(truth, predicted.ids)
    assert found.scores.log_loss == pytest.approx(log_loss(truth, predicted.probabilities))


def test_the_temperature_is_shown_before_and_after(
    seeds: tuple[Path, ...], unseen: Path, tmp_path: Path
) -> None:
    """It is the run's own; the scores are those after it, and the log loss differs before."""
    run = RunFolder(Path(shutil.copytree(seeds[0], tmp_path / "run")))
    kept = read_derived(run, DERIVED_NAME)
    write_derived(run, DERIVED_NAME, {**kept, "temperature": 2.0})
    found = evaluate(run.root, unseen, progress=Progress())
    calibration, scores = found.calibration, found.scores
    assert calibration is not None
    assert calibration.temperature == 2.0
    assert (calibration.ece_after, calibration.log_loss_after) == (scores.ece, scores.log_loss)
    predictor = Run.load(seeds[0]).predictor
    logits_NK = predictor.logits([row["text"] for row in toy_rows(200, seed=7)])
    bare_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(axis=1, keepdims=True)
    truth = [LABELS.index(row["label"]) for row in toy_rows(200, seed=7)]
    assert calibration.log_loss_before == pytest.approx(log_loss(truth, bare_NK), rel=1e-6)


def test_rows_that_a_run_knows_are_told(
    seeds: tuple[Path, ...], rows_file: Path, unseen: Path
) -> None:
    """Of each run by itself, and of none where no row trained: their scores say little."""
    notes = Notes()
    evaluate(seeds[0], rows_file, against=seeds[1], progress=notes)
    found = [re.match(r"(\d+) of (\d+) rows .* that (.*) was trained on", w) for w in notes.warned]
    told = [one.groups() for one in found if one]
    assert told == [("60", "120", str(run)) for run in seeds[:2]]
    evaluate(seeds[0], unseen, progress=(quiet := Notes()))
    assert not any("trained on" in words for words in quiet.warned)


def test_seeds_are_combined(seeds: tuple[Path, ...], unseen: Path) -> None:
    """Mean and Student's interval of what each run scores by itself on the same rows."""
    alone = [evaluate(run, unseen, progress=Progress()).scores for run in seeds]
    found = evaluate(seeds[0], unseen, also=seeds[1:], progress=Progress()).seeds
    assert found is not None
    assert found.accuracy == over_seeds([each.accuracy.value for each in alone])
    assert found.scores["log_loss"] == over_seeds(
        [each.log_loss for each in alone], within=(0.0, math.inf)
    )
    assert found.runs == tuple(map(str, seeds))


def test_seeds_are_in_the_object(seeds: tuple[Path, ...], unseen: Path) -> None:
    """And only where they were asked for."""
    told = evaluate(seeds[0], unseen, also=seeds[1:], progress=Progress()).to_json()
    assert list(told["seeds"]) == ["runs", "accuracy", "macro_f1", "log_loss", "ece"]
    assert list(told["seeds"]["accuracy"]) == ["value", "low", "high"]
    assert "seeds" not in evaluate(seeds[0], unseen, progress=Progress()).to_json()


def test_a_run_counts_once(seeds: tuple[Path, ...], unseen: Path) -> None:
    """The same run twice would make the interval narrower than it is."""
    with pytest.raises(UsageError, match="named twice"):
        evaluate(seeds[0], unseen, also=[seeds[0] / ".." / seeds[0].name], progress=Progress())


def test_runs_must_have_the_same_labels(
    seeds: tuple[Path, ...], bert: Path, unseen: Path, tmp_path: Path
) -> None:
    """Whether they are compared or combined."""
    rows = [{**row, "label": row["label"].upper()} for row in toy_rows(60)]
    other = train(
        write_jsonl(tmp_path / "upper.jsonl", rows),
        model=str(bert),
        out=tmp_path / "other",
        max_steps=1,
        settings=SHORT,
        progress=Progress(),
    ).run
    with pytest.raises(DataError, match="different labels"):
        evaluate(seeds[0], unseen, also=[other], progress=Progress())
    with pytest.raises(DataError, match="MONEY, SPORT"):
        evaluate(seeds[0], unseen, against=other, progress=Progress())


def test_the_record_beside_the_run_says_the_same(
    finished: TrainResult, unseen: Path, tmp_path: Path
) -> None:
    """In ``derived/``, with the rows' digest."""
    kept_out = shutil.ignore_patterns("evaluation-*")  # of other tests, on other rows
    run = Path(shutil.copytree(finished.run, tmp_path / "run", ignore=kept_out))
    found = evaluate(run, unseen, progress=Progress())
    (record,) = (run / "derived").glob("evaluation-*.json")
    kept = read_derived(RunFolder(run), record.stem)
    assert {key: kept[key] for key in found.to_json()} == found.to_json()


def test_two_runs_are_compared_on_the_same_rows(seeds: tuple[Path, ...], unseen: Path) -> None:
    """By the tests of the metrics, on what each predicts; accuracy and macro F1."""
    texts = [row["text"] for row in toy_rows(200, seed=7)]
    truth = [LABELS.index(row["label"]) for row in toy_rows(200, seed=7)]
    ours, theirs = (Run.load(run).predict(texts).ids for run in seeds[:2])
    found = evaluate(seeds[0], unseen, against=seeds[1], progress=Progress())
    assert found.paired == compare_accuracy(truth, ours, theirs)
    assert found.paired_macro_f1 == compare_macro_f1(truth, ours, theirs)
    assert {"difference", "low", "high", "p_value", "test"} <= found.to_json()["paired"].keys()


@pytest.fixture(scope="module")
def wider(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows a label more, and has them in another order."""
    rows = [*toy_rows(60), *({"text": "the a of", "label": "weather"} for _ in range(20))]
    options: dict[str, Any] = {"max_steps": 2, "model": str(bert), "progress": Progress()}
    settings = [*SHORT, "data.labels=weather,sport,money"]
    out = tmp_path_factory.mktemp("wider") / "run"
    return train(rows, out=out, settings=settings, **options).run


def test_a_run_may_know_more_labels_than_the_one_it_is_compared_with(
    wider: Path, seeds: tuple[Path, ...]
) -> None:
    """As one that went on from it with new labels: answers are matched by name."""
    rows = [*toy_rows(40, seed=7), *({"text": "the a of", "label": "weather"} for _ in range(5))]
    said = (
        [row["label"] for row in rows],
        *(
            [*Run.load(run).predict([row["text"] for row in rows]).labels]
            for run in (wider, seeds[0])
        ),
    )
    ids = [[Run.load(wider).task.names.index(name) for name in each] for each in said]
    notes = Notes()
    found = evaluate(wider, rows, against=seeds[0], progress=notes)
    assert (found.paired, found.paired_macro_f1) == (compare_accuracy(*ids), compare_macro_f1(*ids))
    assert notes.said == [f"{seeds[0]} does not know 'weather': rows of it are wrong for that run"]


def test_the_run_with_more_labels_comes_first(wider: Path, seeds: tuple[Path, ...]) -> None:
    """Else its answers may be labels that the other does not know."""
    with pytest.raises(DataError, match=f"evaluate {wider} against {seeds[0]}"):
        evaluate(seeds[0], toy_rows(10), against=wider, progress=Progress())


SPORT, MONEY = {"text": "goal striker league", "label": "sport"}, {"text": "a", "label": "money"}


@pytest.mark.parametrize(
    "rows", [[SPORT], [SPORT] * 20, [MONEY] * 2], ids=["one row", "one class", "two rows"]
)
def test_poor_test_rows_are_scored_without_nan(
    seeds: tuple[Path, ...], tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    """One row, a missing class: numbers with wide intervals, against a run and over seeds too."""
    file = write_jsonl(tmp_path / "few.jsonl", rows)
    found = evaluate(seeds[0], file, against=seeds[1], also=seeds[1:], progress=Progress())
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert told["n"] == len(rows)
    accuracy = told["accuracy"]
    assert 0 <= accuracy["low"] <= accuracy["value"] <= accuracy["high"] <= 1
    assert accuracy["low"] < accuracy["high"]


def test_all_wrong_is_scored_without_nan(seeds: tuple[Path, ...], tmp_path: Path) -> None:
    """Every row gets the label that the run does not give it."""
    texts = [row["text"] for row in toy_rows(30, seed=9)]
    said = Run.load(seeds[0]).predict(texts).ids
    rows = [{"text": t, "label": LABELS[1 - i]} for t, i in zip(texts, said, strict=True)]
    found = evaluate(seeds[0], write_jsonl(tmp_path / "w.jsonl", rows), progress=Progress())
    json.dumps(found.to_json(), allow_nan=False)
    assert (found.scores.accuracy.value, found.scores.macro_f1.value) == (0.0, 0.0)
    assert found.scores.accuracy.high > 0.05


def test_an_unseen_label_is_named(seeds: tuple[Path, ...], tmp_path: Path) -> None:
    """With those that the run knows."""
    file = write_jsonl(tmp_path / "new.jsonl", [SPORT, {"text": "x", "label": "weather"}])
    with pytest.raises(DataError, match=r"weather(.|\n)*remove these rows"):
        evaluate(seeds[0], file, progress=Progress())


def test_a_column_with_known_labels_is_pointed_to(seeds: tuple[Path, ...]) -> None:
    """The option takes it; where there is none, and no label is known, the task is another."""
    rows = [{"text": x, "label": i % 2 + 5, "kind": LABELS[i % 2]} for i, x in enumerate("abcd")]
    with pytest.raises(DataError, match="every label in 'kind' is known:") as caught:
        evaluate(seeds[0], rows, progress=Progress())
    assert caught.value.add == "--label-column kind"
    assert evaluate(seeds[0], rows, label_column="kind", progress=Progress()).scores.n == 4
    other = [{"text": row["text"], "label": row["label"]} for row in rows]
    with pytest.raises(DataError, match="of another task"):
        evaluate(seeds[0], other, progress=Progress())


@pytest.mark.parametrize(
    ("temperature", "before", "after", "words"),
    [
        (1.4, 0.019, 0.03, r"larger with it here: the validation rows, which asked for .* \(1.4\)"),
        (
            1.4,
            0.019,
            0.0,
            "there was little to mend: a perfectly calibrated classifier would show 1.0%",
        ),
        (1.02, 0.1, 0.09, r"near 1 \(1.02\): confidence is too high in some places"),
        (
            1.4,
            0.1,
            0.09,
            r"what the temperature \(1\.4\) leaves differs from one confidence to another",
        ),
    ],
)
def test_why_the_error_was_not_halved(
    temperature: float, before: float, after: float, words: str
) -> None:
    """Made larger, nothing to mend, nothing that a temperature mends, or other rows."""
    assert re.search(words, _why_not_halved(temperature, before, after, 0.01))


def test_a_halved_error_needs_no_reason(seeds: tuple[Path, ...], unseen: Path) -> None:
    """And one that is not halved has one."""
    for run in seeds:
        told = evaluate(run, unseen, progress=Progress()).calibration
        assert told is not None
        assert (told.reason is None) == (told.ece_after <= told.ece_before / 2)
        assert 0 < told.ece_by_chance < 0.2
