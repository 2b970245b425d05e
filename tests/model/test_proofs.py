"""The proofs hold where something was learnt, and fail loudly where it was not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tightfit.errors import ProofError
from tightfit.model.adapters import AdapterPair
from tightfit.model.proofs import (
    LATE_STEPS,
    PROMPT_STEPS,
    ROUND_TRIP_TOLERANCE,
    GradientWatch,
    Proof,
    Standing,
    movement,
    never_called,
    no_regression,
    round_trip,
)

A, B, HEAD = "layer.lora_A.weight", "layer.lora_B.weight", "classifier.weight"


def parameters() -> dict[str, nn.Parameter]:
    """One adapter and a head."""
    return {
        A: nn.Parameter(torch.ones(2, 3)),
        B: nn.Parameter(torch.zeros(4, 2)),
        HEAD: nn.Parameter(torch.ones(2, 4)),
    }


def give(tensors: Mapping[str, nn.Parameter], *names: str, value: float = 1.0) -> None:
    """Give the named tensors a gradient, and the others none."""
    for name, parameter in tensors.items():
        parameter.grad = torch.full_like(parameter, value) if name in names else None


def eval_subset(**more: Any) -> tuple[dict[str, nn.Parameter], GradientWatch]:
    """Tensors under a watch that knows which is an A matrix."""
    tensors = parameters()
    return tensors, GradientWatch(tensors, late=[A], **more)


def steps(watch: GradientWatch, count: int, lr: float = 1e-3) -> None:
    """Some optimiser steps with the gradients that are there."""
    for _ in range(count):
        watch.after_step(lr)


def test_the_first_gradient_of_each_tensor_is_recorded() -> None:
    """B and head at once, A a step later, since B was zero before."""
    tensors, watch = eval_subset()
    give(tensors, B, HEAD)
    steps(watch, 1)
    give(tensors, A, B, HEAD)
    steps(watch, 1)
    assert watch.finish().to_json() == {
        "ok": True,
        "steps": 2,
        "tensors": 3,
        "first_step": {A: 2, B: 1, HEAD: 1},
        "never": [],
        "not_due": [],
        "exempt": [],
    }


def test_a_dead_b_stops_training_at_the_third_step() -> None:
    """Not at the second, and the message names the tensor and the likely cause."""
    tensors, watch = eval_subset()
    give(tensors, HEAD)
    steps(watch, PROMPT_STEPS - 1)
    with pytest.raises(
        ProofError, match="1 of 3 trainable tensors got no gradient in 3 steps"
    ) as e:
        steps(watch, 1)
    assert e.value.seen == B
    assert "re-entrant gradient checkpointing" in str(e.value)
    assert "train.checkpointing=on" in str(e.value)


def test_a_dead_a_stops_training_at_the_fiftieth_step() -> None:
    """It has the time that a warm-up from zero takes."""
    tensors, watch = eval_subset()
    give(tensors, B, HEAD)
    steps(watch, LATE_STEPS - 1)
    with pytest.raises(ProofError, match="got no gradient in 50 steps") as caught:
        steps(watch, 1)
    assert caught.value.seen == A


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_a_gradient_counts_only_if_it_can_move_something(value: float) -> None:
    """Zeros move nothing, and what is not finite moves nowhere."""
    tensors, watch = eval_subset()
    give(tensors, A, B, HEAD, value=value)
    with pytest.raises(ProofError, match="2 of 3 trainable tensors"):
        steps(watch, PROMPT_STEPS)


def test_one_number_is_enough_of_a_gradient() -> None:
    """A row of an embedding that the batch did not use has none, rightly."""
    tensors, watch = eval_subset()
    give(tensors, A, B, HEAD, value=0.0)
    for tensor in tensors.values():
        assert tensor.grad is not None
        tensor.grad[0, 0] = 1e-9
    steps(watch, PROMPT_STEPS)
    assert watch.finish().ok


def test_a_short_run_is_judged_at_its_end() -> None:
    """Two steps, and B never had a gradient."""
    tensors, watch = eval_subset()
    give(tensors, A, HEAD)
    steps(watch, 2)
    assert not watch.report().ok
    with pytest.raises(ProofError, match="got no gradient in 2 steps"):
        watch.finish()


def test_a_is_due_at_the_end_once_b_could_move() -> None:
    """Steps at a rate of zero leave B at zero, and A without a gradient: no fault of its own."""
    tensors, watch = eval_subset()
    give(tensors, B, HEAD)
    steps(watch, 5, lr=0.0)
    assert watch.report().ok
    steps(watch, PROMPT_STEPS - 1)
    assert watch.report().numbers["not_due"] == [A]
    for _ in range(2):
        steps(watch, 1)
        assert watch.report().numbers["never"] == [A]
    with pytest.raises(ProofError, match="1 of 3"):
        watch.finish()


def test_a_stays_due_after_its_last_step_even_at_a_rate_of_zero() -> None:
    """So long a run has had the time, whatever its schedule was."""
    tensors, watch = eval_subset(expect_dead=True)
    give(tensors, B, HEAD)
    steps(watch, LATE_STEPS + 1, lr=0.0)
    assert watch.report().numbers["never"] == [A]


def test_a_run_without_a_step_proves_nothing() -> None:
    """A loss scaler may have skipped every one of them."""
    _, watch = eval_subset()
    with pytest.raises(ProofError, match="got no gradient in 0 steps"):
        watch.finish()


def test_exempt_tensors_are_listed_and_never_tested() -> None:
    """Softmax does not see the bias of a key."""
    tensors = parameters()
    watch = GradientWatch(tensors, exempt=[B])
    give(tensors, A, HEAD)
    steps(watch, LATE_STEPS)
    assert watch.finish().numbers["exempt"] == [B]


def test_declared_death_is_recorded_and_not_raised() -> None:
    """The proof fails all the same: it only does not stop the run."""
    tensors, watch = eval_subset(expect_dead=True)
    give(tensors, HEAD)
    steps(watch, LATE_STEPS)
    proof = watch.finish()
    assert (proof.ok, proof.expected) == (False, True)
    assert proof.to_json()["expected"] is True
    assert proof.numbers["never"] == [A, B]


def test_death_that_was_declared_and_did_not_come_is_no_failure() -> None:
    """Then there is nothing to excuse."""
    tensors, watch = eval_subset(expect_dead=True)
    give(tensors, A, B, HEAD)
    steps(watch, 3)
    assert watch.finish().to_json().items() >= {"ok": True}.items()
    assert "expected" not in watch.finish().to_json()


def test_a_watch_goes_on_where_its_state_was_taken() -> None:
    """After a resume the limits fall on the same steps."""
    tensors, watch = eval_subset()
    give(tensors, HEAD)
    steps(watch, 2)
    tensors, again = eval_subset()
    again.load_state(watch.state())
    assert again.state() == watch.state()
    give(tensors, HEAD)
    with pytest.raises(ProofError, match="in 3 steps"):
        steps(again, 1)


@pytest.mark.parametrize(("count", "more"), [(4, ""), (5, " and 1 more"), (9, " and 5 more")])
def test_a_long_list_of_tensors_is_cut(count: int, more: str) -> None:
    """Four names show the pattern; the count tells the rest."""
    tensors = {f"layer.{i}": nn.Parameter(torch.ones(1)) for i in range(count)}
    with pytest.raises(ProofError) as caught:
        steps(GradientWatch(tensors), PROMPT_STEPS)
    assert caught.value.seen == f"layer.0, layer.1, layer.2, layer.3{more}"


class Half(nn.Module):
    """Uses one of its two layers."""

    def __init__(self) -> None:
        """Make both."""
        super().__init__()
        self.used, self.unused = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Call the first alone."""
        result: torch.Tensor = self.used(x)
        return result


def test_modules_that_are_never_called_are_found() -> None:
    """No gradient can be asked of them; the hooks that found them are removed."""
    module = Half()
    assert never_called(module, lambda: module(torch.ones(1, 2))) == {"unused"}
    assert not any(m._forward_hooks for m in module.modules())


def test_the_hooks_are_removed_after_a_failure() -> None:
    """The forward pass may fail, and the model must stay as it was."""
    module = Half()
    with pytest.raises(RuntimeError):
        never_called(module, lambda: module(torch.ones(1, 3)))
    assert not any(m._forward_hooks for m in module.modules())


State = dict[str, torch.Tensor]


def moved(start: State, end: State, **more: Any) -> Proof:
    """The movement between two states of one adapter and a head."""
    pair = AdapterPair("layer", nn.Parameter(end[A]), nn.Parameter(end[B]), scale=2.0)
    return movement(start, end, [pair], **more)


def state(*, a: float = 1.0, b: float = 0.0, head: float = 1.0) -> State:
    """Tensors filled with one number each."""
    return {A: torch.full((2, 3), a), B: torch.full((4, 2), b), HEAD: torch.full((2, 4), head)}


def test_the_change_of_a_weight_is_measured() -> None:
    """2 x B A is 4 x 3 entries of 2 x 2 x 0.5; the head moved by 8 entries of one half."""
    proof = moved(state(), state(b=0.5, head=1.5))
    assert proof.ok
    assert proof.numbers["adapters"]["layer"] == pytest.approx(12**0.5 * 2.0)
    assert proof.numbers["tensors"] == {HEAD: pytest.approx(8**0.5 * 0.5)}


def test_the_smallest_change_is_movement() -> None:
    """A run of few steps at a low rate has still trained."""
    assert moved(state(), state(b=1e-6, head=1 + 1e-6)).ok


def test_weight_decay_on_a_is_no_movement() -> None:
    """While B is zero the weight is what it was, whatever A became."""
    with pytest.raises(ProofError, match="1 of 2 trainable parts never moved") as caught:
        moved(state(), state(a=0.9, head=2.0))
    assert caught.value.seen == "layer"
    assert "learning rate of zero" in str(caught.value)


def test_the_change_is_against_the_start_even_where_b_began_elsewhere() -> None:
    """An adapter that started with a product of its own has to change that product."""
    with pytest.raises(ProofError, match="never moved"):
        moved(state(b=0.5), state(b=0.5, head=2.0))
    # B and A changed and their product did not.
    with pytest.raises(ProofError, match="never moved"):
        moved(state(a=1.0, b=0.5), state(a=0.5, b=1.0, head=2.0))
    assert moved(state(b=0.5), state(b=0.6, head=2.0)).ok


def test_a_head_that_stood_still_is_found() -> None:
    """Its name is in the message."""
    with pytest.raises(ProofError, match="never moved") as caught:
        moved(state(), state(b=0.5))
    assert caught.value.seen == HEAD


def test_values_that_are_not_numbers_are_no_movement() -> None:
    """A diverged adapter did not learn."""
    with pytest.raises(ProofError, match="never moved"):
        moved(state(), state(b=float("nan"), head=2.0))


def test_declared_stillness_is_recorded() -> None:
    """The published run, on purpose."""
    proof = moved(state(), state(a=0.9, head=2.0), expect_dead=True)
    assert (proof.ok, proof.expected, proof.numbers["still"]) == (False, True, ["layer"])


def test_exempt_tensors_need_not_move() -> None:
    """They never had a gradient."""
    end = state(b=0.5)
    pair = AdapterPair("layer", end[A], end[B], 1.0)
    proof = movement(state(), end, [pair], exempt=[HEAD])
    assert proof.ok
    assert proof.numbers["tensors"] == {}


def test_a_start_that_was_kept_is_recorded() -> None:
    """And nothing of the kind where it was not."""
    same = [AdapterPair("layer", state()[A], state()[B], 1.0)]
    kept = movement(state(), state(), same, kept_start=True)
    assert (kept.ok, kept.expected, kept.numbers["kept_start"]) == (False, True, True)
    assert "kept_start" not in moved(state(), state(b=0.5, head=2.0)).numbers


START = Standing(step=0, score=0.8, loss=0.5, merit=0.8)


@pytest.mark.parametrize(
    ("merit", "loss", "step", "fitted_start"),
    [(0.8, 1.0, 0, True), (0.9, 0.4, 7, True), (0.7, 0.4, 0, False), (0.8, 0.5, 1, True)],
)
def test_what_is_no_worse_than_its_start_may_be_sealed(
    merit: float, loss: float, step: int, fitted_start: bool
) -> None:
    """As good is good enough; a start at random is nothing to lose against."""
    sealed = Standing(step, merit, loss, merit)
    limits: Any = {"fitted_start": fitted_start, "highest_loss": 1.0}
    proof = no_regression(START, sealed, **limits, as_good=merit >= START.merit)
    assert proof.ok
    assert proof.numbers["kept_start"] == (fitted_start and step == 0)


@pytest.mark.parametrize(
    ("merit", "loss", "fitted_start"), [(0.7, 0.4, True), (0.9, 1.1, True), (0.9, 1.1, False)]
)
def test_what_is_worse_than_its_start_is_not_sealed(
    merit: float, loss: float, fitted_start: bool
) -> None:
    """Unless chance would lose as much; a loss far above that of a constant answer never."""
    sealed = Standing(7, merit, loss, merit)
    limits: Any = {"fitted_start": fitted_start, "highest_loss": 1.0}
    with pytest.raises(ProofError, match="worse than their start"):
        no_regression(START, sealed, **limits, as_good=merit >= START.merit)
    if loss < 1.0:
        assert no_regression(START, sealed, **limits, as_good=True).ok


def test_proofs_and_standings_stay_as_they_are() -> None:
    """Nothing that was proven can be changed afterwards."""
    for record in (START, Proof(ok=True, numbers={})):
        with pytest.raises(FrozenInstanceError):
            setattr(record, "step", 1)  # noqa: B010 - an assignment that mypy lets pass


def test_a_difference_of_just_the_tolerance_is_none() -> None:
    """It is the largest that is allowed."""
    none_NK: Any = np.zeros((1, 1))  # in fp64, which has the very number
    assert round_trip(none_NK, none_NK + ROUND_TRIP_TOLERANCE, labels=SAME).ok


LOGITS_NK = np.array([[0.1, 0.2], [0.3, 0.4]], dtype=np.float32)
SAME = (("a", "b"), ("a", "b"))


def test_a_round_trip_within_the_tolerance_holds() -> None:
    """With its numbers."""
    proof = round_trip(LOGITS_NK, LOGITS_NK + np.float32(0.5e-4), labels=SAME)
    assert proof.ok
    assert proof.numbers["max_abs_difference"] == pytest.approx(0.5e-4, rel=1e-2)
    assert proof.numbers["rows"] == 2
    assert proof.numbers["tolerance"] == ROUND_TRIP_TOLERANCE == 1e-4


def test_a_round_trip_of_no_rows_differs_by_nothing() -> None:
    """There is no largest difference of none."""
    none_NK = LOGITS_NK[:0]
    proof = round_trip(none_NK, none_NK, labels=SAME)
    assert (proof.ok, proof.numbers["max_abs_difference"], proof.numbers["rows"]) == (True, 0, 0)


@pytest.mark.parametrize("error", [2e-4, float("nan")])
def test_an_artefact_that_answers_otherwise_is_refused(error: float) -> None:
    """Not a number is no agreement."""
    other = LOGITS_NK.copy()
    other[1, 1] += error
    with pytest.raises(ProofError, match="other logits than the trained model") as caught:
        round_trip(LOGITS_NK, other, labels=SAME)
    assert "labels agree" in str(caught.value)


def test_labels_in_another_order_are_refused() -> None:
    """The same logits would mean something else."""
    with pytest.raises(ProofError, match="labels differ"):
        round_trip(LOGITS_NK, LOGITS_NK, labels=(("a", "b"), ("b", "a")))


@pytest.mark.parametrize(("lead", "due"), [(5, True), (6, False)])
def test_what_a_second_phase_trains_is_due_at_its_end(lead: int, due: bool) -> None:
    """Not while the first goes on, nor where no step of the second was taken."""
    tensors = parameters()
    watch = GradientWatch(tensors, second=[HEAD], lead=lead)
    give(tensors, A, B)
    steps(watch, 6)
    if due:
        with pytest.raises(ProofError, match="1 of 3 trainable tensors got no gradient"):
            watch.finish()
    else:
        assert watch.finish().numbers["not_due"] == [HEAD]
