"""What many tests share: no network, one thread, toy encoders, and one finished toy run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import huggingface_hub
import pytest
import torch

import tightfit
from tests.exports import wide_encoder
from tests.toy_estimators import TEXTS, TWO, toy_estimator
from tests.toy_setups import SHORT
from tests.toys import toy_encoder, toy_rows, write_jsonl
from tightfit.progress import Progress

Encoders = Callable[[str], Path]
"""Gives the folder of a toy encoder of a family."""


@pytest.fixture(scope="session", autouse=True)
def offline() -> Iterator[None]:
    """The Hub is not asked for anything, whether it could be reached or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is found that an earlier session left, and nothing is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def quick_disk() -> Iterator[None]:
    """No file of a toy waits for the disk, for none has to outlive a power cut.

    Programs that tests start do wait, and a file that is not open is an error all the same.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)
        yield


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Toy products are too small to share, and sums in one order give the same bits everywhere."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Encoders:
    """Toy encoders of any family, each made once; not to be changed."""
    root = tmp_path_factory.mktemp("encoders")
    return cache(lambda family: toy_encoder(root / family, family))


@pytest.fixture(scope="session")
def bert(encoders: Encoders) -> Path:
    """A toy BERT, whose head is one linear layer."""
    return encoders("bert")


@pytest.fixture(scope="session")
def roberta(encoders: Encoders) -> Path:
    """A toy RoBERTa, the family of the published system."""
    return encoders("roberta")


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy BERT in which every token counts; not to be changed."""
    return wide_encoder(tmp_path_factory.mktemp("wide") / "bert")


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 toy rows in a file."""
    return write_jsonl(tmp_path_factory.mktemp("rows") / "rows.jsonl", toy_rows(120))


@pytest.fixture(scope="session")
def finished(
    bert: Path, rows_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> tightfit.TrainResult:
    """A run of 70 steps with the default recipe, evaluated every 30; not to be changed."""
    return tightfit.train(
        rows_file,
        model=str(bert),
        out=tmp_path_factory.mktemp("runs") / "finished",
        settings=[*SHORT, "train.eval_every=30", "optim.lr=2e-2", "optim.epochs=10"],
        progress=Progress(),
    )


@pytest.fixture(scope="session")
def fitted(bert: Path) -> tightfit.TightfitClassifier:
    """An estimator, fitted once; not to be changed."""
    return toy_estimator(bert).fit(TEXTS, TWO)
