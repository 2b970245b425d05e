"""The head, solved on the features of all training rows, and the proof that it is.

Shapes: N rows, F width of the features.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tightfit.config import Decision
from tightfit.display import named_score
from tightfit.methods import HEAD_ONLY
from tightfit.model.adapters import output_layer
from tightfit.model.proofs import Proof, solved
from tightfit.tasks.linear_probe import LinearMap, SolvedProblem
from tightfit.tasks.solved_head import HeadProblem, choose_strength
from tightfit.training.label_names import as_solved
from tightfit.training.objective import why_unsolved
from tightfit.training.probe import frozen_features, put_output
from tightfit.training.setup import HistoryRow, Rows, Setup, no_worse

NAMES_STRENGTH = 30.0
"""Inverse strength of the penalty where sentences are all there is: no row can choose it."""

MOST_SOLVED_ROWS = 1_000
"""Up to so many training rows a head that was trained is solved anew; more were not tried. See
docs/experiments/head-end.md."""


def ends_solved(setup: Setup) -> bool:
    """Whether a head that cross-entropy trained is solved once its steps are over.

    Its steps follow features that change meanwhile, and few rows have few of them.
    """
    plan = setup.classifier.plan
    return (
        (setup.config.head.start, setup.config.head.end) == ("probe", "auto")
        and not setup.solves
        and setup.chooses  # without rows held out nothing could tell
        and setup.classifier.task.one_class
        and plan.method != HEAD_ONLY.name
        and len(setup.train.targets) <= MOST_SOLVED_ROWS
        and why_unsolved(plan) is None
    )


def solved_or_trained(
    trained: HistoryRow, solved: HistoryRow, setup: Setup, *, start: HistoryRow
) -> Decision[Literal["trained", "solved"]]:
    """Which of two heads is kept, by what an evaluation said of each: the solved one where it is
    less wrong in all, and has no fewer rows right than chance explains, here and at the start.

    What chance explains twice over it may not explain at once: without a look at the start a
    training would end in a failed proof.
    """
    rows, anew, left = len(setup.eval_subset.targets), _told(solved), _told(trained)
    why = f"on {rows:,} validation rows {anew} solved anew; as its steps left it {left}"
    as_good = all(no_worse(solved, each, setup) for each in (trained, start))
    better = as_good and solved["eval_loss"] < trained["eval_loss"]
    return Decision("solved" if better else "trained", why)


def _told(row: HistoryRow) -> str:
    """The scores of an evaluation, in words."""
    names = [name for name in ("accuracy", "macro_f1") if f"eval_{name}" in row]
    scores = [named_score(name, row[f"eval_{name}"]) for name in names]
    return ", ".join([*scores, f"log loss {row['eval_loss']:.3f}"])


def solve_head(setup: Setup, *, frozen: bool) -> None:
    """Solve the head where the encoder stands now.

    Args:
        setup: its output layer is written.
        frozen: whether the encoder is as it was loaded. Then the strength is chosen by the rows,
            and they are all that counts; features that were trained on the same rows tell nothing
            of it.
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
    return solved(
        _problem(setup, frozen=frozen),
        LinearMap(*held),
        layer="head",
        next_step="report it with the model",
        rows=len(setup.train.targets),
        parameters=sum(each.size for each in held),
    )


def _problem(setup: Setup, *, frozen: bool) -> SolvedProblem:
    config, rows, task = setup.config, setup.train, setup.classifier.task
    features_NF, named = _features(setup, rows), not len(setup.dataset.train)
    balanced = config.optim.class_weights == "balanced"
    own = task.head_problem(features_NF, rows, balanced=balanced)
    if own is not None:
        return own
    if balanced:
        weights_K = task.class_weights(rows)
        own_N = 1.0 if rows.weights_N is None else rows.weights_N
        rows = replace(rows, weights_N=own_N * weights_K[rows.targets].astype(np.float64))
    given = (features_NF, as_solved(rows), task.outputs)
    if frozen and not named:
        # Sentences are scored with the texts, and count no more than one here.
        strength = choose_strength(features_NF, rows, task.outputs, config.seed)
        return HeadProblem.of(*given, strength)
    pool = setup.pool
    pool_MF = None if pool is None else _features(setup, pool)
    strength = NAMES_STRENGTH if named else config.contrastive.strength
    intercept = pool is not None or not named
    return HeadProblem.of(*given, strength, intercept=intercept, pool_MF=pool_MF)


def _features(setup: Setup, rows: Rows) -> NDArray[np.float32]:
    return frozen_features(replace(setup, train=rows), np.arange(len(rows.targets)))
