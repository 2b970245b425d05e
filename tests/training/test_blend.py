"""How much of what was learned is kept: exact weights, an honest choice, and a run that says so."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.toy_setups import SHORT, TEXTS, Notes, stopped_at_once, toy_job, watch_of
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, TrainResult, train
from tightfit.config import Decision
from tightfit.errors import Interrupted
from tightfit.model.adapters import adapter_pairs
from tightfit.model.classifier import predict_logits
from tightfit.training import blend
from tightfit.training.blend import blended, choose_blend, smallest_as_good
from tightfit.training.loop import Loop
from tightfit.training.probe import start_at_probe
from tightfit.training.setup import Fitted, Setup
from tightfit.verbs import run_training

LEARNS = ["head.kind=linear", "optim.lr=3e-3"]


def logits(setup: Setup) -> np.ndarray:
    """Of the validation rows."""
    return predict_logits(setup.classifier, setup.validation.tokens, batch=8)


def trained(encoder: Path, *settings: str) -> tuple[Setup, dict[str, torch.Tensor], Fitted]:
    """A toy that has learned, its weights as they were built, and what a last best step leaves."""
    setup = toy_job(encoder, *LEARNS, *settings)
    before = setup.classifier.state()
    fitted = Loop(setup, watch_of(setup)).fit()
    counters = replace(fitted.counters, best_step=fitted.steps)
    return setup, before, replace(fitted, counters=counters)


def test_the_change_of_every_layer_is_scaled_and_the_ends_are_exact(bert: Path) -> None:
    """Compared with the product B A itself."""
    setup, before, _ = trained(bert)
    end, whole = setup.classifier.state(), logits(setup)
    changes = [pair.change_norm() for pair in adapter_pairs(setup.classifier.module)]
    setup.classifier.load_state(blended(setup.classifier, before, end, 0.5))
    halved = [pair.change_norm() for pair in adapter_pairs(setup.classifier.module)]
    np.testing.assert_allclose(halved, np.array(changes) / 2, rtol=1e-5)
    setup.classifier.load_state(blended(setup.classifier, before, end, 1.0))
    np.testing.assert_array_equal(logits(setup), whole)
    setup.classifier.load_state(blended(setup.classifier, before, end, 0.0))
    at_start = logits(setup)
    setup.classifier.load_state(before)
    np.testing.assert_array_equal(at_start, logits(setup))


@pytest.mark.parametrize(
    ("right", "scale"),
    [
        ({0.25: (0, 50), 0.5: (2, 91), 1.0: (0, 90)}, 0.5),  # two rows lost, one won
        ({0.25: (0, 50), 0.5: (0, 60), 1.0: (0, 90)}, 1.0),
        ({0.25: (0, 90), 0.5: (0, 60), 1.0: (0, 50)}, 0.25),
        ({0.25: (0, 70), 0.5: (0, 70), 1.0: (0, 70)}, 0.25),
    ],
)
def test_the_least_that_cannot_be_told_from_the_best(
    right: dict[float, tuple[int, int]], scale: float
) -> None:
    """Of 100 rows those between two numbers are right."""
    rows = np.arange(100)
    scores = {each: (rows >= first) & (rows < end) for each, (first, end) in right.items()}
    assert smallest_as_good(scores) == scale


@pytest.fixture(scope="module")
def run(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    """A training whose blend is chosen; not to be changed."""
    folder = tmp_path_factory.mktemp("blend")
    data = write_jsonl(folder / "rows.jsonl", toy_rows(200))
    values = ("train.blend=auto", "data.validation_rows=20", "optim.epochs=12")
    settings = [*SHORT, *LEARNS, *values]
    return train(data, model=str(bert), out=folder / "run", settings=settings, progress=Notes())


def test_a_run_says_how_much_it_keeps_and_scores_that(run: TrainResult) -> None:
    """The decision is on record, and the proofs are of what is sealed."""
    opened = Run.open(run.run)
    assert opened.decisions.blend is not None
    assert opened.decisions.blend.value in (0.25, 0.5, 0.75, 1.0)
    assert "20 validation rows cannot tell from the best" in opened.decisions.blend.reason
    assert opened.proofs["no_regression"]["accuracy"] == run.accuracy
    assert all(proof["ok"] for proof in run.proofs.values())
    assert Run.load(run.run).predict(TEXTS).labels


@pytest.mark.parametrize("start", ["probe", "random"])
def test_a_share_that_is_asked_for_is_taken(start: str, bert: Path) -> None:
    """Without asking the rows; the head is half-way to where it started."""
    setup, before, fitted = trained(bert, "train.blend=0.5", f"head.start={start}")
    end, notes = setup.classifier.state(), Notes()
    decided, told = choose_blend(setup, before, fitted, notes)
    assert decided.decisions.blend == Decision(0.5, "asked for")
    assert notes.said == ["of what was learned 50% is kept: asked for"]
    assert [row["step"] for row in told.history] == [row["step"] for row in fitted.history]
    kept = setup.classifier.state()
    setup.classifier.load_state(before)
    if start == "probe":
        start_at_probe(setup, Notes())
    begun = setup.classifier.state()["classifier.weight"]
    torch.testing.assert_close(kept["classifier.weight"], (begun + end["classifier.weight"]) / 2)


def test_the_history_has_the_loss_of_what_is_kept(bert: Path, tmp_path: Path) -> None:
    """As the proof and the final scores have it, for the curve on the page."""
    data = write_jsonl(tmp_path / "rows.jsonl", toy_rows(200))
    settings = [*SHORT, *LEARNS, "train.blend=0.25", "data.validation_rows=0.25"]
    out = tmp_path / "run"
    told = train(data, model=str(bert), settings=settings, progress=Notes(), out=out)
    run = Run.open(told.run)
    assert run.decisions.blend == Decision(0.25, "asked for")
    (best,) = (row for row in run.history if row["step"] == told.best_step)
    assert best["eval_loss"] == run.proofs["no_regression"]["loss"]
    assert best["eval_loss"] == pytest.approx(run.metrics.validation.log_loss, rel=0.1)


@pytest.mark.parametrize(
    ("right", "kept"),
    [
        ({0.25: 0.95, 0.5: 0.9, 0.75: 0.85, 1.0: 0.85}, 0.5),
        ({0.25: 0.85, 0.5: 0.85, 0.75: 0.85, 1.0: 0.85}, 1.0),
    ],
)
def test_of_a_training_behind_its_start_the_most_is_kept_that_is_not(
    right: dict[float, float], kept: float, bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start has 90% right; where no share has as many, chance explains the whole."""
    setup, before, fitted = trained(bert, "head.start=probe")
    best = fitted.counters.best_step
    said = {0: 0.9, best: right[1.0]}
    history = [{**r, "eval_accuracy": said.get(r["step"], 0.1)} for r in fitted.history]
    scored = iter([({"eval_accuracy": each}, np.ones(16)) for each in right.values()])
    monkeypatch.setattr(blend, "_scored", lambda setup: next(scored))
    decided, told = choose_blend(setup, before, replace(fitted, history=history), Notes())
    assert decided.decisions.blend is not None
    assert decided.decisions.blend.value == kept
    assert [r["eval_accuracy"] for r in told.history if r["step"] == best] == [right[kept]]


def test_a_share_that_is_worse_than_the_start_is_not_kept(bert: Path) -> None:
    """The whole is, which the loop has held against the start."""
    setup, before, fitted = trained(bert, "train.blend=0.5")
    first = {**fitted.history[0], "eval_accuracy": 1.0}
    fitted, end = replace(fitted, history=[first, *fitted.history[1:]]), setup.classifier.state()
    decided, told = choose_blend(setup, before, fitted, Notes())
    assert decided.decisions.blend == Decision(1.0, "50% of it is worse than the start")
    assert told.history == fitted.history
    for name, tensor in setup.classifier.state().items():
        torch.testing.assert_close(tensor, end[name], rtol=0, atol=0)


def test_adapters_that_do_not_start_at_zero_lie_on_a_line(bert: Path) -> None:
    """As where a training goes on from another: both matrices, and both ends are exact."""
    setup, before, _ = trained(bert)
    end = setup.classifier.state()
    moved = {name: tensor + 1 for name, tensor in before.items()}
    for scale in (0.0, 0.25, 1.0):
        for name, tensor in blended(setup.classifier, moved, end, scale).items():
            due = (1 - scale) * moved[name] + scale * end[name]
            torch.testing.assert_close(tensor, due, rtol=0, atol=1e-6)


def test_an_interrupted_run_keeps_the_same_share(bert: Path, tmp_path: Path) -> None:
    """The start, which its checkpoint does not hold, is made anew."""
    data = write_jsonl(tmp_path / "rows.jsonl", toy_rows(200))
    settings = [*SHORT, *LEARNS, "train.blend=0.5"]
    options: Any = {"model": str(bert), "settings": settings, "progress": Notes()}
    whole, again = (partial(train, data, out=tmp_path / name, **options) for name in "ab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_training, "stop_on_signals", stopped_at_once)
        with pytest.raises(Interrupted):
            again()
    found = [Run.load(each.run) for each in (whole(), again(resume=True))]
    one, other = (run.predict(TEXTS).probabilities for run in found)
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert {run.decisions.blend for run in found} == {Decision(0.5, "asked for")}
