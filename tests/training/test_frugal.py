"""The fewest parameters that rows cannot tell from all: the ladder, the choice, and a run of it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.toy_setups import FEW, SHORT, Notes, toy_job, toy_settings
from tests.toys import toy_rows, write_jsonl
from tightfit import Run, train
from tightfit.budget.parameter_plan import Plan
from tightfit.errors import SettingsError
from tightfit.training.frugal import ladder, smallest, trainings_to_choose
from tightfit.training.time_budget import trainings

FRUGAL = ["budget.spend=frugal", "adapters.rank=auto", "head.kind=linear", "budget.cap=5000"]


def test_a_ladder_from_the_head_alone_to_all(bert: Path) -> None:
    """Each rung has at least four times as many parameters, under the cap that was asked for."""
    setup = toy_job(bert, *FRUGAL)
    rungs = ladder(setup)
    totals = [plan.total for plan in rungs]
    assert (totals[0], totals[-1]) == (66, setup.classifier.plan.total)
    assert all(4 * few <= many for few, many in pairwise(totals[1:]))
    assert {plan.budget for plan in rungs} == {5000}
    assert rungs[0].method == "none"


@pytest.mark.parametrize("first", range(4))
def test_halving_finds_what_looking_at_each_would(bert: Path, first: int) -> None:
    """And never looks at the last, which is what the others are held against."""
    rungs, asked = ladder(toy_job(bert, *FRUGAL)), []

    def as_good(plan: Plan) -> bool:
        asked.append(plan)
        return rungs.index(plan) >= first

    first = min(first, len(rungs) - 1)
    assert smallest(rungs, as_good) is rungs[first]
    assert rungs[-1] not in asked


@pytest.mark.parametrize("few", [False, True])
def test_a_run_says_what_it_chose_and_why(few: bool, bert: Path, tmp_path: Path) -> None:
    """The probe knows these toys by heart, so that the head alone is enough for them."""
    data, notes = write_jsonl(tmp_path / "rows.jsonl", toy_rows(20 if few else 120)), Notes()
    settings = [*SHORT, *(FEW if few else ()), "head.start=probe", *FRUGAL]
    result = train(data, model=str(bert), out=tmp_path / "run", settings=settings, progress=notes)
    run = Run.open(result.run)
    assert run.decisions.spend is not None
    assert run.decisions.spend.value == run.plan.total == result.total
    assert run.plan.budget == 5000
    assert "rows cannot tell from all (accuracy by parameters, " in run.plan.why
    assert all(proof["ok"] or proof.get("kept_start") for proof in run.proofs.values())


def test_every_training_is_counted(bert: Path) -> None:
    """Before the plan is chosen; where nothing is to be chosen there are none."""
    setup = toy_job(bert, *FRUGAL)
    assert trainings_to_choose(setup) == 1 + 2  # of four rungs
    assert trainings(setup) == 4
    assert trainings(toy_job(bert)) == 1
    crossed = toy_job(bert, *FRUGAL, *FEW, rows=16)
    assert trainings(crossed) == 1 + 4 + 4 * trainings_to_choose(crossed)


def test_a_rank_that_is_set_leaves_nothing_to_choose(bert: Path) -> None:
    """Told before anything is read."""
    with pytest.raises(SettingsError, match="chooses the ranks"):
        toy_settings(bert, "budget.spend=frugal", "adapters.rank=4")
