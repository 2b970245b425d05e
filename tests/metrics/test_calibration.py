"""Calibration against the obvious way, against theory, and against simulated truth."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import log_loss

from tightfit.errors import DataError, UsageError
from tightfit.metrics.calibration import (
    PRIOR,
    Temperature,
    Threshold,
    abstain_threshold,
    calibration_error_by_chance,
    expected_calibration_error,
    fit_temperature,
    fitted_log_losses,
    likely_temperature,
    reliability_bins,
)

Floats = NDArray[np.float64]


def toy_logits(n: int = 400, scale: float = 3.0) -> tuple[Floats, NDArray[np.int64]]:
    """Logits that are ``scale`` times too sharp, and labels drawn from the honest ones."""
    random = np.random.default_rng(0)
    honest_BK = random.normal(scale=2, size=(n, 4))
    labels_B = (softmax(honest_BK, axis=1).cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    return scale * honest_BK, labels_B


def toy_answers(n: int, seed: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Confidences from 0.5 to 1, and answers that are wrong as often as 1 - confidence says."""
    random = np.random.default_rng(seed)
    confidences_B = random.uniform(0.5, 1, n)
    return confidences_B, random.random(n) > 1 - confidences_B


def test_the_error_is_that_of_a_plain_loop() -> None:
    """Guo et al. in a loop over 15 bins that include their upper edge."""
    confidences_B, correct_B = toy_answers(500, seed=0)
    expected = 0.0
    for k in range(15):
        rows = [i for i, c in enumerate(confidences_B) if k / 15 < c <= (k + 1) / 15]
        if rows:
            gap = np.mean(correct_B[rows]) - np.mean(confidences_B[rows])
            expected += len(rows) / 500 * float(abs(gap))
    assert expected_calibration_error(confidences_B, correct_B) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("rows", [60, 2000])
def test_the_error_by_chance_is_that_of_honest_answers(rows: int) -> None:
    """The mean over 400 classifiers that are right as often as they say; its error is about 2%."""
    confidences_B, _ = toy_answers(rows, seed=3)
    random = np.random.default_rng(4)
    drawn = [
        expected_calibration_error(confidences_B, random.random(rows) < confidences_B)
        for _ in range(400)
    ]
    assert calibration_error_by_chance(confidences_B) == pytest.approx(np.mean(drawn), rel=0.06)


def test_log_losses_of_rows_are_those_of_the_fitted_temperature() -> None:
    """Their mean is what the fit is left with, however few rows there are."""
    random = np.random.default_rng(5)
    labels_B = random.integers(0, 3, 20)
    logits_BK = 9 * (np.eye(3)[labels_B] + random.normal(size=(20, 3)))
    fitted = fit_temperature(logits_BK, labels_B)
    shares_BK = np.exp(logits_BK / fitted.value)
    shares_BK /= shares_BK.sum(1, keepdims=True)
    losses_B = fitted_log_losses(logits_BK, labels_B)
    np.testing.assert_allclose(losses_B, -np.log(shares_BK[np.arange(20), labels_B]))
    assert losses_B.mean() == pytest.approx(fitted.log_loss_after)


def test_bins_count_every_row_once() -> None:
    """Empty bins are left out; 0 and 1 belong to the outer bins."""
    bins = reliability_bins([0.0, 1 / 15, 0.95, 1.0, 1.0], [0, 0, 1, 1, 0])
    assert [(one.low, one.high, one.rows) for one in bins] == [(0, 1 / 15, 2), (14 / 15, 1, 3)]
    assert bins[1].accuracy == pytest.approx(2 / 3)
    assert bins[1].confidence == pytest.approx(2.95 / 3)


def test_an_honest_classifier_has_a_small_error() -> None:
    """And one that is always sure has its error rate."""
    confidences_B, correct_B = toy_answers(20_000, seed=1)
    assert expected_calibration_error(confidences_B, correct_B) < 0.02
    sure = expected_calibration_error(np.ones(4), [1, 0, 0, 1])
    assert sure == 0.5


def test_the_temperature_is_the_least_log_loss() -> None:
    """A search over temperatures finds no lower loss; to 1e-9 in the loss."""
    logits_BK, labels_B = toy_logits()
    found = fit_temperature(logits_BK, labels_B)

    def loss(temperature: float) -> float:
        return float(log_loss(labels_B, softmax(logits_BK / temperature, axis=1)))

    expected = minimize_scalar(loss, bounds=(0.1, 10), method="bounded", options={"xatol": 1e-9})
    assert found.log_loss_after == pytest.approx(expected.fun, abs=1e-9)
    assert found.value == pytest.approx(expected.x, rel=1e-5)
    assert found.log_loss_before == pytest.approx(loss(1.0), abs=1e-9)
    assert found.reason is None


def test_the_temperature_finds_the_sharpening_that_was_put_in() -> None:
    """Scaling the logits scales the temperature with them, whatever their size."""
    logits_BK, labels_B = toy_logits(4000)
    value = fit_temperature(logits_BK, labels_B).value
    assert value == pytest.approx(3.0, rel=0.1)
    for scale in (0.02, 50):
        scaled = fit_temperature((scale * logits_BK).astype(np.float32), labels_B)
        assert scaled.value == pytest.approx(scale * value, rel=1e-4)


@pytest.mark.parametrize("rows", [6, 30, 400])
def test_the_likely_temperature_weighs_rows_against_what_was_expected(rows: int) -> None:
    """A search finds no better sum of the rows' losses and the normal density of its logarithm."""
    logits_BK, labels_B = (each[:rows] for each in toy_logits())

    def cost(log: float) -> float:
        shares_BK = softmax(logits_BK / np.exp(log), axis=1)
        loss = float(log_loss(labels_B, shares_BK, labels=range(4), normalize=False))
        return loss + (log / PRIOR) ** 2 / 2

    expected = minimize_scalar(cost, bounds=(-2, 3), method="bounded", options={"xatol": 1e-9})
    found = likely_temperature(logits_BK, labels_B)
    assert np.log(found.value) == pytest.approx(expected.x, abs=1e-5)
    assert found.reason is None
    assert 1 < found.value < fit_temperature(logits_BK, labels_B).value


def test_many_rows_have_the_temperature_that_they_ask_for() -> None:
    """Whatever was expected; those of weight 2 are two."""
    logits_BK, labels_B = toy_logits(4_000)
    found = likely_temperature(logits_BK, labels_B).value
    assert found == pytest.approx(fit_temperature(logits_BK, labels_B).value, rel=0.01)
    some = logits_BK[:30], labels_B[:30]
    doubled = likely_temperature(*(np.repeat(each, 2, axis=0) for each in some))
    weighted = likely_temperature(*some, weights_B=np.full(30, 2.0))
    assert weighted.value == pytest.approx(doubled.value)
    assert weighted.value != pytest.approx(likely_temperature(*some).value, rel=1e-3)


@pytest.mark.parametrize("rows", [2, 10, 200])
def test_rows_that_are_all_right_do_not_ask_for_certainty(rows: int) -> None:
    """Nor do those of one class, or logits that say nothing."""
    labels = [0, 1] * (rows // 2)
    assert 0.15 < likely_temperature(np.eye(2)[labels], labels).value < 1
    assert likely_temperature(np.zeros((rows, 2)), labels).value == pytest.approx(1)
    assert 0.15 < likely_temperature(np.eye(2)[[1] * rows], [1] * rows).value < 1
    assert 1 < likely_temperature(np.eye(2)[labels][::-1], labels).value < 12


@pytest.mark.parametrize(
    ("logits", "labels", "reason"),
    [
        (np.ones((60, 2)), [1] * 60, "all 60 rows are of one class"),
        (np.zeros((60, 2)), [0, 1] * 30, "the logits say nothing about these labels"),
        (np.tile(np.eye(2)[::-1], (30, 1)), [0, 1] * 30, "the logits say nothing"),
        (np.tile(np.eye(2), (30, 1)), [0, 1] * 30, "only falls as the temperature nears 0"),
    ],
)
def test_where_nothing_can_be_fitted_the_temperature_is_one(
    logits: Any, labels: list[int], reason: str
) -> None:
    """With the reason, and finite losses."""
    found = fit_temperature(logits, labels)
    assert found.value == 1.0
    assert found.log_loss_before == found.log_loss_after
    assert found.reason is not None
    assert reason in found.reason
    assert Temperature(**json.loads(json.dumps(asdict(found), allow_nan=False))) == found


def test_the_threshold_keeps_its_own_bound() -> None:
    """Counted anew from the rows it answers; the bound is scipy's at a quarter of the risk."""
    confidences_B, correct_B = toy_answers(2000, seed=3)
    found = abstain_threshold(confidences_B, correct_B, max_error=0.1)
    assert found is not None
    answered_B = confidences_B >= found.value
    wrong = int((answered_B & ~correct_B).sum())
    assert (found.answered, found.error) == (answered_B.sum(), wrong / answered_B.sum())
    test = binomtest(wrong, found.answered, alternative="less")
    bound = test.proportion_ci(1 - 0.05 / 4, method="exact").high
    assert found.error_bound == pytest.approx(bound, abs=1e-9)
    assert found.error < bound <= 0.1
    assert Threshold(**json.loads(json.dumps(asdict(found)))) == found


def test_the_threshold_is_the_end_of_a_walk() -> None:
    """The plain way: from each start, one row more at a time, until the bound is too high."""
    confidences_B, correct_B = toy_answers(300, seed=4)
    right = correct_B[np.argsort(-confidences_B)]
    reached = 0
    for start in (75, 150, 225, 300):
        for answered in range(start, 301):
            test = binomtest(int((~right[:answered]).sum()), answered, alternative="less")
            if test.proportion_ci(1 - 0.05 / 4, method="exact").high > 0.15:
                break
            reached = max(reached, answered)
    found = abstain_threshold(confidences_B, correct_B, max_error=0.15)
    assert found is not None
    assert found.answered == reached > 0


def test_rows_of_one_confidence_are_answered_together() -> None:
    """No threshold can tell them apart, so their errors count whole."""
    correct_B = np.array([True] * 300 + [False] * 100)
    assert abstain_threshold(np.full(400, 0.9), correct_B, max_error=0.1) is None
    apart = abstain_threshold(np.repeat([0.9, 0.6], [300, 100]), correct_B, max_error=0.1)
    assert apart is not None
    assert (apart.value, apart.answered) == (0.9, 300)


def test_flawless_answers_need_enough_rows() -> None:
    """0 errors in 86 rows bound the error by 5% at 98.75% confidence; in 85 rows they do not."""
    assert abstain_threshold(np.full(85, 0.9), np.ones(85), max_error=0.05) is None
    enough = abstain_threshold(np.full(86, 0.9), np.ones(86), max_error=0.05)
    assert enough is not None
    assert (enough.value, enough.answered, enough.error) == (0.9, 86, 0.0)
    assert abstain_threshold([0.9, 0.8], [False, False], max_error=0.5) is None


def test_the_promise_is_kept() -> None:
    """The true error of the answered rows exceeds the level in at most 5% of 1,000 draws.

    Rows above a threshold t are wrong in (1 - t) / 2 of the cases. Were the bound at fault, three
    standard errors of 5% (2 points) would be passed; without a bound it would be half of them.
    """
    found = [abstain_threshold(*toy_answers(400, seed), max_error=0.15) for seed in range(1000)]
    thresholds = [one.value for one in found if one is not None]
    assert len(thresholds) > 650
    assert sum((1 - value) / 2 > 0.15 for value in thresholds) / 1000 < 0.07
    assert np.median(thresholds) < 0.85


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5])
def test_levels_must_lie_between_0_and_1(level: float) -> None:
    """The error shows the level."""
    with pytest.raises(UsageError, match=rf"between 0 and 1\n  seen:    max_error={level}"):
        abstain_threshold([0.9], [True], max_error=level)


@pytest.mark.parametrize(
    ("confidences", "correct", "words"),
    [
        ([], [], r"one confidence for each row[\s\S]*0 confidences for 0 rows"),
        ([0.5, 0.6], [True], r"2 confidences for 1 rows"),
        ([0.5, np.nan], [True, True], r"1 of 2 rows[\s\S]*row 1: \[nan\][\s\S]*from 0 to 1"),
        ([1.5], [True], r"row 0: \[1\.5\]"),
    ],
)
def test_confidences_must_be_confidences(confidences: Any, correct: Any, words: str) -> None:
    """The error shows the first faulty row."""
    with pytest.raises(DataError, match=words):
        expected_calibration_error(confidences, correct)
    with pytest.raises(DataError, match=words):
        abstain_threshold(confidences, correct, max_error=0.1)


def test_logits_must_be_finite() -> None:
    """An overflow in the model is not calibrated away."""
    with pytest.raises(DataError, match=r"1 of 2 rows[\s\S]*row 0: \[inf, 0\.0\]"):
        fit_temperature([[np.inf, 0.0], [0.0, 1.0]], [0, 1])


def test_a_row_of_weight_two_is_two_rows_to_a_temperature() -> None:
    """And to the losses and the diagram with it."""
    logits_BK, labels_B = toy_logits()
    weights_B = np.where(labels_B == 0, 3, 1)
    rows_B = np.repeat(np.arange(len(labels_B)), weights_B)
    repeated = fit_temperature(logits_BK[rows_B], labels_B[rows_B])
    weighted = fit_temperature(logits_BK, labels_B, weights_B=weights_B.astype(float))
    assert weighted.value == pytest.approx(repeated.value)
    assert weighted.log_loss_after == pytest.approx(repeated.log_loss_after)
    assert weighted.value != pytest.approx(fit_temperature(logits_BK, labels_B).value, rel=1e-3)
    losses_B = fitted_log_losses(logits_BK, labels_B, weights_B.astype(float))
    assert np.average(losses_B, weights=weights_B) == pytest.approx(repeated.log_loss_after)
    confidences_B, right_B = toy_answers(400, seed=0)
    bins = reliability_bins(confidences_B, right_B, weights_B=weights_B.astype(float))
    due = reliability_bins(confidences_B[rows_B], right_B[rows_B])
    assert [each.accuracy for each in bins] == pytest.approx([each.accuracy for each in due])


def test_heavy_rows_leave_more_to_chance() -> None:
    """As few rows do: what weighs nothing is not there."""
    confidences_B, _ = toy_answers(400, seed=0)
    some, all_of_them = (
        calibration_error_by_chance(confidences_B, weights_B)
        for weights_B in (np.repeat([1.0, 1e-9], 200), np.full(400, 7.0))
    )
    assert some == pytest.approx(calibration_error_by_chance(confidences_B[:200]))
    assert all_of_them == pytest.approx(calibration_error_by_chance(confidences_B))
