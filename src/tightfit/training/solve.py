"""The head, solved on the features of all training rows, and the proof that it is.

Shapes: N rows, F width of the features.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tightfit.model.adapters import output_layer
from tightfit.model.proofs import Proof
from tightfit.tasks.linear_probe import LinearMap
from tightfit.tasks.solved_head import HeadProblem, choose_strength
from tightfit.training.probe import frozen_features, put_output
from tightfit.training.setup import Setup

SOLVED_TOLERANCE = 1e-5
"""Largest entry that the gradient of the objective, a mean over rows, may have: what rounding the
solution to fp32 leaves of zero is a hundredth of it."""


def solve_head(setup: Setup, *, frozen: bool) -> None:
    """Solve the head where the encoder stands now.

    Args:
        setup: its output layer is written.
        frozen: whether the encoder is as it was loaded. Then the strength is chosen by the rows;
            features that were trained on the same rows tell nothing of it.
    """
    put_output(setup, _problem(setup, frozen=frozen).solve())


def head_is_solved(setup: Setup, *, frozen: bool) -> Proof:
    """Whether the gradient of its objective is zero, where the head is solved.

    Args:
        setup: as it was trained.
        frozen: whether the encoder is as it was loaded, as for :func:`solve_head`.

    Raises:
        ProofError: it is not.
    """
    layer = output_layer(setup.classifier.module, setup.classifier.plan)
    held = [p.detach().cpu().double().numpy() for p in (layer.weight, layer.bias)]
    problem = _problem(setup, frozen=frozen)
    residual = problem.residual(LinearMap(*held))
    numbers = {
        "largest_gradient": residual,
        "tolerance": SOLVED_TOLERANCE,
        "strength": problem.strength,
        "rows": len(setup.train.targets),
        "parameters": sum(p.numel() for p in (layer.weight, layer.bias)),
    }
    return Proof("head_solved", residual <= SOLVED_TOLERANCE, numbers).enforce(
        "the head is not where its objective is least",
        f"its gradient has an entry of {residual:.2g}",
        "nothing was sealed; report it with the model",
    )


def _problem(setup: Setup, *, frozen: bool) -> HeadProblem:
    config, targets_N, weights_N = setup.config, setup.train.targets, setup.train.weights_N
    features_NF = _features(setup)
    outputs = setup.classifier.task.outputs
    strength = config.contrastive.strength
    if frozen:
        strength = choose_strength(
            features_NF, targets_N, outputs, config.seed, weights_N=weights_N
        )
    return HeadProblem.of(features_NF, targets_N, outputs, strength, weights_N=weights_N)


def _features(setup: Setup) -> NDArray[np.float32]:
    return frozen_features(setup, np.arange(len(setup.train.targets)))
