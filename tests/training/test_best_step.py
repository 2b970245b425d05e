"""``train.metric``: which evaluation is the best, whose weights are kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.metrics import f1_score

import tightfit
from tests.toy_setups import SHORT, toy_job, toy_loop
from tightfit.errors import SettingsError
from tightfit.model.classifier import predict_logits
from tightfit.progress import Progress
from tightfit.training.cross_validate import cross_validate
from tightfit.training.setup import merit

RISING = [
    *("train.eval_every=1", "train.max_steps=10", "optim.lr=1e-2", "optim.warmup_steps=0"),
    *("head.kind=linear", "head.pooling=mean", "optim.batch=8"),
]
"""Evaluations differ, for the better and for the worse."""


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "macro_f1"])
def test_the_best_step_is_that_of_the_metric(metric: str, bert: Path, tmp_path: Path) -> None:
    """The first among equals; its weights are those that the classifier has in the end."""
    setup = toy_job(bert, *RISING, f"train.metric={metric}")
    fitted = toy_loop(setup, tmp_path).fit()
    scores = [merit(row, setup) for row in fitted.history[1:]]
    assert len(set(scores)) > 1
    assert fitted.counters.best_step == scores.index(max(scores)) + 1
    assert fitted.counters.best_score == max(scores)
    logits_NK = predict_logits(setup.classifier, setup.validation.tokens, batch=64)
    found = f1_score(setup.validation.targets, logits_NK.argmax(1), average="macro")
    best = fitted.history[fitted.counters.best_step]
    assert best.get("eval_macro_f1", found) == pytest.approx(found)
    assert ("eval_macro_f1" in best) == (metric == "macro_f1")


def test_scores_out_of_fold_are_of_every_row(bert: Path, tmp_path: Path) -> None:
    """Also where time is short, and evaluations would score a sample."""
    setup = cross_validate(toy_job(bert, "train.folds=2", "train.metric=macro_f1"), Progress())
    short = replace(setup, eval_subset=setup.eval_subset.sample(20, 0))
    last = toy_loop(short, tmp_path).fit().history[-1]
    assert setup.out_of_fold is not None
    logits_NK = setup.out_of_fold.trained.logits_NK
    due = f1_score(setup.validation.targets, logits_NK.argmax(1), average="macro")
    assert last["eval_macro_f1"] == pytest.approx(due)


def test_patience_counts_by_the_metric(bert: Path, tmp_path: Path) -> None:
    """Accuracy stands still while the loss falls: by the loss, training goes on."""
    steps = {}
    for metric in ("accuracy", "log_loss"):
        still = [*RISING, "optim.lr=1e-6", "train.patience=3", f"train.metric={metric}"]
        setup = toy_job(bert, *still)
        setup = replace(setup, eval_subset=setup.train)  # whose loss is what falls
        history = toy_loop(setup, tmp_path / metric).fit().history
        assert len({row["eval_accuracy"] for row in history}) == 1
        steps[metric] = history[-1]["step"]
    assert steps == {"accuracy": 4, "log_loss": 10}


def test_a_run_says_by_what_its_step_was_chosen(
    bert: Path, rows_file: Path, tmp_path: Path
) -> None:
    """From Python as from the command line: the setting, the history and the proof agree."""
    settings = [*SHORT, *RISING, "train.metric=log_loss", "train.patience=3", "head.start=probe"]
    out = tmp_path / "run"
    result = tightfit.train(
        rows_file, model=str(bert), out=out, settings=settings, progress=Progress()
    )
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    losses = {row["step"]: row["eval_loss"] for row in history}
    assert result.best_step == min(losses, key=lambda step: losses[step])
    assert result.proofs["no_regression"]["ok"]


def test_another_metric_is_refused() -> None:
    """With what there is."""
    with pytest.raises(SettingsError, match="macro_f1"):
        tightfit.train("sample", settings=["train.metric=f1"])
