"""Losses that are no numbers are traced to rows; half precision is given up; a climb is told."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.toy_setups import Notes, toy_job, toy_loop
from tightfit.errors import ProofError
from tightfit.training.divergence import diverges, not_a_number
from tightfit.training.precision import Precision
from tightfit.training.setup import Setup


class Spoilt(Setup):
    """A setup whose logits are no numbers for some rows, as long as it computes in bf16."""

    def logits(self, batch: Any, states: Any = None, seed: Any = None) -> torch.Tensor:
        """As they are, but for row 5."""
        logits_BK = super().logits(batch, states, seed)
        if self.precision.format == "fp32":
            return logits_BK
        return logits_BK.masked_fill((batch.rows_B == 5)[:, None], torch.nan)


def spoilt(bert: Path, *settings: str) -> Setup:
    """Row 5 has no loss in bf16."""
    setup = toy_job(bert, "train.forward=own", *settings)
    values = {name: getattr(setup, name) for name in Setup.__dataclass_fields__}
    return Spoilt(**{**values, "precision": Precision("bf16", "test")})


def test_the_rows_are_named(bert: Path) -> None:
    """Of all rows of the step, those whose loss is not finite."""
    setup = spoilt(bert)
    error = not_a_number(setup, 7, [[3, 5], [1, 2]], setup.classifier.trainable())
    assert "no finite loss of training rows 5 (counted from 0)" in str(error)
    error = not_a_number(setup, 7, [list(range(6, 20))], setup.classifier.trainable())
    assert "finite losses, of training rows 6, 7, 8, 9, 10, 11, 12, 13 and 6 more" in str(error)
    assert "at step 7" in str(error)


def test_half_precision_is_given_up_once(bert: Path, tmp_path: Path) -> None:
    """The step is taken again in fp32, counted once, and training goes on in fp32."""
    progress = Notes()
    loop = toy_loop(spoilt(bert, "train.max_steps=6"), tmp_path, progress=progress)
    fitted = loop.fit()
    assert loop.setup.precision.format == "fp32"
    (words,) = progress.warned
    assert "bf16 gave no finite gradient at step" in words
    assert fitted.history[-1]["rows"] == sum(
        len(batch) for step in range(1, 7) for batch in loop.loop._batches_of(step)
    )
    assert all(p.isfinite().all() for p in loop.setup.classifier.trainable().values())


def test_a_resumed_run_stays_in_fp32(bert: Path, tmp_path: Path) -> None:
    """It does not try bf16 again: the uninterrupted run would not have."""
    settings = ["train.max_steps=6", "train.eval_every=3"]
    straight = toy_loop(spoilt(bert, *settings), tmp_path / "a")
    straight.fit()
    toy_loop(spoilt(bert, *settings), tmp_path / "b").fit()
    again = toy_loop(spoilt(bert, *settings), tmp_path / "b")
    assert again.fit(resume=True).steps == 6
    assert again.setup.precision == straight.setup.precision


def test_fp32_has_nothing_to_fall_back_on(bert: Path, tmp_path: Path) -> None:
    """Row 5 has no loss in any format."""
    setup = replace(spoilt(bert), precision=Precision("fp32", "test"))
    loop = toy_loop(setup, tmp_path)
    with torch.no_grad():
        loop.setup.classifier.trainable()["classifier.bias"].fill_(torch.nan)
    with pytest.raises(ProofError, match="not a number any more at step 1"):
        loop.fit()


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([None, 0.6, 1.2], True),
        ([None, 0.6, 0.9], False),  # worse, but within what batches differ by
        ([None, 2.0, 1.9], False),  # never better than guessing: a start, not a divergence
        ([None, 5.0], False),
        ([None, 0.6, float("inf")], True),
    ],
)
def test_a_loss_that_climbs_is_told(losses: list[float | None], told: bool) -> None:
    """Once it was better than guessing and is far worse now."""
    words = diverges([{"train_loss": loss} for loss in losses], guessing=math.log(2))
    assert (words is not None) == told
    if words:
        assert words.startswith("the training loss has gone up to")
        assert "lower optim.lr" in words


def test_training_warns_of_divergence_once(bert: Path, tmp_path: Path) -> None:
    """A rate that no model bears."""
    progress = Notes()
    settings = ["optim.lr=3.0", "train.eval_every=1", "train.max_steps=30", "optim.epochs=20"]
    toy_loop(toy_job(bert, *settings), tmp_path, progress=progress).fit()
    assert len([words for words in progress.warned if "has gone up to" in words]) == 1
