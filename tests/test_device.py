"""Where models compute."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.toy_jobs import toy_classifier
from tightfit.inference.engines import torch_engine
from tightfit.model import device
from tightfit.model.device import best_device, placed


@pytest.mark.parametrize(("seen", "name"), [(True, "cuda"), (False, "cpu")])
def test_a_gpu_comes_first(seen: bool, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch sees one."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
    assert best_device().type == name


def test_what_is_in_its_place_is_not_copied(bert: Path) -> None:
    """On a CPU the engine reads the classifier's own weights."""
    module = toy_classifier(bert).module.to(best_device())
    assert placed(module) is module


def test_a_copy_moves_and_the_original_stays(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports read the weights where they are."""
    monkeypatch.setattr(device, "best_device", lambda: torch.device("meta"))
    module = toy_classifier(bert).module
    moved = placed(module)
    assert {p.device.type for p in moved.parameters()} == {"meta"}
    assert {p.device.type for p in module.parameters()} == {"cpu"}


def test_the_places_of_a_batch_can_be_set(bert: Path) -> None:
    """In place of what suits the device."""
    module = toy_classifier(bert).module
    assert torch_engine(module, places=77).places == 77
    assert torch_engine(module).places is not None
