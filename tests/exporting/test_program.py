"""The program in an exported folder: what it refuses, and what a line of its answers is."""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.exports import toy_run, wide_encoder
from tests.toy_setups import Notes
from tests.warm import Around
from tests.warm import run as warm_run
from tightfit import Run, export
from tightfit.engines.parity import Parity
from tightfit.exporting.exported import Exported, Int8
from tightfit.exporting.folder_files import ExportFolder
from tightfit.exporting.format_names import FORMATS

READ = {
    "peft": ("adapter_model.safetensors", "config.json", "export.json", "tokenizer.json"),
    "merged": ("config.json", "export.json", "model.safetensors", "tokenizer.json"),
    "onnx": ("export.json", "labels.json", "model.onnx", "tokenizer.json"),
    "onnx-int8": ("model.onnx",),
}
"""Files without which a folder would fail, or answer otherwise."""


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each format; not to be changed."""
    root = tmp_path_factory.mktemp("exports")
    run = toy_run(wide_encoder(root / "encoder"), root / "run")
    for form in FORMATS:
        export(run, form, root / form, progress=Notes())
    return root


def asked(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What the program says of one text."""
    program = [sys.executable, str(folder / "predict.py"), *words]
    return warm_run(program, Around(given="goal\n"))


def damaged(whole: bytes) -> list[bytes | None]:
    """Contents with a bit flipped in the middle, cut there, emptied, and none at all."""
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    return [whole[:middle], b"", None, flipped]


@pytest.mark.parametrize(("form", "name"), [(form, name) for form in READ for name in READ[form]])
def test_damage_is_told(
    form: str, name: str, exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit of a weight, or a name of a label, that is another would change answers in silence."""
    folder = Path(shutil.copytree(exports / form, tmp_path / form))
    monkeypatch.setattr("sys.argv", ["predict.py"])
    kinds = damaged((folder / name).read_bytes())
    # The last, in the file that holds the digests, is not seen: thresholds there may be changed.
    for content in kinds[:-1] if name == "export.json" else kinds:
        (folder / name).unlink()
        if content is not None:
            (folder / name).write_bytes(content)
        with pytest.raises(SystemExit, match=rf"{re.escape(name)} (is|cannot).* again$"):
            runpy.run_path(str(folder / "predict.py"))
        (folder / name).touch()


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_of_texts_is_not_overlooked(form: str, exports: Path) -> None:
    """It would wait for the terminal, as if it had not been named."""
    words = ["base"] * (form == "peft") + ["texts.txt"]
    done = asked(exports / form, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("texts are read from standard input: python predict.py")


def test_a_reader_that_has_enough_ends_it(exports: Path, tmp_path: Path) -> None:
    """As ``head`` does: without a word."""
    texts = tmp_path / "texts.txt"
    texts.write_text("goal\n" * 10_000, "utf-8")  # the answers are more than a pipe holds
    program, pipe = [sys.executable, str(exports / "onnx" / "predict.py")], subprocess.PIPE
    with (
        texts.open() as given,
        subprocess.Popen(program, stdin=given, stdout=pipe, stderr=pipe) as done,
    ):
        assert done.stdout
        assert done.stderr
        done.stdout.readline()
        done.stdout.close()
        assert done.stderr.read() == b""


@pytest.mark.parametrize("form", FORMATS)
def test_card_and_place_of_the_base_may_change(form: str, exports: Path, tmp_path: Path) -> None:
    """People write cards; other programs need to know where a base model has moved."""
    folder = Path(shutil.copytree(exports / form, tmp_path / form))
    (folder / "README.md").write_text("ours", "utf-8")
    if form == "peft":
        settings = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        settings["base_model_name_or_path"] = "elsewhere"
        (folder / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    done = asked(folder)
    labels = Run.load(exports / "run").predict(["goal"]).labels
    assert [done.stdout.split("\t")[0]] == labels, done.stderr


def test_the_head_of_an_adapter_is_not_called_new(exports: Path) -> None:
    """The base model has none, of which transformers says that it ought to be trained."""
    done = asked(exports / "peft")
    assert done.stdout
    assert "initialized" not in done.stderr


def test_the_card_tells_what_an_answer_is_and_what_int8_costs(exports: Path) -> None:
    """Whoever has the folder alone learns both from it."""
    cards = {form: (exports / form / "README.md").read_text("utf-8") for form in FORMATS}
    answer = "An answer is a label, a tab and its probability."
    assert all(answer in card for card in cards.values())
    cuts = {form: "FOLDER, truncation=True)` of transformers" in cards[form] for form in FORMATS}
    assert cuts == {form: form == "merged" for form in FORMATS}
    costs = {form: "Weights of 8 bits come at a " in card for form, card in cards.items()}
    assert costs == {form: form == "onnx-int8" for form in FORMATS}


@pytest.mark.parametrize(("loss", "words"), [(-0.1, "gain of 10.00"), (-1e-9, "cost of 0.00")])
def test_a_cost_below_zero_is_a_gain(
    loss: float, words: str, exports: Path, tmp_path: Path
) -> None:
    """A cost of -10 points read like a loss of 10."""
    int8 = Int8(loss, "labels", 20, "signed")
    figures = Exported(Parity(0, 1, 20), 1, int8, None, None, None)
    ExportFolder(Run.load(exports / "run"), "onnx-int8", tmp_path).write_card(figures, "toys")
    told = f"come at a {words} points of accuracy, by the labels of 20 rows (toys)"
    assert told in (tmp_path / "README.md").read_text("utf-8")
