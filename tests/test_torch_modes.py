"""Whatever a program has set for itself, trainings and answers are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tightfit
from tests.toy_setups import SHORT, Notes
from tightfit import Run, TrainResult
from tightfit.encoder import frozen_classifier
from tightfit.torch_modes import usual_modes

TEXTS = ["goal match", "market shares fell"] * 8


@contextmanager
def double() -> Iterator[None]:
    """Tensors in float64 unless something else is said."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": partial(torch.autocast, "cpu", dtype=torch.bfloat16),
    "device": partial(torch.device, "meta"),
    "float64": double,
    "numpy": partial(np.errstate, all="raise"),
}


def seen() -> tuple[Any, ...]:
    """The modes of this moment."""
    of_torch = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    defaults = torch.get_default_dtype(), torch.get_default_device().type
    return *of_torch, *defaults, torch.is_autocast_enabled("cpu"), np.geterr()["under"]


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_the_usual_ones_meanwhile(mode: str) -> None:
    """And as they were afterwards, whether there was an error or not."""
    usual = seen()
    with MODES[mode]():
        before = seen()
        with suppress(ZeroDivisionError), usual_modes():
            assert seen() == usual
            _ = 1 / 0
        assert seen() == before != usual


@pytest.mark.parametrize("mode", MODES)
def test_a_training_is_the_same(mode: str, bert: Path, rows_file: Path, tmp_path: Path) -> None:
    """To the bit."""
    made = []
    for name in ("as usual", "in it"):
        with MODES[mode]() if name == "in it" else usual_modes():
            run = tightfit.train(
                rows_file,
                out=tmp_path / name,
                model=str(bert),
                settings=[*SHORT, "train.max_steps=1"],
                progress=Notes(),
            ).run
        made.append((run / "adapter" / "adapter_model.safetensors").read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("pays", [0, 1e15])
def test_answers_are_the_same(
    mode: str, pays: float, finished: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By torch and by numpy."""
    monkeypatch.setattr(frozen_classifier, "PAYS_FOR_MERGING", pays)
    run = Run.load(finished.run)
    usual_NK = run.predict(TEXTS).probabilities
    with MODES[mode]():
        assert np.array_equal(run.predict(TEXTS).probabilities, usual_NK)
