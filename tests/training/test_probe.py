"""The head's start: the same solution as scikit-learn's, put where training begins."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.fixtures import Encoders
from tests.toy_setups import Notes, toy_job, toy_loop
from tests.toys import toy_encoder
from tightfit.data.batches import collate
from tightfit.errors import ModelError
from tightfit.model.adapters import output_layer
from tightfit.tasks import linear_probe
from tightfit.tasks.label_probe import LabelProblem
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.linear_probe import PENALTIES, LinearMap, RidgeProblem, Standard, fit_probe
from tightfit.training.frozen_probe import both_features
from tightfit.training.prefix_cache import keep_prefix
from tightfit.training.probe import frozen_features, start_at_probe
from tightfit.training.signals import StopRequest

PROBE = "head.start=probe"


def blobs(labels: int, rows: int = 90, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Features of unequal scale and offset, around one centre a label."""
    rng = np.random.default_rng(7)
    labels_N = np.arange(rows) % labels
    centres_KF = rng.normal(size=(labels, width))
    noise_NF = rng.normal(size=(rows, width))
    features_NF = (centres_KF[labels_N] + noise_NF) * 10.0 ** np.arange(-2, width - 2) + 3
    return features_NF.astype(np.float32), labels_N


@pytest.mark.parametrize("labels", [2, 3, 7])
def test_the_map_gives_what_scikit_learn_predicts(
    labels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Probabilities of the raw features, two labels or more."""
    monkeypatch.setattr(linear_probe, "STRENGTHS", (0.03,))
    features_NF, labels_N = blobs(labels)
    found = fit_probe(features_NF, LabelledRows(labels_N), num_labels=labels)
    peer = make_pipeline(StandardScaler(), LogisticRegression(C=0.03, max_iter=300))
    due_NK = peer.fit(features_NF.astype(np.float64), labels_N).predict_proba(features_NF)
    logits_NK = features_NF @ found.weight_KF.T + found.bias_K
    np.testing.assert_allclose(softmax(logits_NK, axis=1), due_NK, atol=1e-3)


@pytest.mark.parametrize("weighted", [False, True])
def test_features_are_standardised_as_scikit_learn_does_it(weighted: bool) -> None:
    """To the last bit, one that does not vary and one whose mean is far from it included."""
    features_NF, _ = blobs(3)
    features_NF[:, 0], features_NF[:, 1] = 0.1, 1e6 + features_NF[:, 1]
    weights_N = np.random.default_rng(0).random(len(features_NF)) if weighted else None
    peer = StandardScaler().fit(features_NF, sample_weight=weights_N)
    found = Standard.of(features_NF, weights_N)
    np.testing.assert_allclose(found.mean_F, peer.mean_, rtol=1e-15 * weighted)
    np.testing.assert_allclose(found.scale_F, peer.scale_, rtol=1e-15 * weighted)
    given_NF = features_NF.astype(np.float64)
    np.testing.assert_allclose(found.applied(features_NF), peer.transform(given_NF), rtol=1e-9)


def test_a_dead_feature_gets_no_weight() -> None:
    """All but zero, as behind a norm of weight 1e-35: the others' weights are as without it."""
    features_NF, labels_N = blobs(3)
    dead_N1 = np.random.default_rng(1).normal(size=(len(labels_N), 1)) * 1e-35
    wider_NF = np.hstack([features_NF, dead_N1]).astype(np.float32)
    rows = LabelledRows(labels_N)
    with_it, without = (fit_probe(x, rows, num_labels=3) for x in (wider_NF, features_NF))
    assert (with_it.weight_KF[:, -1] == 0).all()
    np.testing.assert_allclose(with_it.weight_KF[:, :-1], without.weight_KF, rtol=1e-3, atol=1e-6)


def test_the_strength_is_the_best_on_held_rows() -> None:
    """On pure noise the strongest penalty wins; on clean blobs a weaker one does."""
    features_NF, labels_N = blobs(3, rows=300)
    shuffled = LabelledRows(np.random.default_rng(1).permutation(labels_N))
    noise = fit_probe(features_NF, shuffled, num_labels=3)
    clean = fit_probe(features_NF, LabelledRows(labels_N), num_labels=3)
    spread = features_NF.std(axis=0)
    assert np.abs(noise.weight_KF * spread).max() < 0.1 * np.abs(clean.weight_KF * spread).max()


def test_a_label_without_rows_starts_below_all_others() -> None:
    """It can still be learnt: its weights are zero and its bias is low, not infinite."""
    features_NF, labels_N = blobs(3)
    rows = LabelledRows(np.where(labels_N == 2, 3, labels_N))
    found = fit_probe(features_NF, rows, num_labels=5)
    assert not found.weight_KF[[2, 4]].any()
    assert np.isfinite(found.bias_K).all()
    logits_NK = features_NF @ found.weight_KF.T + found.bias_K
    assert set(logits_NK.argmax(1)) == {0, 1, 3}


def test_rows_of_a_single_label_give_no_weights() -> None:
    """scikit-learn would refuse them; training can go on."""
    features_NF, _ = blobs(2)
    rows = LabelledRows(np.ones(len(features_NF), dtype=np.int64))
    found = fit_probe(features_NF, rows, num_labels=2)
    assert not found.weight_KF.any()
    assert found.bias_K[1] > found.bias_K[0]


def test_balanced_rows_lift_the_rare_label() -> None:
    """As class weights do while training."""
    features_NF, labels_N = blobs(2, rows=200)
    keep = (labels_N == 0) | (np.arange(200) < 30)
    features_NF, labels_N = features_NF[keep], labels_N[keep]
    plain = fit_probe(features_NF, LabelledRows(labels_N), num_labels=2)
    fair = fit_probe(features_NF, LabelledRows(labels_N), num_labels=2, balanced=True)

    def rare(found: LinearMap) -> int:
        logits_NK = features_NF @ found.weight_KF.T + found.bias_K
        return int((logits_NK.argmax(1) == 1).sum())

    assert rare(fair) > rare(plain)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "mpnet", "albert"])
@pytest.mark.parametrize("method", ["lora", "none"])
def test_features_are_what_the_output_layer_reads(
    family: str, method: str, encoders: Encoders
) -> None:
    """Row by row, without padding, through the model's own forward pass."""
    setup = toy_job(encoders(family), f"adapters.method={method}")
    rows_N = np.array([5, 0, 31, 17, 2])
    features_NF = frozen_features(setup, rows_N)
    layer = output_layer(setup.classifier.module, setup.classifier.plan)
    setup.classifier.module.eval()
    for feature_F, row in zip(features_NF, rows_N, strict=True):
        logits_BK = setup.classifier.logits(collate(setup.train.tokens, [int(row)]))
        again_K = layer(torch.from_numpy(feature_F))
        torch.testing.assert_close(again_K, logits_BK[0], atol=1e-5, rtol=1e-5)


def test_training_starts_where_the_probe_ends(bert: Path, tmp_path: Path) -> None:
    """The row of step 0 has the probe's own score, and a random head does not."""
    setup = toy_job(bert, PROBE, "optim.epochs=1")
    first = toy_loop(setup, tmp_path / "probe").fit().history[0]
    at_random = toy_job(bert, "head.start=random", "optim.epochs=1")
    other = toy_loop(at_random, tmp_path / "random").fit().history[0]
    assert first["eval_loss"] < other["eval_loss"] - 0.05
    again = toy_job(bert, PROBE, "optim.epochs=1")
    state = torch.get_rng_state()
    start_at_probe(again, Notes())
    assert torch.equal(torch.get_rng_state(), state), "training would draw other numbers"


def test_stored_states_give_the_same_features(bert: Path, tmp_path: Path) -> None:
    """With the head alone training reads what the frozen layers gave once, rounded to fp16."""
    loop = toy_loop(toy_job(bert, PROBE, "adapters.method=none"), tmp_path)
    rows_N = np.arange(10)
    computed_NF = frozen_features(loop.setup, rows_N)
    kept, _ = keep_prefix(loop.setup, tmp_path, Notes(), StopRequest())
    assert kept.train.states is not None
    np.testing.assert_allclose(frozen_features(kept, rows_N), computed_NF, atol=1e-3)


def test_leave_one_out_is_that_of_as_many_fits() -> None:
    """In closed form and row by row, at the penalty with the least error; a dead feature is none.

    A row's own part in the standardisation and in the centre of targets is left in both.
    """
    chance = np.random.default_rng(0)
    x_NF, wanted_NK = chance.normal(size=(30, 6)).astype(np.float32), chance.normal(size=(30, 2))
    x_NF[:, 5] = 3.0
    z_NF = StandardScaler().fit_transform(x_NF[:, :5].astype(np.float64))
    errors, rows = {}, np.arange(30)
    for penalty in PENALTIES * 30:
        fits = [Ridge(penalty).fit(z_NF[rows != i], wanted_NK[rows != i]) for i in rows]
        found = np.concatenate([fit.predict(z_NF[i : i + 1]) for i, fit in enumerate(fits)])
        errors[float(((wanted_NK - found) ** 2).mean())] = found
    unseen_NK = RidgeProblem.of(x_NF, wanted_NK).unseen_NK
    np.testing.assert_allclose(unseen_NK, errors[min(errors)], atol=1e-6)


def test_rows_that_are_alike_are_left_out_together() -> None:
    """What a solution without all of a text's windows gives for each, not without that one."""
    chance = np.random.default_rng(0)
    x_NF, wanted_NK = chance.normal(size=(30, 6)), chance.normal(size=(30, 2))
    x_NF, alike_N = StandardScaler().fit_transform(x_NF), chance.permutation(np.arange(30) // 3)
    problem = RidgeProblem.of(x_NF, wanted_NK, alike_N)
    due_NK = np.empty_like(wanted_NK)
    for group in range(10):
        own_N = alike_N == group
        fit = Ridge(problem.penalty * 30).fit(x_NF[~own_N], wanted_NK[~own_N])
        due_NK[own_N] = fit.predict(x_NF[own_N])
    np.testing.assert_allclose(problem.unseen_NK, due_NK, atol=1e-6)


@pytest.mark.parametrize("several", [False, True])
def test_copies_of_a_row_do_not_choose_the_strength_of_a_probe(several: bool) -> None:
    """Noise that is held out and fitted, too, is remembered best under the weakest penalty."""
    chance = np.random.default_rng(1)
    features_NF = np.tile(chance.normal(size=(60, 40)), (4, 1)).astype(np.float32)
    labels_N, order_N = np.tile(chance.integers(0, 2, 60), 4), chance.permutation(240)
    alike_N, labels_N = np.tile(np.arange(60), 4)[order_N], labels_N[order_N]
    features_NF, targets_NK = features_NF[order_N], np.eye(2, dtype=np.int8)[labels_N]

    def weights(alike_N: NDArray[np.int64] | None) -> float:
        rows = LabelledRows(targets_NK if several else labels_N, alike_N=alike_N)
        if several:
            found = LabelProblem.of(features_NF, rows).solve()
        else:
            found = fit_probe(features_NF, rows, num_labels=2)
        return float(np.abs(found.weight_KF).sum())

    assert weights(alike_N) < weights(None) / 2


@pytest.mark.parametrize("balanced", [False, True])
def test_a_row_of_weight_two_is_two_rows_to_the_probe(
    balanced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one strength, since rows twice are held out differently where it is chosen."""
    monkeypatch.setattr(linear_probe, "STRENGTHS", (0.03,))
    features_NF, labels_N = blobs(3)
    weights_N = np.random.default_rng(0).integers(1, 4, len(labels_N))
    rows_N = np.repeat(np.arange(len(labels_N)), weights_N)
    weighted, repeated = (
        fit_probe(features_NF[own], rows, num_labels=3, balanced=balanced)
        for own, rows in (
            (slice(None), LabelledRows(labels_N, weights_N=weights_N.astype(float))),
            (rows_N, LabelledRows(labels_N[rows_N])),
        )
    )
    np.testing.assert_allclose(weighted.weight_KF, repeated.weight_KF, rtol=1e-2, atol=1e-5)
    plain = fit_probe(features_NF, LabelledRows(labels_N), num_labels=3, balanced=balanced)
    assert not np.allclose(weighted.weight_KF, plain.weight_KF, rtol=1e-2, atol=1e-5)


def test_an_encoder_that_makes_no_numbers_is_refused(tmp_path: Path) -> None:
    """As its own fault, before anything is fitted to them."""
    weights = load_file(toy_encoder(tmp_path) / "model.safetensors")
    weights["encoder.layer.1.output.dense.weight"][0, 0] = float("nan")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    setup = toy_job(tmp_path, PROBE)
    passes = (
        partial(start_at_probe, setup, Notes()),
        partial(both_features, setup.source, setup.train.tokens, Notes()),
    )
    for of_rows in passes:
        with pytest.raises(ModelError, match=r"not finite\n.* texts, by "):
            of_rows()
