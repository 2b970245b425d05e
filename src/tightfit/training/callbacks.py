"""What happens beside the steps: every event of a training, in one place, and who listens.

A callback overrides the events that it cares for; each is told the same one thing, the state. All
that a training shows or keeps goes this way, ours and anybody's alike:

    on_train_begin      what is computed once is done; the evaluation before the first step comes
    on_optimizer_step   the optimiser took a step; an evaluation may follow
    on_evaluation       the history has a new row
    on_step_end         a step and its evaluation are over
    on_train_end        training is over, whatever ended it
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from tightfit import storage
from tightfit.diagnosis import cores, used_seconds
from tightfit.display import named_score
from tightfit.progress import Bar, Progress
from tightfit.training.checkpoint import Checkpoint, CheckpointStore
from tightfit.training.divergence import diverges
from tightfit.training.parallel import Peers
from tightfit.training.setup import Counters, HistoryRow, Setup

Event = Literal[
    "on_train_begin", "on_optimizer_step", "on_evaluation", "on_step_end", "on_train_end"
]

WATCHED_SECONDS = 10.0
"""Over which the use of the cores is looked at."""

SPARE = 0.15
"""Share of the cores that other programs may use without a word."""


@dataclass
class TrainingState:
    """What callbacks see; the loop keeps it up to date.

    Attributes:
        setup: what is trained, and how.
        peers: the processes that train together.
        snapshot: gives all that is needed to go on from this step; every process must ask for it.
        step: the last optimiser step that was taken.
        rate: its learning rate.
        counters: what was done so far.
        history: one row for each evaluation.
        evaluated: whether the step at hand was evaluated.
        interrupted: the number of the signal that asked to stop, or None.
        ending: why training ends before its schedule does, or None.
    """

    setup: Setup
    peers: Peers
    snapshot: Callable[[], Checkpoint]
    step: int = 0
    rate: float = 0.0
    counters: Counters = field(default_factory=Counters)
    history: list[HistoryRow] = field(default_factory=list)
    evaluated: bool = False
    interrupted: int | None = None
    ending: str | None = None

    @property
    def total(self) -> int:
        """Optimiser steps of the whole schedule."""
        return self.setup.schedule.total

    def finish(self, reason: str) -> None:
        """End training after the step at hand, with an evaluation, as if its schedule did."""
        self.ending = reason

    def note(self) -> str:
        """How training goes, in a few words."""
        counters, row = self.counters, self.history[-1]
        loss = counters.loss_sum / counters.summed if counters.summed else row["train_loss"]
        speed = counters.rows / counters.train_seconds
        parts = [f"loss {loss:.3f}", f"{speed:.0f} rows/s"]
        if self.setup.chooses:  # else nothing is scored between the start and the end
            metric = self.setup.classifier.task.metric
            parts.insert(1, f"validation {named_score(metric, row[f'eval_{metric}'])}")
        return "  ".join(parts)


class Callback:
    """Listens to a training; this one does nothing."""

    def on_train_begin(self, state: TrainingState) -> None:
        """What is computed once is done, and the first evaluation comes."""

    def on_optimizer_step(self, state: TrainingState) -> None:
        """The optimiser took ``state.step``."""

    def on_evaluation(self, state: TrainingState) -> None:
        """``state.history[-1]`` is new."""

    def on_step_end(self, state: TrainingState) -> None:
        """``state.step`` is over, its evaluation included."""

    def on_train_end(self, state: TrainingState) -> None:
        """Training is over, also where an error ended it."""


class ProgressBar(Callback):
    """Shows the steps, the loss, the validation score and the speed."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._open, self._bar = progress, ExitStack(), Bar()

    def on_train_begin(self, state: TrainingState) -> None:
        """Open the bar."""
        track = self._progress.track("training", state.total, state.step)
        self._bar = self._open.enter_context(track)

    def on_step_end(self, state: TrainingState) -> None:
        """Move it; the number of steps may have changed."""
        self._bar.advance(1, state.note(), total=state.total)

    def on_train_end(self, state: TrainingState) -> None:
        """Close it."""
        self._open.close()


class DivergenceWarning(Callback):
    """Warns once of a loss that was better than guessing and is far worse now."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._warned = progress, False

    def on_evaluation(self, state: TrainingState) -> None:
        """Look at the losses so far."""
        words = diverges(state.history, state.setup.classifier.task.chance_loss)
        if words and not self._warned:
            self._progress.warn(words)
            self._warned = True


class BusyMachine(Callback):
    """Says once that other programs take cores which training would use."""

    def __init__(self, progress: Progress) -> None:
        """Begin to watch."""
        self._progress, self._told = progress, False
        self._begun = self._now()

    def on_train_begin(self, state: TrainingState) -> None:
        """Look at the time before the first step, so that who waits knows soon."""
        self.on_step_end(state)

    def on_step_end(self, state: TrainingState) -> None:
        """Look, when the last look is long enough ago."""
        alone = state.peers.size == 1 and state.setup.classifier.device.type == "cpu"
        if self._told or not alone or time.monotonic() < self._begun[0] + WATCHED_SECONDS:
            return
        now = self._now()
        wall, everybody, own = (x - y for x, y in zip(now, self._begun, strict=True))
        others, whole = (everybody - own) / wall, len(cores())
        self._begun, self._told = now, torch.get_num_threads() + others > (1 + SPARE) * whole
        if self._told:
            self._progress.say(
                f"other programs use {others:.1f} of {whole} cores: training takes longer than on "
                "a quiet machine"
            )

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds on the clock, of all programs on our cores (NaN if unknown), and of this one."""
        return time.monotonic(), used_seconds() or math.nan, time.process_time()


class EarlyStop(Callback):
    """Ends training after so many evaluations (``train.patience``) without a better one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_evaluation(self, state: TrainingState) -> None:
        """Count the evaluations since the best one, which the history knows after a resume too."""
        patience = state.setup.config.train.patience
        since = sum(row["step"] > state.counters.best_step for row in state.history)
        if patience is not None and since >= patience and 0 < state.step < state.total:
            best = state.counters.best_step
            state.finish("no better evaluation")
            self._progress.say(
                f"stopped after step {state.step} of {state.total}: none of the last {since} "
                f"evaluations was better than that of step {best} (train.patience={patience})"
            )


class CheckpointSaver(Callback):
    """Keeps what training resumes from: with each evaluation, and before it is interrupted."""

    def __init__(self, store: CheckpointStore) -> None:
        self._store = store

    def on_step_end(self, state: TrainingState) -> None:
        """Write it; the processes that only help give their part of the random states."""
        if state.evaluated or state.interrupted:
            snapshot = state.snapshot()
            if state.peers.rank == 0:
                self._store.save(state.step, snapshot)


class HistoryFile(Callback):
    """Keeps the history as JSON lines, whole after each evaluation."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_evaluation(self, state: TrainingState) -> None:
        """Write all rows anew: a resumed training replaces those after its checkpoint."""
        write_history(self._path, state.history)


def write_history(path: Path, history: Sequence[HistoryRow]) -> None:
    """The rows as JSON lines, in place of those that are there."""
    storage.write_text(path, "".join(json.dumps(row) + "\n" for row in history))
