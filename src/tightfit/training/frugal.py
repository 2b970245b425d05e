"""``budget.spend=frugal``: the fewest parameters that the rows cannot tell from all of the cap.

A ladder of plans, each a quarter of the one above, down to the head alone. The largest is trained,
then by halving the ladder a few of the others, and what is worse by a sign test is too small: that
fewer parameters do no better is taken for granted. What was chosen is then trained as any plan is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from accelerate.utils import set_seed

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Decision
from tightfit.display import score_name
from tightfit.model.embedded import is_crowded
from tightfit.model.proofs import GradientWatch
from tightfit.progress import Progress
from tightfit.training.answers import Answers
from tightfit.training.cross_validate import cross_validate
from tightfit.training.importance import decide_plan, head_alone
from tightfit.training.loop import Loop
from tightfit.training.objective import decide_objective
from tightfit.training.prepare import prepare
from tightfit.training.setup import Setup

STEP = 4
"""How many times fewer parameters a rung has than the one above."""


def choose_frugally(setup: Setup, progress: Progress) -> Setup:
    """The setup with the smallest plan whose training is not shown to be worse than the largest's.

    Args:
        setup: of the whole cap, its schedule included.
        progress: hears what each plan comes to.
    """
    whole, rungs = setup.classifier.plan, ladder(setup)
    if len(rungs) == 1:
        return setup
    best = _answers(setup, progress)
    told = {whole.total: best}

    def as_good(plan: Plan) -> bool:
        own = told[plan.total] = _answers(_on(setup, plan), progress)
        return own.as_good_as(best)

    chosen = smallest(rungs, as_good)
    name, rows = score_name(best.task.metric), len(best.targets_N)
    scores = "; ".join(f"{total:,}: {each.scores[1]:.3f}" for total, each in told.items())
    words = f"the fewest that {rows:,} rows cannot tell from all ({name} by parameters, {scores})"
    progress.say(f"{chosen.total:,} parameters: {words}")
    set_seed(setup.config.seed)
    chosen = chosen if chosen is whole else replace(chosen, why=words)
    return _on(setup, chosen).with_decisions(spend=Decision(chosen.total, words))


def trainings_to_choose(setup: Setup) -> int:
    """How many trainings it takes to choose a plan; none where that is not asked for, or done."""
    if setup.config.budget.spend != "frugal" or setup.decisions.spend is not None:
        return 0
    rungs = len(ladder(setup))
    return 0 if rungs == 1 else 1 + math.ceil(math.log2(rungs))


def ladder(setup: Setup) -> list[Plan]:
    """Plans with ever more parameters: the head alone first, all that fits last."""
    whole, source = setup.classifier.plan, setup.source
    rungs = {whole.total: whole}
    # A side head is solved beside each of them, and priced beside them.
    head = replace(head_alone(setup.config, source, whole), side=None)
    cap = whole.total // STEP
    while cap > head.total:
        config = setup.config.with_values({"budget.cap": cap, "head.side": "off"})
        plan = decide_plan(config, setup.dataset, source, Progress(), pooling=whole.pooling)
        rungs.setdefault(plan.total, plan)
        cap //= STEP
    rungs.setdefault(head.total, head)
    # The cap that was asked for holds for each.
    return [replace(rungs[total], budget=whole.budget) for total in sorted(rungs)]


def smallest(rungs: Sequence[Plan], as_good: Callable[[Plan], bool]) -> Plan:
    """The first rung that is as good as the last, found by halving."""
    low, high = 0, len(rungs) - 1
    while low < high:
        middle = (low + high) // 2
        if as_good(rungs[middle]):
            high = middle
        else:
            low = middle + 1
    return rungs[high]


def _on(setup: Setup, plan: Plan) -> Setup:
    """The same training of another plan."""
    config, dataset = setup.config, setup.dataset
    crowded, targets_N = is_crowded(setup.source.name), dataset.train.targets
    objective = decide_objective(config, plan, dataset.task, targets_N, crowded=crowded)
    if setup.objective == "cross-entropy":  # there may be no time for more
        objective = setup.decisions.objective
    decided = replace(setup.decisions, prefix_cache=None, objective=objective, class_rows=None)
    set_seed(config.seed)
    found = prepare(config, dataset, setup.source, plan, decided=decided, progress=Progress())
    # As many steps, of as many rows, as the largest plan has time for.
    if found.objective == setup.objective and not setup.solves:
        found = replace(found, schedule=setup.schedule)
    return replace(
        found,
        side=setup.side,
        deadline=setup.deadline,
        probe_rows=setup.probe_rows,
        eval_subset=setup.eval_subset,
    )


def _answers(setup: Setup, progress: Progress) -> Answers:
    """What a training of a setup says of rows that it did not see."""
    set_seed(setup.config.seed)
    if setup.dataset.folds is not None:
        crossed = cross_validate(setup, progress).out_of_fold
        assert crossed is not None
        return crossed.trained
    start, subset = setup.classifier.state(), setup.eval_subset
    Loop(setup, GradientWatch({}), progress=progress).fit()
    logits_NK = setup.subset_logits()
    setup.classifier.load_state(start)
    return Answers(setup.classifier.task, logits_NK, subset.targets, subset.weights_N)
