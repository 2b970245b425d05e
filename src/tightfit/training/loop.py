"""The training loop: steps, evaluations, checkpoints; everything else is decided before it.

Shapes: B rows of a batch, K labels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import clip_grad_norm_

from tightfit.data.balanced import balanced_batch
from tightfit.data.batch_order import count_padded_tokens
from tightfit.model.classifier import predict_logits
from tightfit.model.proofs import GradientWatch
from tightfit.progress import Progress
from tightfit.training.callbacks import Callback, Event, TrainingState
from tightfit.training.checkpoint import Checkpoint, pack_optimizer, unpack_optimizer
from tightfit.training.divergence import in_fp32, not_a_number
from tightfit.training.eva_init import start_at_eva
from tightfit.training.gradients import Gradients
from tightfit.training.optim import RATE, epoch_order, make_optimizer
from tightfit.training.parallel import Peers
from tightfit.training.prefix_cache import drop_prefix, keep_prefix
from tightfit.training.probe import start_at_probe
from tightfit.training.scored_row import scored_row
from tightfit.training.setup import Counters, Fitted, HistoryRow, Rows, Setup, merit, no_worse
from tightfit.training.signals import StopRequest, interrupted
from tightfit.training.solve import ends_solved, solve_head, solved_or_trained


class Loop:
    """One training. ``fit`` is the whole story; the other methods are its verbs."""

    def __init__(
        self,
        setup: Setup,
        watch: GradientWatch,
        callbacks: Sequence[Callback] = (),
        *,
        scratch: Path | None = None,
        progress: Progress = Progress(),
        stop: StopRequest | None = None,
        peers: Peers | None = None,
    ) -> None:
        """Make the optimiser over what trains.

        Args:
            setup: what is trained, and how.
            watch: sees the gradients of every step.
            callbacks: told of every event, in this order.
            scratch: where frozen layers' states are kept, and found again by a resumed training;
                None takes a folder that is gone afterwards.
            progress: hears what is computed before the first step, and of what goes wrong.
            stop: looked at after each step.
            peers: the processes that train together.
        """
        self.watch, self.callbacks, self._scratch = watch, callbacks, scratch
        self._progress, self._stop = progress, stop or StopRequest()
        self.state = TrainingState(setup, peers or Peers(), self._snapshot)
        config, classifier = setup.config, setup.classifier
        self._trainable: dict[str, nn.Parameter] = classifier.trainable()
        self._optimizer = make_optimizer(self._trainable, config.optim, classifier.plan)
        self._scaler = setup.precision.scaler(classifier.device)
        self._gradients = Gradients(
            self.state, self._trainable.values(), self._scaler, progress=self._progress
        )
        self._order: tuple[int, list[list[int]]] = (-1, [])
        self._best: dict[str, torch.Tensor] = {}

    @property
    def optimizer_parameters(self) -> int:
        """Parameters in the optimiser's groups: the third gate, checked when they were made."""
        return sum(p.numel() for group in self._optimizer.param_groups for p in group["params"])

    def fit(self, checkpoint: Checkpoint | None = None) -> Fitted:
        """Train to the end of the schedule and leave the best weights in the classifier.

        Args:
            checkpoint: the moment to go on from, bit for bit; every process gets that of the first.

        Raises:
            ProofError: a tensor gets no gradient, or the loss is no longer a number.
            Interrupted: a stop was asked for; whoever keeps checkpoints has one.
            MachineError: a callback could not write.
        """
        state = self.state
        self._restore(state.peers.share_optional(checkpoint))
        with ExitStack() as opened:
            scratch = self._scratch or Path(opened.enter_context(TemporaryDirectory()))
            self._keep_prefix(scratch)
            if state.step == 0:
                self._start()
                state.peers.share_weights(self._trainable.values())
            try:
                self._notify("on_train_begin")
                if state.step == 0:
                    self._evaluate()
                while state.step < state.total and not state.ending:
                    self._step()
            finally:
                self._notify("on_train_end")
            self._keep_best()
            # Not where training was cut short: whoever resumes it finds these states again.
            drop_prefix(state.setup, scratch)
        return Fitted(state.history, state.counters, state.step)

    def _step(self) -> None:
        """One optimiser step, and its evaluation where one is due."""
        state = self.state
        state.step += 1
        self._train_step(state.step)
        self._notify("on_optimizer_step")
        last = state.step == state.total or state.ending is not None
        if state.setup.contrasts(state.step):
            # Before its head is solved a contrastive phase has nothing to say.
            due = last or state.step == state.setup.schedule.lead
            if due:
                self._end_contrast()
        else:
            due = state.step % state.setup.eval_every == 0
        state.evaluated = last or (due and state.setup.chooses)
        if state.evaluated:
            self._evaluate()
        # Asked once: a signal that comes later must find a checkpoint of its own step.
        state.interrupted = state.peers.agree(self._stop.signal)
        self._notify("on_step_end")
        if state.interrupted and state.step < state.total and not state.ending:
            raise interrupted(state.interrupted, state.step, state.total, self._scratch)

    def _end_contrast(self) -> None:
        """Solve the head on what the contrastive phase made of the features."""
        solve_head(self.state.setup, frozen=False)
        # Of another loss moments that this one left say nothing.
        self._optimizer.state.clear()

    def _notify(self, event: Event) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self.state)

    def rehearse(self, steps: int) -> float:
        """Seconds that a padded token takes in steps, after one on the largest batch.

        Spoils the weights. Steps differ in length: their tokens are counted, not they themselves.
        """
        train = self.state.setup.train
        lengths = train.tokens.lengths
        longest = max(self._order_of(0), key=lambda rows: len(rows) * int(lengths[rows].max()))
        self._gradients.backward([longest], len(longest))
        steps = min(steps, self.state.setup.schedule.total)
        padded_tokens = 0
        for step in range(1, steps + 1):
            self._train_step(step)
            padded_tokens += count_padded_tokens(train.tokens, self._batches_of(step))
        return self.state.counters.train_seconds / padded_tokens

    def padded_tokens_in_step(self) -> float:
        """Padded tokens of a mean optimiser step."""
        tokens, schedule = self.state.setup.train.tokens, self.state.setup.schedule
        step = count_padded_tokens(tokens, self._order_of(0)) / schedule.steps_per_epoch
        drawn = [rows for x in range(1, schedule.lead + 1) for rows in self._batches_of(x)]
        led = count_padded_tokens(tokens, drawn)
        return (led + (schedule.total - schedule.lead) * step) / max(1, schedule.total)

    def _keep_prefix(self, folder: Path) -> None:
        state = self.state
        if state.peers.size > 1:
            return  # each process would need a store of its own
        state.setup, seconds = keep_prefix(state.setup, folder, self._progress, self._stop)
        state.counters.prefix_seconds += seconds
        state.counters.train_seconds += seconds
        state.counters.seconds += seconds

    def _start(self) -> None:
        started = time.perf_counter()
        setup = self.state.setup
        if setup.config.adapters.init == "eva":
            start_at_eva(setup, self._progress)
        if setup.solves:
            solve_head(setup, frozen=True)
        elif setup.config.head.start == "probe":
            start_at_probe(setup, self._progress)
        self.state.counters.seconds += time.perf_counter() - started

    def _train_step(self, step: int) -> None:
        """One optimiser step over its accumulated batches."""
        started = time.perf_counter()
        setup = self.state.setup
        # The lean forward pass draws what acts inside the encoder itself.
        own_dropout = setup.config.model.frozen_dropout and setup.lean is None
        setup.classifier.train_mode(frozen_dropout=own_dropout)
        lr = self._set_rate(step)
        batches = self._batches_of(step)
        self._gradients.of_step(batches)
        self._scaler.unscale_(self._optimizer)
        if not self._clip() and not self._again_in_fp32(step, batches):
            raise not_a_number(self.state.setup, step, batches, self._trainable)
        scale = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._scaler.get_scale() >= scale:
            self.watch.after_step(lr)
        self._optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        self.state.counters.train_seconds += seconds
        self.state.counters.seconds += seconds

    def _evaluate(self) -> None:
        """Score the sample of validation rows, keep the weights if they are the best."""
        started = time.perf_counter()
        state, counters = self.state, self.state.counters
        found = self._scores()
        if self._is_best(found):
            counters.best_score, counters.best_step = merit(found, state.setup), state.step
            self._best = state.setup.classifier.state()
        counters.seconds += time.perf_counter() - started
        self._add_row(found)
        self._notify("on_evaluation")

    def _keep_best(self) -> None:
        """Put the best weights back, and solve the head on them where that is no worse."""
        state, classifier = self.state, self.state.setup.classifier
        if self._best:
            classifier.load_state(self._best)
        best = state.counters.best_step
        if not (best > state.setup.schedule.lead and ends_solved(state.setup)):
            return
        started, trained = time.perf_counter(), classifier.state()
        solve_head(state.setup, frozen=False)
        place = next(i for i, row in enumerate(state.history) if row["step"] == best)
        before, found = state.history[place], self._scores()
        decision = solved_or_trained(before, found, state.setup, start=state.history[0])
        state.setup = state.setup.with_decisions(head=decision)
        self._progress.say(f"the {decision.value} head is kept: {decision.reason}")
        if decision.value == "solved":
            state.history[place] = {**before, **found}
        else:
            classifier.load_state(trained)
        state.counters.seconds += time.perf_counter() - started

    def _is_best(self, found: HistoryRow) -> bool:
        """Whether these weights are the best so far, and worth keeping.

        The start is where it was fitted (a linear probe), and is kept until a step is no worse; so
        is where a contrastive phase ended.
        Weights that no step has moved yet (warm-up begins at a rate of zero), and a start at
        random, are scored for the record alone.
        """
        state, setup, counters = self.state, self.state.setup, self.state.counters
        if not setup.chooses:
            return state.rate > 0
        if state.step == 0:
            return setup.config.head.start != "random"
        # And of the start, too: what chance explains twice over it may not explain at once.
        left = (row for row in state.history if row["step"] in (0, counters.best_step))
        onward = all(no_worse(found, row, setup) for row in left)
        onward = onward and counters.best_step <= setup.schedule.lead
        better = onward or merit(found, setup) > counters.best_score
        # Not a number is not below it either.
        sane = found["eval_loss"] <= setup.highest_loss(state.history)
        return state.rate > 0 and better and sane

    def _scores(self) -> HistoryRow:
        """Mean loss and the metrics: of rows held out, or of trainings without a row."""
        state, setup, subset = self.state, self.state.setup, self.state.setup.eval_subset
        if (crossed := setup.out_of_fold) is not None:
            answers = crossed.trained if state.step else crossed.start
            return scored_row(setup, answers.logits_NK, answers.scores)
        own = self._logits(subset, state.peers.rows_of(range(len(subset.tokens))))
        return scored_row(setup, state.peers.gather(own, len(subset.tokens)))

    def _logits(self, subset: Rows, rows: Sequence[int]) -> NDArray[np.float32]:
        setup = self.state.setup
        return predict_logits(
            setup.classifier,
            subset.tokens.select(rows) if self.state.peers.size > 1 else subset.tokens,
            batch=setup.config.train.eval_batch,
            forward=partial(setup.logits, states=subset.states),
            padded_tokens=setup.padded_tokens,
            at_once=setup.lean is not None and setup.lean.spreads,
        )

    def _add_row(self, found: HistoryRow) -> None:
        state, counters = self.state, self.state.counters
        step, summed = state.step, counters.summed
        metric = state.setup.classifier.task.metric
        row: HistoryRow = {
            "step": step,
            "epoch": state.setup.schedule.epochs(step),
            "lr": state.rate if step else 0.0,
            "train_loss": counters.loss_sum / summed if summed else None,
            f"train_{metric}": counters.score_sum / summed if summed else None,
            **found,
            "rows": counters.rows,
            "tokens": counters.tokens,
            "seconds": round(counters.seconds, 3),
        }
        counters.loss_sum, counters.score_sum, counters.summed = 0.0, 0.0, 0
        state.history.append(row)

    def _set_rate(self, step: int) -> float:
        lr = self.state.rate = self.state.setup.rate(step)
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group[RATE]
        return lr

    def _batches_of(self, step: int) -> list[list[int]]:
        """The rows of each forward pass of an optimiser step."""
        setup = self.state.setup
        if setup.contrasts(step):
            phase, seed = setup.contrastive, setup.config.seed
            sizes = {"classes": phase.classes, "class_rows": phase.class_rows}
            return [balanced_batch(setup.train.targets, **sizes, seed=seed, step=step)]
        taken = step - 1 - setup.schedule.lead
        epoch, position = divmod(taken, int(setup.schedule.steps_per_epoch))
        if self._order[0] != epoch:
            self._order = (epoch, self._order_of(epoch))
        accumulate = setup.config.optim.accumulate
        start = position * accumulate
        return self._order[1][start : start + accumulate]

    def _order_of(self, epoch: int) -> list[list[int]]:
        setup = self.state.setup
        return epoch_order(setup.config, setup.train.tokens.lengths, epoch=epoch)

    def _clip(self) -> bool:
        """Keep the gradient's norm within its limit; whether it and the loss are numbers."""
        limit = self.state.setup.config.optim.clip or torch.inf
        # Under a loss scaler an overflow is ordinary: that step is skipped and the scale lowered.
        strict = not self._scaler.is_enabled()
        try:
            clip_grad_norm_(self._trainable.values(), limit, error_if_nonfinite=strict)
        except RuntimeError:  # raised before any gradient is changed
            return False
        return not strict or math.isfinite(self.state.counters.loss_sum)

    def _again_in_fp32(self, step: int, batches: list[list[int]]) -> bool:
        """Where half precision was in use, this step and all that follow are computed in fp32."""
        if self.state.setup.precision.format == "fp32":
            return False
        reason = f"{self.state.setup.precision.format} gave no finite gradient at step {step}"
        self.state.setup = in_fp32(self.state.setup, reason)
        self._progress.warn(f"{self.state.setup.precision.reason}; from this step on it is fp32")
        self._gradients.discard()
        self._gradients.of_step(batches)
        return self._clip()

    def _snapshot(self) -> Checkpoint:
        """All that is needed to go on from this step."""
        groups = {
            "trainable": self.state.setup.classifier.state(),
            "best": self._best,
            "optimizer": pack_optimizer(self._optimizer),
            "random": self.state.peers.random_states(),
        }
        tensors = {f"{g}/{name}": t for g, group in groups.items() for name, t in group.items()}
        state = {
            "step": self.state.step,
            "counters": asdict(self.state.counters),
            "history": self.state.history,
            "watch": self.watch.state(),
            "scaler": self._scaler.state_dict(),
            "precision": [self.state.setup.precision.format, self.state.setup.precision.reason],
            "most_rows": self.state.setup.most_rows,
            "in_time": self.state.setup.in_time,
            "ending": self.state.ending,
        }
        return Checkpoint(tensors, state)

    def _restore(self, checkpoint: Checkpoint | None) -> None:
        """Go back to a checkpoint, if there is one."""
        if checkpoint is None:
            return
        state, saved = self.state, checkpoint.state
        form, reason = saved["precision"]
        if form != state.setup.precision.format:
            state.setup = in_fp32(state.setup, reason)
        state.setup = replace(state.setup, most_rows=saved.get("most_rows"))
        state.setup = state.setup.within(saved.get("in_time"))
        state.setup.classifier.load_state(checkpoint.group("trainable"))
        self._best = checkpoint.group("best")
        unpack_optimizer(self._optimizer, checkpoint.group("optimizer"))
        state.peers.restore_random_states(checkpoint.group("random"))
        state.counters = Counters(**saved["counters"])
        state.history = list(saved["history"])
        state.step = int(saved["step"])
        state.ending = saved.get("ending")
        self.watch.load_state(saved["watch"])
        self._scaler.load_state_dict(saved["scaler"])
