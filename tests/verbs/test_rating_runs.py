"""Ratings through every verb: one toy run, asked for all that a run of labels is asked for."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers

import tightfit
from tests.command import cli
from tests.exports import by_itself
from tests.toy_setups import SHORT, Notes
from tests.toys import FILLER, MONEY, SPORT, toy_rows, write_jsonl
from tightfit import Run, TrainResult
from tightfit.errors import DataError, ProofError, UsageError
from tightfit.progress import Progress

RATED = [*SHORT, "data.task=rating", "optim.lr=1e-2", "optim.epochs=8", "train.eval_every=40"]


def rated_rows(count: int, seed: int = 0) -> list[dict[str, object]]:
    """Texts of six words on sport or money, rated by how many are on sport, from 1 to about 5."""
    chance, rows = random.Random(seed), []
    for _ in range(count):
        sport = chance.randint(0, 6)
        words = chance.choices(SPORT, k=sport) + chance.choices(MONEY, k=6 - sport)
        words += chance.choices(FILLER, k=4)
        chance.shuffle(words)
        rating = round(1 + 0.65 * sport + chance.gauss(0, 0.2), 2)
        rows.append({"text": " ".join(words), "label": rating})
    return rows


@pytest.fixture(scope="module")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 rated rows."""
    return write_jsonl(tmp_path_factory.mktemp("rated") / "rows.jsonl", rated_rows(200))


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 more."""
    return write_jsonl(tmp_path_factory.mktemp("others") / "rows.jsonl", rated_rows(100, seed=1))


@pytest.fixture(scope="module")
def run(bert: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A run of ratings; not to be changed."""
    out = tmp_path_factory.mktemp("runs") / "rated"
    return tightfit.train(rows_file, model=str(bert), out=out, settings=RATED, progress=Progress())


def test_training_learns_and_says_so_in_scores_of_ratings(run: TrainResult) -> None:
    """No accuracy, no macro F1; the start is an R2, as is what the best step was chosen by."""
    told = run.to_json()
    assert {"mae", "rmse", "r2", "spearman", "start_r2"} <= set(told)
    assert not {"accuracy", "macro_f1", "start_accuracy"} & set(told)
    assert told["task"] == "rating"
    assert told["spearman"] > 0.6
    assert all(proof["ok"] for proof in told["proofs"].values())
    history = Run.load(run.run).history
    best = max(history, key=lambda row: float(row["eval_r2"]))
    assert best["step"] == run.best_step
    assert best["eval_r2"] == pytest.approx(told["r2"], abs=1e-4)


def test_a_training_of_few_rows_that_ran_away_keeps_its_start(bert: Path, tmp_path: Path) -> None:
    """Far from the mean, whatever a sign test of so few rows says."""
    own = ["train.folds=4", "head.kind=linear", "head.start=probe", "optim.lr=0.5"]
    options: dict[str, Any] = {"model": str(bert), "settings": [*RATED, *own], "progress": Notes()}
    result = tightfit.train(rated_rows(14), out=tmp_path / "run", **options)
    decisions = Run(result.run).decisions
    assert decisions.kept is not None
    assert decisions.kept.value == "start"


def test_the_start_is_scored_as_the_end(bert: Path, tmp_path: Path) -> None:
    """Against the mean of the validation rows, which here are far from the others."""
    said, rows = Notes(), rated_rows(100)
    rows.sort(key=lambda row: float(str(row["label"])))
    wild = [*RATED, "head.start=probe", "optim.lr=3", "optim.clip=0", "optim.warmup_steps=0"]
    asked: dict[str, Any] = {"model": str(bert), "settings": wild, "progress": said}
    told = tightfit.train(rows[:75], validation=rows[75:], out=tmp_path / "run", **asked)
    assert told.kept_start
    assert told.start == pytest.approx(told.scores["r2"], abs=1e-3)
    assert f"a linear probe with R2 {told.start:.3f} on" in str(said.warned)


def test_one_output_is_priced_and_saved(run: TrainResult) -> None:
    """A plan for ratings needs no number of labels."""
    plan = tightfit.plan("bert-base-uncased", settings=["data.task=rating"])
    assert plan.num_labels == 1
    assert Run.load(run.run).plan.head == 33
    with pytest.raises(UsageError, match="at least two labels"):
        tightfit.plan("bert-base-uncased", labels=1)


def test_answers_are_numbers_with_their_interval(run: TrainResult, others: Path) -> None:
    """As far to either side as the validation rows say; on other rows it covers what it should."""
    loaded = Run.load(run.run)
    found: Any = loaded.predict(["goal market", "the"])
    assert loaded.intervals is not None
    reach = loaded.intervals.value
    assert found.high - found.values == pytest.approx(np.full(2, reach))
    told = tightfit.evaluate(run.run, others, progress=Progress()).to_json()
    assert told["coverage"]["low"] < 0.95
    assert told["coverage"]["value"] > 0.7  # of 100 rows, by intervals from 20: a wide range
    assert set(told) == {"n", "mae", "rmse", "r2", "spearman", "coverage"}


def test_a_run_is_compared_with_another(run: TrainResult, others: Path) -> None:
    """Here with itself."""
    found = tightfit.evaluate(run.run, others, against=run.run, progress=Progress()).to_json()
    assert found["paired"]["difference"] == 0
    assert found["paired"]["test"] == "paired t"
    assert found["paired"]["p_value"] == 1


def test_answers_of_another_kind_are_told_before_any_is_computed(
    run: TrainResult, bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what both runs are."""
    rows = write_jsonl(tmp_path / "rows.jsonl", toy_rows(60))
    more: dict[str, Any] = {"max_steps": 1, "settings": SHORT, "progress": Progress()}
    other = tightfit.train(rows, model=str(bert), out=tmp_path / "run", **more).run
    monkeypatch.setattr(Run, "predictor", property(lambda _: pytest.fail("it predicts")))
    with pytest.raises(DataError, match=r"different kinds(.|\n)*data\.task=single in"):
        tightfit.evaluate(run.run, rows, against=other, progress=Progress())


def test_lines_and_columns_are_value_low_and_high(run: TrainResult, tmp_path: Path) -> None:
    """On standard output, in JSON and in a file alike."""
    (line,) = cli("predict", str(run.run), "--text", "goal market").stdout.splitlines()
    cells = list(map(float, line.split("\t")))
    answer = json.loads(cli("predict", str(run.run), "--text", "goal market", "--json").stdout)
    (first,) = answer["predictions"]
    assert [first[name] for name in ("value", "low", "high")] == pytest.approx(cells, abs=1e-6)
    out = tmp_path / "ratings.csv"
    tightfit.predict(run.run, ["goal market"], out, progress=Progress())
    head, row = out.read_text("utf-8").splitlines()
    assert head == "id,value,low,high"
    assert list(map(float, row.split(",")[1:])) == pytest.approx(cells, abs=1e-6)


def test_int8_that_costs_too_much_names_the_score(
    run: TrainResult, others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ratings have no accuracy to lose."""
    monkeypatch.setattr("tightfit.exporting.exporter.ACCURACY_LOSS", -1.0)
    with pytest.raises(ProofError, match="int8 costs too much R2 on these rows"):
        tightfit.export(run.run, "onnx-int8", tmp_path / "out", data=others, progress=Progress())


@pytest.mark.parametrize("form", ["merged", "onnx", "peft"])
def test_exports_answer_in_the_unit_of_the_ratings(
    run: TrainResult, others: Path, tmp_path: Path, form: str
) -> None:
    """Each by its own program, to the fifth digit."""
    out = tmp_path / form
    exported = tightfit.export(run.run, form, out, data=others, progress=Progress())
    assert exported.parity.max_abs_difference < 1e-5
    texts = [str(row["text"]) for row in rated_rows(3, seed=2)]
    said = [float(cells[0]) for cells in by_itself(out, texts)]
    found: Any = Run.load(run.run).predict(texts)
    assert said == pytest.approx(found.values, abs=1e-5)


def test_a_pipeline_of_transformers_gives_the_ratings(run: TrainResult, tmp_path: Path) -> None:
    """Its settings say that this is a regression."""
    out = tmp_path / "merged"
    tightfit.export(run.run, "merged", out, progress=Progress())
    settings = json.loads((out / "config.json").read_text("utf-8"))
    assert settings["problem_type"] == "regression"
    assert settings["id2label"] == {"0": "rating"}
    (found,) = transformers.pipeline("text-classification", str(out), device="cpu")("goal market")
    wanted: Any = Run.load(run.run).predict(["goal market"])
    assert found["score"] == pytest.approx(wanted.values[0], abs=1e-5)


def test_the_page_shows_predicted_by_given(run: TrainResult) -> None:
    """And the rows that are furthest off."""
    page = (Path(run.run) / "report.html").read_text("utf-8")
    assert "Predicted by given" in page
    assert "Its largest errors" in page
    assert "Every prediction comes with an interval" in page
    assert "accuracy" not in page.lower().replace("<dd>accuracy</dd>", "")  # a setting's value


def test_a_run_is_audited_and_listed(run: TrainResult) -> None:
    """With the score of ratings."""
    assert tightfit.audit(run.run).verdict.startswith("alive")
    (listed,) = tightfit.runs(Path(run.run).parent)
    assert listed.score is not None
    assert listed.score.name == "spearman"
    assert f"the score is Spearman in {run.run}" in cli("runs", str(run.run)).stdout.replace(
        "\n", ""
    )


def test_few_rows_are_scored_by_trainings_without_them(bert: Path, tmp_path: Path) -> None:
    """The ridge that training starts from is kept where training is no gain."""
    rows = write_jsonl(tmp_path / "few.jsonl", rated_rows(40))
    more = ["head.kind=linear", "head.start=probe", "train.folds=2"]
    settings = [each for each in RATED if each != "train.folds=0"] + more
    out = tmp_path / "few"
    found = tightfit.train(rows, model=str(bert), out=out, settings=settings, progress=Progress())
    assert found.source == "cross_validation"
    spearman = found.scores["spearman"]
    assert spearman is not None
    assert spearman > 0.5
    intervals = Run.load(found.run).intervals
    assert intervals is not None
    assert intervals.rows == 40
