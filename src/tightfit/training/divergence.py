"""Numbers that go wrong: which tensors, which rows, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from tightfit.data.batches import collate
from tightfit.display import named_score
from tightfit.errors import ProofError, first_few
from tightfit.model.proofs import Proof, Standing, no_regression
from tightfit.progress import Progress
from tightfit.training.precision import Precision
from tightfit.training.setup import Fitted, HistoryRow, Setup, merit, no_worse

SHOWN = 8
"""Rows that a message names."""

DIVERGED = 1.5
"""A training loss of so many times that of guessing, after a better one, is no noise any more."""


def prove_no_regression(setup: Setup, fitted: Fitted, progress: Progress) -> Proof:
    """The proof that the weights which were kept (the last ones, where none were) are as good as
    the start; where they are the start it is said aloud.

    Raises:
        ProofError: they are worse.
    """
    # Of what has no steps the start is all there is.
    fitted_start = setup.config.head.start != "random" and setup.objective != "probe"
    history, best, metric = fitted.history, fitted.counters.best_step, setup.dataset.task.metric
    kept = best > 0 or fitted_start
    sealed = next((row for row in history if kept and row["step"] == best), history[-1])
    start, end = (
        Standing(row["step"], row[f"eval_{metric}"], row["eval_loss"], merit(row, setup))
        for row in (history[0], sealed)
    )
    highest, kept_before = setup.highest_loss(history), setup.decisions.kept
    chosen_start = kept_before is not None and kept_before.value == "start"
    proof = no_regression(
        start,
        end,
        metric,
        fitted_start=fitted_start,
        highest_loss=highest,
        as_good=setup.as_good_as_start or no_worse(sealed, history[0], setup),
        chosen_start=chosen_start,
    )
    if chosen_start:
        return proof  # what chose it has told so
    if proof.numbers["kept_start"]:
        _tell_of_start(setup, named_score(metric, start.score), progress)
    elif fitted_start and end.merit < start.merit and setup.out_of_fold is None:
        rows = len(setup.eval_subset.targets)
        progress.say(
            f"of {rows} validation rows {end.score:.1%} are right after training, and "
            f"{start.score:.1%} at its start: chance explains that, and on other rows training "
            "nearly always gains, so it is kept; more rows, or --set train.folds=5, tell more"
        )
    return proof


def _tell_of_start(setup: Setup, score: str, progress: Progress) -> None:
    """That it was kept, since no step did better."""
    if continued := setup.dataset.facts.continued:
        new = continued.new_labels
        solved = f" and {len(new):,} new label{'s' if len(new) > 1 else ''} solved"
        progress.say(
            f"the run's knowledge{solved if new else ''} is kept, with {score} on the "
            "validation rows: further steps did no better"
        )
        return
    progress.warn(
        f"no step did better than the start, a linear probe with {score} on the validation "
        "rows; the start is kept as it was: lower optim.lr, or give more rows"
    )


def in_fp32(setup: Setup, reason: str) -> Setup:
    """The same setup with its forward pass in fp32, over the same weights."""
    lean = None if setup.lean is None else setup.lean.in_format(torch.float32)
    return replace(setup, precision=Precision("fp32", reason), lean=lean)


def not_a_number(
    setup: Setup, step: int, batches: Sequence[Sequence[int]], trainable: Mapping[str, nn.Parameter]
) -> ProofError:
    """The error for a step whose loss or gradient is not finite: tensors, and rows behind it.

    Args:
        setup: as it was at this step.
        step: counted from 1.
        batches: the training rows of each forward pass of the step, from 0.
        trainable: what trains, with its gradients.
    """
    gradients = {n: p.grad for n, p in trainable.items() if p.grad is not None}
    bad = [n for n, gradient in gradients.items() if not gradient.isfinite().all()]
    tensors = ", ".join(bad[:4]) or "every tensor is finite by itself"
    rows = [row for batch in batches for row in _rows_without_loss(setup, batch)]
    where = f"no finite loss of training rows {first_few(rows, SHOWN)}"
    if not rows:
        every = [row for batch in batches for row in batch]
        where = f"finite losses, of training rows {first_few(every, SHOWN)}"
    return ProofError(
        f"the loss or its gradient is not a number any more at step {step}",
        seen=f"{tensors}; {where} (counted from 0)",
        next_step="look at these rows, lower optim.lr, or use train.precision=fp32",
    )


def diverges(history: Sequence[HistoryRow], guessing: float) -> str | None:
    """Words about a loss that has been better than guessing and is now far worse, else None."""
    losses = [row["train_loss"] for row in history if row["train_loss"] is not None]
    if len(losses) < 2 or not min(losses) < guessing or losses[-1] <= DIVERGED * guessing:
        return None
    return (
        f"the training loss has gone up to {losses[-1]:.3g} from {min(losses):.3g}; guessing would "
        f"have {guessing:.3g}: stop with Ctrl-C and lower optim.lr, unless it comes down again"
    )


def _rows_without_loss(setup: Setup, rows: Sequence[int]) -> list[int]:
    batch = collate(setup.train.tokens, rows, setup.train.targets).to(setup.classifier.device)
    assert batch.targets_B is not None
    with torch.no_grad():
        logits_BK = setup.logits(batch, setup.train.states)
        losses_B = setup.classifier.task.row_losses(logits_BK, batch.targets_B)
    return [rows[i] for i in (~losses_B.isfinite()).nonzero().flatten().tolist()]
