"""The record of the validation rows, the temperature from it, and keeping silent."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from tests.command import cli
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TrainResult, predict, storage
from tightfit.errors import ArtefactError, UsageError
from tightfit.metrics.calibration import fit_temperature
from tightfit.tasks import SingleLabel
from tightfit.tasks import validation_logits as outcomes_module
from tightfit.tasks.calibrate import (
    calibrate,
    calibration_of,
    choose_threshold,
)
from tightfit.tasks.validation_logits import (
    KEPT_CHARACTERS,
    KEPT_TEXTS,
    ValidationLogits,
    read_validation_logits,
)

TASK = SingleLabel.from_names("abcd")


def overconfident(rows: int = 2000, *, sharpness: float = 3.0, seed: int = 0) -> ValidationLogits:
    """Rows whose labels are drawn from softmax(z), answered with logits ``sharpness`` x z."""
    random = np.random.default_rng(seed)
    z_NK = random.normal(size=(rows, 4)) * 2
    chances_NK = softmax(z_NK, axis=1).cumsum(axis=1)
    labels_N = (random.random((rows, 1)) > chances_NK).sum(axis=1)
    logits_NK = (sharpness * z_NK).astype(np.float32)
    return ValidationLogits.gather(TASK, logits_NK, labels_N, [f"text {i}" for i in range(rows)])


def without_calibration(run: Path, folder: Path) -> Path:
    """A copy of a run whose ``derived/`` is gone."""
    copy = Path(shutil.copytree(run, folder / "copy"))
    shutil.rmtree(copy / "derived")
    return copy


def test_outcomes_survive_the_file(tmp_path: Path) -> None:
    """Bit for bit, kept texts included."""
    before = overconfident(300)
    before.write(tmp_path / "validation.parquet")
    after = read_validation_logits(tmp_path / "validation.parquet", TASK)
    assert after is not None
    np.testing.assert_array_equal(after.logits_NK, before.logits_NK)
    np.testing.assert_array_equal(after.targets_N, before.targets_N)
    np.testing.assert_array_equal(after.rows_N, before.rows_N)
    assert after.texts == before.texts


def test_other_programs_read_the_file(tmp_path: Path) -> None:
    """Five columns, the logits of a row as a list."""
    overconfident(60).write(tmp_path / "validation.parquet")
    frame = pd.read_parquet(tmp_path / "validation.parquet")
    assert list(frame) == ["row", "label", "logits", "text", "input"]
    assert len(frame["logits"][0]) == 4


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    """Rather than a run without a record."""
    path = tmp_path / "validation.parquet"
    assert read_validation_logits(path, TASK) is None
    for frame in (None, pd.DataFrame({"row": [1]})):
        path.write_bytes(b"no Parquet") if frame is None else frame.to_parquet(path)
        with pytest.raises(ArtefactError, match="record of the validation rows cannot be read"):
            read_validation_logits(path, TASK)


def test_only_the_most_confident_mistakes_keep_their_text() -> None:
    """So many, and so much of each; right answers keep none."""
    found = overconfident()
    texts = [i for i, text in enumerate(found.texts) if text is not None]
    mistakes = found.mistakes(calibrate(found).temperature)
    assert sorted(mistakes[:KEPT_TEXTS]) == texts
    right_N = found.logits_NK.argmax(axis=1) == found.targets_N
    assert not right_N[mistakes].any()
    assert len(mistakes) == (~right_N).sum()


def test_long_and_impossible_texts_are_kept_in_part() -> None:
    """A lone surrogate cannot be written, and a novel is not a record."""
    logits_NK = np.array([[1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    found = ValidationLogits.gather(
        TASK, logits_NK, np.ones(2, dtype=int), ["x" * 5000, "\ud800 broken"]
    )
    assert found.texts == ("x" * (KEPT_CHARACTERS - 1) + "…", "? broken")


def test_very_many_rows_become_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same one every time, with each row's place in the whole."""
    monkeypatch.setattr(outcomes_module, "KEPT_VALUES", 400)
    logits_NK = np.arange(2000, dtype=np.float32).reshape(500, 4)
    one, other = (
        ValidationLogits.gather(TASK, logits_NK, np.zeros(500, dtype=int), [""] * 500)
        for _ in range(2)
    )
    assert len(one) == 100
    np.testing.assert_array_equal(one.rows_N, other.rows_N)
    np.testing.assert_array_equal(one.logits_NK, logits_NK[one.rows_N])


def test_calibration_finds_the_temperature(tmp_path: Path) -> None:
    """Logits three times too sharp want a temperature of 3; the error falls to chance."""
    found = calibrate(overconfident())
    # The standard error of the fit on 2,000 rows is about 0.1.
    assert found.temperature == pytest.approx(3.0, abs=0.4)
    assert found.ece_after < found.ece_before / 4
    assert found.log_loss_after < found.log_loss_before
    assert found.reason is None
    folder = storage.RunFolder(tmp_path)
    storage.write_derived(folder, "calibration", asdict(found))
    assert calibration_of(folder, TASK, lambda: None, mixed=False) == found


def test_a_single_mistake_is_no_reason_to_be_certain() -> None:
    """Of 12 rows the least loss is at nearly twice the sharpness of what is kept."""
    logits_NK = np.tile(np.array([[1.5, 0.0], [0.0, 1.5]], dtype=np.float32), (6, 1))
    labels_N = np.array([1, 1] + [0, 1] * 5)
    rows = ValidationLogits.gather(TASK, logits_NK, labels_N, [""] * 12)
    found = calibrate(rows)
    assert isinstance(found.temperature, float)
    assert 0.6 < fit_temperature(logits_NK, labels_N).value < 0.65
    assert 0.75 < found.temperature < 0.8
    assert found.reason is None


@pytest.mark.parametrize("rows", [10, 20, 40])
def test_few_rows_flatten_what_is_too_sharp(rows: int) -> None:
    """Of a tenth of 200 rows, too: overconfident answers are not left as they are."""
    found = calibrate(overconfident(rows))
    assert isinstance(found.temperature, float)
    assert 1.5 < found.temperature < 3.5
    assert found.log_loss_after < found.log_loss_before


def test_few_rows_flatten_what_a_side_head_is_added_to_as_far_as_they_ask() -> None:
    """They chose how often it is added, at that temperature; they do not sharpen it."""
    rows = overconfident(20)
    found = calibrate(rows, mixed=True)
    assert found.temperature == fit_temperature(rows.logits_NK, rows.targets_N).value
    flat = replace(rows, logits_NK=(rows.logits_NK / 30).astype(np.float32))
    assert calibrate(flat, mixed=True) == calibrate(flat)


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_not_on_record_is_fitted_as_it_would_have_been(tmp_path: Path, mixed: bool) -> None:
    """With a side head, too, which flattens more."""
    rows, folder = overconfident(20), storage.RunFolder(tmp_path)
    found = calibration_of(folder, TASK, lambda: rows, mixed=mixed)
    assert found == calibrate(rows, mixed=mixed) != calibrate(rows, mixed=not mixed)


@pytest.mark.parametrize("temperature", [0.0, [1.0, -1.0], None])
def test_a_damaged_calibration_is_an_error(tmp_path: Path, temperature: object) -> None:
    """Dividing by it would make no probabilities."""
    saved = {**asdict(calibrate(overconfident(60))), "temperature": temperature}
    folder = storage.RunFolder(tmp_path)
    storage.write_derived(folder, "calibration", saved)
    with pytest.raises(ArtefactError, match=r"calibration\.json is damaged"):
        calibration_of(folder, TASK, lambda: None, mixed=False)


def test_a_threshold_keeps_the_error_under_the_level() -> None:
    """On rows of the same source that it was not chosen on."""
    chosen = choose_threshold(overconfident(), 3.0, max_error=0.2)
    confidences_N, right_N = overconfident(50_000, seed=1).confidences(3.0)
    answered_N = confidences_N >= chosen.value
    assert 0.2 < answered_N.mean() < 0.95
    assert 0.1 < (~right_N[answered_N]).mean() <= 0.2


def test_a_level_that_cannot_be_kept_is_refused() -> None:
    """With the least that these rows could show."""
    found = overconfident()
    with pytest.raises(UsageError, match=r"cannot show that at most 0\.01% of the") as caught:
        choose_threshold(found, 3.0, max_error=0.0001)
    allowed = float(str(caught.value.allowed).split()[0])
    assert choose_threshold(found, 3.0, max_error=allowed).error_bound <= allowed
    with pytest.raises(UsageError, match="no validation rows on record"):
        choose_threshold(None, 1.0, max_error=0.1)
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        choose_threshold(found, 1.0, max_error=2.0)


def test_training_keeps_what_calibration_needs(finished: TrainResult) -> None:
    """In the sealed run the rows, in ``derived/`` what was made of them."""
    folder = storage.open_run(finished.run)
    found = read_validation_logits(folder.validation, TASK)
    assert found is not None
    metrics = storage.read_json(folder.metrics)["validation"]
    accuracy = (found.logits_NK.argmax(axis=1) == found.targets_N).mean()
    assert accuracy == pytest.approx(metrics["accuracy"]["value"])
    assert Run.open(finished.run).calibration == calibrate(found)
    assert (folder.derived / "calibration.json").is_file()


def test_a_lost_calibration_is_worked_out_anew(finished: TrainResult, tmp_path: Path) -> None:
    """Without writing: a run may lie where nothing can be written."""
    copy = without_calibration(finished.run, tmp_path)
    assert Run(copy).calibration == Run(finished.run).calibration
    assert not (copy / "derived").exists()
    (copy / "validation.parquet").unlink()
    assert Run(copy).calibration is None


@pytest.fixture
def hot(finished: TrainResult, tmp_path: Path) -> Path:
    """A run whose calibration on record says 4."""
    copy = without_calibration(finished.run, tmp_path)
    found = calibrate(overconfident(60))
    told = {**asdict(found), "temperature": 4.0, "reason": None}
    storage.write_derived(storage.RunFolder(copy), "calibration", told)
    return copy


def test_predict_divides_by_the_temperature(finished: TrainResult, hot: Path) -> None:
    """Probabilities are those of the divided logits, and labels stay."""
    texts = [row["text"] for row in toy_rows(40, seed=5)]
    plain, calibrated = Run.load(finished.run), Run.load(hot)
    logits_NK = plain.predictor.logits(texts).astype(np.float64)
    found = calibrated.predict(texts)
    np.testing.assert_allclose(found.probabilities, softmax(logits_NK / 4, axis=1), atol=1e-6)
    assert found.ids == plain.predict(texts).ids
    assert all(found.answered)


def test_the_file_leaves_unsure_texts_without_a_label(
    monkeypatch: pytest.MonkeyPatch, hot: Path, tmp_path: Path
) -> None:
    """Empty in CSV, null in the others, the same rows in all; probabilities are still given."""
    monkeypatch.setattr(Run, "threshold", 0.9)
    rows = write_jsonl(tmp_path / "rows.jsonl", toy_rows(40, seed=5))
    frames = []
    for suffix, read in ((".csv", pd.read_csv), (".parquet", pd.read_parquet)):
        out = tmp_path / f"out{suffix}"
        result = predict(hot, rows, out, probabilities=True, max_error=0.1)
        frames.append(read(out))
        sure = frames[-1]["confidence"] >= 0.9
        assert (frames[-1]["label"].notna() == sure).all()
        assert result.to_json()["abstained"] == (~sure).sum() > 0
    assert [*map(str, frames[0]["label"])] == [*map(str, frames[1]["label"])]


def test_the_verb_refuses_what_the_run_cannot_show(finished: TrainResult) -> None:
    """Twelve validation rows show next to nothing."""
    told = cli("predict", str(finished.run), "--text", "goal", "--max-error", "0.001")
    assert told.exit_code == 2
    assert "12 validation rows cannot show that at most 0.10% of the answers" in told.stderr


def test_an_unsure_answer_is_an_empty_one(
    monkeypatch: pytest.MonkeyPatch, finished: TrainResult
) -> None:
    """On a line the label is missing, in JSON it is null."""
    monkeypatch.setattr(Run, "temperature", 100.0)
    monkeypatch.setattr(Run, "threshold", 0.99)
    told = cli("predict", str(finished.run), "--text", "goal", "--max-error", "0.1")
    assert told.stdout.startswith("\t0.5")
    told = cli("predict", str(finished.run), "--text", "goal", "--max-error", "0.1", "--json")
    [row] = json.loads(told.stdout)["predictions"]
    assert (row["id"], row["label"], round(row["confidence"], 1)) == (0, None, 0.5)


def test_weights_are_on_record_and_decide_the_temperature(tmp_path: Path) -> None:
    """Those of the rows that scored the run: a row of weight 2 is two."""
    plain = overconfident(400)
    weights_N = np.where(plain.targets_N == 0, 2.0, 1.0)
    rows_N = np.repeat(np.arange(400), weights_N.astype(int))
    logits_NK, targets_N, texts = plain.logits_NK, plain.targets_N, [""] * len(rows_N)
    weighted = ValidationLogits.gather(TASK, logits_NK, targets_N, texts[:400], weights_N=weights_N)
    due = ValidationLogits.gather(TASK, logits_NK[rows_N], targets_N[rows_N], texts)
    weighted.write(tmp_path / "validation.parquet")
    kept = read_validation_logits(tmp_path / "validation.parquet", TASK)
    assert kept is not None
    found, repeated = calibrate(kept), calibrate(due)
    assert found.temperature == pytest.approx(repeated.temperature)
    assert found.ece_after == pytest.approx(repeated.ece_after)
    assert found.temperature != pytest.approx(calibrate(plain).temperature, rel=1e-3)
