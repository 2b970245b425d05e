"""Batches side by side: in order, with threads of their own, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.exports import toy_texts
from tests.toy_setups import toy_job, toy_loop
from tests.training.test_loop import QUIET, recorded, without_dropout
from tightfit import Run, TrainResult
from tightfit.data import batch_order
from tightfit.encoder.threads import side_by_side
from tightfit.engines.engine import EngineModel, torch_engine
from tightfit.training.probe import frozen_features


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the machine has, and for batches of toys."""
    monkeypatch.setattr(batch_order, "LEAST_PADDED_TOKENS", 8)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_from_threads_with_a_share_each() -> None:
    """Other threads than this one, which keeps its own number."""
    here = threading.get_ident()

    def compute(item: int) -> tuple[int, bool, int]:
        return item, threading.get_ident() == here, torch.get_num_threads()

    found = list(side_by_side(compute, range(20)))
    assert found == [(item, False, 1) for item in range(20)]
    assert torch.get_num_threads() == 2


FORKED = """
import os, signal, torch
from tightfit.encoder.threads import side_by_side
def products():
    large = torch.ones(512, 512)
    return [float((large @ large).sum()), *side_by_side(float, [1, 2])]
torch.set_num_threads(2)
expected = products()
worker = os.fork()
if not worker:
    signal.alarm(20)
    os._exit(products() != expected)
print(os.waitpid(worker, 0)[1], torch.get_num_threads())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_does_not_wait_for_threads_that_it_has_not() -> None:
    """As workers of a server that was asked before it forked them, or of ``multiprocessing``."""
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, check=True)
    assert done.stdout.split() == [b"0", b"2"]


def test_one_item_gets_all_threads() -> None:
    """And stays in this one."""
    here = threading.get_ident()
    found = list(side_by_side(lambda _: (threading.get_ident(), torch.get_num_threads()), [0]))
    assert found == [(here, 2)]


def test_a_fault_comes_through_and_leaves_the_threads_alone() -> None:
    """The error itself; what had not begun never does."""
    begun: list[int] = []

    def compute(item: int) -> None:
        begun.append(item)
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 0"):
        list(side_by_side(compute, range(100)))
    assert len(begun) < 10
    assert torch.get_num_threads() == 2


def test_results_do_not_pile_up() -> None:
    """A slow reader holds back those that compute."""
    done: list[int] = []
    results = side_by_side(done.append, range(100))
    next(results)
    assert len(done) <= 6
    results.close()


@pytest.mark.parametrize("settings", [[], ["adapters.layers=1"], ["adapters.method=none"]])
def test_gradients_are_those_of_one_pass(settings: list[str], bert: Path, tmp_path: Path) -> None:
    """To 1e-6 at every step of an epoch, whatever is adapted."""
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        setup = toy_job(bert, *QUIET, *settings)
        assert len(setup.parts(range(12))) == threads
        setup = replace(setup, classifier=without_dropout(setup))
        found.append(recorded(setup, tmp_path / str(threads)))
    for whole, divided in zip(*found, strict=True):
        assert divided.keys() == whole.keys()
        for name, gradient in whole.items():
            torch.testing.assert_close(divided[name], gradient, rtol=0, atol=1e-6, msg=name)


def test_training_twice_gives_the_same_bits(bert: Path, tmp_path: Path) -> None:
    """Whichever thread is first, and with the head's dropout."""
    weights = []
    for name in ("a", "b"):
        setup = toy_job(bert, "optim.epochs=4")
        toy_loop(setup, tmp_path / name).fit()
        weights.append(setup.classifier.state())
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name]), name


def test_predictions_are_the_same(finished: TrainResult) -> None:
    """One batch after the other, or two at once."""
    predictor = Run.load(finished.run).predictor
    engine = torch_engine(predictor.model)
    model = EngineModel(predictor.model.tokens, None, engine)
    texts, found = toy_texts(400), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(replace(predictor, model=model).logits(texts))
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)


def test_features_of_the_probe_are_the_same(bert: Path) -> None:
    """In the order of the rows that were asked for."""
    setup, rows_N = toy_job(bert, "train.eval_batch=4"), np.random.default_rng(0).permutation(40)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(frozen_features(setup, rows_N))
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
