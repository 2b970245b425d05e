"""A head that is solved once cross-entropy is over: its gradient, and only where it is better."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.toy_setups import Notes, toy_job, watch_of
from tightfit.model.adapters import output_layer
from tightfit.training import loop, solve, timing
from tightfit.training.loop import Loop
from tightfit.training.setup import HistoryRow, Setup
from tightfit.training.solve import ends_solved, head_is_solved, solved_or_trained

ENDS = ["head.kind=linear", "head.start=probe", "head.end=auto", "optim.lr=3e-3"]


def fitted(bert: Path, *settings: str, notes: Notes | None = None) -> tuple[Setup, HistoryRow]:
    """What a toy training leaves: the setup with its decisions, and the row of its best step."""
    setup = toy_job(bert, *ENDS, *settings)
    trained = Loop(setup, watch_of(setup), progress=notes or Notes())
    done = trained.fit()
    best = next(row for row in done.history if row["step"] == done.counters.best_step)
    return trained.state.setup, best


def test_the_head_is_solved_and_scored_anew(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradient is zero, and the record is that of the weights that are kept."""
    monkeypatch.setattr(solve, "no_worse", lambda *_: True)
    _, before = fitted(bert, "head.end=trained")
    notes = Notes()
    setup, row = fitted(bert, notes=notes)
    assert head_is_solved(setup, frozen=False).ok
    logits_NK, targets_N = setup.subset_logits(), setup.eval_subset.targets
    logs_NK = logits_NK - np.log(np.exp(logits_NK).sum(1, keepdims=True))
    loss = -logs_NK[np.arange(len(targets_N)), targets_N].mean()
    assert row["eval_loss"] == pytest.approx(loss, abs=1e-5)
    assert loss < before["eval_loss"]
    assert notes.said[-1].startswith("the solved head is kept: on 16 validation rows ")


def test_a_solved_head_that_is_worse_is_left(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights and their scores are those of the steps, to the last digit."""
    plain, before = fitted(bert, "head.end=trained")

    def spoil(setup: Setup, *, frozen: bool) -> None:
        output_layer(setup.classifier.module, setup.classifier.plan).weight.data.mul_(-9)

    monkeypatch.setattr(loop, "solve_head", spoil)
    setup, row = fitted(bert)
    assert setup.decisions.head is not None
    assert setup.decisions.head.value == "trained"
    np.testing.assert_array_equal(setup.subset_logits(), plain.subset_logits())
    assert row["eval_loss"] == before["eval_loss"]


def test_a_solved_head_is_as_good_as_the_start_too(bert: Path) -> None:
    """What chance explains twice over is no reason to end in a failed proof."""
    setup = toy_job(bert, *ENDS)
    start, trained, solved = (
        {"eval_accuracy": right / 16, "eval_loss": loss}
        for right, loss in ((12, 0.9), (8, 1.2), (5, 0.8))
    )
    assert solved_or_trained(trained, solved, setup, start=trained).value == "solved"
    assert solved_or_trained(trained, solved, setup, start=start).value == "trained"


def test_a_time_limit_knows_of_it(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass over all training rows and an evaluation, where nothing else takes any time."""
    monkeypatch.setattr(timing, "_token_seconds", lambda *_: 1.0)
    monkeypatch.setattr(timing, "_load_seconds", lambda *_: 0.0)
    plain, ends = (
        timing.rehearse(toy_job(bert, *ENDS, f"head.end={end}")) for end in ("trained", "auto")
    )
    assert ends.finishing - plain.finishing == pytest.approx(ends.probe + ends.evaluation)


@pytest.mark.parametrize(
    "setting",
    [
        "head.end=trained",
        "head.start=random",
        "optim.objective=contrastive",
        "adapters.method=none",
    ],
)
def test_where_no_head_is_solved_at_the_end(setting: str, bert: Path) -> None:
    """What is asked for, what is solved anyway, and what no row held out could judge."""
    assert not ends_solved(toy_job(bert, *ENDS, setting))
    assert not ends_solved(replace(toy_job(bert, *ENDS), chooses=False))


def test_with_many_rows_it_is_not_tried(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """48 of the toy rows train."""
    for most, ends in ((48, True), (47, False)):
        monkeypatch.setattr(solve, "MOST_SOLVED_ROWS", most)
        assert ends_solved(toy_job(bert, *ENDS)) is ends
