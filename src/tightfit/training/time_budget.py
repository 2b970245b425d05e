"""How much of a training fits into a wall clock, the whole command's."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Literal

from tightfit.config import Decision, Objective
from tightfit.data.label_strata import one_each
from tightfit.errors import UsageError
from tightfit.progress import Progress
from tightfit.training.callbacks import Callback, TrainingState
from tightfit.training.frugal import trainings_to_choose
from tightfit.training.optim import Schedule, contrastive_schedule, make_schedule
from tightfit.training.setup import Setup
from tightfit.training.timing import REHEARSED_STEPS, Timing, rehearse

RESERVE = 0.1
"""Share of the time left for training that is kept for a machine that slows down."""

LOOK_AFTER = 0.15
"""Share of the steps after which it is known better how long the others take."""

RESERVE_THEN = 0.04
"""What is kept of the time from then on."""

PROBE_ASIDE = 0.15
"""Most of the time left that the probe start may take."""

SCORE_ASIDE = 0.15
"""And the final scores: of fewer rows where all would take longer."""

EVAL_ASIDE = 0.05
"""And the evaluations while training, on which nothing is learned."""

LEAST_EVALS = 5
"""Evaluations that are kept, with fewer rows each, before their number is cut."""

LEAST_ROWS = 200
"""For any of these, however short the time is."""

NO_TIME = "no time is left for more"


@dataclass(frozen=True)
class TimeLimit:
    """Wall clock of a whole command, from the start of its process to its end."""

    minutes: float
    started: float
    """Reading of :func:`time.monotonic` when the command began."""

    @property
    def deadline(self) -> float:
        """Reading of :func:`time.monotonic` at which all must be over."""
        return self.started + 60 * self.minutes

    @property
    def told(self) -> str:
        """The limit in words."""
        return in_minutes(self.minutes)

    @property
    def left(self) -> float:
        """Seconds until then; negative once it has passed."""
        return self.deadline - time.monotonic()

    def check(self) -> None:
        """Refuse before anything is computed where reading has taken all of the time.

        Raises:
            UsageError: it has.
        """
        if self.left <= 0:
            raise UsageError(
                f"{self.told} leave{'s' if self.minutes == 1 else ''} no time to train",
                seen=f"{self.minutes - self.left / 60:.2g} minutes for starting and reading",
                next_step="raise --minutes, or give fewer rows with --limit",
            )


class TimeBudget(Callback):
    """Keeps a training within its time: it ends where that is up.

    A rehearsal is short, and the first to need its memory and kernels: it finds steps too slow. So
    the number of steps is decided once more, on record, by the clock of those that were taken.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._look_at, self._stepped, self._evaluation = 0, 0.0, 0.0
        self._before = (0.0, 0)

    def on_train_begin(self, state: TrainingState) -> None:
        """Find the step to look after; a resumed training goes by what it began with."""
        setup, self._stepped = state.setup, time.monotonic()
        # The trainings of a cross-validation had as many steps as were decided.
        alone = setup.decisions.max_steps is not None and setup.dataset.folds is None
        if alone and state.step == 0 and math.isfinite(setup.deadline):
            schedule = setup.schedule
            least = max(REHEARSED_STEPS, schedule.lead + schedule.warmup + 1)
            self._look_at = max(least, round(LOOK_AFTER * state.total))

    def on_optimizer_step(self, state: TrainingState) -> None:
        """Look at the clock, but not before a step has moved something: warm-up begins at zero."""
        self._stepped = time.monotonic()
        late = state.rate > 0 and self._stepped > state.setup.deadline
        if late and state.step < state.total:
            state.finish("the time was up")
            self._progress.warn(f"the time was up after step {state.step} of {state.total}")

    def on_evaluation(self, state: TrainingState) -> None:
        """Time it."""
        self._evaluation = time.monotonic() - self._stepped

    def on_step_end(self, state: TrainingState) -> None:
        """Decide anew, where the step is the one."""
        counters = state.counters
        if state.step == self._look_at // 4:  # the first ones are slower
            self._before = counters.train_seconds, counters.tokens
        if state.step != self._look_at or state.step >= state.total or state.ending:
            return
        seconds, tokens = self._before
        a_token = (counters.train_seconds - seconds) / (counters.tokens - tokens)
        state.setup = _turned(state, a_token, self._evaluation)
        decided = state.setup.decisions.max_steps
        assert decided is not None
        self._progress.say(f"{decided.value} steps: {decided.reason}")


def _turned(state: TrainingState, a_token: float, evaluation: float) -> Setup:
    """The setup with as many steps still to come as fit, at these seconds."""
    setup, schedule = state.setup, state.setup.schedule
    step = a_token * int(setup.train.tokens.lengths.sum()) / schedule.steps_per_epoch
    left = (setup.deadline - time.monotonic()) * (1 - RESERVE_THEN)
    more = max(1, int(left / (step + evaluation / setup.eval_every)))
    total = min(state.step + more, _schedule(setup).total)
    assert setup.config.train.minutes is not None
    told = f"into {in_minutes(setup.config.train.minutes)} at {step:.3g} seconds a step"
    reason = f"{_extent(setup, total)} {told}, as the first {state.step} took"
    decided = setup.with_decisions(max_steps=Decision(total, reason))
    return replace(decided, schedule=schedule.turned(state.step, total))


@dataclass(frozen=True)
class _Fit:
    """A setup with less set aside for all but steps, and what that leaves."""

    setup: Setup
    timing: Timing
    seconds: float
    """For training, evaluations included."""

    @property
    def steps(self) -> int:
        """The most that fit."""
        return self.timing.steps_in(self.seconds, self.setup.eval_every)


def fit_into(setup: Setup, limit: TimeLimit, progress: Progress) -> tuple[Setup, Timing | None]:
    """The setup with a schedule that ends in time: fewer steps, and so fewer rows, where need be.

    What is decided goes on record, so that a resumed run keeps to the schedule it began with.

    What is read and loaded by now is not thrown away: where no step fits, one is taken, and the
    better of it and the head's start is kept.

    Returns:
        It, and what was measured for it; None where nothing was.
    """
    if setup.solves and setup.dataset.folds is None:
        # Its few steps are worth more than what could be saved on them.
        return replace(setup, deadline=limit.deadline), None
    if setup.solves:
        return _crossed(setup, limit, progress)
    # A resumed run times nothing anew: it leaves what it may take in the end.
    after, timing = (SCORE_ASIDE + RESERVE) * limit.left, None
    if setup.decisions.max_steps is None:
        found = _decide(setup, limit, progress)
        if setup.schedule.lead and found.steps < setup.schedule.total:
            found = _decide(_without_lead(setup, limit), limit, progress)
            asked = setup.config.optim.objective != "auto"
            (progress.warn if asked else progress.say)(
                f"both phases take longer than {limit.told}: all steps are of cross-entropy"
            )
        setup, timing = found.setup, found.timing
        after = timing.scoring + timing.finishing + timing.evaluation
    decisions = setup.decisions
    steps, scored = decisions.max_steps, decisions.scored_rows
    assert steps is not None
    if timing is not None:  # how many a resumed run has by now its checkpoint knows
        _tell(steps, progress)
    if scored is not None:
        progress.say(
            f"the final scores will be those of {scored.value:,} validation rows, a stratified "
            f"sample: {scored.reason}"
        )
    short = replace(
        _with_fewer(setup), schedule=_schedule(setup, steps.value), deadline=limit.deadline - after
    )
    return short, timing


def _without_lead(setup: Setup, limit: TimeLimit) -> Setup:
    """The setup without its contrastive phase: of few steps those of cross-entropy teach more."""
    why = f"both phases take longer than {limit.told}"
    objective: Decision[Objective] = Decision("cross-entropy", why)
    setup = setup.with_decisions(objective=objective, class_rows=None)
    return replace(setup, schedule=_schedule(setup))


def _crossed(setup: Setup, limit: TimeLimit, progress: Progress) -> tuple[Setup, Timing | None]:
    """Fewer steps in each training of a cross-validation before a solved head, where all take too
    long.

    Its scores are those of trainings that took as many steps as the last: no deadline cuts one.
    """
    timing, steps = None, setup.decisions.max_steps
    if steps is None and setup.schedule.total:
        with progress.work("timing a few steps"):
            timing = rehearse(setup)
        seconds = (limit.left - timing.finishing) * (1 - RESERVE) / trainings(setup)
        steps = _steps(_Fit(setup, timing, seconds), limit)
        _tell(steps, progress)
        setup = setup.with_decisions(max_steps=steps)
    schedule = setup.schedule if steps is None else _schedule(setup, steps.value)
    return replace(setup, schedule=schedule), timing


def _tell(steps: Decision[int], progress: Progress) -> None:
    speak = progress.warn if steps.reason.startswith(NO_TIME) else progress.say
    speak(f"{steps.value} step{'s' if steps.value > 1 else ''}: {steps.reason}")


def _decide(setup: Setup, limit: TimeLimit, progress: Progress) -> _Fit:
    """What fits, on record: rows of probe, evaluations and scores, stored states, and steps.

    Frozen layers' states are not kept where no row would be seen twice: then the same time brings
    more rows.
    """
    found = _fitting(setup, limit, progress)
    if setup.keeps_prefix and found.steps <= setup.schedule.steps_per_epoch:
        once: Decision[Literal["on", "off"]] = Decision(
            "off", "no row is seen twice within this time"
        )
        found = _fitting(setup.with_decisions(prefix_cache=once), limit, progress)
    steps = _steps(found, limit)
    return replace(found, setup=found.setup.with_decisions(max_steps=steps))


def _fitting(setup: Setup, limit: TimeLimit, progress: Progress) -> _Fit:
    """What is set aside for all but steps, and the timing with that."""
    with progress.work("timing a few steps"):
        timing = rehearse(setup)
    left = limit.left - timing.finishing
    if setup.dataset.folds is None:  # else each row has been scored already
        setup, timing = _fewer_scored(setup, timing, left)
    training = (left - timing.scoring) * (1 - RESERVE) / trainings(setup)
    setup, timing = _fewer_probed(setup, timing, training)
    setup, timing = _fewer_evaluated(setup, timing, training)
    return _Fit(setup, timing, training)


def trainings(setup: Setup) -> int:
    """How many times over a training is done: to score every row, and to choose a plan."""
    parts = 0 if setup.dataset.folds is None else setup.dataset.folds.value
    return 1 + parts + trainings_to_choose(setup) * max(1, parts)


def _fewer_scored(setup: Setup, timing: Timing, left: float) -> tuple[Setup, Timing]:
    """Fewer rows on record for the final scores, where all would take too much of the time."""
    whole = len(setup.validation.targets)
    # Of each label one at least.
    least = len(set(one_each(setup.dataset.task.strata(setup.validation.targets))))
    rows = min(whole, max(least, _rows_in(SCORE_ASIDE * left, whole, timing.scoring)))
    if rows == whole:
        return setup, timing
    setup = setup.with_decisions(scored_rows=_fewer(rows, whole, SCORE_ASIDE))
    return setup, replace(timing, scoring=timing.scoring * rows / whole)


def _fewer_probed(setup: Setup, timing: Timing, left: float) -> tuple[Setup, Timing]:
    """Fewer rows on record for the probe start, likewise."""
    whole = min(setup.probe_rows, len(setup.train.targets))
    rows = _rows_in(PROBE_ASIDE * left, whole, timing.probe)
    if rows == whole:
        return setup, timing
    setup = setup.with_decisions(probe_rows=_fewer(rows, whole, PROBE_ASIDE))
    return setup, replace(timing, probe=timing.probe * rows / whole)


def _fewer_evaluated(setup: Setup, timing: Timing, left: float) -> tuple[Setup, Timing]:
    """Fewer evaluations on record, and where that is not enough fewer rows in each.

    One comes before the first step and one after the last, whatever the number of others.
    """
    seconds, whole = EVAL_ASIDE * left, len(setup.eval_subset.targets)
    alone = replace(timing, evaluation=0.0).steps_in(left, setup.eval_every)
    steps = max(1, min(setup.schedule.total, alone))
    wanted = 1 + math.ceil(steps / setup.eval_every)
    rows = _rows_in(seconds, whole, min(wanted, LEAST_EVALS) * timing.evaluation)
    if rows < whole:
        setup = setup.with_decisions(eval_rows=_fewer(rows, whole, EVAL_ASIDE))
        timing = replace(timing, evaluation=timing.evaluation * rows / whole)
    if wanted * timing.evaluation > seconds:
        affordable = max(2, int(seconds / timing.evaluation))
        every = math.ceil(steps / (affordable - 1))
        reason = f"more evaluations would take over {EVAL_ASIDE:.0%} of the time left"
        setup = setup.with_decisions(eval_every=Decision(every, reason))
    return setup, timing


def _rows_in(seconds: float, rows: int, needed: float) -> int:
    """How many rows fit into this time, when all of them need that."""
    if needed <= max(0.0, seconds):
        return rows
    return min(rows, max(LEAST_ROWS, int(rows * seconds / needed)))


def _fewer(value: int, rows: int, share: float) -> Decision[int]:
    return Decision(value, f"{rows:,} would take over {share:.0%} of the time left")


def _with_fewer(setup: Setup) -> Setup:
    """The setup with the rows of probe and evaluations that are on record."""
    probe, eval_rows = setup.decisions.probe_rows, setup.decisions.eval_rows
    if probe is not None:
        setup = replace(setup, probe_rows=probe.value)
    if eval_rows is not None:
        scored = setup.scored_rows()
        # Rows that are scored in the end: on others the start could seem better than it was.
        among = setup.eval_subset
        if eval_rows.value <= len(scored) < len(setup.validation.targets):
            among = setup.validation.select(scored)
        subset = among.sample(eval_rows.value, setup.config.seed)
        setup = replace(setup, eval_subset=subset)
    return setup


def _steps(found: _Fit, limit: TimeLimit) -> Decision[int]:
    setup, timing, fitting = found.setup, found.timing, found.steps
    whole = setup.schedule.total
    if fitting < 1:
        spent = limit.minutes - limit.left / 60
        training = trainings(setup) * timing.seconds(1, setup.eval_every) / (1 - RESERVE)
        needed = spent + (training + timing.scoring + timing.finishing) / 60
        start = "head alone" if setup.config.head.start == "probe" else "start"
        return Decision(
            1,
            f"{NO_TIME} after {spent:.2g} of {limit.told} for reading, choosing and "
            f"loading; the {start} is sealed, or this step where it is better, at about "
            f"{max(spent, needed):.2g} minutes",
        )
    if fitting >= whole:
        return Decision(whole, f"all of them fit into {limit.told}")
    times = trainings(setup)
    over = f", {times} times over," if times > 1 else ""
    return Decision(
        fitting,
        f"{_extent(setup, fitting)}{over} into {limit.told} at {timing.step:.3g} seconds a step",
    )


def _extent(setup: Setup, steps: int) -> str:
    """So many steps in words, up to the time that they fit into."""
    if steps >= _schedule(setup).total:
        return "all of them, which fit"
    epochs, rows = setup.schedule.epochs(steps), len(setup.train.targets)
    extent = f"{epochs:.2g} epochs" if epochs >= 1 else f"{int(epochs * rows):,} of {rows:,} rows"
    return f"{extent}, the most that fits"


def _schedule(setup: Setup, most: int | None = None) -> Schedule:
    """The schedule of all epochs, or of so many steps."""
    if setup.solves:
        total = setup.schedule.total if most is None else min(most, setup.schedule.total)
        return contrastive_schedule(total, setup.schedule.steps_per_epoch)
    epochs, batches = setup.decisions.epochs, int(setup.schedule.steps_per_epoch)
    assert epochs is not None
    batches *= setup.config.optim.accumulate
    return make_schedule(setup.config, epochs.value, batches, most, lead=setup.lead)[0]


def in_minutes(minutes: float) -> str:
    """The words for a limit."""
    return f"{minutes:g} minute{'' if minutes == 1 else 's'}"
