"""``tightfit export``: from a run folder to a folder that others load, or to clear words."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

import tightfit
from tests.command import Recorder, cli, replace
from tests.exports import toy_run, toy_texts, wide_encoder
from tests.toy_setups import Notes
from tests.toys import write_jsonl
from tightfit import Run, export
from tightfit.engines.parity import refuse_difference
from tightfit.errors import ArtefactError, DataError, ModelError, ProofError, UsageError
from tightfit.exporting.names import FORMATS


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy BERT."""
    return wide_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def run(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed run; not to be changed."""
    return toy_run(encoder, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def data(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows whose labels the run gets wrong, so that int8 can lose nothing on them."""
    texts = toy_texts()
    ids = Run.load(run).predict(texts).ids
    rows = [{"text": t or "the", "label": (i + 1) % 3} for t, i in zip(texts, ids, strict=True)]
    return write_jsonl(tmp_path_factory.mktemp("data") / "rows.jsonl", rows)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.*"))}


@pytest.mark.parametrize("form", FORMATS)
def test_the_answer_is_the_contract(form: str, run: Path, data: Path, tmp_path: Path) -> None:
    """Files, parity and speed; int8 also says what it costs. The run itself stays as it was."""
    before = files(run)
    found = export(run, form, tmp_path / "out", data=data, progress=Notes()).to_json()
    assert list(found) == ["files", "parity", "examples_per_second"] + ["int8"] * ("8" in form)
    assert list(found["parity"]) == ["max_abs_difference", "agreement", "rows"]
    assert found["parity"]["rows"] == 40 + 10
    assert found["files"] == sorted(files(tmp_path / "out"))
    assert {"labels.json", "export.json", "tokenizer.json"} <= set(found["files"])
    assert files(run) == before


def test_without_rows_the_sample_serves(run: Path, tmp_path: Path) -> None:
    """Its texts only; for int8 this is said aloud, and the measure is another."""
    progress = Notes()
    found = export(run, "onnx", tmp_path / "fp32", progress=progress)
    assert progress.warned == []
    assert found.parity.rows == 120 + 10
    found = export(run, "onnx-int8", tmp_path / "int8", progress=progress)
    assert "no labelled rows were given" in progress.warned[0]
    assert found.int8 is not None
    assert found.int8.by == "probabilities"


def test_int8_needs_labels(run: Path, tmp_path: Path) -> None:
    """Given rows without any are a fault there, and enough elsewhere."""
    rows = write_jsonl(tmp_path / "rows.jsonl", [{"text": "goal match"}] * 3)
    assert export(run, "merged", tmp_path / "a", data=rows, progress=Notes()).int8 is None
    with pytest.raises(DataError, match="label"):
        export(run, "onnx-int8", tmp_path / "b", data=rows, progress=Notes())
    assert not (tmp_path / "b").exists()


def test_a_refused_export_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an older one stays."""
    export(run, "merged", tmp_path / "old", progress=Notes())
    before = files(tmp_path)
    strict = partial(refuse_difference, tolerance=-1.0)
    monkeypatch.setattr("tightfit.exporting.exporter.refuse_difference", strict)
    for name in ("old", "new"):
        with pytest.raises(ProofError, match="was not kept"):
            export(run, "merged", tmp_path / name, overwrite=True, progress=Notes())
    assert files(tmp_path) == before


def test_overwrite(run: Path, tmp_path: Path) -> None:
    """Only an export is replaced, and only on request."""
    export(run, "merged", tmp_path / "out", progress=Notes())
    with pytest.raises(UsageError, match="exists already"):
        export(run, "peft", tmp_path / "out", progress=Notes())
    export(run, "peft", tmp_path / "out", overwrite=True, progress=Notes())
    assert "model.safetensors" not in files(tmp_path / "out")
    with pytest.raises(UsageError, match=r"holds no export\.json"):
        export(run, "peft", run, overwrite=True, progress=Notes())


@pytest.mark.parametrize("place", ["out", "adapter/out"])
def test_never_inside_a_sealed_run(place: str, run: Path) -> None:
    """It would break the seal."""
    with pytest.raises(UsageError, match="inside a run, which never changes"):
        export(run, "merged", run / place, progress=Notes())
    Run.load(run)


def test_a_damaged_run_is_not_exported(encoder: Path, tmp_path: Path) -> None:
    """A flipped byte, or a file that is gone, such as the tokenizer's."""
    for name in ("adapter/adapter_model.safetensors", "adapter/tokenizer.json"):
        damaged = toy_run(encoder, tmp_path / Path(name).stem)
        (damaged / name).unlink()
        with pytest.raises(ArtefactError, match=f"missing: {name}"):
            export(damaged, "merged", tmp_path / "out", progress=Notes())
    assert not (tmp_path / "out").exists()


def test_another_base_is_refused(tmp_path: Path) -> None:
    """The run's adapter on weights that it was not trained on, or on none."""
    encoder = wide_encoder(tmp_path / "encoder")
    run = toy_run(encoder, tmp_path / "run")
    wide_encoder(encoder, initializer_range=0.4)
    with pytest.raises(ArtefactError, match="the base model has changed"):
        export(run, "peft", tmp_path / "out", progress=Notes())
    (encoder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        export(run, "peft", tmp_path / "out", progress=Notes())


# --- the command line ------------------------------------------------------------------------


def test_the_verb_passes_everything_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each option under the name that the function has for it."""
    recorder = Recorder(UsageError("stop here"))
    replace(monkeypatch, "export", recorder)
    words = "export r --format onnx-int8 --out o --data d.csv --overwrite --text-column a,b"
    assert cli(*words.split(), "--label-column", "c", "--max-length", "64").exit_code == 2
    assert recorder.arguments == (Path("r"), "onnx-int8", Path("o"))
    recorder.options.pop("progress")
    assert recorder.options == {
        "data": "d.csv",
        "text_column": "a,b",
        "label_column": "c",
        "max_length": 64,
        "overwrite": True,
        "cascade": False,
    }


def test_the_verb_answers(run: Path, tmp_path: Path) -> None:
    """One JSON object, or a table on stderr."""
    out = str(tmp_path / "out")
    found = cli("export", str(run), "--format", "onnx", "--out", out, "--json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["files"] == sorted(files(tmp_path / "out"))
    told = cli("export", str(run), "--format", "merged", "--out", out, "--overwrite")
    assert (told.exit_code, told.stdout) == (0, "")
    assert "same labels" in told.stderr


@pytest.mark.parametrize(("fault", "code"), [(ProofError("x"), 7), (ArtefactError("x"), 8)])
def test_exit_codes(fault: Exception, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a refused export, and of a damaged run."""
    replace(monkeypatch, "export", Recorder(fault))
    assert cli("export", "r", "--format", "onnx", "--out", "o", "--json").exit_code == code


def test_an_unknown_format_is_a_mistake_of_usage() -> None:
    """Told by the command line itself."""
    assert cli("export", "r", "--format", "onnx8", "--out", "o").exit_code == 2
    assert tightfit.export is export
