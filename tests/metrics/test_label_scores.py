"""Scores of several labels a row against scikit-learn's, and their intervals against plain ways."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics

from tightfit.errors import DataError
from tightfit.metrics.intervals import wilson
from tightfit.metrics.label_scores import (
    LabelSetScores,
    average_precisions,
    f1_means,
    score_label_sets,
    weighted_average_precisions,
)
from tightfit.metrics.paired import compare_label_sets
from tightfit.metrics.thresholds import F1

NAMES = ("a", "b", "c", "d", "e")


def rows_of(count: int, seed: int = 0, labels: int = 5) -> tuple[NDArray[Any], NDArray[Any]]:
    """Targets and probabilities that go with them somewhat; the last label is rare."""
    chance = np.random.default_rng(seed)
    shares_K = np.linspace(0.5, 0.03, labels)
    true_NK = chance.random((count, labels)) < shares_K
    return true_NK, np.clip(0.5 * true_NK + 0.6 * chance.random((count, labels)), 0, 1).round(2)


def scored(count: int, seed: int = 0) -> tuple[LabelSetScores, NDArray[Any], NDArray[Any]]:
    """Scores at a threshold of 0.6, with the targets and what was given."""
    true_NK, shares_NK = rows_of(count, seed)
    given_NK = shares_NK >= 0.6
    return score_label_sets(true_NK, shares_NK, given_NK, NAMES), true_NK, given_NK


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.parametrize("rows", [3, 50, 900])
def test_means_are_those_of_scikit_learn(rows: int) -> None:
    """To 1e-9, rows without any label and labels without any row among them."""
    found, true_NK, given_NK = scored(rows)
    for kind in ("micro", "macro"):
        wanted = metrics.f1_score(true_NK, given_NK, average=kind)
        assert getattr(found, f"{kind}_f1").value == pytest.approx(wanted, abs=1e-9)
    samples = metrics.f1_score(true_NK, given_NK, average="samples")
    assert found.sample_f1.value == pytest.approx(samples, abs=1e-9)
    exact = metrics.accuracy_score(true_NK, given_NK)
    assert found.exact_match.value == pytest.approx(exact, abs=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@pytest.mark.filterwarnings("ignore:No positive class found:UserWarning")
@pytest.mark.parametrize("rows", [3, 900])
def test_each_label_is_as_scikit_learn_has_it(rows: int) -> None:
    """Precision, recall, F1, and average precision with its ties."""
    found, true_NK, given_NK = scored(rows)
    parts = metrics.precision_recall_fscore_support(true_NK, given_NK, average=None)
    _, shares_NK = rows_of(rows)
    average_K = metrics.average_precision_score(true_NK, shares_NK, average=None)
    for k, each in enumerate(found.per_label):
        values = (each.precision.value, each.recall.value, each.f1.value, each.support)
        assert values == pytest.approx([part[k] for part in parts], abs=1e-9)
        assert each.average_precision.value == pytest.approx(average_K[k], abs=1e-9)


def test_losses_are_binary() -> None:
    """Means over rows and labels."""
    true_NK, shares_NK = rows_of(200)
    found = score_label_sets(true_NK, shares_NK, shares_NK > 0.5, NAMES)
    losses = [
        metrics.log_loss(true_NK[:, k], shares_NK[:, k], labels=[False, True]) for k in range(5)
    ]
    assert found.log_loss == pytest.approx(np.mean(losses), abs=1e-9)
    briers = [metrics.brier_score_loss(true_NK[:, k], shares_NK[:, k]) for k in range(5)]
    assert found.brier == pytest.approx(np.mean(briers), abs=1e-9)


def test_tables_of_counts_are_repeated_rows() -> None:
    """What a bootstrap sees of cells is what scikit-learn says of the rows drawn."""
    true_NK, shares_NK = rows_of(40)
    given_NK = shares_NK >= 0.6
    counts_N = np.random.default_rng(1).multinomial(40, np.full(40, 1 / 40))
    rows = np.repeat(np.arange(40), counts_N)
    micro, macro, samples = f1_means(counts_N[None, :], true_NK, given_NK)[0]
    for value, kind in ((micro, "micro"), (macro, "macro"), (samples, "samples")):
        wanted = metrics.f1_score(true_NK[rows], given_NK[rows], average=kind, zero_division=0)
        assert value == pytest.approx(wanted, abs=1e-9)


def test_weighted_average_precision_is_that_of_repeated_rows() -> None:
    """Ties and rows of no weight among them."""
    true_NK, shares_NK = rows_of(60)
    counts_N = np.random.default_rng(2).multinomial(60, np.full(60, 1 / 60))
    rows = np.repeat(np.arange(60), counts_N)
    wanted = metrics.average_precision_score(true_NK[rows, 0], shares_NK[rows, 0])
    weights_RN = counts_N[None, :].astype(float)
    (found,) = weighted_average_precisions(true_NK[:, 0], shares_NK[:, 0], weights_RN)
    assert found == pytest.approx(wanted, abs=1e-9)


def test_intervals_cover() -> None:
    """The value on very many rows lies in the interval of 200 in 33 of 40 samples at least: of 95%
    expected, that is by chance below in one trial of a thousand."""
    samples = [scored(200, seed)[0] for seed in range(40)]
    large = scored(100_000, seed=99)[0]
    values: list[Callable[[LabelSetScores], Any]] = [
        lambda s: s.macro_f1,
        lambda s: s.micro_f1,
        lambda s: s.per_label[0].average_precision,
    ]
    for value in values:
        truth, found = value(large).value, list(map(value, samples))
        assert sum(each.low <= truth <= each.high for each in found) >= 33


def test_many_rows_and_labels_take_seconds() -> None:
    """As many as GoEmotions has to validate on, whose rows hardly repeat one another."""
    true_NK, shares_NK = rows_of(5_426, labels=28)
    started = time.perf_counter()
    score_label_sets(true_NK, shares_NK, shares_NK >= 0.6, [str(k) for k in range(28)])
    assert time.perf_counter() - started < 30


def test_the_threshold_of_the_highest_f1() -> None:
    """No other cut of these rows is better."""
    true_NK, shares_NK = rows_of(300)
    share_N, true_N = shares_NK[:, 1], true_NK[:, 1]
    chosen = F1(1).choose(np.stack([1 - share_N, share_N], axis=1), true_N.astype(int))
    assert chosen is not None
    best = max(metrics.f1_score(true_N, share_N >= cut) for cut in np.unique(share_N))
    assert metrics.f1_score(true_N, share_N >= chosen) == pytest.approx(best)


def test_a_label_without_a_row_has_no_threshold() -> None:
    """There is no F1 to be high."""
    assert F1(1).choose(np.array([[0.4, 0.6]]), np.array([0])) is None


def test_probabilities_that_tell_nothing_give_a_label_to_nobody() -> None:
    """Though its F1 would be highest if all rows got it."""
    same_N2, own_N = np.full((20, 2), 0.5), np.arange(20) % 5 == 0
    assert F1(1).choose(same_N2, own_N.astype(int)) == 0.25
    assert F1(1, most=1.5).choose(same_N2, own_N.astype(int)) is None


def test_a_label_without_a_row_has_no_precision() -> None:
    """Its interval says that nothing is known."""
    (found,) = average_precisions(np.zeros((5, 1), dtype=bool), np.full((5, 1), 0.3))
    assert (found.value, found.low, found.high) == (0.0, 0.0, 1.0)


def test_a_better_classifier_is_found_out() -> None:
    """By both means; who is compared with itself differs in nothing."""
    true_NK, shares_NK = rows_of(400)
    worse_NK = np.random.default_rng(3).permutation(shares_NK)
    given = shares_NK >= 0.6, worse_NK >= 0.6
    micro, macro = compare_label_sets(true_NK, *given)
    assert (micro.metric, macro.metric) == ("micro_f1", "macro_f1")
    for found, kind in ((micro, "micro"), (macro, "macro")):
        ours, theirs = (metrics.f1_score(true_NK, each, average=kind) for each in given)
        assert found.difference == pytest.approx(ours - theirs, abs=1e-9)
        assert 0 < found.low < found.difference < found.high
        assert found.p_value < 0.002
    same, _ = compare_label_sets(true_NK, given[0], given[0])
    assert (same.difference, same.p_value, same.only_ours) == (0.0, 1.0, 0)


def test_what_does_not_fit_is_refused() -> None:
    """With the shapes, and the values that are no probabilities."""
    true_NK, shares_NK = rows_of(4)
    with pytest.raises(DataError, match=r"targets of shape \(4, 5\), probabilities of \(4, 4\)"):
        score_label_sets(true_NK, shares_NK[:, :4], true_NK, NAMES)
    with pytest.raises(DataError, match="between 0 and 1"):
        score_label_sets(true_NK, shares_NK + 1, true_NK, NAMES)


def test_one_row_of_a_label_says_little_of_its_average_precision() -> None:
    """Found first by luck, it is so in every resample of the rows: that is no certainty."""
    true_N1, shares_N1 = np.eye(1, 40).T.astype(bool), np.linspace(0.9, 0.1, 40)[:, None]
    (found,) = average_precisions(true_N1, shares_N1)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == wilson(1, 1).low < 0.25


def test_the_most_frequent_labels_are_as_good_unless_micro_f1_is_above_theirs() -> None:
    """As many of them as make the best micro F1 by scikit-learn."""
    found, true_NK, _ = scored(300)
    assert found.constant_as_good() is None
    noise_NK = np.random.default_rng(5).random(true_NK.shape)
    blind = score_label_sets(true_NK, noise_NK, noise_NK > 0.5, NAMES)
    often = np.argsort(-true_NK.sum(0))
    best = max(
        metrics.f1_score(true_NK, [np.isin(range(5), often[:k])] * 300, average="micro")
        for k in range(1, 6)
    )
    assert f"has a micro F1 of {best:.1%} on these 300 rows" in str(blind.constant_as_good())
