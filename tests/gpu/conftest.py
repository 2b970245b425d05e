"""The device of these tests: a GPU where there is one, unless ``TIGHTFIT_TEST_DEVICE`` says cpu."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.gpu.running import hide_gpu, train
from tests.toys import toy_encoder, toy_rows, write_jsonl

Make = Callable[..., Path]
"""Trains the toy with these settings, and gives the run."""


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> str:
    """``cuda`` or ``cpu``; tightfit takes it, too."""
    found = "cuda" if torch.cuda.is_available() else "cpu"
    wanted = os.environ.get("TIGHTFIT_TEST_DEVICE", found)
    if wanted == "cpu":
        hide_gpu(monkeypatch)
    elif found == "cpu":
        pytest.fail(f"TIGHTFIT_TEST_DEVICE={wanted}, and torch sees no GPU")
    return wanted


@pytest.fixture
def gpu(device: str) -> str:
    """The same, for what has no meaning on a CPU."""
    if device == "cpu":
        pytest.skip("needs a GPU")
    return device


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without dropouts, so that devices can be compared, and rows."""
    home = tmp_path_factory.mktemp("gpu")
    toy_encoder(home / "toy", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    write_jsonl(home / "rows.jsonl", toy_rows(80))
    return home


@pytest.fixture
def make(home: Path, device: str, tmp_path: Path) -> Make:
    """Trainings on the device; the first argument is the name of the run."""
    return lambda name, *settings, **more: train(home, tmp_path / name, *settings, **more)
