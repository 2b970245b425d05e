"""A rating a text: targets, loss, probe, answers and scores, each against an obvious way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.preprocessing import StandardScaler

from tightfit.data.table import Table
from tightfit.errors import ArtefactError, DataError, SettingsError
from tightfit.tasks import read_task
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.linear_probe import PENALTIES, RidgeProblem
from tightfit.tasks.rating import Rating

RATINGS = [1.0, 2.0, 4.0, 5.0]


def table(ratings: list[float]) -> Table:
    """As many texts."""
    return Table([f"text {i}" for i in range(len(ratings))], ratings)


@pytest.fixture
def task() -> Rating:
    """Of a mean of 3 and a deviation of the root of 2.5."""
    return Rating.from_table(table(RATINGS))


def test_mean_and_scale_are_those_of_the_rows(task: Rating) -> None:
    """The deviation of all rows, not an estimate for others."""
    assert task.mean == 3.0
    assert task.scale == pytest.approx(np.std(RATINGS))
    assert task.names == ("rating",)
    assert task.outputs == 1


def test_what_is_saved_is_read(task: Rating) -> None:
    """And what is damaged is refused."""
    assert read_task(task.to_json()) == task
    for damage in ({"mean": None}, {"scale": 0.0}, {"scale": float("nan")}, {"mean": "3"}):
        with pytest.raises(ArtefactError, match="scale of the ratings is damaged"):
            read_task({**task.to_json(), **damage})


def test_the_same_rating_for_all_teaches_nothing() -> None:
    """With the rating, and how to choose another column."""
    with pytest.raises(DataError, match=r"same rating(.|\n)*3 in 5 rows(.|\n)*label_column"):
        Rating.from_table(table([3.0] * 5))


def test_labels_have_no_place_among_ratings() -> None:
    """They are not declared."""
    with pytest.raises(SettingsError, match=r"data\.labels names classes"):
        Rating.from_table(table(RATINGS), ("bad", "good"))


def test_the_loss_is_the_squared_error_of_standardised_ratings(task: Rating) -> None:
    """By hand; and the row scores are what is left of 1."""
    targets_N, logits_N1 = np.array(RATINGS), np.array([[-1.0], [0.0], [0.5], [2.0]])
    wanted = [
        (z - (y - task.mean) / task.scale) ** 2 for y, (z,) in zip(RATINGS, logits_N1, strict=True)
    ]
    losses_N = task.row_losses(torch.tensor(logits_N1).float(), torch.tensor(targets_N))
    assert losses_N.tolist() == pytest.approx(wanted, rel=1e-6)
    assert losses_N.dtype == torch.float32
    assert task.row_scores(logits_N1, targets_N).tolist() == pytest.approx(1 - np.array(wanted))


def test_a_constant_answer_loses_the_variance(task: Rating) -> None:
    """Of the rows themselves it is 1, that of chance."""
    targets_N = np.array(RATINGS)
    assert task.constant_loss(targets_N, targets_N) == pytest.approx(1.0)
    assert task.chance_loss == 1.0


def features() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """30 rows of four features, and a noisy sum of them, (30, 1)."""
    random = np.random.default_rng(0)
    features_NF = random.normal(3, 2, (30, 4)).astype(np.float32)
    return features_NF, (features_NF @ [1, -1, 0, 2] + random.normal(0, 8, 30))[:, None]


def test_the_probe_is_the_ridge_that_leaves_each_row_out_best() -> None:
    """Scikit-learn's, refitted for each row and each penalty; centre and scale are of all rows."""
    features_NF, wanted_N1 = features()
    x_NF = StandardScaler().fit_transform(features_NF.astype(np.float64))
    found = {
        alpha: cross_val_predict(Ridge(alpha=alpha), x_NF, wanted_N1[:, 0], cv=LeaveOneOut())
        for alpha in PENALTIES * 30
    }
    best = min(found, key=lambda alpha: float(((found[alpha] - wanted_N1[:, 0]) ** 2).mean()))
    assert PENALTIES[0] * 30 < best < PENALTIES[-1] * 30  # so that the choice means something
    problem = RidgeProblem.of(features_NF, wanted_N1)
    assert problem.unseen_NK[:, 0] == pytest.approx(found[best], abs=1e-8)
    ours = problem.solve()
    theirs_N = Ridge(alpha=best).fit(x_NF, wanted_N1[:, 0]).predict(x_NF)
    assert features_NF @ ours.weight_KF[0] + ours.bias_K[0] == pytest.approx(theirs_N, abs=1e-5)


def test_a_ridge_is_solved_where_its_gradient_is_zero(task: Rating) -> None:
    """And not beside it: the slope there is twice the shift, beside what is added to the bias."""
    features_NF, wanted_N1 = features()
    problem = RidgeProblem.of(features_NF, wanted_N1)
    found = problem.solve()
    assert problem.residual(found) < 1e-12
    moved = replace(found, bias_K=found.bias_K + 0.1)
    summed = abs(moved.bias_K[0]) + np.abs(moved.weight_KF[0]) @ np.abs(problem.standard.mean_F)
    assert problem.residual(moved) == pytest.approx(0.2 / summed)
    same = task.head_problem(features_NF, LabelledRows(wanted_N1[:, 0]))
    assert same.penalty == problem.penalty


def test_a_feature_that_stands_still_has_no_weight() -> None:
    """Bringing it to unit variance would blow it up."""
    features_NF = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    features_NF[:, 1] = 0.1
    wanted_N1 = features_NF[:, :1].astype(np.float64)
    assert RidgeProblem.of(features_NF, wanted_N1).solve().weight_KF[0, 1] == 0.0


def test_answers_are_in_the_unit_of_the_ratings(task: Rating) -> None:
    """With the ends of the interval, or without where it is not known."""
    logits_N1 = np.array([[0.0], [1.0]])
    found = task.predictions(logits_N1, reach=0.5)
    assert found.values.tolist() == [3.0, 3.0 + task.scale]
    assert found.rows("value", probabilities=False)[0] == {"value": 3.0, "low": 2.5, "high": 3.5}
    assert found.lines()[0] == ["3.000000", "2.500000", "3.500000"]
    bare = task.predictions(logits_N1)
    assert bare.rows("value", probabilities=False)[0] == {"value": 3.0, "low": None, "high": None}
    assert bare.lines()[0] == ["3.000000", "", ""]
    assert found.to_frame().columns.tolist() == ["value", "low", "high"]
    assert repr(found) == "Predictions(2 texts: 3 to 4.58, median 3.79)"


def test_scores_are_of_ratings_in_their_unit(task: Rating) -> None:
    """And an answer is right whose interval holds the rating."""
    targets_N, errors_N = np.array(RATINGS), np.array([0.1, -0.1, 0.1, 2.0])
    logits_N1 = ((targets_N + errors_N - task.mean) / task.scale)[:, None]
    found = task.score(targets_N, logits_N1)
    assert found.mae.value == pytest.approx(0.575)
    assert task.scores_type() is type(found)
    assert task.predictions(logits_N1, reach=0.5).right(targets_N).tolist() == [True] * 3 + [False]
    assert not task.predictions(logits_N1).right(targets_N).any()


@pytest.mark.parametrize(
    ("ratings", "strata"),
    [([1, 5, 3, 1], [0, 2, 1, 0]), (list(range(100)), [i // 10 for i in range(100)])],
)
def test_rows_are_alike_by_tenths(task: Rating, ratings: list[Any], strata: list[int]) -> None:
    """Of few different ratings each is one."""
    assert task.strata(np.array(ratings, dtype=float)) == strata


def test_rows_are_counted_in_ranges(task: Rating) -> None:
    """The largest rating is in the last."""
    counts = task.counts(np.array([0.0, 0.5, 9.9, 10.0]))
    assert counts["0 to 1"] == 2
    assert counts["9 to 10"] == 2
    assert sum(counts.values()) == 4


def test_the_same_rating_is_the_same_target(task: Rating) -> None:
    """By value, whatever else there is."""
    assert task.identities(np.array([2.5, 1.0, 2.5])) == [1, 0, 1]
    assert task.words(np.array([2.5, 1.0])) == ["2.5", "1"]


def test_two_models_are_compared_by_their_errors(task: Rating) -> None:
    """Ours first; a lower error is better."""
    targets_N = np.array(RATINGS * 10)
    exact_N1 = ((targets_N - task.mean) / task.scale)[:, None]
    noise_N1 = np.random.default_rng(0).normal(0, 1, exact_N1.shape)
    both = task.predictions(exact_N1), task.predictions(exact_N1 + noise_N1)
    (found,) = task.compare(targets_N, *both)
    assert found.difference < 0
    assert found.sentence.startswith("better by ")


def test_models_of_other_rows_are_compared_in_the_unit_of_the_ratings(task: Rating) -> None:
    """Each answers in deviations from a mean of its own: the same ratings are no difference."""
    targets_N = np.array(RATINGS * 10)
    other = Rating(30.0, 10.0)
    both = (each.predictions(each.wanted(targets_N)) for each in (task, other))
    (found,) = task.compare(targets_N, *both)
    assert found.difference == pytest.approx(0)


def test_an_export_agrees_within_a_hundredth(task: Rating) -> None:
    """Of a deviation; what it is expected to lose of R2 is its squared difference."""
    ours_N1 = np.array([[0.0], [1.0]])
    theirs_N1 = ours_N1 + np.array([[0.005], [0.1]])
    assert task.agreement(ours_N1, theirs_N1) == 0.5
    assert task.expected_loss(ours_N1, theirs_N1, 1.0) == pytest.approx(0.0050125)
