"""Paired comparisons against reference libraries, the obvious way, and the truth."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.metrics import f1_score
from statsmodels.stats.contingency_tables import mcnemar

from tightfit.errors import DataError
from tightfit.metrics.paired import (
    Paired,
    accuracy_difference,
    compare_accuracy,
    compare_macro_f1,
    rows_needed,
)

Ints = NDArray[np.int64]


def rows_of(only_ours: int, only_theirs: int, rows: int) -> tuple[Ints, Ints, Ints]:
    """Labels and two predictions with these discordant counts; both are right elsewhere."""
    labels_B = np.arange(rows) % 4
    ours_B, theirs_B = labels_B.copy(), labels_B.copy()
    theirs_B[:only_ours] = (theirs_B[:only_ours] + 1) % 4
    stop = only_ours + only_theirs
    ours_B[only_ours:stop] = (ours_B[only_ours:stop] + 1) % 4
    return labels_B, ours_B, theirs_B


def noisy(labels_B: Ints, wrong: float, seed: int) -> Ints:
    """Predictions, a share of which is drawn blindly."""
    random = np.random.default_rng(seed)
    blind_B = random.random(len(labels_B)) < wrong
    return np.where(blind_B, random.integers(0, 4, len(labels_B)), labels_B)


@pytest.mark.parametrize(("ours", "theirs"), [(9, 1), (12, 30), (7, 7), (1, 0)])
def test_the_test_is_exact_mcnemar(ours: int, theirs: int) -> None:
    """The p-value is that of statsmodels, and the counts are those of the table."""
    found = compare_accuracy(*rows_of(ours, theirs, 100))
    expected = mcnemar([[100 - ours - theirs, ours], [theirs, 0]], exact=True).pvalue
    assert found.p_value == pytest.approx(expected, abs=1e-9)
    assert (found.only_ours, found.only_theirs, found.rows) == (ours, theirs, 100)
    assert found.difference == pytest.approx((ours - theirs) / 100)


def test_rows_that_both_get_wrong_do_not_count() -> None:
    """Different wrong answers are no discordant row."""
    found = compare_accuracy([0, 1, 2], [1, 1, 2], [2, 1, 2])
    assert (found.only_ours, found.only_theirs, found.p_value) == (0, 0, 1.0)


@pytest.mark.parametrize(("ours", "theirs", "rows"), [(7, 1, 21), (0, 0, 640), (40, 20, 160)])
def test_the_interval_is_a_normal_one_with_a_row_more_for_each(
    ours: int, theirs: int, rows: int
) -> None:
    """The obvious way: list every row's difference, and one more of either sign."""
    listed = np.zeros(rows + 2)
    listed[: ours + 1], listed[ours + 1 : ours + theirs + 2] = 1, -1
    error = listed.std() / np.sqrt(len(listed))
    expected = stats.norm.interval(0.95, loc=listed.mean(), scale=error)
    found = accuracy_difference(ours, theirs, rows)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


def test_the_interval_agrees_with_the_test() -> None:
    """Wherever McNemar's test is significant the interval leaves out 0; it holds the estimate."""
    for ours in range(60):
        for theirs in range(ours + 1):
            for rows in (max(1, ours + theirs), 640):
                found = accuracy_difference(ours, theirs, rows)
                assert -1 <= found.low <= found.value <= found.high <= 1
                significant = stats.binom.sf(ours - 1, ours + theirs, 0.5) < 0.025
                assert found.low > 0 or not significant


def test_the_interval_covers_the_truth() -> None:
    """A true difference of 2 points on 640 rows, 5,000 draws (0.3 points of chance)."""
    draws = np.random.default_rng(0).multinomial(640, [0.06, 0.04, 0.9], size=5000)
    found = [accuracy_difference(int(ours), int(theirs), 640) for ours, theirs, _ in draws]
    assert 0.93 < np.mean([one.low <= 0.02 <= one.high for one in found]) < 0.97


def test_rows_needed_has_a_published_answer() -> None:
    """Discordant shares 0.05 and 0.45 need 23 pairs at 80% power (Connor 1987, p. 209)."""
    assert rows_needed(45, 5, 100) == rows_needed(5, 45, 100) == 23
    assert rows_needed(6, 6, 100) is None
    assert rows_needed(5, 0, 5) == 6


def test_rows_needed_give_the_power_that_they_promise() -> None:
    """So many rows show the difference in about 80% of 4,000 draws; the exact test loses a bit."""
    needed = rows_needed(60, 40, 1000)
    assert needed is not None
    draws = np.random.default_rng(0).multinomial(needed, [0.06, 0.04, 0.9], size=4000)
    found = [stats.binomtest(int(b), int(b + c)).pvalue < 0.05 for b, c, _ in draws]
    assert 0.75 < np.mean(found) < 0.83


def test_more_rows_are_needed_than_showed_nothing() -> None:
    """No sentence asks for fewer rows than there were."""
    for ours in range(1, 40):
        for theirs in range(ours):
            for rows in (ours + theirs, 640):
                p = stats.binom.sf(ours - 1, ours + theirs, 0.5) * 2
                needed = rows_needed(ours, theirs, rows)
                assert p < 0.05 or (needed is not None and needed > rows)


def test_better_and_worse_are_said_in_points() -> None:
    """The two directions mirror each other."""
    better = compare_accuracy(*rows_of(20, 5, 640))
    assert better.sentence == "better by 2.3 points (0.8 to 3.9), p = 0.004"
    labels_B, ours_B, theirs_B = rows_of(20, 5, 640)
    worse = compare_accuracy(labels_B, theirs_B, ours_B)
    assert worse.sentence == "worse by 2.3 points (0.8 to 3.9), p = 0.004"
    many = compare_accuracy(*rows_of(60, 10, 100_000))
    assert many.sentence == "better by 0.05 points (0.03 to 0.07), p < 0.001"


def test_a_difference_that_does_not_show_says_how_many_rows_would_do() -> None:
    """Rounded upwards to two digits; nothing is asked for where the two are level."""
    found = compare_accuracy(*rows_of(8, 5, 640))
    assert found.rows_needed == 7254
    assert found.sentence == (
        "no difference that 640 rows could show (+0.5 points, -0.7 to +1.6, p = 0.581); "
        "about 7,300 would be needed"
    )
    level = compare_accuracy(*rows_of(5, 5, 640)).sentence
    assert level.endswith("could show (+0.0 points, -1.1 to +1.1, p = 1.000)")


def test_no_discordant_rows_are_no_certainty() -> None:
    """The interval has a width, and the sentence asks for nothing."""
    found = compare_accuracy(*rows_of(0, 0, 640))
    assert (found.difference, found.p_value, found.rows_needed) == (0.0, 1.0, None)
    assert -0.006 < found.low < 0 < found.high < 0.006
    assert found.sentence == (
        "no difference that 640 rows could show (+0.0 points, -0.4 to +0.4, p = 1.000)"
    )


@pytest.mark.parametrize("compare", [compare_accuracy, compare_macro_f1])
def test_one_row_shows_nothing(compare: Any) -> None:
    """Right against wrong on a single row is a difference of 100 points, and no evidence."""
    found: Paired = compare([0], [0], [1])
    assert (found.difference, found.p_value) == (1.0, 1.0)
    assert found.low < 0 < found.high == 1.0
    assert found.sentence.startswith("no difference that 1 row could show")


def test_json_has_the_keys_of_the_contract() -> None:
    """And extras; finite throughout."""
    plain = compare_accuracy(*rows_of(8, 5, 640)).to_json()
    assert {"difference", "low", "high", "p_value", "test"} < set(plain)
    extras = {"metric", "rows", "only_ours", "only_theirs", "rows_needed", "sentence"}
    assert extras < set(plain)
    assert plain["test"] == "exact McNemar"
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_macro_f1_is_compared_on_the_same_resampled_rows() -> None:
    """Against the obvious way: draw rows, score both, take the 2.5 and 97.5 percentiles.

    The paths differ in method (BCa) and chance; 15% of the width allows for both.
    """
    labels_B = np.arange(300) % 4
    ours_B, theirs_B = noisy(labels_B, 0.1, 1), noisy(labels_B, 0.3, 2)
    random, gains = np.random.default_rng(0), []
    for _ in range(500):
        drawn = random.integers(0, 300, 300)
        scores = [f1_score(labels_B[drawn], p[drawn], average="macro") for p in (ours_B, theirs_B)]
        gains.append(scores[0] - scores[1])
    low, high = np.quantile(gains, [0.025, 0.975])
    found = compare_macro_f1(labels_B, ours_B, theirs_B)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15 * (high - low))


def test_macro_f1_has_the_p_value_of_swapping_answers() -> None:
    """Against all 64 ways to swap the answers of six rows."""
    labels_B, ours_B = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 1, 2, 0])
    theirs_B = np.array([0, 1, 1, 2, 2, 2])

    def gain(swapped_B: Any) -> float:
        pair = np.where(swapped_B, theirs_B, ours_B), np.where(swapped_B, ours_B, theirs_B)
        scores = [f1_score(labels_B, p, average="macro") for p in pair]
        return float(abs(scores[0] - scores[1]))

    ways = (np.arange(64)[:, None] >> np.arange(6)) % 2 == 1
    exact = np.mean([gain(way) >= gain(ways[0]) - 1e-9 for way in ways])
    # Of 1,000 swaps the share has a standard error of 0.016 at most.
    assert compare_macro_f1(labels_B, ours_B, theirs_B).p_value == pytest.approx(exact, abs=0.05)


def test_macro_f1_takes_its_value_from_scikit_learn() -> None:
    """And its counts from the comparison of accuracies; the same rows give the same answer."""
    labels_B = np.arange(400) % 4
    ours_B, theirs_B = noisy(labels_B, 0.1, 1), noisy(labels_B, 0.4, 2)
    found = compare_macro_f1(labels_B, ours_B, theirs_B)
    scores = [f1_score(labels_B, p, average="macro") for p in (ours_B, theirs_B)]
    assert found.difference == pytest.approx(scores[0] - scores[1], abs=1e-9)
    assert (found.metric, found.test) == ("macro_f1", "approximate randomisation")
    assert found.only_ours == compare_accuracy(labels_B, ours_B, theirs_B).only_ours
    assert found == compare_macro_f1(labels_B, ours_B, theirs_B)


def test_the_same_answers_have_no_difference_in_macro_f1() -> None:
    """The interval is as wide as accuracy leaves it."""
    labels_B, ours_B, _ = rows_of(3, 3, 200)
    found = compare_macro_f1(labels_B, ours_B, ours_B)
    assert (found.difference, found.p_value) == (0.0, 1.0)
    assert found.low == pytest.approx(accuracy_difference(0, 0, 200).low)


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        (([0, 1], [0, 1], [0]), r"two predictions for each label[\s\S]*2 labels, 2 and 1 pred"),
        (([], [], []), r"two predictions for each label[\s\S]*0 labels"),
        (([0], [-1], [0]), r"ids of classes[\s\S]*int64 from 0 / int64 from -1"),
        (([0], [0.5], [0]), r"ids of classes[\s\S]*float64 from 0\.5"),
    ],
)
def test_what_cannot_be_compared_is_shown(lists: tuple[Any, Any, Any], words: str) -> None:
    """Both comparisons refuse it in the same words."""
    for compare in (compare_accuracy, compare_macro_f1):
        with pytest.raises(DataError, match=words):
            compare(*lists)


@pytest.mark.slow
def test_equal_classifiers_are_found_different_in_5_percent() -> None:
    """Over 200 pairs of equal quality: 5% and three standard errors at most."""
    found = []
    for seed in range(200):
        labels_B = np.arange(120) % 4
        pair = noisy(labels_B, 0.3, 2 * seed), noisy(labels_B, 0.3, 2 * seed + 1)
        found.append(compare_macro_f1(labels_B, *pair))
    assert np.mean([one.p_value < 0.05 for one in found]) < 0.097
    assert 0.91 < np.mean([one.low <= 0 <= one.high for one in found]) < 0.98
