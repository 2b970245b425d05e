"""``--cascade``: made from the very rows of a run, used by predict, put beside an export."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

import tightfit
from tests.command import cli
from tests.toy_setups import SHORT, Notes
from tests.toys import toy_rows, write_jsonl
from tightfit import storage
from tightfit.cascade.two_stage import ARRAYS_FILE, FACTS_FILE, read_cascade, write_cascade
from tightfit.errors import ArtefactError, DataError, ProofError, UsageError
from tightfit.progress import Progress

QUIET = Progress()


@pytest.fixture(scope="module")
def home(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with 200 validation rows, the rows, and its cascade."""
    home = tmp_path_factory.mktemp("cascades")
    write_jsonl(home / "train.jsonl", toy_rows(2000))
    settings = [*SHORT, "data.validation_rows=200", "optim.lr=2e-2"]
    tightfit.train(
        home / "train.jsonl",
        model=str(bert),
        limit=300,
        out=home / "run",
        settings=settings,
        progress=QUIET,
    )
    tightfit.make_cascade(home / "run", max_loss=0.05, progress=QUIET)
    return home


def copy(home: Path, to: Path) -> Path:
    """A run of one's own to spoil."""
    shutil.copytree(home / "run", to)
    return to


def ask_more(run: Path, texts: list[str]) -> None:
    """Raise the threshold so that half of these texts are left to the encoder."""
    place = run / "derived" / "cascade"
    found = read_cascade(place)
    assert found is not None
    sure = softmax(found.linear.logits(texts), axis=1).max(axis=1)
    write_cascade(place, dataclasses.replace(found, threshold=float(np.median(sure))))


def files(folder: Path) -> dict[str, bytes]:
    """All files of a run but the derived ones."""
    found = (path for path in folder.rglob("*") if path.is_file() and "derived" not in path.parts)
    return {str(path): path.read_bytes() for path in found}


def test_the_run_stays_as_it_is(home: Path) -> None:
    """What is made lies in derived/, and making it again gives the same bytes."""
    before, place = files(home / "run"), home / "run" / "derived" / "cascade"
    first = {path.name: path.read_bytes() for path in place.iterdir()}
    made = tightfit.make_cascade(home / "run", max_loss=0.05, progress=QUIET)
    assert made.out == place
    assert {path.name: path.read_bytes() for path in place.iterdir()} == first
    assert files(home / "run") == before
    assert storage.open_run(home / "run")


def test_the_linear_model_never_sees_the_validation_rows(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given 300 rows, and none of those that are held out."""
    from tightfit.cascade.ngrams import NGramModel

    seen: list[list[str]] = []
    fit = NGramModel.fit

    def watched(texts: list[str], *rest: Any) -> NGramModel:
        seen.append(texts)
        return fit(texts, *rest)

    monkeypatch.setattr(NGramModel, "fit", watched)
    tightfit.make_cascade(home / "run", max_loss=0.05, progress=QUIET)
    facts = storage.read_json(home / "run" / "data.json")
    assert [len(texts) for texts in seen] == [facts["train_rows"]] == [300]


def test_predictions_are_those_of_texts_in_memory(home: Path, tmp_path: Path) -> None:
    """In a file, in the order of the rows, with probabilities and a count of the quick answers."""
    texts = [*(row["text"] for row in toy_rows(3000, seed=5)), "", "nothing known"]
    data = pd.DataFrame({"text": texts})
    ours = copy(home, tmp_path / "run")
    ask_more(ours, texts)
    found = tightfit.predict(
        ours, data, tmp_path / "p.csv", cascade=True, probabilities=True, progress=QUIET
    )
    run = tightfit.Run.load(ours).with_cascade()
    wanted = run.predict(texts)
    told = pd.read_csv(tmp_path / "p.csv")
    assert told["label"].tolist() == wanted.labels
    assert np.allclose(told.iloc[:, 3:].to_numpy(), wanted.probabilities, atol=1e-6)
    assert 0 < found.by_linear == wanted.by_linear < len(texts)


def test_a_killed_prediction_goes_on_only_as_the_same_job(home: Path, tmp_path: Path) -> None:
    """Chunks made without the cascade are not taken for chunks made with it."""
    from tightfit.batch_predict.prediction_checkpoint import PredictionCheckpoint
    from tightfit.verbs import predict

    run = tightfit.Run.load(home / "run")
    plain, both = (predict._job(each, "torch") for each in (run, run.with_cascade()))
    journal = PredictionCheckpoint(tmp_path / "done", run.task, both)
    journal.write(0, ["a"], run.with_cascade().predict(["goal match team"]))
    again = PredictionCheckpoint(tmp_path / "done", run.task, both).read(0, ["a"])
    assert again is not None
    assert again.by_linear == 1
    assert PredictionCheckpoint(tmp_path / "done", run.task, plain).read(0, ["a"]) is None


def test_an_export_has_it_beside_the_model(home: Path, tmp_path: Path) -> None:
    """The same bytes as in the run."""
    found = tightfit.export(home / "run", "merged", tmp_path / "m", cascade=True, progress=QUIET)
    assert {f"cascade/{FACTS_FILE}", f"cascade/{ARRAYS_FILE}"} < set(found.files)
    for name in (FACTS_FILE, ARRAYS_FILE):
        ours = home / "run" / "derived" / "cascade" / name
        assert (tmp_path / "m" / "cascade" / name).read_bytes() == ours.read_bytes()


def test_the_page_about_the_run_tells_it(home: Path, tmp_path: Path) -> None:
    """A section with the figures; the page of a run without a cascade has none."""
    figures = tightfit.make_cascade(home / "run", max_loss=0.05, progress=QUIET).to_json()
    page = tightfit.report(home / "run", out=tmp_path / "page.html").read_text("utf-8")
    told = page[page.index('<section id="cascade">') :]
    assert f"answers {100 * figures['share']:.1f}% of texts" in told
    assert f"{100 * figures['chosen_on']['loss_bound']:.2f} points of accuracy" in told
    assert f"it loses {figures['chosen_on']['lost']} that the encoder gets right" in told
    shutil.rmtree(copy(home, tmp_path / "run") / "derived" / "cascade")
    page = tightfit.report(tmp_path / "run", out=tmp_path / "page.html").read_text("utf-8")
    assert 'id="cascade"' not in page


# --- refusals ----------------------------------------------------------------------------------


def test_rows_that_changed_are_refused(home: Path, bert: Path, tmp_path: Path) -> None:
    """Another row, fewer rows, no file; where they are now can be said."""
    rows = toy_rows(2000)
    run = copy(home, tmp_path / "run")
    other = write_jsonl(tmp_path / "other.jsonl", [*rows[:-1], {"text": "x", "label": "sport"}])
    with pytest.raises(DataError, match="rows are not those of the run") as caught:
        tightfit.make_cascade(run, data=other, max_loss=0.05, progress=QUIET)
    assert caught.value.exit_code == 4
    with pytest.raises(DataError, match=r"cannot be read: no such file") as caught:
        tightfit.make_cascade(run, data=tmp_path / "gone.jsonl", progress=QUIET)
    assert "training_rows" in str(caught.value)
    moved = write_jsonl(tmp_path / "moved.jsonl", rows)
    tightfit.make_cascade(run, data=moved, max_loss=0.05, progress=QUIET)


def test_separate_validation_rows(bert: Path, tmp_path: Path) -> None:
    """They are read from where they were, or from where they are now."""
    train = write_jsonl(tmp_path / "train.jsonl", toy_rows(200))
    held = write_jsonl(tmp_path / "held.jsonl", toy_rows(200, seed=1))
    settings = [*SHORT, "optim.epochs=1"]
    options: dict[str, Any] = {"model": str(bert), "settings": settings, "progress": QUIET}
    tightfit.train(train, validation=held, out=tmp_path / "run", **options)
    assert tightfit.make_cascade(tmp_path / "run", max_loss=0.2, progress=QUIET)
    held.rename(tmp_path / "moved.jsonl")
    with pytest.raises(DataError, match="no such file"):
        tightfit.make_cascade(tmp_path / "run", max_loss=0.2, progress=QUIET)
    moved = tmp_path / "moved.jsonl"
    assert tightfit.make_cascade(tmp_path / "run", validation=moved, max_loss=0.2, progress=QUIET)


def test_what_cannot_be_shown_leaves_nothing(home: Path, tmp_path: Path) -> None:
    """200 rows cannot show a loss of 0.3%; what was made before stays."""
    run = copy(home, tmp_path / "run")
    before = (run / "derived" / "cascade" / FACTS_FILE).read_bytes()
    with pytest.raises(ProofError, match="200 validation rows cannot show"):
        tightfit.make_cascade(run, progress=QUIET)
    assert (run / "derived" / "cascade" / FACTS_FILE).read_bytes() == before


def test_faults_of_the_run(home: Path, tmp_path: Path) -> None:
    """No cascade, a damaged one, none that can be made."""
    run = copy(home, tmp_path / "run")
    with pytest.raises(UsageError, match="exclude each other"):
        tightfit.Run.load(run, max_error=0.5).with_cascade()
    (run / "derived" / "cascade" / ARRAYS_FILE).write_bytes(b"")
    with pytest.raises(ArtefactError, match="linear model of the cascade has changed"):
        tightfit.Run.load(run).with_cascade()
    shutil.rmtree(run / "derived" / "cascade")
    with pytest.raises(UsageError, match="has no cascade yet") as caught:
        tightfit.predict(run, "sample", tmp_path / "p.csv", cascade=True, progress=QUIET)
    assert "tightfit export" in str(caught.value)


def test_the_cascade_of_another_run_is_refused(home: Path, bert: Path, tmp_path: Path) -> None:
    """Its threshold was shown for another encoder."""
    settings = [*SHORT, "optim.epochs=1", "seed=7"]
    options: dict[str, Any] = {"model": str(bert), "settings": settings, "progress": QUIET}
    tightfit.train(home / "train.jsonl", limit=40, out=tmp_path / "run", **options)
    shutil.copytree(home / "run" / "derived" / "cascade", tmp_path / "run" / "derived" / "cascade")
    with pytest.raises(ArtefactError, match="was made for another run") as caught:
        tightfit.Run.load(tmp_path / "run").with_cascade()
    assert caught.value.exit_code == 8


# --- the command line --------------------------------------------------------------------------


def test_the_verb_makes_one(home: Path) -> None:
    """Figures as one object, or as a table."""
    words = ["export", str(home / "run"), "--cascade", "--max-loss", "0.05"]
    found = cli(*words, "--json")
    assert found.exit_code == 0, found.stderr
    said = json.loads(found.stdout)
    assert list(said) == ["out", "share", "max_loss", "confidence", "accuracy", "chosen_on"]
    told = cli(*words)
    assert told.exit_code == 0, told.stderr
    assert f"{said['share']:.1%}" in told.stdout
    assert "sure to lose at most" in told.stdout


def test_the_verb_predicts_with_it(home: Path, tmp_path: Path) -> None:
    """A file, and a text."""
    data = str(write_jsonl(tmp_path / "rows.jsonl", toy_rows(50, seed=3)))
    words = ["predict", str(home / "run"), "--cascade"]
    found = cli(*words, "--data", data, "--out", str(tmp_path / "p.csv"), "--json")
    said = json.loads(found.stdout)
    assert said["rows"] == 50
    assert f"the linear model answered {said['by_linear']} of them" in found.stderr
    assert "sport" in cli(*words, "--text", "goal match team coach").stdout


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("", "there is nothing to export"),
        ("--format onnx", "--format needs --out"),
        ("--cascade --out x", "--out needs --format"),
        ("--format onnx --out x --max-loss 0.1", "--max-loss needs --cascade"),
        ("--format onnx --out x --training-rows y", "--training-rows needs --cascade"),
        ("--cascade --max-loss 0", "max_loss and confidence must lie between 0 and 1"),
    ],
)
def test_options_that_lack_another(words: str, problem: str, home: Path) -> None:
    """Exit code 2, and what is missing."""
    found = cli("export", str(home / "run"), *words.split())
    assert found.exit_code == 2
    assert problem in " ".join(found.stderr.split())


def test_who_made_it_is_told(home: Path) -> None:
    """How many rows the linear model learns from."""
    progress = Notes()
    tightfit.make_cascade(home / "run", max_loss=0.05, progress=progress)
    assert progress.said == ["training a linear model on 300 rows"]
