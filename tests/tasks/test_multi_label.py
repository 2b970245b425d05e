"""Several labels a text: targets, losses and answers against the plain way to each of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from tightfit import storage
from tightfit.data.labels import LabelSet
from tightfit.data.table import Table
from tightfit.errors import ArtefactError, DataError, UsageError
from tightfit.metrics.calibration import likely_temperature
from tightfit.metrics.thresholds import Precision, Recall
from tightfit.tasks import MultiLabel, read_task
from tightfit.tasks.calibrate import calibrate, calibration_of
from tightfit.tasks.label_probe import ROUGH, LabelProblem
from tightfit.tasks.label_set_thresholds import (
    EXPECTED,
    MOST,
    SHARED_ROWS,
    best_f1,
    cross_fitted_thresholds,
    f1_thresholds,
    shared_threshold,
)
from tightfit.tasks.label_thresholds import ThresholdGoals, choose_thresholds, thresholds_by_id
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.validation_logits import ValidationLogits, read_validation_logits

TASK = MultiLabel(LabelSet(("joy", "love", "fear"), ("joy", "love", "fear")))

TABLE = Table(["a", "b", "c"], label_sets=[("love",), (), ("fear", "love")])


def rows_of(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Logits of three labels, too sure by a factor of two, and targets."""
    chance = np.random.default_rng(seed)
    logits_NK = chance.normal(-1, 2, (count, 3)).astype(np.float32)
    return 2 * logits_NK, (chance.random((count, 3)) < expit(logits_NK)).astype(np.int8)


def test_targets_are_zero_and_one() -> None:
    """With the rows that have each label, those without any among them."""
    task = MultiLabel.from_table(TABLE)
    targets_NK = task.encode(TABLE)
    assert task.names == ("fear", "love")
    assert targets_NK.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert task.counts(targets_NK) == {"fear": 1, "love": 2}
    assert task.words(targets_NK) == ["love", "(none)", "fear, love"]
    assert task.strata(targets_NK).tolist() == targets_NK.astype(bool).tolist()


def test_rows_of_the_same_labels_have_the_same_number() -> None:
    """Whatever it is."""
    one, two, three, four = TASK.identities(np.array([[1, 0, 1], [0, 0, 0], [1, 0, 1], [1, 0, 0]]))
    assert one == three
    assert len({one, two, four}) == 3


def test_labels_json_there_and_back() -> None:
    """With the kind, and the sign between labels."""
    task = MultiLabel(TASK.labels, ";")
    assert read_task(task.to_json()) == task
    with pytest.raises(ArtefactError, match="damaged"):
        read_task({**task.to_json(), "separator": ""})


def test_what_joins_labels_is_in_none_of_them() -> None:
    """Else nobody could tell them apart again; lists may hold any name."""
    sets: list[tuple[Any, ...]] = [("R|G",), ("red; green",), ("R|G", "blue")]
    assert MultiLabel.from_table(Table(["a", "b", "c"], label_sets=sets)).separator == ","
    assert MultiLabel.from_table(TABLE).separator == "|"


def test_unknown_labels_and_no_labels_are_refused() -> None:
    """With the rows and what is known; all rows without any teach nothing."""
    with pytest.raises(DataError, match=r"does not know\n  seen:    awe in row 1.*; 1 of 2 rows"):
        TASK.encode(Table(["a", "b"], label_sets=[("joy",), ("joy", "awe")]))
    with pytest.raises(DataError, match="not several labels a row"):
        TASK.encode(Table(["a"], ["joy"]))
    with pytest.raises(DataError, match="no row has a label"):
        MultiLabel.from_table(Table(["a", "b"], label_sets=[(), ()]))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_row_losses_are_binary_cross_entropy(balanced: bool, smoothing: float) -> None:
    """Torch's own of smoothed targets, a mean over labels; those that a row has are weighed."""
    logits_NK, targets_NK = rows_of(40)
    weights_K = TASK.class_weights(LabelledRows(targets_NK))
    own_K = targets_NK.sum(0)
    np.testing.assert_allclose(weights_K, np.maximum((40 - own_K) / own_K, 1), rtol=1e-6)
    tensors = torch.from_numpy(logits_NK), torch.from_numpy(targets_NK)
    weights = torch.from_numpy(weights_K) if balanced else None
    found_N = TASK.row_losses(*tensors, smoothing, weights)
    soft_NK = tensors[1] * (1 - smoothing) + smoothing / 2
    each_NK = torch.ones(40, 3) if weights is None else torch.where(tensors[1] == 1, weights, 1.0)
    wanted = F.binary_cross_entropy_with_logits(tensors[0], soft_NK, each_NK)
    assert float(found_N.mean()) == pytest.approx(float(wanted), rel=1e-6)


def test_a_rare_label_is_not_wanted_of_rows_without_it() -> None:
    """Weighed or not, a row that has no label is best answered with half of the smoothing."""
    shares_N3 = torch.linspace(0.01, 0.99, 99)[:, None].expand(99, 3)
    weights = torch.tensor([99.0, 9.0, 1.0])
    losses_N = TASK.row_losses(shares_N3.logit(), torch.zeros(99, 3), 0.2, weights)
    assert float(shares_N3[losses_N.argmin(), 0]) == pytest.approx(0.1)


def test_constant_and_chance_losses() -> None:
    """That of the shares of the training rows, and that of a half for each label."""
    targets_NK = np.array([[1, 0, 0], [1, 0, 1]], dtype=np.int8)
    shares_K = np.array([3, 1, 2]) / 4
    losses_NK = -np.log(np.where(targets_NK == 1, shares_K, 1 - shares_K))
    assert TASK.constant_loss(targets_NK, targets_NK) == pytest.approx(losses_NK.mean())
    zeros = torch.zeros(2, 3), torch.from_numpy(targets_NK)
    assert TASK.chance_loss == pytest.approx(float(TASK.row_losses(*zeros).mean()))


def test_row_scores_are_quadratic() -> None:
    """1 less the Brier score, in numpy and torch alike."""
    logits_NK, targets_NK = rows_of(200)
    found_N = TASK.row_scores(logits_NK, targets_NK)
    shares_NK = expit(logits_NK.astype(float))
    briers = [brier_score_loss(targets_NK[:, k], shares_NK[:, k]) for k in range(3)]
    assert found_N.mean() == pytest.approx(1 - np.mean(briers), abs=1e-9)
    of_torch_N = TASK.row_scores(torch.from_numpy(logits_NK), torch.from_numpy(targets_NK))
    np.testing.assert_allclose(found_N, of_torch_N.numpy())


@pytest.mark.parametrize("balanced", [False, True])
def test_the_probe_is_one_regression_a_label(balanced: bool) -> None:
    """scikit-learn's at the strength that was chosen; a label that no row has gets no weights."""
    chance = np.random.default_rng(0)
    features_NF = chance.normal(0, 3, (300, 5)).astype(np.float32)
    targets_NK = (features_NF[:, :3] + chance.normal(0, 2, (300, 3)) > [1, 1, 99]).astype(np.int8)
    problem = LabelProblem.of(features_NF, LabelledRows(targets_NK), balanced=balanced)
    found, rough = problem.solve(), problem.solve(ROUGH)
    given: dict[str, Any] = {"class_weight": "balanced" if balanced else None}
    plain = LogisticRegression(C=problem.strength, solver="newton-cholesky", tol=1e-7, **given)
    x_NF = StandardScaler().fit_transform(features_NF)
    due_N = plain.fit(x_NF, targets_NK[:, 0]).decision_function(x_NF)
    ours_N = features_NF @ found.weight_KF[0] + found.bias_K[0]
    np.testing.assert_allclose(ours_N, due_N, atol=1e-4)
    assert problem.residual(found) < 1e-7 < problem.residual(rough) < 1e-3
    assert not found.weight_KF[2].any()
    assert found.bias_K[2] < -5


def test_probabilities_are_sigmoids() -> None:
    """Of logits divided by one temperature, or by each label's own."""
    logits_NK, _ = rows_of(30)
    np.testing.assert_allclose(TASK.probabilities(logits_NK), expit(logits_NK.astype(float)))
    scales = (0.5, 1.0, 3.0)
    wanted_NK = expit(logits_NK.astype(float) / np.array(scales))
    np.testing.assert_allclose(TASK.probabilities(logits_NK, scales), wanted_NK)
    with pytest.raises(UsageError, match=r"seen:    \(0\.5, 0\.0, 1\.0\)"):
        TASK.probabilities(logits_NK, (0.5, 0.0, 1.0))


def test_answers_are_all_labels_from_their_thresholds_on() -> None:
    """A half where there is none; in lists, and in lines joined by the sign."""
    said = TASK.predictions(np.array([[0.6, 0.3, 0.5], [0.1, 0.2, 0.3]]), thresholds={1: 0.25})
    assert (said.ids, said.labels) == ([[0, 1, 2], []], [["joy", "love", "fear"], []])
    assert said.lines() == [["joy|love|fear", "0.600000|0.300000|0.500000"], ["", ""]]
    assert said.rows("value", probabilities=False)[1] == {"labels": []}
    assert said.confidence.tolist() == [0.3, 0.7]
    assert said.right(np.array([[1, 1, 1], [0, 0, 1]])).tolist() == [True, False]
    frame = said.to_frame()
    assert list(frame) == ["labels", "joy", "love", "fear"]
    assert "joy, love, fear" in said._repr_html_()


def test_each_label_has_a_temperature() -> None:
    """That of the label alone as a problem of two classes; near 1 where no row has it."""
    logits_NK, targets_NK = rows_of(1_000)
    logits_NK[:, 2], targets_NK[:, 2] = -5.0, 0
    found = TASK.fit_temperature(logits_NK, targets_NK)
    two = np.stack([np.zeros(1_000), logits_NK[:, 0]], axis=1)
    assert isinstance(found.value, tuple)
    assert found.value[0] == pytest.approx(likely_temperature(two, targets_NK[:, 0]).value)
    assert 1.7 < found.value[0] < 2.3
    assert 0.5 < found.value[2] < 1
    assert found.log_loss_after < found.log_loss_before


def test_validation_rows_and_calibration_there_and_back(tmp_path: Any) -> None:
    """Targets of several columns, and temperatures of several labels."""
    logits_NK, targets_NK = rows_of(500)
    rows = ValidationLogits.gather(TASK, logits_NK, targets_NK, [f"text {i}" for i in range(500)])
    rows.write(tmp_path / "validation.parquet")
    again = read_validation_logits(tmp_path / "validation.parquet", TASK)
    assert again is not None
    np.testing.assert_array_equal(again.targets_N, targets_NK)
    np.testing.assert_array_equal(again.logits_NK, logits_NK)
    found = calibrate(again)
    assert found.ece_after < found.ece_before
    storage.write_derived(storage.RunFolder(tmp_path), "calibration", asdict(found))
    assert calibration_of(storage.RunFolder(tmp_path), TASK, lambda: None, mixed=False) == found


def test_thresholds_have_the_highest_f1() -> None:
    """Of rows, and ten more that are as the probabilities expect; no other cut has a higher one
    that gives the label to at most half as many rows again as have it. The one that all labels
    share counts as fifty rows beside it."""
    logits_NK, targets_NK = rows_of(400)
    shares_NK = TASK.probabilities(logits_NK)
    joy, *_ = f1_thresholds(TASK.names, shares_NK, targets_NK)
    own_N, share_N = targets_NK[:, 0], shares_NK[:, 0]
    believed = own_N.sum() / (own_N.sum() + EXPECTED)
    wanted_N = believed * own_N + (1 - believed) * share_N

    def f1(cut: float) -> float:
        given_N = share_N >= cut
        found = 2 * wanted_N[given_N].sum() / (given_N.sum() + wanted_N.sum())
        return float(found) if given_N.sum() <= MOST * wanted_N.sum() else 0.0

    shared = logit(shared_threshold(shares_NK, targets_NK.astype(bool)))
    own = expit((logit(joy.threshold) * (400 + SHARED_ROWS) - SHARED_ROWS * shared) / 400)
    assert f1(own) == pytest.approx(max(map(f1, share_N)))


def test_a_threshold_says_why() -> None:
    """The shared one where no row has a label, and the usual one where few are there."""
    logits_NK, targets_NK = rows_of(400)
    targets_NK[:, 2] = 0
    shares_NK = TASK.probabilities(logits_NK)
    joy, _, fear = f1_thresholds(TASK.names, shares_NK, targets_NK)
    assert joy.reason is not None
    assert joy.reason.startswith("the highest F1 on 400 rows")
    assert fear.threshold == pytest.approx(shared_threshold(shares_NK, targets_NK.astype(bool)))
    assert fear.reason == "none of 400 rows has it: the one that all labels share"
    joy, *_ = f1_thresholds(TASK.names, shares_NK[:19], targets_NK[:19])
    assert (joy.threshold, joy.reason) == (0.5, "19 rows are too few to choose another by")


def test_no_row_has_a_say_in_its_own_threshold() -> None:
    """Each half is scored by what the other half says, which moves with its targets alone."""
    logits_NK, targets_NK = rows_of(400)
    shares_NK, true_NK = TASK.probabilities(logits_NK), targets_NK.astype(bool)
    found_NK = cross_fitted_thresholds(shares_NK, true_NK)
    first_N = (found_NK == found_NK[0]).all(axis=1)
    assert 150 < first_N.sum() < 250
    others = shares_NK[~first_N], true_NK[~first_N]
    np.testing.assert_array_equal(best_f1(*others), found_NK[0])


def test_goals_are_chosen_for_each_label_alone() -> None:
    """Every label may have one; a cost is for one class a row."""
    logits_NK, targets_NK = rows_of(600)
    shares_NK = TASK.probabilities(logits_NK)
    goals = ThresholdGoals({"joy": 0.9, "fear": 0.8}, {"love": 0.7}, {}).goals(TASK)
    assert goals == [Recall(0, 0.9), Recall(2, 0.8), Precision(1, 0.7)]
    joy, _, love = choose_thresholds(TASK, shares_NK, targets_NK, goals)
    own_N = targets_NK[:, 0] == 1
    assert (shares_NK[own_N, 0] >= joy.threshold).mean() >= 0.9
    assert (targets_NK[shares_NK[:, 1] >= love.threshold, 1] == 1).mean() >= 0.7
    with pytest.raises(UsageError, match="a cost of mistakes is offered for one label a text"):
        ThresholdGoals({}, {}, {("joy", "love"): 5.0}).goals(TASK)
    assert thresholds_by_id(TASK, {"joy": 0.1, "love": 0.2, "fear": 0.3}) == {
        0: 0.1,
        1: 0.2,
        2: 0.3,
    }
