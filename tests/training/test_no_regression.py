"""What is sealed is no worse than its start, whatever training did in between."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tightfit
from tests.command import cli
from tests.toy_setups import SHORT, Notes, toy_job, toy_loop
from tests.toys import toy_rows, write_jsonl
from tightfit import TrainResult
from tightfit.errors import ProofError
from tightfit.model.proofs import Standing, no_regression
from tightfit.reporting.page import render
from tightfit.tasks import SingleLabel
from tightfit.training.divergence import prove_no_regression
from tightfit.training.setup import FAR_WORSE, Counters, Fitted, no_worse

PROBE = ["head.start=probe", "train.eval_every=5", "optim.epochs=2"]
"""A start that is worth keeping."""

WILD = ["optim.lr=3", "optim.clip=0", "optim.warmup_steps=0"]
"""Steps so long that nothing of the start is left, and losses stay numbers."""


def trained(bert: Path, out: Path, *settings: str) -> tuple[TrainResult, Notes]:
    """A run on 200 toy rows, and what was said."""
    rows, said = write_jsonl(out.with_suffix(".jsonl"), toy_rows(200)), Notes()
    given = [*SHORT, *PROBE, *settings]
    result = tightfit.train(rows, model=str(bert), out=out, settings=given, progress=said)
    return result, said


@pytest.fixture(scope="module")
def kept(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Notes]:
    """A run that diverged, and so kept its start."""
    return trained(bert, tmp_path_factory.mktemp("runs") / "kept", *WILD)


def test_a_diverged_run_keeps_its_start_and_says_so(kept: tuple[TrainResult, Notes]) -> None:
    """The model that is sealed is the linear probe, which was better than every step."""
    result, said = kept
    assert result.best_step == 0
    assert result.accuracy == (result.start_accuracy or 0) >= 0.8
    assert min(row["eval_accuracy"] for row in tightfit.Run(result.run).history) < 0.7
    (told,) = [w for w in said.warned if w.startswith("no step did better than the start")]
    assert "adapter" not in told, "recipe full trains none"


def test_its_proofs_are_no_row_of_ticks(kept: tuple[TrainResult, Notes]) -> None:
    """Not an adapter moved, for a reason that is on record."""
    proofs = kept[0].proofs
    assert proofs["no_regression"] == {"ok": True, "kept_start": True}
    assert proofs["movement"] == {"ok": False, "expected": True, "kept_start": True}
    run = tightfit.Run(kept[0].run)
    assert kept[0].kept_start
    assert run.proofs["no_regression"]["accuracy"] == run.history[0]["eval_accuracy"]


def test_report_card_and_audit_tell_of_it(kept: tuple[TrainResult, Notes]) -> None:
    """Wherever the run is looked at."""
    run = tightfit.Run(kept[0].run)
    page = render(run)
    assert "The start was kept, since no step did better" in page
    assert "Declared beforehand" not in page
    card = (run.artefact / "README.md").read_text("utf-8")
    assert "- movement: does not hold, as declared; no step did better than the start" in card
    audited = cli("audit", str(run.path))
    assert audited.exit_code == 7
    assert "no step did better than the start, which training kept" in audited.stderr


def test_the_command_says_what_the_ticks_mean(
    kept: tuple[TrainResult, Notes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line each."""
    monkeypatch.setitem(vars(tightfit), "train", lambda *_, **__: kept[0])
    page = cli("train", "--data", "sample").stdout
    assert "→ no step did better, on validation rows scored while training" in page
    assert "✗ movement: no trained part moved: the start was kept" in page
    assert "✓ no regression: no worse than its start, as far as the rows can tell" in page


def test_a_random_start_that_diverges_is_not_sealed(bert: Path, tmp_path: Path) -> None:
    """There is no start worth keeping; exit 7, and a run that is not finished."""
    with pytest.raises(ProofError, match=r"worse than their start[\s\S]*lower optim.lr") as caught:
        trained(bert, tmp_path / "run", *WILD, "head.start=random", "optim.lr=30")
    assert caught.value.exit_code == 7
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_the_best_step_is_kept_though_it_diverged_later(bert: Path, tmp_path: Path) -> None:
    """Its weights, not the last ones, are judged and sealed."""
    setup = toy_job(bert, *PROBE, "optim.lr=1e-9", rows=160)
    looped = toy_loop(setup, tmp_path, on_row=lambda row: spoil(row["step"], looped))
    fitted = looped.fit()
    assert fitted.counters.best_step == 5
    assert fitted.history[-1]["eval_loss"] > setup.highest_loss(fitted.history)


def spoil(step: int, looped: Any) -> None:
    """After its first evaluation, make the head a thousand times as sure, and wrong."""
    if step == 5:
        with torch.no_grad():
            for parameter in looped.setup.classifier.trainable().values():
                parameter.mul_(-1e4)


def test_a_step_as_good_as_the_start_is_taken(bert: Path, tmp_path: Path) -> None:
    """Of two that are alike the trained one; hardly any step changes what the probe answers."""
    setup = toy_job(bert, *PROBE, "optim.lr=1e-9")
    fitted = toy_loop(setup, tmp_path).fit()
    assert fitted.history[0]["eval_accuracy"] == fitted.history[1]["eval_accuracy"]
    assert fitted.counters.best_step == 5


@pytest.mark.parametrize(
    ("right", "before", "rows", "ok"),
    [
        (19, 19, 30, True),
        (18, 19, 30, True),
        (13, 19, 30, True),  # by this test one-sided p = 0.06
        (12, 19, 30, False),  # p = 0.04
        (0, 8, 8, False),
        (59, 60, 200, False),  # so many are taken at their word
        (59, 60, 199, True),
    ],
)
def test_of_few_rows_a_start_is_ahead_beyond_chance_or_gives_way(
    bert: Path, right: int, before: int, rows: int, ok: bool
) -> None:
    """One row more of thirty says nothing; seven do."""
    setup = toy_job(bert, *PROBE, rows=4 * rows)
    assert len(setup.eval_subset.targets) == rows
    row, start = ({"eval_accuracy": each / rows} for each in (right, before))
    assert no_worse(row, start, setup) is ok
    run = replace(setup, config=setup.config.with_values({"head.start": "run"}))
    assert no_worse(row, start, run) is (right >= before)


def test_a_training_that_is_kept_behind_its_start_says_why(bert: Path) -> None:
    """The proof holds, and figures that look like a loss are explained."""
    setup, said = toy_job(bert, *PROBE), Notes()
    rows = [(0, 0.75), (5, 0.6875)]
    history = [{"step": n, "eval_accuracy": a, "eval_loss": 0.5} for n, a in rows]
    fitted = Fitted(history, Counters(best_step=5), 5)
    assert prove_no_regression(setup, fitted, said).ok
    assert "of 16 validation rows 68.8% are right after training, and 75.0% at" in said.said[0]


@pytest.mark.parametrize(
    ("accuracy", "loss", "probe", "ok"),
    [
        (0.9, 0.3, True, True),
        (0.91, 0.9, True, True),
        (0.89, 0.3, True, False),
        (0.89, 0.3, False, True),  # of a random head 90% would be luck
        (0.95, 2.1, True, False),
        (0.2, 2.1, False, False),
        (0.95, float("inf"), False, False),
        (0.95, float("nan"), True, False),
    ],
)
def test_when_the_proof_holds(accuracy: float, loss: float, probe: bool, ok: bool) -> None:
    """As accurate as a fitted start, and a loss that is not far above a constant answer's."""
    start, end = Standing(0, 0.9, 0.35, 0.9), Standing(7, accuracy, loss, accuracy)
    with nullcontext() if ok else pytest.raises(ProofError, match=f"accuracy {accuracy:.1%}"):
        limits: Any = {"fitted_start": probe, "highest_loss": 2.0}
        assert no_regression(start, end, **limits, as_good=accuracy >= 0.9).ok


def test_a_constant_answer_by_hand() -> None:
    """The frequencies of three labels over the training rows, one of which has none."""
    task = SingleLabel.from_names(("a", "b", "c"))
    found = task.constant_loss(np.array([0] * 8 + [1]), np.array([0, 1, 2, 0]))
    assert found == pytest.approx(-np.log([9 / 12, 2 / 12, 1 / 12, 9 / 12]).mean())


def test_the_margin(bert: Path) -> None:
    """Three times a constant answer, or three times the start where that is worse already."""
    setup = toy_job(bert)
    constant = setup.classifier.task.constant_loss(setup.train.targets, setup.eval_subset.targets)
    assert FAR_WORSE == 3
    assert setup.highest_loss([]) == pytest.approx(3 * constant)
    assert setup.highest_loss([{"eval_loss": 5.0}]) == 15
    assert json.dumps(setup.highest_loss([]), allow_nan=False)
