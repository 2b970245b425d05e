"""Both halves of a cascade together: who answers what, in which order, and from which files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toy_setups import LABELS, TASK, toy_classifier, toy_predictor
from tests.toys import FILLER, toy_rows
from tightfit.cascade.ngrams import NGramModel
from tightfit.cascade.two_stage import (
    ARRAYS_FILE,
    FACTS_FILE,
    Cascade,
    CascadePredictor,
    choose_cascade,
    read_cascade,
    write_cascade,
)
from tightfit.engines.predictor import Predictor
from tightfit.errors import ArtefactError, ProofError, UsageError
from tightfit.tasks.validation_logits import ValidationLogits

ROWS = toy_rows(1000)
TEXTS = [
    # Every third tells nothing: its words do not depend on its label.
    row["text"] if i % 3 else " ".join(FILLER[i // 2 % 4 :: 4])
    for i, row in enumerate(ROWS)
]
IDS = [LABELS.index(row["label"]) for row in ROWS]
HARD = ["the a of in on", "", "goal stock", "with new after"]
"""Texts that words say little or nothing about."""


@pytest.fixture(scope="module")
def linear() -> NGramModel:
    """Learned from the first half of the rows."""
    return NGramModel.fit(TEXTS[:500], IDS[:500], 2)


def encoder_says(right: float) -> ValidationLogits:
    """Of the second half: sure answers, this share of them right."""
    truth_N = np.array(IDS[500:])
    right_N = np.random.default_rng(0).uniform(size=500) < right
    logits_NK = np.eye(2, dtype=np.float32)[np.where(right_N, truth_N, 1 - truth_N)] * 5
    return ValidationLogits.gather(TASK, logits_NK, truth_N, TEXTS[500:])


@pytest.fixture(scope="module")
def cascade(linear: NGramModel) -> Cascade:
    """Chosen on the second half."""
    return choose_cascade(linear, encoder_says(0.97), TEXTS[500:], max_loss=0.02)


@pytest.fixture(scope="module")
def plain(bert: Path) -> Predictor:
    """An encoder that knows nothing."""
    return toy_predictor(toy_classifier(bert), temperature=2.0)


def test_its_figures_are_those_of_the_rows(linear: NGramModel, cascade: Cascade) -> None:
    """Counted again by hand."""
    validation_logits, facts = encoder_says(0.97), cascade.facts
    answered_N, _ = cascade.answers(TASK, TEXTS[500:])
    encoder_N = validation_logits.logits_NK.argmax(axis=1)
    both_N = np.where(answered_N, linear.logits(TEXTS[500:]).argmax(axis=1), encoder_N)
    assert facts["share"] == answered_N.mean() > 0.5
    assert (
        facts["accuracy"]["encoder"]["value"] == (encoder_N == validation_logits.targets_N).mean()
    )
    assert facts["accuracy"]["cascade"]["value"] == (both_N == validation_logits.targets_N).mean()
    assert facts["chosen_on"]["loss_bound"] <= 0.02


def test_what_cannot_be_shown_is_refused(linear: NGramModel) -> None:
    """500 rows cannot show so little; the least that they can is named."""
    with pytest.raises(ProofError, match=r"500 validation rows cannot show.*0\.30%") as caught:
        choose_cascade(linear, encoder_says(1.0), TEXTS[500:])
    assert caught.value.exit_code == 7
    assert caught.value.allowed is not None
    assert choose_cascade(linear, encoder_says(1.0), TEXTS[500:], max_loss=0.02)


@pytest.mark.parametrize("held", [{"threshold": 0.9}, {"thresholds": {1: 0.3}}])
def test_a_cascade_answers_the_most_probable_label_alone(
    held: dict[str, Any], cascade: Cascade, plain: Predictor
) -> None:
    """Its proof is of that, and of nothing else."""
    with pytest.raises(UsageError, match=r"a cascade and .* exclude each other"):
        CascadePredictor.over(replace(plain, **held), cascade)


def test_each_row_has_one_answer_in_its_place(cascade: Cascade, plain: Predictor) -> None:
    """Those of the linear model where it is sure, calibrated; else those of the encoder."""
    texts = [*HARD, *TEXTS[500:520], *HARD]
    found = CascadePredictor.over(plain, cascade).predict(texts)
    answered_N, probabilities_AK = cascade.answers(TASK, texts)
    assert 0 < answered_N.sum() == found.by_linear < len(texts)
    wanted_NK = plain.predict(texts).probabilities
    wanted_NK[answered_N] = probabilities_AK
    assert np.allclose(found.probabilities, wanted_NK, atol=1e-6)
    logits_AK = cascade.linear.logits(texts)[answered_N]
    assert np.allclose(probabilities_AK, TASK.probabilities(logits_AK, cascade.temperature))


def test_either_half_may_have_nothing_to_do(cascade: Cascade, plain: Predictor) -> None:
    """All easy, all hard, and no text at all."""
    both = CascadePredictor.over(plain, cascade)
    answered_N, _ = cascade.answers(TASK, TEXTS)
    easy = [text for text, answered in zip(TEXTS, answered_N, strict=True) if answered]
    assert both.predict(easy).by_linear == len(easy)
    hard = both.predict([""] * 3)
    assert hard.by_linear == 0
    assert np.allclose(hard.probabilities, plain.predict([""] * 3).probabilities)
    assert len(both.predict([])) == 0


def test_the_encoder_can_still_be_asked_alone(cascade: Cascade, plain: Predictor) -> None:
    """Logits are always its own."""
    both = CascadePredictor.over(plain, cascade)
    assert np.array_equal(both.logits(TEXTS[:9]), plain.logits(TEXTS[:9]))


def test_files_there_and_back(cascade: Cascade, tmp_path: Path) -> None:
    """The same answers, from arrays and JSON alone."""
    assert read_cascade(tmp_path / "none") is None
    write_cascade(tmp_path, cascade)
    assert {path.name for path in tmp_path.iterdir()} == {FACTS_FILE, ARRAYS_FILE}
    found = read_cascade(tmp_path)
    assert found is not None
    assert (found.identity, found.facts) == (cascade.identity, cascade.facts)
    for one, other in zip(found.answers(TASK, TEXTS), cascade.answers(TASK, TEXTS), strict=True):
        assert np.array_equal(one, other)
    with np.load(tmp_path / ARRAYS_FILE, allow_pickle=False) as saved:
        assert sorted(saved) == ["biases", "rarity", "weights"]


@pytest.mark.parametrize("name", [FACTS_FILE, ARRAYS_FILE])
def test_a_damaged_file_is_refused(name: str, cascade: Cascade, tmp_path: Path) -> None:
    """One bit, one end, all of it."""
    write_cascade(tmp_path, cascade)
    whole = (tmp_path / name).read_bytes()
    flipped = bytes([*whole[:40], whole[40] ^ 1, *whole[41:]])
    for content in (flipped, whole[:-7], b""):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtefactError, match=r"damaged|has changed"):
            read_cascade(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ArtefactError, match="a file is missing"):
        read_cascade(tmp_path)
