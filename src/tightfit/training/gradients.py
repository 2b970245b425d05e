"""The gradient of an optimiser step, over batches, their parts and all processes; its watch.

Shapes: B rows of a batch, K labels, F width of the features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from tightfit.data.batches import Batch, collate
from tightfit.encoder.threads import side_by_side
from tightfit.errors import MachineError
from tightfit.model.classifier import predict_logits
from tightfit.model.lean import LeanEncoder
from tightfit.model.proofs import GradientWatch, never_called
from tightfit.progress import Progress
from tightfit.training.callbacks import TrainingState
from tightfit.training.contrastive import contrastive_loss, nearest_are_right
from tightfit.training.probe import output_inputs
from tightfit.training.setup import Setup

MOST_SEED = 2**62
"""Seeds of what a forward pass draws are below."""


class Gradients:
    """Adds up gradients and counts rows; the loop decides what becomes of them."""

    def __init__(
        self,
        state: TrainingState,
        trained: Iterable[nn.Parameter],
        scaler: torch.amp.GradScaler,
        *,
        progress: Progress,
    ) -> None:
        """Take what a step needs.

        Args:
            state: of the training; its counters go on here.
            trained: what gets gradients.
            scaler: multiplies losses; whoever clips divides by it.
            progress: hears of memory that runs out.
        """
        self._state, self._trained = state, list(trained)
        self._scaler, self._progress = scaler, progress
        setup = state.setup
        task, device = setup.classifier.task, setup.classifier.device
        rows = setup.train
        self._weights_K: torch.Tensor | None = None
        if setup.config.optim.class_weights == "balanced":
            self._weights_K = torch.from_numpy(task.class_weights(rows)).to(device)
        self._weights_N: torch.Tensor | None = None
        if rows.weights_N is not None:
            # Only ratios count: a step's size does not depend on the unit of the weights.
            relative_N = rows.weights_N / rows.weights_N.mean()
            self._weights_N = torch.from_numpy(relative_N.astype(np.float32)).to(device)
        self._before = replace(state.counters)
        self._sums = state.counters.sums(device)

    def of_step(self, batches: list[list[int]]) -> None:
        """The gradient of a whole step, over all its batches and all processes."""
        state = self._state
        own = list(filter(None, map(state.peers.rows_of, batches)))
        self.backward(own, sum(map(len, batches)))
        state.peers.add_gradients(self._trained)
        state.peers.add_counts(state.counters, self._before)

    def discard(self) -> None:
        """As it was before the last call: no gradients, and nothing counted."""
        for parameter in self._trained:
            parameter.grad = None
        self._state.counters = replace(self._before)

    def backward(self, batches: list[list[int]], rows_in_step: int) -> None:
        """Forward and backward of batches, in smaller parts where the device has too little memory.

        A step's gradient is a sum over its rows, however they are parted: nothing is lost.

        Raises:
            MachineError: a single row does not fit either.
        """
        self._before = replace(self._state.counters)
        while not self._fits(batches, rows_in_step):
            # Not while the error is handled: it holds on to what memory ran out for.
            self.discard()
            self._halve(batches)
        # A step waits for a GPU here, once, and at the norm of its gradient.
        self._state.counters.take(self._sums)

    def _fits(self, batches: list[list[int]], rows_in_step: int) -> bool:
        """Whether forward and backward of the batches had enough memory."""
        self._sums = self._before.sums(self._sums.device)
        try:
            for rows in batches:
                self._batch(rows, rows_in_step)
        except torch.OutOfMemoryError:
            return False
        return True

    def _halve(self, batches: list[list[int]]) -> None:
        setup = self._state.setup
        most = max(len(part) for rows in batches for part in setup.parts(rows))
        if most == 1:
            raise MachineError(
                "the device has too little memory for a single row",
                next_step="lower data.max_length, or use train.checkpointing=on or a smaller model",
            )
        self._progress.warn(
            f"the device is out of memory with {most} rows at once: this step is repeated, and "
            f"from now on at most {most // 2} go through the encoder together"
        )
        self._state.setup = replace(setup, most_rows=most // 2)

    def _batch(self, rows: Sequence[int], rows_in_step: int) -> None:
        """Forward and backward of one batch; its rows weigh as every row of the step does."""
        setup, train = self._state.setup, self._state.setup.train
        parts = [
            collate(train.tokens, part, train.targets).to(setup.classifier.device)
            for part in setup.parts(rows)
        ]
        # Drawn here, in the order of the parts: which thread is first is left to chance.
        draws = setup.lean is not None and setup.lean.draws
        seeds = [int(torch.randint(MOST_SEED, ())) if draws else None for _ in parts]
        pairs = list(zip(parts, seeds, strict=True))
        contrasted = setup.contrasts(self._state.step)
        if setup.lean is not None and setup.lean.divides:
            # Rows that are compared with one another are all there at once.
            at_once = len(parts) if contrasted else torch.get_num_threads()
            for start in range(0, len(parts), at_once):
                self._at_once(setup.lean, pairs[start : start + at_once], rows_in_step)
            return
        if contrasted:
            with output_inputs(setup) as seen:
                for part, seed in pairs:
                    setup.logits(part, train.states, seed)
            self._contrast(seen, parts).backward()
            return
        for part, seed in pairs:
            self._loss(setup.logits(part, train.states, seed), part, rows_in_step).backward()

    def _at_once(
        self, lean: LeanEncoder, pairs: Sequence[tuple[Batch, int | None]], rows_in_step: int
    ) -> None:
        """Forward and backward of parts side by side; what is drawn or added keeps its order.

        Each part has the seed of what it draws with it.
        """
        setup = self._state.setup
        parts = [part for part, _ in pairs]

        def forth(pair: tuple[Batch, int | None]) -> torch.Tensor:
            part, seed = pair
            return setup.pooled(part, setup.train.states, seed)

        pooled = list(side_by_side(forth, pairs))
        leaves = [x.detach().requires_grad_(x.requires_grad) for x in pooled]
        if setup.contrasts(self._state.step):
            with output_inputs(setup) as seen:
                for leaf in leaves:
                    lean.head(leaf)
            self._contrast(seen, parts).backward()
        else:
            for leaf, part in zip(leaves, parts, strict=True):
                self._loss(lean.head(leaf), part, rows_in_step).backward()

        def back(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor | None, ...]:
            x, leaf = pair
            return torch.autograd.grad(x, self._trained, leaf.grad, allow_unused=True)

        graphs = [pair for pair in zip(pooled, leaves, strict=True) if pair[0].requires_grad]
        for found in side_by_side(back, graphs):
            for parameter, gradient in zip(self._trained, found, strict=True):
                if gradient is None:
                    continue
                if parameter.grad is None:
                    # The optimiser's one kernel goes through memory, whatever the strides are.
                    parameter.grad = gradient.contiguous()
                else:
                    parameter.grad.add_(gradient)

    def _loss(self, logits_BK: torch.Tensor, batch: Batch, rows_in_step: int) -> torch.Tensor:
        """The share of some rows in the loss of their step, scaled; they are counted."""
        assert batch.targets_B is not None
        setup = self._state.setup
        task, smoothing = setup.classifier.task, setup.config.optim.label_smoothing
        losses_B = task.row_losses(logits_BK, batch.targets_B, smoothing, self._weights_K)
        if self._weights_N is not None:
            losses_B = losses_B * self._weights_N[batch.rows_B]
        loss_sum = losses_B.sum()
        scores = task.row_scores(logits_BK.detach(), batch.targets_B).sum()
        self._count([batch], loss_sum.detach().double(), scores)
        return self._scaler.scale(loss_sum / rows_in_step)

    def _contrast(self, features: Sequence[torch.Tensor], parts: Sequence[Batch]) -> torch.Tensor:
        """The contrastive loss of a whole step, scaled; its rows are counted."""
        targets_B = torch.cat([part.targets_B for part in parts if part.targets_B is not None])
        features_BF = torch.cat([each.float().flatten(0, -2) for each in features])
        weights_B = self._weights_N
        if weights_B is not None:
            weights_B = weights_B[torch.cat([part.rows_B for part in parts])]
        temperature = self._state.setup.config.contrastive.temperature
        loss = contrastive_loss(features_BF, targets_B, temperature, weights_B)
        right = nearest_are_right(features_BF, targets_B)
        self._count(parts, loss.detach().double() * len(targets_B), right)
        return self._scaler.scale(loss)

    def _count(self, parts: Sequence[Batch], loss_sum: torch.Tensor, scores: torch.Tensor) -> None:
        """The rows and tokens of these parts, with what they come to."""
        tokens = sum(part.mask_BL.sum() for part in parts)
        self._sums += torch.stack([loss_sum, scores, tokens])
        rows = sum(len(part.rows_B) for part in parts)
        self._state.counters.summed += rows
        self._state.counters.rows += rows


def watch_over(setup: Setup) -> GradientWatch:
    """A watch over what trains, less what cannot have a gradient."""
    classifier = setup.classifier
    rows = range(min(2, len(setup.train.tokens)))
    sample = setup.train.tokens.select(rows)
    unused = never_called(classifier.module, lambda: predict_logits(classifier, sample, batch=2))
    owners = {
        # A dictionary of parameters is never called; the layer that holds it is.
        id(p): name.rpartition(".")[0] if isinstance(m, nn.ParameterDict) else name
        for name, m in classifier.module.named_modules()
        for p in m.parameters(recurse=False)
    }
    tensors = classifier.trainable()
    # A key's bias adds the same number to all scores of a query, and softmax does not see it.
    layers = setup.source.shapes(classifier.task.outputs).layers
    key_biases = {f"{layer.name}.bias" for layer in layers if layer.roles == ("key",)}
    # No step touches a head that is solved; that it is has a proof of its own.
    output = f"{classifier.plan.head_layers[-1].name}."
    head = {n for n in tensors if n.startswith(output)}
    solved = head if setup.solves else set[str]()
    return GradientWatch(
        tensors,
        late={n for n in tensors for late in classifier.plan.record.late if n.endswith(f".{late}")},
        exempt={n for n, p in tensors.items() if owners[id(p)] in unused or n in key_biases}
        | solved,
        second=head if setup.schedule.lead else (),
        lead=setup.schedule.lead,
        expect_dead=setup.config.train.expect_dead,
    )
