"""Predicting on a device: against transformers and PEFT, batches, number formats, exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import tightfit
from tests.gpu.conftest import Make
from tests.gpu.running import hide_gpu
from tests.toys import toy_rows
from tightfit.engines.engine_names import EngineName
from tightfit.progress import Progress

pytestmark = pytest.mark.gpu

TEXTS = [row["text"] for row in toy_rows(50, seed=1)]
"""One to eighteen words each, so that batches have padding."""

Run = tightfit.Run

ENGINES: tuple[EngineName, ...] = ("torch", "torch-bf16")


@pytest.fixture
def run(make: Make) -> Path:
    """A finished run."""
    return make("run")


def probabilities(run: Path, texts: list[str] = TEXTS) -> NDArray[np.float64]:
    """As tightfit predicts them, (N, K)."""
    return Run.load(run).predict(texts, Progress()).probabilities


@torch.no_grad()
def probabilities_by_peft(run: Path, home: Path, device: str) -> NDArray[np.float64]:
    """The three lines of the card: the base model, the adapter, and one text at a time."""
    base = AutoModelForSequenceClassification.from_pretrained(
        home / "toy", num_labels=2, dtype=torch.float32
    )
    model = PeftModel.from_pretrained(base, str(run / "adapter")).eval().to(device)
    tokenizer = AutoTokenizer.from_pretrained(run / "adapter")
    found = [model(**tokenizer(text, return_tensors="pt").to(device)).logits for text in TEXTS]
    return torch.cat(found).double().softmax(1).cpu().numpy()


@pytest.mark.filterwarnings("ignore")  # of libraries about one another
def test_peft_answers_the_same(run: Path, home: Path, device: str) -> None:
    """The logits differ by the run's temperature alone, which is one number for all rows."""
    ours, theirs = (
        np.log(p) for p in (probabilities(run), probabilities_by_peft(run, home, device))
    )
    margins, expected = ours[:, 1] - ours[:, 0], theirs[:, 1] - theirs[:, 0]
    temperature = float(np.dot(expected, expected) / np.dot(margins, expected))
    np.testing.assert_allclose(margins * temperature, expected, atol=2e-4)


def test_batches_by_tokens_change_nothing(run: Path, device: str) -> None:
    """All texts at once, in batches of like length, and each by itself."""
    alone = np.concatenate([probabilities(run, [text]) for text in TEXTS[:8]])
    np.testing.assert_allclose(probabilities(run)[:8], alone, atol=1e-5)


def test_bf16_gives_the_same_labels(run: Path, home: Path, tmp_path: Path) -> None:
    """Of rows that the run is sure of, all but one in twenty at most."""
    rows, out = home / "rows.jsonl", {name: tmp_path / f"{name}.csv" for name in ENGINES}
    for name, file in out.items():
        tightfit.predict(run, rows, file, engine=name, progress=Progress())
    lines = (file.read_text("utf-8").splitlines() for file in out.values())
    full, half = ([line.rpartition(",")[0] for line in some] for some in lines)  # no confidence
    assert len(full) == len(half) == 81
    assert sum(a != b for a, b in zip(full, half, strict=True)) <= 4


def test_another_device_gives_the_same(
    gpu: str, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was made on the GPU, on the CPU."""
    there = probabilities(run)
    hide_gpu(monkeypatch)
    np.testing.assert_allclose(probabilities(run), there, atol=1e-4)


def test_an_export_answers_as_its_run(run: Path, tmp_path: Path) -> None:
    """The parity that every export is refused without."""
    found = tightfit.export(run, "merged", tmp_path / "merged", progress=Progress()).to_json()
    assert found["parity"]["max_abs_difference"] < 1e-4
    assert found["parity"]["agreement"] == 1.0
