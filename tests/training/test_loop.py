"""The training loop: its steps, history, best weights, number formats and stops."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.toy_setups import CountingBar, Notes, Speaker, toy_job, toy_loop
from tightfit.data import batch_order, batches
from tightfit.errors import ProofError
from tightfit.model.classifier import predict_logits
from tightfit.model.proofs import GradientWatch
from tightfit.training.checkpoint import pack_optimizer
from tightfit.training.loop import Loop
from tightfit.training.precision import Precision
from tightfit.training.setup import Setup

COLUMNS = (
    "step epoch lr train_loss train_accuracy eval_loss eval_accuracy rows tokens seconds"
).split()


class Recorder(GradientWatch):
    """A watch that also keeps every step's gradients, as they were handed to the optimiser."""

    def __init__(self, setup: Setup) -> None:
        """Watch all that trains in a setup."""
        self.tensors = setup.classifier.trainable()
        super().__init__(self.tensors)
        self.gradients: list[dict[str, torch.Tensor]] = []

    def after_step(self, lr: float) -> None:
        """Keep copies; what a watch asks for is tested elsewhere."""
        found = {n: p.grad.clone() for n, p in self.tensors.items() if p.grad is not None}
        self.gradients.append(found)


def recorded(setup: Setup, folder: Path) -> list[dict[str, torch.Tensor]]:
    """Train, and give the gradients of each optimiser step."""
    watch = Recorder(setup)
    Loop(setup, watch, scratch=folder).fit()
    return watch.gradients


def test_history_has_the_columns_of_the_contract(bert: Path, tmp_path: Path) -> None:
    """A row before the first step, one at every evaluation, and one after the last step."""
    loop = toy_loop(toy_job(bert, "train.max_steps=7", "train.eval_every=3"), tmp_path)
    history = loop.fit().history
    assert [row["step"] for row in history] == [0, 3, 6, 7]
    assert all(list(row) == COLUMNS for row in history)
    first = history[0]
    assert (first["epoch"], first["lr"], first["rows"], first["tokens"]) == (0.0, 0.0, 0, 0)
    assert first["train_loss"] is first["train_accuracy"] is None
    assert all(math.isfinite(value) for row in history[1:] for value in row.values())


def test_the_last_step_is_not_evaluated_twice(bert: Path, tmp_path: Path) -> None:
    """Where it is a multiple of ``eval_every`` as well."""
    loop = toy_loop(toy_job(bert, "train.max_steps=6", "train.eval_every=3"), tmp_path)
    assert [row["step"] for row in loop.fit().history] == [0, 3, 6]


def test_each_row_is_told_as_it_is_made(bert: Path, tmp_path: Path) -> None:
    """In order, and the very rows of the history."""
    told: list[dict[str, Any]] = []
    setup = toy_job(bert, "train.max_steps=4", "train.eval_every=2")
    fitted = toy_loop(setup, tmp_path, on_row=told.append).fit()
    assert told == fitted.history


def test_rows_and_tokens_are_counted(bert: Path, tmp_path: Path) -> None:
    """After one epoch every training row was seen once, and every token of it, padding aside."""
    setup = toy_job(bert, "optim.epochs=1", "optim.batch=5", "optim.accumulate=2")
    last = toy_loop(setup, tmp_path).fit().history[-1]
    assert last["rows"] == len(setup.train.targets) == 48
    assert last["tokens"] == int(setup.train.tokens.lengths.sum())
    assert last["epoch"] == 1.0


def test_the_rate_follows_the_schedule(bert: Path, tmp_path: Path) -> None:
    """A row's rate is that of the step just taken."""
    setup = toy_job(bert, "train.max_steps=8", "optim.warmup_steps=0.25", "train.eval_every=1")
    history = toy_loop(setup, tmp_path).fit().history
    wanted = [setup.config.optim.lr * setup.schedule.scale(step - 1) for step in range(1, 9)]
    assert [row["lr"] for row in history[1:]] == wanted
    assert wanted[0] == 0.0


def test_the_bar_is_moved_once_a_step(bert: Path, tmp_path: Path) -> None:
    """With loss, accuracy and speed beside it."""
    bar = CountingBar()
    toy_loop(toy_job(bert, "train.max_steps=3"), tmp_path, progress=Speaker(bar)).fit()
    assert bar.count == 3
    assert all("loss " in n and "validation " in n and " rows/s" in n for n in bar.notes)


QUIET = ["optim.clip=0", "train.group_by_length=false", "optim.warmup_steps=0", "optim.epochs=1"]
"""The same rows in the same order, whatever the batch, and gradients as they are."""


@pytest.mark.parametrize(
    ("rows", "batch", "accumulate"), [(42, 16, 2), (42, 1, 32), (32, 12, 3), (42, 20, 2)]
)
def test_accumulated_batches_are_one_large_batch(
    rows: int, batch: int, accumulate: int, bert: Path, tmp_path: Path
) -> None:
    """Every row of a step weighs the same, also with 12 + 12 + 8 rows: gradients to 1e-6.

    The mean of these three batches' means would weigh the rows of the last half as much again.
    With 42 rows the last step is a ragged one, of 10 rows or of 2.
    """
    found = []
    for i, (size, times) in enumerate([(batch * accumulate, 1), (batch, accumulate)]):
        sizes = [f"optim.batch={size}", f"optim.accumulate={times}", "data.validation_rows=2"]
        setup = toy_job(bert, *QUIET, *sizes, rows=rows + 2)
        found.append(recorded(replace(setup, classifier=without_dropout(setup)), tmp_path / str(i)))
    for whole, parts in zip(*found, strict=True):
        for name, gradient in whole.items():
            torch.testing.assert_close(parts[name], gradient, rtol=0, atol=1e-6, msg=name)


def test_parts_of_a_batch_are_the_batch(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row once, in passes of about 40 tokens at most: gradients to 1e-6."""
    found, rows = [], list(range(3, 35))
    monkeypatch.setattr(batch_order, "LEAST_PADDED_TOKENS", 8)
    for most in (10_000, 40):
        monkeypatch.setattr(batches, "FP32_PADDED_TOKENS", most)
        setup = toy_job(bert, *QUIET, "optim.batch=32")
        parts = setup.parts(rows)
        assert sorted(row for part in parts for row in part) == rows
        assert (len(parts) == 1) == (most == 10_000)
        assert all(setup.train.tokens.lengths[part].sum() < most + 10 for part in parts)
        bare = replace(setup, classifier=without_dropout(setup))
        found.append(recorded(bare, tmp_path / str(most)))
    for whole, parted in zip(*found, strict=True):
        for name, gradient in whole.items():
            torch.testing.assert_close(parted[name], gradient, rtol=0, atol=1e-6, msg=name)


def test_the_own_forward_pass_takes_a_batch_at_once(bert: Path) -> None:
    """Its dropouts would draw other masks, and published batches stay what they are."""
    setup = toy_job(bert, "train.forward=own")
    assert setup.parts([5, 3, 9]) == [[5, 3, 9]]


def without_dropout(setup: Setup) -> Any:
    """The setup's classifier with every dropout at zero."""
    for module in setup.classifier.module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return setup.classifier


def test_gradients_are_clipped_together(bert: Path, tmp_path: Path) -> None:
    """The norm over all tensors is the limit, where it would be more; 0 lets it be."""
    norms = {}
    for clip in (0.0, 1e-3):
        setup = toy_job(bert, "train.max_steps=2", f"optim.clip={clip}")
        gradients = recorded(setup, tmp_path / str(clip))
        norms[clip] = [math.hypot(*(float(g.norm()) for g in step.values())) for step in gradients]
    assert norms[1e-3] == pytest.approx([1e-3] * 2, rel=1e-3)
    assert min(norms[0.0]) > 1e-2


def test_class_weights_reach_the_loss(bert: Path, tmp_path: Path) -> None:
    """With 3 rows of one class to 1 of the other, a step's loss is the weighted mean."""
    losses = {}
    for kind in ("none", "balanced"):
        setup = toy_job(bert, *QUIET, "optim.batch=48", f"optim.class_weights={kind}")
        targets_N = np.array([0] * 36 + [1] * 12)
        train = replace(setup.train, targets=targets_N)
        setup = replace(setup, train=train, classifier=without_dropout(setup))
        logits_NK = torch.from_numpy(predict_logits(setup.classifier, setup.train.tokens, batch=48))
        each_N = F.cross_entropy(logits_NK, torch.from_numpy(targets_N), reduction="none")
        weights_N = torch.tensor([48 / 72] * 36 + [48 / 24] * 12) if kind == "balanced" else 1.0
        losses[kind] = float((weights_N * each_N).mean())
        row = toy_loop(setup, tmp_path / kind).fit().history[-1]
        assert row["train_loss"] == pytest.approx(losses[kind], abs=1e-5)
    assert losses["none"] != pytest.approx(losses["balanced"], abs=1e-3)


def test_what_is_frozen_stays(bert: Path, tmp_path: Path) -> None:
    """Bit for bit, and everything else moves."""
    setup = toy_job(bert, "train.max_steps=4", "optim.warmup_steps=0")
    before = {n: p.detach().clone() for n, p in setup.classifier.module.named_parameters()}
    toy_loop(setup, tmp_path).fit()
    for name, parameter in setup.classifier.module.named_parameters():
        assert torch.equal(before[name], parameter) != parameter.requires_grad, name


def test_the_best_weights_are_restored_with_their_head(bert: Path, tmp_path: Path) -> None:
    """After step 20 the head is turned round, so that accuracy falls to its complement."""
    setup = toy_job(bert, "optim.epochs=8", "train.eval_every=5", "optim.lr=2e-2")
    loop = toy_loop(setup, tmp_path)

    def turn(row: dict[str, Any]) -> None:
        if row["step"] == 20:
            for name in ("classifier.weight", "classifier.bias"):
                setup.classifier.trainable()[name].data.neg_()

    loop.on_row = turn
    fitted = loop.fit()
    accuracies = {row["step"]: row["eval_accuracy"] for row in fitted.history[1:]}
    best = max(accuracies, key=lambda step: accuracies[step])
    assert accuracies[best] > accuracies[24]
    assert (fitted.counters.best_step, fitted.counters.best_score) == (best, accuracies[best])
    assert accuracy(setup) == accuracies[best]


def accuracy(setup: Setup) -> float:
    """Of the classifier as it is, on the validation rows."""
    logits_NK = predict_logits(setup.classifier, setup.validation.tokens, batch=64)
    return float((logits_NK.argmax(1) == np.array(setup.validation.targets)).mean())


def test_weights_before_the_first_step_are_never_the_best(bert: Path, tmp_path: Path) -> None:
    """They are scored for the record; among equals the earliest step is the best."""
    setup = toy_job(bert, "train.max_steps=3", "optim.lr=1e-9", "train.eval_every=1")
    fitted = toy_loop(setup, tmp_path).fit()
    assert len({row["eval_accuracy"] for row in fitted.history}) == 1
    assert fitted.counters.best_step == 1


def test_a_step_at_rate_zero_is_never_the_best(bert: Path, tmp_path: Path) -> None:
    """Warm-up begins there, and the weights it leaves are the first ones."""
    rates = ["train.max_steps=4", "optim.warmup_steps=0.5", "optim.lr=1e-9"]
    fitted = toy_loop(toy_job(bert, *rates, "train.eval_every=1"), tmp_path).fit()
    assert fitted.history[1]["lr"] == 0.0
    assert len({row["eval_accuracy"] for row in fitted.history}) == 1
    assert fitted.counters.best_step == 2


def with_format(setup: Setup, precision: Precision) -> Setup:
    """The same setup in another number format, through the model's own forward pass."""
    return replace(setup, precision=precision, lean=None)


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_half_precision_trains_with_fp32_weights(name: Any, bert: Path, tmp_path: Path) -> None:
    """Autocast, and for fp16 the loss scaler, also run on a CPU."""
    settings = ["optim.lr=2e-2", "optim.epochs=12", "train.forward=own"]
    setup = with_format(toy_job(bert, *settings), Precision(name, "test"))
    loop = toy_loop(setup, tmp_path)
    fitted = loop.fit()
    losses = [row["train_loss"] for row in fitted.history[1:]]
    assert losses[-1] < 0.69
    assert {p.dtype for p in setup.classifier.trainable().values()} == {torch.float32}
    assert loop.loop.watch.steps == fitted.steps
    assert loop.loop.watch.finish().ok


class Absurd(Precision):
    """fp16 with a loss scale that overflows until it has been halved often enough."""

    def scaler(self, device: torch.device) -> torch.amp.GradScaler:
        """A scaler that begins at 2^40; fp16 ends below 2^16."""
        return torch.amp.GradScaler(device.type, init_scale=2.0**40)


def test_steps_that_the_scaler_skips_do_not_count(bert: Path, tmp_path: Path) -> None:
    """The watch counts what the optimiser really did, so that nothing is due too early."""
    setup = with_format(
        toy_job(bert, "train.max_steps=40", "optim.epochs=20"), Absurd("fp16", "test")
    )
    loop = toy_loop(setup, tmp_path)
    assert loop.fit().steps == 40
    taken = {int(t) for n, t in pack_optimizer(loop.loop._optimizer).items() if n.endswith("step")}
    assert taken == {loop.loop.watch.steps}
    assert 3 < loop.loop.watch.steps < 30
    assert loop.loop.watch.finish().ok


def test_a_scaler_that_skips_everything_proves_nothing(bert: Path, tmp_path: Path) -> None:
    """Training ends, and its proof does not hold."""
    setup = with_format(toy_job(bert, "train.max_steps=4"), Absurd("fp16", "test"))
    loop = toy_loop(setup, tmp_path)
    loop.fit()
    with pytest.raises(ProofError, match="got no gradient in 0 steps"):
        loop.loop.watch.finish()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_stops_training(
    value: float, bert: Path, tmp_path: Path
) -> None:
    """At the step where it appears, with names and with what to try."""
    loop = toy_loop(toy_job(bert), tmp_path)
    spoilt = itertools.chain([1.0, 1.0, value], itertools.repeat(1.0))
    bias = loop.setup.classifier.trainable()["classifier.bias"]
    bias.register_hook(lambda gradient: gradient * next(spoilt))
    with pytest.raises(ProofError, match="is not a number any more at step 3") as caught:
        loop.fit()
    assert str(caught.value.seen).startswith("classifier.bias; finite losses, of training rows ")
    assert "lower optim.lr" in str(caught.value)


def test_a_rehearsal_times_steps_and_writes_nothing(bert: Path, tmp_path: Path) -> None:
    """Never more steps than the schedule has."""
    loop = Loop(toy_job(bert, "train.max_steps=2"), GradientWatch({}), scratch=tmp_path)
    assert 0 < loop.rehearse(3) < 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("patience", "steps"), [("2", [0, 1, 2, 3]), ("none", list(range(7)))])
def test_training_ends_where_nothing_gets_better(
    patience: str, steps: list[int], bert: Path, tmp_path: Path
) -> None:
    """A rate that changes no answer: no evaluation is better than the first after a step.

    What goes on from there takes no further step.
    """
    still = ["optim.lr=1e-12", "optim.warmup_steps=0", "train.eval_every=1", "train.max_steps=6"]
    notes = Notes()
    setup = toy_job(bert, *still, f"train.patience={patience}")
    loop = toy_loop(setup, tmp_path, progress=notes)
    assert [row["step"] for row in loop.fit().history] == steps
    again = toy_loop(setup, tmp_path).loop.fit(loop.loop.state.snapshot())
    assert again.steps == steps[-1]
    assert any("train.patience=2" in said for said in notes.said) == (patience == "2")
