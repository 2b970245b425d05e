"""The one reader of a run: lazy, light, typed, and with one search for the base model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.exports import NAMES, toy_run, toy_texts, wide_encoder
from tests.reports import scores_of
from tightfit import Run, TrainResult, evaluate, export, predict, storage
from tightfit.errors import ArtefactError, DataError, UsageError
from tightfit.extras import available
from tightfit.progress import Progress

HEAVY = {"torch", "transformers", "peft", "accelerate"}

LOOK = """
import sys
from tightfit.run import Run
run = Run.open(sys.argv[1])
run.metrics, run.labels, run.task, run.plan, run.data, run.history, run.proofs, run.decisions
run.manifest
run.validation, run.calibration, run.temperature, run.base, run.artefact, run.evaluations, repr(run)
print(*sys.modules)
"""

with_onnx = pytest.mark.skipif(
    not (available("onnx") and available("onnxruntime")), reason="onnx is an extra"
)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose base was named by a folder relative to where it was made."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        toy_run(wide_encoder(Path("base")), Path("run"))
    assert storage.read_manifest(storage.RunFolder(home / "run")).base["name"] == "base"
    return home / "run"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another working folder, with a file of texts."""
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": each}) + "\n" for each in toy_texts()), "utf-8")
    return rows


def test_a_look_at_a_run_loads_nothing_heavy(finished: TrainResult) -> None:
    """Its scores, labels and base are told without waiting for torch."""
    command = [sys.executable, "-c", LOOK, str(finished.run)]
    told = subprocess.run(command, capture_output=True, check=True)
    assert not HEAVY & set(told.stdout.decode().split())


def test_the_base_is_found_from_another_folder(moved: Path, elsewhere: Path) -> None:
    """One search serves all: what predicts from here exports from here."""
    run = Run.load(moved)
    assert run.base.folder == moved.parent / "base"
    assert len(run.predict(toy_texts())) == 40
    made = export(moved, "merged", elsewhere.parent / "merged", progress=Progress())
    assert made.parity.agreement == 1.0


@with_onnx
def test_an_engine_finds_the_base_from_another_folder(moved: Path, elsewhere: Path) -> None:
    """It makes its graph of the same base."""
    files = [elsewhere.parent / name for name in ("torch.csv", "onnx.csv")]
    predict(moved, elsewhere, files[0], progress=Progress())
    found = predict(moved, elsewhere, files[1], engine="onnx", progress=Progress())
    assert found.engine == "onnx"
    ours, theirs = (pd.read_csv(file)["confidence"] for file in files)
    np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_parts_are_read_once(finished: TrainResult, tmp_path: Path) -> None:
    """What was read stays, whatever becomes of the file; what was not asked for was not read."""
    run = Run.open(shutil.copytree(finished.run, tmp_path / "run"))
    labels, metrics = run.labels, run.metrics
    shutil.rmtree(run.path)
    assert (run.labels, run.metrics) == (labels, metrics)
    with pytest.raises(ArtefactError, match="a file is missing"):
        _ = run.plan


def test_a_result_is_taken_for_its_run(finished: TrainResult) -> None:
    """As a run is."""
    assert Run.load(finished).labels == Run.load(Run.open(finished.run)).labels


def test_to_open_is_to_check_every_byte(finished: TrainResult, tmp_path: Path) -> None:
    """And to load no model: a base that is gone shows when it is asked for, or at once by load."""
    copy = Path(shutil.copytree(finished.run, tmp_path / "run"))
    base = storage.read_manifest(storage.RunFolder(copy)).base
    run = Run.open(copy).with_parts(
        manifest=storage.Manifest(
            format=storage.FORMAT, files=[], versions={}, base={**base, "sha256": "0" * 64}
        )
    )
    with pytest.raises(ArtefactError, match="the base model has changed since the run was made"):
        run.predict(["goal"])
    (copy / "metrics.json").write_text("{}")
    for opened in (Run.open, Run.load):
        with pytest.raises(ArtefactError, match=r"changed: metrics\.json"):
            opened(copy)


def test_parts_are_typed_as_their_files_say(finished: TrainResult, rows_file: Path) -> None:
    """Every number of the files is there under its name."""
    run = Run.open(finished.run)
    data, metrics = (json.loads(path.read_text()) for path in (run.folder.data, run.folder.metrics))
    assert {name: getattr(run.metrics.train, name) for name in metrics["train"]} == metrics["train"]
    tokens, split = data.pop("tokens"), data.pop("split")
    assert run.data.split is not None
    assert asdict(run.data.split).items() >= split.items()
    lists = {name: list(getattr(run.data, name)) for name in ("warnings", "sources", "sentences")}
    assert {**vars(run.data), **lists}.items() >= data.items()
    assert run.data.tokens is not None
    assert run.data.tokens.max_length == tokens["max_length"]
    assert run.data.tokens.lengths is not None
    assert list(run.data.tokens.lengths.counts) == tokens["lengths"]["counts"]
    assert len(run.history) == len(run.folder.history.read_text().splitlines())


def test_evaluations_are_those_since_the_seal(
    finished: TrainResult, rows_file: Path, tmp_path: Path
) -> None:
    """With the scores that the verb gave."""
    # Other tests evaluate the run that they share.
    leave = shutil.ignore_patterns("evaluation-*")
    run = Path(shutil.copytree(finished.run, tmp_path / "run", ignore=leave))
    assert Run.open(run).evaluations == []
    scores = evaluate(run, rows_file, progress=Progress()).scores
    [found] = Run.open(run).evaluations
    assert (found.data, found.scores) == (str(rows_file), scores)


@pytest.mark.parametrize("name", ["data", "metrics"])
def test_files_of_another_form_are_damaged(
    finished: TrainResult, tmp_path: Path, name: str
) -> None:
    """Rather than a traceback somewhere else."""
    copy = Path(shutil.copytree(finished.run, tmp_path / "run"))
    saved = {"source": 1, "train": {}, "validation": {}}
    storage.write_json(copy / f"{name}.json", saved)
    with pytest.raises(ArtefactError, match=rf"{name}\.json is damaged"):
        getattr(Run(copy), name)


def test_a_run_stands_for_its_folder(
    finished: TrainResult, rows_file: Path, tmp_path: Path
) -> None:
    """Where a verb takes the path of one; predictions keep the options that it has."""
    run, quiet = Run.open(finished.run, thresholds={"money": 0.99}), Progress()
    assert evaluate(run, rows_file, progress=quiet) == evaluate(
        finished.run, rows_file, progress=quiet
    )
    told = predict(run, rows_file, tmp_path / "a.csv", progress=quiet).thresholds
    assert told == {"money": 0.99}
    told = predict(run, rows_file, tmp_path / "b.csv", thresholds={}, progress=quiet).thresholds
    assert told == {}
    with pytest.raises(UsageError, match="would replace an input"):
        predict(run, rows_file, finished.run / "validation.parquet", overwrite=True, progress=quiet)


def test_predict_without_a_file_to_write(finished: TrainResult) -> None:
    """Words, not a missing argument, and the call that gives answers."""
    with pytest.raises(UsageError, match=r"call Run.load\(run\).predict\(texts\)"):
        predict(finished.run, ["goal"])


def test_a_run_in_memory(finished: TrainResult) -> None:
    """It has the parts that it was given, and needs no folder for them."""
    read = Run.load(finished.run)
    names = ("config", "task", "plan", "metrics", "predictor")
    parts = {name: getattr(read, name) for name in names}
    run = Run(None, **parts)
    assert run.predict(["goal"]).ids == read.predict(["goal"]).ids
    assert "path=None" in repr(run)
    with pytest.raises(AssertionError, match="a run in memory"):
        _ = run.history


def test_a_run_shows_itself(finished: TrainResult, moved: Path) -> None:
    """In a line and in a notebook, with scores where there are any; names are escaped."""
    run = Run.open(finished.run)
    accuracy = scores_of(run).accuracy
    words = f"accuracy={accuracy.value:.1%} ({100 * accuracy.low:.1f} to {100 * accuracy.high:.1f})"
    assert repr(run).startswith(f"Run(path={finished.run}, labels=")
    assert words in repr(run)
    assert repr(run).endswith(f"parameters={run.plan.total:,})")
    assert "accuracy" not in repr(Run.open(moved))
    page = Run.open(moved)._repr_html_()
    assert NAMES[1] not in page
    assert "sport &quot;x&quot;" in page


def test_results_show_themselves(finished: TrainResult, rows_file: Path, tmp_path: Path) -> None:
    """Plain attributes, and one line of what matters."""
    copy = Path(shutil.copytree(finished.run, tmp_path / "run"))
    found = evaluate(copy, rows_file, progress=Progress())
    assert found.accuracy == found.scores.accuracy
    assert repr(found).startswith(f"Evaluation(rows={found.scores.n}, accuracy=")
    written = predict(copy, rows_file, tmp_path / "p.csv", progress=Progress())
    assert repr(written) == f"PredictResult(out={written.out}, rows={written.rows}, engine=torch)"


@pytest.mark.parametrize("texts", [["goal", None], pd.DataFrame({"text": ["goal", None]})])
def test_a_missing_text_is_mended_by_who_calls(finished: TrainResult, texts: Any) -> None:
    """The method has no ``missing_text``, which was suggested."""
    with pytest.raises(DataError, match="give an empty text in its place") as caught:
        Run.load(finished.run).predict(texts)
    assert "missing_text" not in str(caught.value)
