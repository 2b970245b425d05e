"""The training loop: steps, evaluations, checkpoints; everything else is decided before it.

Shapes: B rows of a batch, K labels.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_

from tightfit.data.batches import Batch, batch_order, collate, count_padded_tokens
from tightfit.errors import Interrupted
from tightfit.model.classifier import predict_logits
from tightfit.model.lean import LeanEncoder
from tightfit.model.proofs import GradientWatch
from tightfit.model.threads import side_by_side
from tightfit.progress import Progress
from tightfit.training.checkpoint import (
    Checkpoint,
    CheckpointStore,
    pack_optimizer,
    unpack_optimizer,
)
from tightfit.training.divergence import diverges, in_fp32, not_a_number
from tightfit.training.eva_init import start_at_directions
from tightfit.training.optim import RATE, make_optimizer
from tightfit.training.parallel import Peers
from tightfit.training.prefix_cache import drop_prefix, keep_prefix
from tightfit.training.probe import start_at_probe
from tightfit.training.setup import Counters, Fitted, HistoryRow, Setup
from tightfit.training.signals import StopRequest


@dataclass
class Loop:
    """One training run. ``fit`` is the whole story; the other methods are its verbs."""

    setup: Setup
    store: CheckpointStore
    watch: GradientWatch
    progress: Progress = field(default_factory=Progress)
    on_row: Callable[[HistoryRow], None] = lambda row: None
    """Told each history row as it is made."""
    stop: StopRequest = field(default_factory=StopRequest)
    """Looked at after each step: training writes a checkpoint and stops when it is asked to."""
    peers: Peers = field(default_factory=Peers)
    """The processes that train together; the first one writes."""

    def __post_init__(self) -> None:
        """Move the model to its device and make the optimiser."""
        config, classifier = self.setup.config, self.setup.classifier
        self._trainable: dict[str, nn.Parameter] = classifier.trainable()
        self._optimizer = make_optimizer(self._trainable, config.optim, classifier.plan)
        self._scaler = self.setup.precision.scaler(classifier.device)
        self._weights_K = torch.from_numpy(
            classifier.task.class_weights(self.setup.train.targets, config.optim.class_weights)
        ).to(classifier.device)
        self._order: tuple[int, list[list[int]]] = (-1, [])
        self._rate = 0.0
        self._warned = False
        self._best: dict[str, torch.Tensor] = {}
        self.counters = self._before = Counters()
        self.history: list[HistoryRow] = []

    @property
    def optimizer_parameters(self) -> int:
        """Parameters in the optimiser's groups: the third gate, checked when they were made."""
        return sum(p.numel() for group in self._optimizer.param_groups for p in group["params"])

    def fit(self, *, resume: bool = False) -> Fitted:
        """Train to the end of the schedule and leave the best weights in the classifier.

        Args:
            resume: go on from the newest checkpoint, bit for bit, where there is one.

        Raises:
            ProofError: a tensor gets no gradient, or the loss is no longer a number.
            Interrupted: a stop was asked for; a checkpoint is written.
            MachineError: a checkpoint could not be written.
        """
        done = self._restore() if resume else 0
        self._keep_prefix()
        if done == 0:
            self._start()
            self.peers.share_weights(self._trainable.values())
            self._evaluate(0)
        total, every = self.setup.schedule.total, self.setup.config.train.eval_every
        step = done
        with self.progress.track("training", total, done) as bar:
            for step in range(done + 1, total + 1):
                self._train_step(step)
                # Not before a step has moved something: warm-up begins at a rate of zero.
                late = self._rate > 0 and time.monotonic() > self.setup.deadline
                last = step == total or late
                if last or step % every == 0:
                    self._evaluate(step)
                # Asked once: a signal that comes later must find a checkpoint of its own step.
                asked = self.peers.agree(self.stop.signal)
                if last or step % every == 0 or asked:
                    self._save(step)
                bar.advance(1, self._note())
                if asked and not last:
                    raise Interrupted(
                        f"stopped after step {step} of {total}, with a checkpoint",
                        signal_number=asked,
                        next_step="to go on, give the same command with "
                        f"--resume --out {self.store.folder.parent}",
                    )
                if last:
                    break
        if step < total:
            self.progress.warn(f"the time was up after step {step} of {total}")
        if self._best:
            self.setup.classifier.load_state(self._best)
        drop_prefix(self.setup, self.store.folder)
        return Fitted(self.history, self.counters, step)

    def rehearse(self, steps: int) -> float:
        """Seconds that a token place takes in steps, after one on the largest batch.

        Spoils the weights. Steps differ in length: their tokens are counted, not they themselves.
        """
        train = self.setup.train
        lengths = train.tokens.lengths
        longest = max(self._order_of(0), key=lambda rows: len(rows) * int(lengths[rows].max()))
        self._backward(longest, len(longest))
        steps = min(steps, self.setup.schedule.total)
        padded_tokens = 0
        for step in range(1, steps + 1):
            self._train_step(step)
            padded_tokens += count_padded_tokens(train.tokens, self._batches_of(step))
        return self.counters.train_seconds / padded_tokens

    def places_in_step(self) -> float:
        """padded tokens of a mean optimiser step."""
        whole = count_padded_tokens(self.setup.train.tokens, self._order_of(0))
        return whole / self.setup.schedule.steps_per_epoch

    def _keep_prefix(self) -> None:
        if self.peers.size > 1:
            return  # each process would need a store of its own
        self.setup, seconds = keep_prefix(self.setup, self.store.folder, self.progress, self.stop)
        self.counters.prefix_seconds += seconds
        self.counters.train_seconds += seconds
        self.counters.seconds += seconds

    def _start(self) -> None:
        started = time.perf_counter()
        if self.setup.config.adapters.init == "eva":
            start_at_directions(self.setup, self.progress)
        if self.setup.config.head.start == "probe":
            start_at_probe(self.setup, self.progress)
        self.counters.seconds += time.perf_counter() - started

    def _train_step(self, step: int) -> None:
        """One optimiser step over its accumulated batches."""
        started = time.perf_counter()
        setup = self.setup
        setup.classifier.train_mode(frozen_dropout=setup.config.model.frozen_dropout)
        lr = self._set_rate(step)
        batches = self._batches_of(step)
        self._gradients(batches)
        if not self._clip() and not self._again_in_fp32(step, batches):
            raise not_a_number(self.setup, step, batches, self._trainable)
        scale = self._scaler.get_scale()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._scaler.get_scale() >= scale:
            self.watch.after_step(lr)
        self._optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - started
        self.counters.train_seconds += seconds
        self.counters.seconds += seconds

    def _gradients(self, batches: list[list[int]]) -> None:
        """The gradient of a whole step, over all its batches and all processes."""
        rows_in_step = sum(map(len, batches))
        self._before = replace(self.counters)
        for rows in filter(None, map(self.peers.rows_of, batches)):
            self._backward(rows, rows_in_step)
        self.peers.add_gradients(self._trainable.values())
        self.peers.add_counts(self.counters, self._before)
        self._scaler.unscale_(self._optimizer)

    def _backward(self, rows: Sequence[int], rows_in_step: int) -> None:
        """Forward and backward of one batch; its rows weigh as every row of the step does."""
        setup, train = self.setup, self.setup.train
        parts = [
            collate(train.tokens, part, train.targets).to(setup.classifier.device)
            for part in setup.parts(rows)
        ]
        if setup.lean is not None and setup.lean.divides:
            at_once = torch.get_num_threads()
            for start in range(0, len(parts), at_once):
                self._backward_at_once(setup.lean, parts[start : start + at_once], rows_in_step)
            return
        for part in parts:
            self._loss(setup.logits(part, train.states), part, rows_in_step).backward()

    def _backward_at_once(
        self, lean: LeanEncoder, parts: Sequence[Batch], rows_in_step: int
    ) -> None:
        """Forward and backward of parts side by side; what is drawn or added keeps its order."""
        trained = list(self._trainable.values())
        pooled = list(
            side_by_side(partial(self.setup.pooled, states=self.setup.train.states), parts)
        )
        leaves = [x.detach().requires_grad_(x.requires_grad) for x in pooled]
        for leaf, part in zip(leaves, parts, strict=True):
            self._loss(lean.head(leaf), part, rows_in_step).backward()

        def back(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
            x, leaf = pair
            return torch.autograd.grad(x, trained, leaf.grad, allow_unused=True)

        graphs = [pair for pair in zip(pooled, leaves, strict=True) if pair[0].requires_grad]
        for found in side_by_side(back, graphs):
            for parameter, gradient in zip(trained, found, strict=True):
                if gradient is not None:
                    before = parameter.grad
                    parameter.grad = gradient if before is None else before.add_(gradient)

    def _loss(self, logits_BK: torch.Tensor, batch: Batch, rows_in_step: int) -> torch.Tensor:
        """The share of some rows in the loss of their step, scaled; they are counted."""
        assert batch.targets_B is not None
        task, smoothing = self.setup.classifier.task, self.setup.config.optim.label_smoothing
        losses_B = task.row_losses(logits_BK, batch.targets_B, smoothing, self._weights_K)
        loss_sum = losses_B.sum()
        counters = self.counters
        counters.loss_sum += float(loss_sum.detach())
        counters.correct += int(task.right(logits_BK, batch.targets_B).sum())
        counters.summed += len(batch.targets_B)
        counters.rows += len(batch.targets_B)
        counters.tokens += int(batch.mask_BL.sum())
        return self._scaler.scale(loss_sum / rows_in_step)

    def _evaluate(self, step: int) -> None:
        """Score the eval_subset rows, keep the weights if they are the best, add a history row."""
        started = time.perf_counter()
        setup, counters = self.setup, self.counters
        rows = self.peers.rows_of(range(len(setup.eval_subset.tokens)))
        logits_NK = torch.from_numpy(
            predict_logits(
                setup.classifier,
                setup.eval_subset.tokens.select(rows)
                if self.peers.size > 1
                else setup.eval_subset.tokens,
                batch=setup.config.train.eval_batch,
                forward=partial(setup.logits, states=setup.eval_subset.states),
                padded_tokens=setup.padded_tokens,
                at_once=setup.lean is not None and setup.lean.divides,
            )
        )
        task, targets_N = setup.classifier.task, torch.from_numpy(setup.eval_subset.targets[rows])
        accuracy = self.peers.mean(task.right(logits_NK, targets_N).double())
        # Weights that no step has moved yet (warm-up begins at a rate of zero) are scored for
        # the record and never kept.
        if self._rate > 0 and accuracy > counters.best_accuracy:
            counters.best_accuracy, counters.best_step = accuracy, step
            self._best = setup.classifier.state()
        counters.seconds += time.perf_counter() - started
        eval_loss = self.peers.mean(task.row_losses(logits_NK, targets_N))
        self._add_row(step, eval_loss, accuracy)

    def _add_row(self, step: int, eval_loss: float, eval_accuracy: float) -> None:
        counters, summed = self.counters, self.counters.summed
        row: HistoryRow = {
            "step": step,
            "epoch": step / self.setup.schedule.steps_per_epoch,
            "lr": self._rate if step else 0.0,
            "train_loss": counters.loss_sum / summed if summed else None,
            "train_accuracy": counters.correct / summed if summed else None,
            "eval_loss": eval_loss,
            "eval_accuracy": eval_accuracy,
            "rows": counters.rows,
            "tokens": counters.tokens,
            "seconds": round(counters.seconds, 3),
        }
        counters.loss_sum, counters.correct, counters.summed = 0.0, 0, 0
        self.history.append(row)
        self.on_row(row)
        words = diverges(self.history, self.setup.classifier.task.chance_loss)
        if words and not self._warned:
            self.progress.warn(words)
            self._warned = True

    def _set_rate(self, step: int) -> float:
        lr = self.setup.config.optim.lr * self.setup.schedule.scale(step - 1)
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group[RATE]
        self._rate = lr
        return lr

    def _batches_of(self, step: int) -> list[list[int]]:
        """The rows of each forward pass of an optimiser step."""
        epoch, position = divmod(step - 1, self.setup.schedule.steps_per_epoch)
        if self._order[0] != epoch:
            self._order = (epoch, self._order_of(epoch))
        accumulate = self.setup.config.optim.accumulate
        start = position * accumulate
        return self._order[1][start : start + accumulate]

    def _order_of(self, epoch: int) -> list[list[int]]:
        config = self.setup.config
        return batch_order(
            self.setup.train.tokens.lengths,
            batch=config.optim.batch,
            seed=config.seed,
            epoch=epoch,
            group_by_length=config.train.group_by_length,
            by_tokens=config.train.batch_by == "tokens",
        )

    def _clip(self) -> bool:
        """Keep the gradient's norm within its limit; whether it and the loss are numbers."""
        limit = self.setup.config.optim.clip or torch.inf
        # Under a loss scaler an overflow is ordinary: that step is skipped and the scale lowered.
        strict = not self._scaler.is_enabled()
        try:
            clip_grad_norm_(self._trainable.values(), limit, error_if_nonfinite=strict)
        except RuntimeError:  # raised before any gradient is changed
            return False
        return not strict or math.isfinite(self.counters.loss_sum)

    def _again_in_fp32(self, step: int, batches: list[list[int]]) -> bool:
        """Where half precision was in use, this step and all that follow are computed in fp32."""
        if self.setup.precision.format == "fp32":
            return False
        self._to_fp32(f"{self.setup.precision.format} gave no finite gradient at step {step}")
        self.progress.warn(f"{self.setup.precision.reason}; from this step on it is fp32")
        self._optimizer.zero_grad(set_to_none=True)
        self.counters = self._before
        self._gradients(batches)
        return self._clip()

    def _to_fp32(self, reason: str) -> None:
        self.setup = in_fp32(self.setup, reason)

    def _note(self) -> str:
        counters, row = self.counters, self.history[-1]
        loss = counters.loss_sum / counters.summed if counters.summed else row["train_loss"]
        speed = counters.rows / counters.train_seconds
        return f"loss {loss:.3f}  validation {row['eval_accuracy']:.1%}  {speed:.0f} rows/s"

    def _save(self, step: int) -> None:
        groups = {
            "trainable": self.setup.classifier.state(),
            "best": self._best,
            "optimizer": pack_optimizer(self._optimizer),
            "random": self.peers.random_states(),
        }
        tensors = {f"{g}/{name}": t for g, group in groups.items() for name, t in group.items()}
        state = {
            "step": step,
            "counters": asdict(self.counters),
            "history": self.history,
            "watch": self.watch.state(),
            "scaler": self._scaler.state_dict(),
            "precision": [self.setup.precision.format, self.setup.precision.reason],
        }
        if self.peers.rank == 0:
            self.store.save(step, Checkpoint(tensors, state))

    def _restore(self) -> int:
        """Go back to the newest checkpoint; returns its step, or 0 where there is none."""
        checkpoint = self.peers.share(self.store.load() if self.peers.rank == 0 else None)
        if checkpoint is None:
            return 0
        state = checkpoint.state
        form, reason = state["precision"]
        if form != self.setup.precision.format:
            self._to_fp32(reason)
        self.setup.classifier.load_state(checkpoint.group("trainable"))
        self._best = checkpoint.group("best")
        unpack_optimizer(self._optimizer, checkpoint.group("optimizer"))
        self.peers.restore_random_states(checkpoint.group("random"))
        self.counters = Counters(**state["counters"])
        self.history = list(state["history"])
        self.watch.load_state(state["watch"])
        self._scaler.load_state_dict(state["scaler"])
        return int(state["step"])
