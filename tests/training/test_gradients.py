"""Where a device is out of memory, the step is repeated in smaller parts, and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest
import torch

from tests.toy_setups import Notes, ToyLoop, toy_job, toy_loop
from tests.toys import toy_encoder
from tightfit.errors import MachineError

SETTINGS = ("train.max_steps=6", "train.eval_every=2", "optim.batch=16", "optim.accumulate=2")

PATHS = ("train.forward=auto", "train.forward=own")


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without dropouts: a step that is repeated would draw others."""
    folder = tmp_path_factory.mktemp("still")
    return toy_encoder(folder, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


class Small:
    """A device on which only so many rows fit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.seen: list[int] = []

    def run_out(self, loop: ToyLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        """From now on larger parts raise what torch raises."""
        gradients = loop.loop._gradients
        counted = gradients._loss

        def loss(logits_BK: torch.Tensor, *others: object) -> torch.Tensor:
            self.seen.append(len(logits_BK))
            if len(logits_BK) > self.most:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return counted(logits_BK, *others)  # type: ignore[arg-type]

        monkeypatch.setattr(gradients, "_loss", loss)


@pytest.mark.parametrize("path", PATHS)
def test_a_step_that_does_not_fit_is_repeated_in_smaller_parts(
    path: str, still: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses are those of a large device; people are told once for each halving."""
    whole = toy_loop(toy_job(still, *SETTINGS, path), tmp_path / "whole").fit().history
    progress = Notes()
    loop = toy_loop(toy_job(still, *SETTINGS, path), tmp_path / "parts", progress=progress)
    small = Small(5)
    small.run_out(loop, monkeypatch)
    history = loop.fit().history
    for key in ("train_loss", "eval_loss", "rows", "tokens"):
        found, expected = ([row[key] for row in rows[1:]] for rows in (history, whole))
        assert found == pytest.approx(expected, abs=1e-6)
    assert small.seen[-1] <= 5
    assert [words.partition(": ")[0] for words in progress.warned] == [
        f"the device is out of memory with {rows} rows at once" for rows in (16, 8)
    ]


def test_a_single_row_that_does_not_fit_ends_it(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what can be done."""
    loop = toy_loop(toy_job(bert, *SETTINGS), tmp_path)
    Small(0).run_out(loop, monkeypatch)
    with pytest.raises(MachineError, match="a single row") as caught:
        loop.fit()
    assert "train.checkpointing=on" in str(caught.value)


def test_a_resumed_run_keeps_to_the_smaller_parts(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would only run out of memory once more."""
    loop = toy_loop(toy_job(bert, *SETTINGS), tmp_path)
    Small(5).run_out(loop, monkeypatch)
    loop.fit()
    anew = toy_loop(toy_job(bert, *SETTINGS), tmp_path)
    anew.fit(resume=True)
    assert anew.setup.most_rows == 4


@pytest.mark.parametrize("most", [1, 3, 100])
def test_parts_hold_every_row_once(most: int, bert: Path) -> None:
    """In the order that they have without a limit."""
    setup = toy_job(bert, "optim.batch=16")
    rows: Sequence[int] = [5, 1, 9, 12, 30, 2, 7]
    limited = replace(setup, most_rows=most)
    assert list(chain(*limited.parts(rows))) == list(chain(*setup.parts(rows)))
    assert max(map(len, limited.parts(rows))) <= most


def test_gradients_lie_in_memory_as_what_they_are_of(bert: Path, tmp_path: Path) -> None:
    """AdamW as one kernel pairs numbers by their places, not by their indices."""
    loop = toy_loop(toy_job(bert, "adapters.rank=3"), tmp_path).loop
    loop._gradients.backward([[0, 1, 2, 3]], 4)
    trainable = loop.state.setup.classifier.trainable()
    gradients = {name: p.grad for name, p in trainable.items() if p.grad is not None}
    assert len(gradients) == len(trainable)
    assert all(each.stride() == trainable[name].stride() for name, each in gradients.items())
