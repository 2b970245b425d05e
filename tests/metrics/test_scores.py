"""Scores against scikit-learn, on ordinary and on awkward rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn import metrics

from tightfit.errors import DataError
from tightfit.metrics.scores import score

NAMES = ("World", "Sports", "Business", "Sci/Tech")
Floats = NDArray[np.float64]


def toy_rows(n: int = 500, skill: float = 1.5) -> tuple[NDArray[np.int64], Floats]:
    """Labels of uneven classes, and probabilities that know something about them."""
    random = np.random.default_rng(0)
    labels_B = random.choice(4, size=n, p=[0.5, 0.3, 0.15, 0.05])
    logits_BK = random.normal(size=(n, 4)) + skill * np.eye(4)[labels_B]
    return labels_B, np.asarray(softmax(logits_BK, axis=1))


def certain(predictions: list[int], classes: int = 4) -> Floats:
    """Probabilities of exactly 0 and 1."""
    return np.eye(classes)[predictions]


def assert_finite(plain: Any) -> None:
    """JSON accepts it without NaN or infinity, and nothing is lost on the way."""
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_every_number_is_scikit_learns() -> None:
    """Accuracy, macro-F1, log loss, Brier score and confusion to 1e-9."""
    labels_B, shares_BK = toy_rows()
    predicted_B = shares_BK.argmax(axis=1)
    found = score(labels_B, shares_BK, NAMES)
    expected = {
        "accuracy": metrics.accuracy_score(labels_B, predicted_B),
        "macro_f1": metrics.f1_score(labels_B, predicted_B, average="macro"),
    }
    assert {name: getattr(found, name).value for name in expected} == pytest.approx(expected)
    assert found.log_loss == pytest.approx(metrics.log_loss(labels_B, shares_BK), abs=1e-9)
    brier = metrics.brier_score_loss(labels_B, shares_BK, scale_by_half=False)
    assert found.brier == pytest.approx(brier, abs=1e-9)
    confusion = metrics.confusion_matrix(labels_B, predicted_B).tolist()
    assert found.to_json()["confusion"] == confusion


def test_every_class_is_scikit_learns() -> None:
    """Precision, recall, F1 and support of each class; every value within its interval."""
    labels_B, shares_BK = toy_rows()
    expected = metrics.precision_recall_fscore_support(labels_B, shares_BK.argmax(axis=1))
    found = score(labels_B, shares_BK, NAMES).per_class
    for one, precision, recall, f1, support in zip(found, *expected, strict=True):
        values = (one.precision.value, one.recall.value, one.f1.value, one.support)
        assert values == pytest.approx((precision, recall, f1, support), abs=1e-9)
        for interval in (one.precision, one.recall, one.f1):
            assert 0 <= interval.low <= interval.value <= interval.high <= 1
    assert [one.name for one in found] == list(NAMES)


def test_json_has_the_keys_of_the_contract() -> None:
    """With brier and per_class added, in plain lists and numbers."""
    plain = score(*toy_rows(), NAMES).to_json()
    contract = {"n", "accuracy", "macro_f1", "log_loss", "ece", "confusion", "labels"}
    assert set(plain) == contract | {"brier", "per_class"}
    assert set(plain["accuracy"]) == set(plain["macro_f1"]) == {"value", "low", "high"}
    assert set(plain["per_class"][0]) == {"name", "support", "precision", "recall", "f1"}
    assert (plain["n"], plain["labels"]) == (500, list(NAMES))
    assert_finite(plain)


def test_single_precision_gives_the_same_scores() -> None:
    """float32 rows do not sum to 1 exactly; that neither warns nor shows."""
    labels_B, shares_BK = toy_rows()
    single = score(labels_B, shares_BK.astype(np.float32), NAMES)
    double = score(labels_B, shares_BK, NAMES)
    assert single.log_loss == pytest.approx(double.log_loss, abs=1e-6)
    assert single.confusion == double.confusion


def test_one_row_is_scored_with_wide_intervals() -> None:
    """One right row proves little, one wrong row as little."""
    right = score([2], certain([2]), NAMES)
    assert (right.accuracy.value, right.macro_f1.value) == (1.0, 1.0)
    assert right.accuracy.low < 0.3
    assert right.macro_f1.low < 0.4
    wrong = score([2], certain([1]), NAMES)
    assert (wrong.macro_f1.value, wrong.macro_f1.low) == (0.0, 0.0)
    assert wrong.macro_f1.high > 0.5
    assert_finite(right.to_json())
    assert_finite(wrong.to_json())


def test_a_flawless_score_is_not_certain() -> None:
    """Resampling alone would say 1 to 1; 40 rows of each class leave 5 points open."""
    labels = [0, 1, 2, 3] * 40
    found = score(labels, certain(labels), NAMES).macro_f1
    assert found.value == found.high == 1.0
    assert 0.93 < found.low < 0.97


def test_a_class_that_occurs_nowhere_is_left_out() -> None:
    """Neither labelled nor predicted: no F1, but an entry that says that nothing is known."""
    found = score([0, 1, 1], certain([0, 1, 0]), NAMES)
    expected = metrics.f1_score([0, 1, 1], [0, 1, 0], average="macro")
    assert found.macro_f1.value == pytest.approx(expected, abs=1e-9)
    absent = found.per_class[3]
    assert absent.support == 0
    assert absent.f1.to_json() == {"value": 0.0, "low": 0.0, "high": 1.0}
    assert_finite(found.to_json())


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    """As in scikit-learn: the mean is over labels and predictions."""
    labels, predictions = [0, 0, 1, 1], [0, 3, 1, 1]
    found = score(labels, certain(predictions), NAMES)
    expected = metrics.f1_score(labels, predictions, average="macro")
    assert found.macro_f1.value == pytest.approx(expected, abs=1e-9)
    assert found.macro_f1.value == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_probabilities_of_zero_are_clipped() -> None:
    """Wrong and certain costs 36 nats, not infinity; the Brier score is 2, its worst."""
    found = score([0, 1], certain([1, 0]), NAMES)
    assert found.log_loss == pytest.approx(-np.log(np.finfo(float).eps))
    assert (found.brier, found.ece) == (2.0, 1.0)
    assert_finite(found.to_json())


def test_equal_probabilities_predict_the_first_class() -> None:
    """A tie has a rule."""
    assert score([0], np.full((1, 4), 0.25), NAMES).accuracy.value == 1.0


@pytest.mark.parametrize(
    ("labels", "shares", "words"),
    [
        ([], np.zeros((0, 4)), r"no rows to measure"),
        ([0, 1], certain([0]), r"one row for each label[\s\S]*2 labels and scores of shape \(1, 4"),
        ([0], certain([0], 3), r"one column[\s\S]*3 columns[\s\S]*4, for World, Sports, Business"),
        ([4], certain([0]), r"ids of classes[\s\S]*from 4 to 4[\s\S]*from 0 to 3"),
        ([-1], certain([0]), r"ids of classes[\s\S]*from -1 to -1"),
        ([0.0], certain([0]), r"ids of classes[\s\S]*float64"),
        ([0, 0], [[1, 0, 0, 0], [np.nan, 0, 0, 1]], r"1 of 2 rows[\s\S]*row 1: \[nan.*\n.*finite"),
        ([0], [[3.0, -1.0, -1.0, 0.0]], r"row 0: \[3\.0, -1\.0[\s\S]*0 or more, with a sum of 1"),
        ([0], [[2.0, 1.0, 0.0, 0.0]], r"row 0: \[2\.0, 1\.0[\s\S]*with a sum of 1"),
    ],
)
def test_what_cannot_be_scored_is_shown(labels: Any, shares: Any, words: str) -> None:
    """Each error names the value seen and what is allowed."""
    with pytest.raises(DataError, match=words):
        score(labels, shares, NAMES)


@pytest.mark.slow
def test_the_interval_of_f1_covers_the_truth() -> None:
    """The F1 of one class of 100 rows, in 300 draws (1.3 points of chance)."""
    random = np.random.default_rng(0)
    table = np.array([[0.4, 0.1], [0.05, 0.45]])
    truth = 2 * 0.4 / (2 * 0.4 + 0.15)
    covered = []
    for _ in range(300):
        cells = np.repeat(np.arange(4), random.multinomial(100, table.ravel()))
        f1 = score(cells // 2, certain((cells % 2).tolist(), 2), ("a", "b")).per_class[0].f1
        covered.append(f1.low <= truth <= f1.high)
    assert 0.92 < np.mean(covered) < 0.98


def test_weights_count_as_rows_do() -> None:
    """Each value is that of rows as often as they weigh; counts stay those of rows."""
    labels_B, probabilities_BK = toy_rows(200)
    weights_B = np.random.default_rng(0).integers(1, 4, 200)
    rows_B = np.repeat(np.arange(200), weights_B)
    found = score(labels_B, probabilities_BK, NAMES, weights_B=weights_B.astype(float))
    again = score(labels_B[rows_B], probabilities_BK[rows_B], NAMES)
    for name in ("accuracy", "macro_f1"):
        assert getattr(found, name).value == pytest.approx(getattr(again, name).value)
    for name in ("log_loss", "brier", "ece"):
        assert getattr(found, name) == pytest.approx(getattr(again, name))
    assert (found.n, sum(map(sum, found.confusion))) == (200, 200)
    assert [each.f1.value for each in found.per_class] == pytest.approx(
        [each.f1.value for each in again.per_class]
    )


def test_uneven_weights_tell_less() -> None:
    """Intervals are those of the effective number of rows; equal weights change nothing."""
    labels_B, probabilities_BK = toy_rows(200)
    plain = score(labels_B, probabilities_BK, NAMES)
    assert score(labels_B, probabilities_BK, NAMES, weights_B=np.full(200, 7.0)) == plain
    uneven_B = np.where(np.arange(200) < 20, 50.0, 1.0)
    found = score(labels_B, probabilities_BK, NAMES, weights_B=uneven_B)
    width = plain.accuracy.high - plain.accuracy.low
    assert found.accuracy.high - found.accuracy.low > 2 * width


@pytest.mark.parametrize("skill", [0.0, 0.4, 0.8, 1.5])
@pytest.mark.parametrize("rows", [1, 6, 40, 300])
def test_a_constant_answer_is_as_good_unless_a_sign_test_says_otherwise(
    skill: float, rows: int
) -> None:
    """The test is scipy's, on the rows that only one of the two has right."""
    labels_B, shares_BK = toy_rows(rows, skill)
    found = score(labels_B, shares_BK, NAMES)
    right_B, often_B = shares_BK.argmax(1) == labels_B, labels_B == np.bincount(labels_B).argmax()
    only = int((right_B & ~often_B).sum()), int((often_B & ~right_B).sum())
    shown = sum(only) and binomtest(only[0], sum(only), alternative="greater").pvalue < 0.05
    assert (found.constant_as_good() is None) == bool(shown)
    if not shown:
        name = f"always '{NAMES[np.bincount(labels_B).argmax()]}' is right in {often_B.mean():.1%} "
        assert str(found.constant_as_good()).startswith(name)
