"""A solved head: scikit-learn's solution, and a gradient of zero that is seen not to be one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from tightfit.config.sections import Contrastive
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.solved_head import HeadProblem, choose_strength, soft_targets


def blobs(labels: int, rows: int = 60, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Features around one centre a label, some units away from zero."""
    rng = np.random.default_rng(3)
    targets_N = np.arange(rows) % labels
    features_NF = rng.normal(size=(labels, width))[targets_N] + rng.normal(size=(rows, width))
    return (5 * features_NF).astype(np.float32), targets_N


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_it_is_the_solution_of_scikit_learn(strength: float) -> None:
    """On features divided by their mean length."""
    features_NF, targets_N = blobs(3)
    found = HeadProblem.of(features_NF, LabelledRows(targets_N), 3, strength).solve()
    length = np.linalg.norm(features_NF, axis=1).mean()
    peer = LogisticRegression(C=strength, tol=1e-10, max_iter=5000)
    peer.fit(features_NF.astype(float) / length, targets_N)
    np.testing.assert_allclose(found.weight_KF * length, peer.coef_, atol=1e-4)
    logits_NK = features_NF @ found.weight_KF.T + found.bias_K
    assert (logits_NK.argmax(1) == peer.predict(features_NF / length)).all()


def test_the_residual_tells_a_solution_from_what_is_none() -> None:
    """A hundredth off is seen; and the slope is that of the objective, by differences."""
    features_NF, targets_N = blobs(4)
    problem = HeadProblem.of(features_NF, LabelledRows(targets_N), 4, 1.0)
    found = problem.solve()
    assert problem.residual(found) < 1e-6
    moved = replace(found, weight_KF=found.weight_KF * 1.01)
    assert problem.residual(moved) > 1e-4


def test_a_label_without_rows_is_never_the_answer() -> None:
    """It has no weights and a low bias, and is no part of what is proven."""
    features_NF, targets_N = blobs(3)
    rows = LabelledRows(np.where(targets_N == 2, 4, targets_N))
    problem = HeadProblem.of(features_NF, rows, 6, 1.0)
    found = problem.solve()
    assert problem.residual(found) < 1e-6
    assert not found.weight_KF[[2, 3, 5]].any()
    logits_NK = features_NF @ found.weight_KF.T + found.bias_K
    assert set(logits_NK.argmax(1)) == {0, 1, 4}


def test_rows_of_one_label_give_that_label() -> None:
    """Nothing is to be solved: a bias would grow without end."""
    features_NF, _ = blobs(2)
    rows = LabelledRows(np.ones(len(features_NF), dtype=np.int64))
    problem = HeadProblem.of(features_NF, rows, 3, 1.0)
    found = problem.solve()
    assert problem.residual(found) == 0
    assert found.bias_K.argmax() == 1


def test_noise_is_given_the_strongest_penalty() -> None:
    """And clean blobs a weaker one."""
    features_NF, targets_N = blobs(3, rows=200)
    shuffled = LabelledRows(np.random.default_rng(1).permutation(targets_N))
    noise = choose_strength(features_NF, shuffled, 3, seed=0)
    assert noise < choose_strength(features_NF, LabelledRows(targets_N), 3, seed=0)


def test_copies_of_a_row_do_not_choose_the_strength() -> None:
    """Noise that stands on both sides of a split is remembered best under the weakest penalty."""
    features_NF, targets_N = (np.concatenate([each, each]) for each in blobs(3, rows=60, width=40))
    targets_N = np.tile(np.random.default_rng(1).permutation(targets_N[:60]), 2)
    alike_N = np.tile(np.arange(60), 2)
    apart, together = (
        choose_strength(features_NF, LabelledRows(targets_N, alike_N=each), 3, seed=0)
        for each in (None, alike_N)
    )
    assert together < apart


def test_a_pool_draws_the_border_between_few_rows() -> None:
    """One row a label near the border, and many texts that show where the labels' middles are."""
    rng = np.random.default_rng(0)
    truth_M = np.arange(400) % 2
    centres = np.array([[3.0, 0.0, 0.5], [0.0, 3.0, 0.5]])
    pool_MF = (centres[truth_M] + 0.6 * rng.normal(size=(400, 3))).astype(np.float32)
    rows_NF = np.array([[1.5, 0.2, 2.0], [1.2, 2.0, 0.0]], dtype=np.float32)

    def right(pool: np.ndarray | None) -> float:
        problem = HeadProblem.of(rows_NF, LabelledRows(np.arange(2)), 2, 10.0, pool_MF=pool)
        found = problem.solve()
        assert problem.residual(found) < 1e-6
        answers_M = (pool_MF @ found.weight_KF.T + found.bias_K).argmax(1)
        return float((answers_M == truth_M).mean())

    assert right(pool_MF) > max(0.95, right(None))


def test_soft_targets_are_shares_of_the_nearest_centre() -> None:
    """They add up to 1, and a text that is a row is of its label."""
    rows_NF, known_NP = np.eye(3)[:2], np.eye(2)
    found_MP = soft_targets(rows_NF, rows_NF, known_NP)
    np.testing.assert_allclose(found_MP.sum(1), 1.0)
    assert (found_MP.argmax(1) == [0, 1]).all()


def test_without_intercepts_the_nearest_sentence_answers() -> None:
    """Which is what names alone are worth."""
    rng = np.random.default_rng(1)
    names_KF = rng.normal(size=(5, 8)).astype(np.float32)
    names_KF /= np.linalg.norm(names_KF, axis=1, keepdims=True)
    names = LabelledRows(np.arange(5))
    found = HeadProblem.of(names_KF, names, 5, 30.0, intercept=False).solve()
    assert (found.bias_K == 0).all()
    assert ((names_KF @ found.weight_KF.T).argmax(1) == np.arange(5)).all()


def test_a_row_of_weight_two_is_two_rows() -> None:
    """The same head to rounding, with a residual of zero; and a weight changes something."""
    features_NF, targets_N = blobs(3)
    weights_N = np.random.default_rng(0).integers(1, 4, len(targets_N))
    rows_N = np.repeat(np.arange(len(targets_N)), weights_N)
    rows = LabelledRows(targets_N, weights_N=weights_N.astype(float))
    weighted = HeadProblem.of(features_NF, rows, 3, 1.0)
    repeated = HeadProblem.of(features_NF[rows_N], LabelledRows(targets_N[rows_N]), 3, 1.0).solve()
    found = weighted.solve()
    assert weighted.residual(repeated) < 1e-6
    np.testing.assert_allclose(found.weight_KF, repeated.weight_KF, atol=1e-6)
    plain = HeadProblem.of(features_NF, LabelledRows(targets_N), 3, 1.0).solve()
    assert not np.allclose(found.weight_KF, plain.weight_KF, atol=1e-3)


def test_the_default_strength_serves_features_that_lie_close_together() -> None:
    """Cosines of 0.7 between classes: the head that is right of other rows is sure of them too."""
    random = np.random.default_rng(0)
    targets_N = random.integers(0, 8, 1_200)
    features_NF = 7 * np.eye(64)[8] + 2.2 * np.eye(8, 64)[targets_N]
    features_NF += random.normal(size=features_NF.shape) * 0.45
    strength = Contrastive().strength
    found = HeadProblem.of(features_NF[:270], LabelledRows(targets_N[:270]), 8, strength).solve()
    logits_NK = features_NF[270:] @ found.weight_KF.T + found.bias_K
    chances_N = softmax(logits_NK, axis=1)[np.arange(930), targets_N[270:]]
    assert (logits_NK.argmax(1) == targets_N[270:]).mean() > 0.99
    assert chances_N.mean() > 0.7
