"""Runs of format 1, sealed by an earlier commit: they answer, score and export as they did then.

The folder's README says how they were made. Figures are compared to 1e-5: what computes them may
be rewritten, and sums in another order move the seventh digit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from tests.command import cli
from tightfit import Run

KEPT = Path(__file__).parent.parent / "data" / "format1"
RUNS = ("lora", "vera", "bias")
TEXTS = (
    *("goal match in the team", "stock", "", "bank profit with a new price on market"),
    " ".join(10 * ["the striker of league trade"]),
)
"""One of one token, one of none, and one that is longer than is read."""

EXPECTED: Mapping[str, Any] = json.loads((KEPT / "expected.json").read_text("utf-8"))
NEAR = 1e-5


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in: the base model is named from where training was started."""
    folder = shutil.copytree(KEPT, tmp_path / "format1")
    monkeypatch.chdir(folder)
    return folder


def ask(*arguments: str) -> Any:
    """The JSON answer of a command that succeeds."""
    done = cli(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def probabilities(run: str) -> Any:
    """Of every text and label, on the command line."""
    words = [word for text in TEXTS for word in ("--text", text)]
    found = ask("predict", run, "--probabilities", *words)["predictions"]
    return [row["probabilities"] for row in found]


def softmax(logits_NK: NDArray[np.float32], temperature: float) -> NDArray[np.float64]:
    """Probabilities, as the run's own calibration makes them."""
    powers_NK = np.exp(logits_NK.astype(np.float64) / temperature)
    found: NDArray[np.float64] = powers_NK / powers_NK.sum(axis=1, keepdims=True)
    return found


def merged_logits(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """What transformers computes from an export."""
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(list(texts), truncation=True, padding=True)
    with torch.inference_mode():
        inputs = {name: torch.tensor(batch[name]) for name in ("input_ids", "attention_mask")}
        logits_NK: NDArray[np.float32] = model.eval()(**inputs).logits.numpy()
    return logits_NK


def onnx_logits(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """What ONNX Runtime computes from an export."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(pad_id=0, pad_token="<pad>")
    batch = tokenizer.encode_batch(list(texts))
    inputs = {
        "input_ids": np.array([row.ids for row in batch], np.int64),
        "attention_mask": np.array([row.attention_mask for row in batch], np.int64),
    }
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    logits_NK: NDArray[np.float32] = session.run(None, inputs)[0]
    return logits_NK


@pytest.mark.parametrize("run", RUNS)
def test_it_answers_as_it_did(here: Path, run: str) -> None:
    """Calibrated probabilities of every text, and the same labels through the Python front."""
    expected = EXPECTED[run]["probabilities"]
    found = probabilities(run)
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    for row, before in zip(found, expected, strict=True):
        assert row == pytest.approx(before, abs=NEAR)
    likeliest = [max(row, key=row.__getitem__) for row in expected]
    assert list(Run.load(run).predict(TEXTS).labels) == likeliest


@pytest.mark.parametrize("run", RUNS)
def test_it_scores_as_it_did(here: Path, run: str) -> None:
    """On 40 rows; counts are the same to the last one."""
    found, expected = ask("evaluate", run, "--data", "test.jsonl"), EXPECTED[run]["scores"]
    for name in ("n", "labels", "confusion"):
        assert found[name] == expected[name]
    for name in ("accuracy", "macro_f1", "log_loss", "ece"):
        assert found[name] == pytest.approx(expected[name], abs=NEAR)
    temperature = expected["calibration"]["temperature"]
    assert found["calibration"]["temperature"] == pytest.approx(temperature, abs=NEAR)


@pytest.mark.parametrize("run", RUNS)
def test_it_exports_as_it_did(here: Path, run: str) -> None:
    """A whole model and a graph, loaded by others, against what the run answered when it was new.

    Merging adds the adapters to the weights first, which rounds otherwise.
    """
    temperature = EXPECTED[run]["scores"]["calibration"]["temperature"]
    expected = [list(row.values()) for row in EXPECTED[run]["probabilities"]]
    for form, load in {"merged": merged_logits, "onnx": onnx_logits}.items():
        told = ask("export", run, "--format", form, "--out", form, "--data", "test.jsonl")
        assert told["parity"]["agreement"] == 1.0
        found = softmax(load(here / form, TEXTS), temperature)
        np.testing.assert_allclose(found, expected, atol=NEAR)


def test_it_answers_through_another_engine(here: Path) -> None:
    """ONNX Runtime on a graph that is made for it in the run's ``derived/``."""
    ask("predict", "lora", "--data", "test.jsonl", "--out", "torch.csv")
    ask("predict", "lora", "--data", "test.jsonl", "--out", "onnx.csv", "--engine", "onnx")
    ours, theirs = (pd.read_csv(f"{name}.csv") for name in ("onnx", "torch"))
    assert ours["label"].tolist() == theirs["label"].tolist()
    np.testing.assert_allclose(ours["confidence"], theirs["confidence"], atol=1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_it_is_audited_as_it_was(here: Path, run: str) -> None:
    """Every number of the audit: counts, ranks, norms, and the verdict."""
    found, expected = ask("audit", run), EXPECTED[run]["audit"]
    for layer, before in zip(found["adapters"], expected["adapters"], strict=True):
        assert layer == pytest.approx(before)
    assert {**found, "adapters": None} == {**expected, "adapters": None}


@pytest.mark.parametrize("run", RUNS)
def test_it_is_reported(here: Path, run: str) -> None:
    """The page is written anew, with what was evaluated since."""
    ask("evaluate", run, "--data", "test.jsonl")
    page = Path(ask("report", run)["report"]).read_text("utf-8")
    assert "sport" in page
    assert "test.jsonl" in page


def test_a_damaged_one_is_refused(here: Path) -> None:
    """The seal of format 1 still holds: one byte of the settings is enough."""
    settings = here / "lora" / "config.toml"
    settings.write_bytes(settings.read_bytes().replace(b"seed = 42", b"seed = 43"))
    done = cli("predict", "lora", "--text", "goal")
    assert done.exit_code == 8
    assert "changed: config.toml" in done.stderr
