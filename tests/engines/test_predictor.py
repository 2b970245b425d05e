"""Predictions for texts in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from tests.toy_setups import (
    LABELS,
    TASK,
    TEXTS,
    CountingBar,
    Speaker,
    toy_classifier,
    toy_predictor,
)
from tests.toys import WORDS
from tightfit.data.text_tokenizer import tokenise
from tightfit.engines.predictor import Predictor, check_max_length
from tightfit.errors import SettingsError, UsageError
from tightfit.families import COMPUTED
from tightfit.model.classifier import Classifier, predict_logits


@pytest.fixture(scope="module")
def classifier(bert: Path) -> Classifier:
    """It was never trained, and so is unsure of itself."""
    return toy_classifier(bert)


@pytest.fixture(scope="module")
def predictor(classifier: Classifier) -> Predictor:
    """Its answers."""
    return toy_predictor(classifier)


def test_probabilities_are_the_softmax_of_the_logits(
    predictor: Predictor, classifier: Classifier
) -> None:
    """Rows add up to one, in the order of the texts."""
    predictions = predictor.predict(TEXTS)
    tokens = tokenise(classifier.tokenizer, TEXTS, 16)
    logits_NK = predict_logits(classifier, tokens, batch=1)
    np.testing.assert_allclose(predictions.probabilities, softmax(logits_NK, 1), atol=1e-5)
    np.testing.assert_allclose(predictions.probabilities.sum(1), 1.0)
    np.testing.assert_allclose(predictor.logits(TEXTS), logits_NK, atol=1e-5)
    assert len(predictions) == len(TEXTS)


def test_ids_and_labels_are_the_most_likely() -> None:
    """By position, and by name."""
    predictions = TASK.predictions(np.array([[0.2, 0.8], [0.6, 0.4]]))
    assert predictions.ids == [1, 0]
    assert predictions.labels == ["sport", "money"]
    assert all(isinstance(i, int) for i in predictions.ids)


def test_a_temperature_changes_confidence_and_no_label(predictor: Predictor) -> None:
    """A hot classifier is less sure of the same answers."""
    hot = replace(predictor, temperature=4.0)
    warm, cool = hot.predict(TEXTS), predictor.predict(TEXTS)
    assert warm.ids == cool.ids
    assert (warm.probabilities.max(1) < cool.probabilities.max(1)).all()


def test_an_answer_has_to_reach_the_threshold() -> None:
    """Exactly reaching it is enough."""
    predictions = TASK.predictions(np.array([[0.2, 0.8], [0.6, 0.4]]), threshold=0.8)
    assert predictions.answered == [True, False]


def test_texts_that_were_cut_are_counted(predictor: Predictor) -> None:
    """One longer than the classifier reads; what was cut off does not matter."""
    long = " ".join(WORDS)
    predictions = predictor.predict(["goal", long])
    assert predictions.truncated == 1
    shorter = predictor.predict([" ".join(WORDS[:14])])
    np.testing.assert_allclose(predictions.probabilities[1], shorter.probabilities[0], atol=1e-6)


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\x00", "🙂🙂", "ünknown wörds"])
def test_any_text_has_an_answer(text: str, predictor: Predictor) -> None:
    """Empty, blank and unknown ones as well."""
    predictions = predictor.predict([text])
    assert predictions.labels[0] in LABELS
    assert np.isfinite(predictions.probabilities).all()


def test_no_texts_have_no_answers(predictor: Predictor) -> None:
    """An empty list is no fault."""
    predictions = predictor.predict([])
    assert (predictions.ids, predictions.labels, len(predictions)) == ([], [], 0)
    assert predictions.answered == []


def test_progress_is_told(predictor: Predictor) -> None:
    """For every text, though they are batched by length."""
    bar = CountingBar()
    predictor.predict(["goal"] * 150, Speaker(bar))
    assert bar.count == 150


def test_the_order_of_texts_does_not_matter(predictor: Predictor) -> None:
    """Each keeps its own answer, wherever it stands."""
    forth = predictor.predict(TEXTS).probabilities
    back = predictor.predict(TEXTS[::-1]).probabilities
    np.testing.assert_allclose(forth, back[::-1], atol=1e-6)


def test_without_embeddings_all_families_that_have_them_are_named(predictor: Predictor) -> None:
    """Those that are computed here; this one goes through ``transformers``."""
    with pytest.raises(UsageError, match="embeddings are not available") as caught:
        predictor.embeddings(TEXTS)
    assert caught.value.allowed == ", ".join(COMPUTED)


def test_the_longest_text_is_checked() -> None:
    """No more tokens than the encoder has positions for, where it has a limit."""
    assert check_max_length(64, 64) == 64
    assert check_max_length(10_000, None) == 10_000
    with pytest.raises(SettingsError, match="than the encoder has positions for") as caught:
        check_max_length(65, 64)
    assert "max_length 65" in str(caught.value)
    assert "max_length=64 or less" in str(caught.value)
