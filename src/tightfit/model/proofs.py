"""Proofs that training happened: gradients arrived, weights moved, the artefact answers the same.

Each gives a :class:`Proof` with its numbers, which the run keeps, and fails loudly. They know
nothing of encoders or files: they are given tensors, and functions to call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tightfit.display import score_value
from tightfit.errors import ProofError, first_few
from tightfit.model.adapters import AdapterPair
from tightfit.tasks.linear_probe import LinearMap, SolvedProblem

PROMPT_STEPS = 3
"""Optimiser steps within which every B matrix and head tensor must have had a gradient."""
LATE_STEPS = 50
"""The same for A matrices: their gradient is zero while B is, and warm-up begins at a rate of 0."""
NAMES_SHOWN = 4
"""Tensors that a failed proof lists."""
ROUND_TRIP_ROWS = 64
"""Validation rows on which the artefact must answer as the trained model does."""
ROUND_TRIP_TOLERANCE = 1e-4
"""Largest difference of logits between the trained model and its artefact, in fp32."""
SOLVED_TOLERANCE = 1e-5
"""Largest entry that the gradient of the objective, a mean over rows, may have where it counts as
solved: what rounding the solution to fp32 leaves of zero is a hundredth of it."""

LIKELY_CAUSE = (
    "the graph is cut between these tensors and the loss; re-entrant gradient checkpointing over "
    "inputs that need no gradient does that (train.checkpointing=on uses the form that does not)"
)


@dataclass(frozen=True)
class Proof:
    """What was shown, with its numbers."""

    ok: bool
    numbers: dict[str, Any]
    expected: bool = False
    """The failure was declared beforehand, by ``train.expect_dead``."""

    def to_json(self) -> dict[str, Any]:
        """What the run folder keeps."""
        declared = {"expected": True} if self.expected else {}
        return {"ok": self.ok, **declared, **self.numbers}

    def enforce(self, what: str, seen: str, next_step: str) -> Proof:
        """This proof, if it holds or its failure was declared.

        Raises:
            ProofError: it does not hold.
        """
        if self.ok or self.expected:
            return self
        raise ProofError(what, seen=seen, next_step=next_step)


class GradientWatch:
    """Sees to it that every trainable tensor gets a finite, non-zero gradient, and early.

    Tensors that have been seen to get one are not looked at again, so that after the first steps
    the watch costs nothing.
    """

    def __init__(
        self,
        tensors: Mapping[str, nn.Parameter],
        *,
        late: Collection[str] = (),
        exempt: Collection[str] = (),
        second: Collection[str] = (),
        lead: int = 0,
        expect_dead: bool = False,
    ) -> None:
        """Watch some tensors.

        Args:
            tensors: all that train.
            late: A matrices and their like.
            exempt: never tested.
            second: those that a second phase alone trains, due at its end.
            lead: steps before that phase.
            expect_dead: record what is overdue, and raise nothing.
        """
        self._tensors = {name: p for name, p in tensors.items() if name not in exempt}
        self.late = set(late)
        """A matrices and their like, whose gradient is zero while what follows them is."""
        self.exempt = sorted(exempt)
        """Never tested: they cannot have a gradient."""
        self._second, self._lead = set(second), lead
        self._expect_dead = expect_dead
        self.first_seen: dict[str, int] = {}
        """Step, counted from 1, at which each tensor first had a gradient."""
        self.steps = 0
        """Optimiser steps taken; those that a loss scaler skipped are not among them."""
        self._moving_steps = 0

    def after_step(self, lr: float) -> None:
        """Look at the gradients of an optimiser step that was just taken at rate ``lr``.

        Raises:
            ProofError: a tensor's time is up.
        """
        self.steps += 1
        for name in self._tensors.keys() - self.first_seen.keys():
            if _has_gradient(self._tensors[name]):
                self.first_seen[name] = self.steps
        self._moving_steps += lr > 0
        if self.steps in (PROMPT_STEPS, LATE_STEPS):
            self._enforce(self._overdue())

    def finish(self) -> Proof:
        """The proof at the end of training, when shorter runs are due as well.

        Raises:
            ProofError: a tensor never had a gradient although it had the time to.
        """
        self._enforce(self._overdue(at_end=True))
        return self.report()

    def report(self) -> Proof:
        """What has been seen so far, whether it suffices or not."""
        overdue = self._overdue(at_end=True)
        missing = self._tensors.keys() - self.first_seen.keys()
        numbers = {
            "steps": self.steps,
            "tensors": len(self._tensors),
            "first_step": dict(sorted(self.first_seen.items())),
            "never": sorted(overdue),
            "not_due": sorted(missing - overdue),
            "exempt": self.exempt,
        }
        return Proof(not overdue, numbers, expected=bool(overdue) and self._expect_dead)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "steps": self.steps,
            "moving_steps": self._moving_steps,
            "first_seen": dict(self.first_seen),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where :meth:`state` was taken."""
        self.steps = int(state["steps"])
        self._moving_steps = int(state["moving_steps"])
        self.first_seen = {str(name): int(step) for name, step in state["first_seen"].items()}

    def _overdue(self, *, at_end: bool = False) -> set[str]:
        missing = self._tensors.keys() - self.first_seen.keys()
        # In a run shorter than 50 steps A is due once B has left zero and a step has followed.
        late_due = self.steps >= LATE_STEPS or (at_end and self._moving_steps >= PROMPT_STEPS)
        second_due = at_end and self.steps > self._lead
        waiting = (set() if late_due else self.late) | (set() if second_due else self._second)
        return missing - waiting

    def _enforce(self, overdue: Collection[str]) -> None:
        if overdue and not self._expect_dead:
            raise ProofError(
                f"{len(overdue)} of {len(self._tensors)} trainable tensors got no gradient in "
                f"{self.steps} steps: training would not teach them anything",
                seen=first_few(sorted(overdue), NAMES_SHOWN),
                next_step=f"likely cause: {LIKELY_CAUSE}",
            )


def never_called(module: nn.Module, run_forward: Callable[[], object]) -> set[str]:
    """Names of the modules that a forward pass does not use, so that no gradient can be asked.

    Args:
        module: whose sub-modules are looked at.
        run_forward: runs the module once on typical input.
    """
    called: set[str] = set()
    hooks = [
        part.register_forward_hook(lambda *_, name=name: called.add(name))
        for name, part in module.named_modules()
    ]
    try:
        with torch.no_grad():
            run_forward()
    finally:
        for hook in hooks:
            hook.remove()
    return {name for name, _ in module.named_modules()} - called


def movement(
    start: Mapping[str, torch.Tensor],
    end: Mapping[str, torch.Tensor],
    pairs: Collection[AdapterPair],
    *,
    exempt: Collection[str] = (),
    expect_dead: bool = False,
    kept_start: bool = False,
) -> Proof:
    """Every adapter changed its layer's weight, and every other tensor moved.

    An adapter's change is the norm of ``scale (B A - B0 A0)``: never A alone, which weight decay
    moves even where nothing is learnt.

    Args:
        start: trainable tensors before the first step, by name.
        end: the same after the last.
        pairs: the adapters, which name their two tensors.
        exempt: tensors that cannot have a gradient, as in :class:`GradientWatch`.
        expect_dead: stillness was declared beforehand, and is recorded rather than raised.
        kept_start: the start was kept on purpose; its stillness is recorded likewise.

    Raises:
        ProofError: something did not move.
    """
    changes, in_pairs = {}, set()
    for pair in pairs:
        names = [f"{pair.name}.lora_{letter}.weight" for letter in "AB"]
        in_pairs.update(names)
        (a0_RI, b0_OR), (a_RI, b_OR) = ([s[n] for n in names] for s in (start, end))
        both = AdapterPair(
            pair.name, torch.cat([a_RI, a0_RI]), torch.cat([b_OR, -b0_OR], 1), pair.scale
        )
        changes[pair.name] = both.change_norm()
    head = {
        n: float((end[n].double() - start[n].double()).norm())
        for n in start.keys() - in_pairs - set(exempt)
    }
    still = sorted(name for name, change in {**changes, **head}.items() if not change > 0)
    numbers = {"adapters": changes, "tensors": dict(sorted(head.items())), "still": still}
    kept = {"kept_start": True} if kept_start else {}
    declared = bool(still) and (expect_dead or kept_start)
    proof = Proof(not still, {**numbers, **kept}, expected=declared)
    return proof.enforce(
        f"{len(still)} of {len(changes) + len(head)} trainable parts never moved",
        first_few(still, NAMES_SHOWN),
        f"likely cause: {LIKELY_CAUSE}, or a learning rate of zero",
    )


@dataclass(frozen=True)
class Standing:
    """What weights are worth on the validation rows that evaluations while training score."""

    step: int
    score: float
    """Of the task's metric, such as accuracy."""
    loss: float
    merit: float
    """By ``train.metric``, which chose the best step: the more, the better."""


def no_regression(
    start: Standing,
    sealed: Standing,
    metric: str = "accuracy",
    *,
    fitted_start: bool,
    highest_loss: float,
    as_good: bool,
    chosen_start: bool = False,
) -> Proof:
    """What is sealed is no worse than where it started, and its loss is sane.

    A start at random is worth a constant answer, whatever luck it has on a few rows: there the
    loss alone judges.

    Args:
        start: before the first step.
        sealed: of the weights that were kept.
        metric: what their scores are.
        fitted_start: the start was a linear probe.
        highest_loss: beyond which a loss is far above that of a constant answer.
        as_good: what is sealed is no worse than the start, as far as the rows tell.
        chosen_start: a cross-validation chose the start before, so that no step was taken.

    Raises:
        ProofError: it is worse.
    """
    sane = sealed.loss <= highest_loss
    holds = sane and (as_good or not fitted_start)
    numbers = {
        f"start_{metric}": start.score,
        "start_loss": start.loss,
        "step": sealed.step,
        metric: sealed.score,
        "loss": sealed.loss,
        "highest_loss": highest_loss,
        "kept_start": chosen_start or (fitted_start and sealed.step == 0),
    }
    return Proof(holds, numbers).enforce(
        "the trained weights are worse than their start, or far worse than a constant prediction",
        f"validation {metric} {score_value(metric, sealed.score)}, loss {sealed.loss:.3g} at step "
        f"{sealed.step}; {score_value(metric, start.score)}, {start.loss:.3g} at the start",
        "nothing was sealed; lower optim.lr, then train anew with --overwrite",
    )


def round_trip(
    trained_NK: NDArray[np.float32],
    reloaded_NK: NDArray[np.float32],
    *,
    labels: tuple[Collection[str], Collection[str]],
) -> Proof:
    """The artefact, loaded anew, gives the logits of the model that was trained.

    Args:
        trained_NK: logits of some rows before saving.
        reloaded_NK: logits of the same rows from the artefact.
        labels: label names before and after, in order.

    Raises:
        ProofError: logits or labels differ.
    """
    difference = float(np.abs(trained_NK - reloaded_NK).max()) if trained_NK.size else 0.0
    same_labels = tuple(labels[0]) == tuple(labels[1])
    numbers = {
        "max_abs_difference": difference,
        "tolerance": ROUND_TRIP_TOLERANCE,
        "rows": len(trained_NK),
        "same_labels": same_labels,
    }
    return Proof(same_labels and difference <= ROUND_TRIP_TOLERANCE, numbers).enforce(
        "the saved artefact gives other logits than the trained model",
        f"logits differ by {difference:.2g}, labels {'agree' if same_labels else 'differ'}",
        "nothing was sealed; report this model family as unsupported",
    )


def solved(
    problem: SolvedProblem, found: LinearMap, *, layer: str, next_step: str, **counted: float
) -> Proof:
    """The gradient of a layer's objective is zero where the layer is.

    Args:
        problem: what it minimises.
        found: what it computes.
        layer: in words.
        next_step: what is to be done where it is not.
        counted: more numbers for the proof.

    Raises:
        ProofError: it is not.
    """
    residual = problem.residual(found)
    numbers = {
        "largest_gradient": residual,
        "tolerance": SOLVED_TOLERANCE,
        "penalty": problem.penalty,
        **counted,
    }
    return Proof(residual <= SOLVED_TOLERANCE, numbers).enforce(
        f"the {layer} is not where its objective is least",
        f"its gradient has an entry of {residual:.2g}",
        f"nothing was sealed; {next_step}",
    )


def _has_gradient(parameter: nn.Parameter) -> bool:
    gradient = parameter.grad
    return gradient is not None and bool(gradient.isfinite().all()) and bool(gradient.any())
