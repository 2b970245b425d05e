"""A comparison: the same rows in every cell, finished cells kept, and words for what is missing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import tightfit
from tests.fixtures import Encoders
from tests.toy_setups import Notes
from tests.toys import toy_rows
from tightfit import Comparison, TrainResult
from tightfit.config import load_config
from tightfit.errors import BudgetError, Interrupted, ProofError, SettingsError, UsageError
from tightfit.experiments.cells import BASELINES, RECIPES, Row, configs_of
from tightfit.metrics.interval import Interval
from tightfit.progress import Progress
from tightfit.storage import RunFolder
from tightfit.verbs import comparison, run_training
from tightfit.verbs.forecast import forecast
from tightfit.verbs.origin import ReadRequest

NAMES = [
    *("majority class", "tf-idf + logistic regression", "mean embeddings + logistic regression"),
    *("head-only", "tight", "paper", "VeRA", "IA3", "bias tuning", "full fine-tuning"),
]
SHORT = [
    *("data.max_length=32", "train.precision=fp32", "optim.lr=1e-2"),
    *("adapters.rank=2", "data.validation_rows=0.25", "head.side=off"),
    "train.folds=0",
]


def run(encoder: Path, rows: Any, out: Path, *settings: str, **more: Any) -> Comparison:
    """A comparison of trainings of six steps."""
    options = {"max_steps": 6, "progress": Progress(), **more}
    return tightfit.compare(
        rows, model=str(encoder), out=out, settings=[*SHORT, *settings], **options
    )


def train_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training that a comparison begins is left out: no seconds are spent on it."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ProofError("begun")

    monkeypatch.setattr(comparison, "run_training", refuse)


@pytest.fixture(scope="module")
def compared(bert: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """All rows on the toy encoder; not to be changed."""
    return run(bert, rows_file, tmp_path_factory.mktemp("compared") / "all")


@pytest.fixture
def copied(compared: Comparison, tmp_path: Path) -> Path:
    """A copy of that comparison's folder."""
    return Path(shutil.copytree(compared.folder, tmp_path / "copied"))


def test_the_rows_are_those_of_the_contract(compared: Comparison) -> None:
    """Every baseline and recipe, in order, under the fixed keys; nothing is left out."""
    told = compared.to_json()
    assert [row["name"] for row in told["rows"]] == NAMES
    keys = ["name", "trainable", "accuracy", "macro_f1", "seconds", "bytes"]
    for row in told["rows"]:
        assert list(row) == keys
        assert row["accuracy"]["low"] <= row["accuracy"]["value"] <= row["accuracy"]["high"]
        assert row["macro_f1"]["low"] <= row["macro_f1"]["value"] <= row["macro_f1"]["high"]
        assert row["seconds"] > 0
        assert row["bytes"] > 0
    assert told["left_out"] == {}
    json.dumps(told, allow_nan=False)


def test_what_is_for_lora_stays_with_lora() -> None:
    """Where the others have no matrices, it is neither a contradiction nor in their fingerprint."""
    words = ["budget.allocation=importance", "adapters.init=eva", "optim.lora_plus=4"]
    for cell in RECIPES:
        config = load_config(cell.recipe, [*words, *cell.settings])
        assert (config.budget.allocation == "importance") == (cell.name == "tight")
        of_lora = cell.name in ("tight", "paper")
        assert (config.adapters.init, config.optim.lora_plus) == (
            ("eva", 4) if of_lora else ("kaiming", 1)
        )


@pytest.mark.parametrize("folds", ["auto", 3])
def test_few_rows_are_shared_out_alike(folds: object) -> None:
    """Where none is held out, each cell is cross-validated, the published recipe too."""
    given = {"train.folds": folds}
    found = configs_of(RECIPES, given, load_config("tight", given))
    assert {config.train.folds for config in found.values()} == {None if folds == "auto" else 3}


def test_what_trains_is_counted(compared: Comparison) -> None:
    """The head alone, adapters more, all weights most; the majority class knows nothing."""
    trainable = {row.name: row.trainable for row in compared.rows}
    assert trainable["majority class"] == 0
    # 32 inputs and a bias for each of two labels.
    assert trainable["head-only"] == 66
    assert 66 < trainable["paper"] < trainable["tight"] < trainable["full fine-tuning"]
    assert trainable["bias tuning"] == 66 + 2 * (4 * 32 + 64)
    assert trainable["IA3"] == 66 + 2 * (5 * 32 + 64)


def test_baselines_score_as_counted_by_hand(compared: Comparison) -> None:
    """Half of the 30 validation rows have either label; words tell the toy labels apart."""
    scores = {row.name: row.accuracy.value for row in compared.rows}
    assert compared.validation_rows == 30
    assert scores["majority class"] == 0.5
    assert scores["tf-idf + logistic regression"] > 0.9


def test_all_trainings_share_rows_and_seed(compared: Comparison) -> None:
    """Their run folders say so; the recipes of their own would have held out other rows."""
    folders = sorted((compared.folder / "runs").iterdir())
    assert len(folders) == 7
    facts = [json.loads(RunFolder(each).data.read_text()) for each in folders]
    for key in ("train_fingerprint", "validation_fingerprint"):
        assert len({fact[key] for fact in facts}) == 1


def test_a_row_is_what_its_run_says(compared: Comparison) -> None:
    """Accuracy, time and size of the sealed artefact."""
    (folder,) = (compared.folder / "runs").glob("tight-*")
    row = next(row for row in compared.rows if row.name == "tight")
    metrics = json.loads(RunFolder(folder).metrics.read_text())
    assert compared.runs["tight"] == folder
    assert row.accuracy.to_json() == metrics["validation"]["accuracy"]
    assert row.seconds == metrics["train"]["seconds"]
    manifest = json.loads(RunFolder(folder).manifest.read_text())
    sizes = {f["path"]: f["bytes"] for f in manifest["files"]}
    assert row.bytes == sum(n for path, n in sizes.items() if path.startswith("adapter/"))


def test_the_best_of_the_runs(compared: Comparison) -> None:
    """By the first score, of an error by the least; a baseline is no run."""
    trained = [row for row in compared.rows if row.name in compared.runs]
    assert len(trained) == len(compared.rows) - len(BASELINES)
    assert compared.best in compared.runs
    value = next(row.accuracy.value for row in trained if row.name == compared.best)
    assert value == max(row.accuracy.value for row in trained)
    half, most = (Row("x", 1, {"mae": Interval(x, x, x)}, 1.0, 1) for x in (0.5, 0.9))
    assert half.merit > most.merit
    assert replace(compared, rows=compared.rows[:1]).best is None


def test_the_table_is_kept(compared: Comparison) -> None:
    """As the same JSON, and as Markdown with every name."""
    kept = json.loads((compared.folder / "comparison.json").read_text())
    assert kept == compared.to_json()
    page = (compared.folder / "comparison.md").read_text()
    assert page.startswith("|  | trainable | accuracy (95% interval) |")
    assert all(f"| {name} |" in page for name in NAMES)
    assert f"scored on the same {compared.validation_rows:,} validation rows." in page


def test_finished_cells_are_not_computed_again(
    compared: Comparison, copied: Path, bert: Path, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing left to train with, the same command gives the same rows."""
    for name in ("run_training", "run_baseline"):
        monkeypatch.delattr(f"tightfit.verbs.comparison.{name}")
    notes = Notes()
    again = run(bert, rows_file, copied, progress=notes)
    assert again.rows == compared.rows
    assert "10 of 10: full fine-tuning was finished before" in notes.said


def test_other_settings_are_other_cells(
    copied: Path, bert: Path, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what does not depend on them is kept: the baselines."""
    train_nothing(monkeypatch)
    notes = Notes()
    found = run(bert, rows_file, copied, "optim.lr=1e-3", progress=notes)
    assert found.left_out == dict.fromkeys(NAMES[3:], "begun")
    kept = [said for said in notes.said if said.endswith("was finished before")]
    assert kept == [
        "1 of 10: majority class was finished before",
        "2 of 10: tf-idf + logistic regression was finished before",
        "3 of 10: mean embeddings + logistic regression was finished before",
    ]


@pytest.mark.parametrize("setting", ["data.max_length=4", "model.prefix=stock market"])
def test_embeddings_of_other_tokens_are_another_cell(
    setting: str, bert: Path, copied: Path, rows_file: Path, tmp_path: Path
) -> None:
    """As in a folder that has none yet."""
    again, anew = (
        run(bert, rows_file, folder, setting, only=[NAMES[2]])
        for folder in (copied, tmp_path / "anew")
    )
    assert {row.name: row.scores for row in again.rows}[NAMES[2]] == anew.rows[0].scores


def test_a_damaged_row_is_computed_again(
    compared: Comparison, copied: Path, bert: Path, rows_file: Path
) -> None:
    """From its run, which is whole; and a warning says which."""
    (path,) = (copied / "cells").glob("tight-*")
    path.write_text(path.read_text().replace("trainable", "trained"))
    notes = Notes()
    again = run(bert, rows_file, copied, progress=notes)
    assert again.rows == compared.rows
    assert any("is damaged; tight is computed again" in warned for warned in notes.warned)


def test_an_interrupt_keeps_what_is_finished(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words tell how to go on, and going on starts with the cell that was cut short."""

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    out, only = tmp_path / "stopped", ["majority class", "tight"]
    with monkeypatch.context() as patch:
        patch.setattr("tightfit.verbs.comparison.run_training", stop)
        with pytest.raises(Interrupted, match=f"with out='{out}' to go on") as caught:
            run(bert, rows_file, out, only=only)
    assert caught.value.exit_code == 130
    assert "majority class" in (out / "comparison.md").read_text()
    assert [row.name for row in run(bert, rows_file, out, only=only).rows] == only


def test_a_stopped_training_goes_on_from_its_checkpoint(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each cell is trained with resume, in a folder of its own."""
    seen: list[dict[str, Any]] = []

    def look(_: Any, path: Path, **options: Any) -> None:
        seen.append({"path": path, **options})
        raise Interrupted("stopped", signal_number=15, next_step="resume")

    monkeypatch.setattr("tightfit.verbs.comparison.run_training", look)
    with pytest.raises(Interrupted) as caught:
        run(bert, rows_file, tmp_path / "stopped")
    assert caught.value.exit_code == 143
    assert seen[0]["resume"] is True
    assert seen[0]["path"].parent == tmp_path / "stopped" / "runs"


def test_an_ablation_replaces_the_baselines(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """The recipe as it is, then a row for each value, each with what it trains."""
    ablate = ["rank=1,4", "targets=query,query+value"]
    found = run(bert, rows_file, tmp_path / "a", ablate=ablate, max_steps=3)
    trainable = {row.name: row.trainable for row in found.rows}
    assert list(trainable) == ["tight", "rank=1", "rank=4", "targets=query", "targets=query+value"]
    assert (trainable["rank=1"] - 66) * 4 == trainable["rank=4"] - 66
    assert (trainable["targets=query"] - 66) * 2 == trainable["targets=query+value"] - 66


def test_what_does_not_fit_under_the_cap_is_named(
    bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """With the excess; the rest is compared."""
    found = run(bert, rows_file, tmp_path / "a", ablate=["rank=1,16"], budget=2500, max_steps=3)
    assert [row.name for row in found.rows] == ["tight", "rank=1"]
    assert "more than the cap allows" in found.left_out["rank=16"]
    assert "Left out: rank=16: " in (found.folder / "comparison.md").read_text()


@pytest.mark.parametrize(
    ("family", "lacks"),
    [
        ("modernbert", {"bias tuning": "the method bias does not go with 0 vectors"}),
        (
            "albert",
            {NAMES[2]: "albert has blocks that only transformers computes"},
        ),
    ],
)
def test_what_the_model_lacks_is_named(
    family: str, lacks: dict[str, str], encoders: Encoders, rows_file: Path, tmp_path: Path
) -> None:
    """ModernBERT has no biases to tune, ALBERT no means of ours; everything else is compared."""
    found = run(encoders(family), rows_file, tmp_path / "a", "optim.lr=1e-3", max_steps=1)
    assert found.left_out == lacks
    assert [row.name for row in found.rows] == [n for n in NAMES if n not in lacks]


def test_a_training_that_diverges_is_left_out(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason; the rest is compared."""
    real = run_training.run_training

    def wild(read: ReadRequest, *given: Any, **more: Any) -> TrainResult:
        if read.request.config.optim.lr > 1:
            raise ProofError("worse than its start")
        return real(read, *given, **more)

    monkeypatch.setattr(comparison, "run_training", wild)
    found = run(bert, rows_file, tmp_path / "a", ablate=["lr=1e-3,30"], max_steps=2)
    assert [row.name for row in found.rows] == ["tight", "lr=1e-3"]
    assert found.left_out == {"lr=30": "worse than its start"}


def test_a_value_that_does_not_suit_the_model_is_a_mistake(
    bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """Before anything is trained, with what would be allowed."""
    with pytest.raises(SettingsError, match="fewer layers") as caught:
        run(bert, rows_file, tmp_path / "a", ablate=["layers=1,3"])
    assert "1 to 2, or all" in str(caught.value)
    assert not (tmp_path / "a").exists()


def test_nothing_is_compared_where_the_recipe_does_not_fit(
    bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """There would be nothing to compare with; and nothing is written."""
    with pytest.raises(BudgetError, match="a cap of 36 for the head alone"):
        run(bert, rows_file, tmp_path / "a", budget=60)
    assert not (tmp_path / "a").exists()


def test_what_does_not_fit_into_the_time_is_named(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forecast of an hour is too long for a minute; more time, and the cell is made."""
    out, real, only = tmp_path / "a", forecast, [*NAMES[:1], *NAMES[-2:]]

    class Hour:
        minutes = 60.0

    def slow(read: ReadRequest, progress: Progress) -> Any:
        return Hour() if read.request.config.recipe == "full" else real(read, progress)

    monkeypatch.setattr("tightfit.verbs.comparison.forecast", slow)
    found = run(bert, rows_file, out, minutes=2, only=only)
    assert [row.name for row in found.rows] == only[:-1]
    assert found.left_out["full fine-tuning"].startswith("it would take about 60 minutes, and ")
    assert [row.name for row in run(bert, rows_file, out, minutes=100, only=only).rows] == only


def test_the_recipe_itself_is_cut_to_fit_rather_than_left_out(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what the others are compared with; with more time it is trained whole."""

    class Hour:
        minutes = 60.0

    monkeypatch.setattr("tightfit.verbs.comparison.forecast", lambda *_: Hour())
    notes, only = Notes(), {"only": ["tight", "paper"]}
    found = run(bert, rows_file, tmp_path / "a", minutes=3, progress=notes, **only)
    assert [row.name for row in found.rows] == ["tight"]
    assert "5 of 10: tight, cut to fit: it would take about 60 minutes" in str(notes.said)
    notes.said.clear()
    run(bert, rows_file, tmp_path / "a", progress=notes, **only)
    assert not [said for said in notes.said if said.startswith("5 of 10: tight was finished")]


def test_only_what_was_asked_for(
    bert: Path, rows_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row; another beside it later; all, without the first two anew."""
    out, notes = tmp_path / "a", Notes()
    found = run(bert, rows_file, out, only=["BIAS tuning"])
    assert [row.name for row in found.rows] == ["bias tuning"]
    found = run(bert, rows_file, out, only=["major"])
    assert [row.name for row in found.rows] == ["majority class", "bias tuning"]
    train_nothing(monkeypatch)
    again = run(bert, rows_file, out, progress=notes)
    assert [row.name for row in again.rows] == [*NAMES[:3], "bias tuning"]
    assert list(again.left_out) == [n for n in NAMES[3:] if n != "bias tuning"]
    assert "9 of 10: bias tuning was finished before" in notes.said
    assert again.rows[3] == found.rows[1]


def test_a_row_that_there_is_not(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """Refused before anything is read or written, with what was meant; and so is what fits two."""
    with pytest.raises(UsageError, match="no such row"):
        run(bert, rows_file, tmp_path / "a", only=["m"])
    with pytest.raises(UsageError, match="no such row") as caught:
        run(bert, rows_file, tmp_path / "a", only=["tihgt"])
    assert "did you mean 'tight'?" in str(caught.value)
    assert "majority class, tf-idf" in str(caught.value)
    assert not (tmp_path / "a").exists()


def test_no_time_at_all(bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """Everything is named, the empty table is written, and said to be empty."""
    notes = Notes()
    found = run(bert, rows_file, tmp_path / "a", minutes=1e-6, progress=notes)
    assert "no row was finished, so that the table is empty" in notes.warned[-1]
    assert found.rows == ()
    assert found.left_out == dict.fromkeys(NAMES, "no time was left")


@pytest.mark.parametrize(
    ("ablation", "words"),
    [
        ("rnak=1,2", "did you mean 'rank'"),
        ("optim.rank=1", "did you mean 'rank'"),
        ("learning_rate=1e-3,1e-4", "did you mean 'optim.lr'"),
        ("rank", "write it like ablate='rank=1,2,4'"),
        ("rank=1,,2", "allowed: key=v1,v2"),
        ("seed=1,2", "settings={'seed': …}"),
        ("data.split=random,last", "settings={'data.split': …}"),
        ("rank=one", "adapters.rank = 'one'"),
    ],
)
def test_mistaken_ablations(
    bert: Path, rows_file: Path, tmp_path: Path, ablation: str, words: str
) -> None:
    """Refused before anything is read or written, with what was meant."""
    with pytest.raises(SettingsError) as caught:
        run(bert, rows_file, tmp_path / "a", ablate=[ablation])
    assert words in str(caught.value)
    assert not (tmp_path / "a").exists()


def test_a_folder_of_something_else_is_left_alone(
    bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """Whether a file or a folder."""
    (tmp_path / "notes.txt").write_text("mine")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UsageError, match="not the folder of a comparison"):
            run(bert, rows_file, path)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]


def test_warnings_are_not_repeated(bert: Path, tmp_path: Path) -> None:
    """Three trainings see the same fault of the rows, and one warning tells of it."""
    rows = [*toy_rows(40), *toy_rows(40)]
    notes = Notes()
    data = {"text": [r["text"] for r in rows], "label": [r["label"] for r in rows]}
    only = ["majority class", "head-only", "tight", "full fine-tuning"]
    run(bert, pd.DataFrame(data), tmp_path / "a", progress=notes, max_steps=1, only=only)
    assert notes.warned
    assert len(notes.warned) == len(set(notes.warned))


def test_encoders_stand_side_by_side(encoders: Encoders, rows_file: Path, tmp_path: Path) -> None:
    """All rows are with the one that was chosen, but for a row for each of the others."""
    models = [str(encoders(family)) for family in ("bert", "roberta")]
    only = ["tight", "tight, bert", "tight, roberta"]
    asked: Any = {"model": models, "only": only, "settings": SHORT, "max_steps": 2}
    found = tightfit.compare(rows_file, out=tmp_path / "both", progress=Progress(), **asked)
    tight, other = (row.name for row in found.rows)
    assert (tight, other in only[1:]) == ("tight", True)
    runs = [tightfit.Run.open(run) for run in sorted((found.folder / "runs").iterdir())]
    assert sorted(run.base.name for run in runs) == models
