"""The linear model of n-grams, against scikit-learn's own tf-idf and on odd rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import make_union

from tests.toys import toy_rows
from tightfit.cascade.ngrams import FEATURES, LEAST_FEATURES, READ_CHARACTERS, NGramModel
from tightfit.errors import ArtefactError, DataError

ROWS = toy_rows(400)
TEXTS = [row["text"] for row in ROWS]
IDS = [int(row["label"] == "sport") for row in ROWS]


@pytest.fixture(scope="module")
def model() -> NGramModel:
    """Learned from three quarters of the rows."""
    return NGramModel.fit(TEXTS[:300], IDS[:300], 2)


def test_it_learns(model: NGramModel) -> None:
    """Toy rows are told apart by single words."""
    assert (model.logits(TEXTS[300:]).argmax(axis=1) == IDS[300:]).mean() > 0.98


def test_its_scores_are_those_of_scikit_learn(model: NGramModel) -> None:
    """Sublinear tf-idf as TfidfTransformer makes it, then a product by hand."""
    count = {"n_features": FEATURES // 2, "alternate_sign": False, "norm": None}
    hashers = make_union(
        HashingVectorizer(ngram_range=(1, 2), **count),
        HashingVectorizer(analyzer="char_wb", ngram_range=(4, 4), **count),
    )
    weigh = TfidfTransformer(sublinear_tf=True)
    weigh.fit(hashers.fit_transform(TEXTS[:300]))
    features = weigh.transform(hashers.transform(TEXTS[300:340])).toarray()
    scores = features @ model.weights_KF.T.astype(np.float64) + model.biases_K
    assert np.allclose(np.exp(model.logits(TEXTS[300:340])), 1 / (1 + np.exp(-scores)), atol=1e-5)


def test_the_same_rows_give_the_same_model(model: NGramModel) -> None:
    """To the bit, and through a file too."""
    again = NGramModel.fit(TEXTS[:300], IDS[:300], 2)
    assert np.array_equal(again.weights_KF, model.weights_KF)
    loaded = NGramModel.from_bytes(model.to_bytes())
    assert np.array_equal(loaded.logits(TEXTS), model.logits(TEXTS))


def test_odd_texts_have_finite_scores(model: NGramModel) -> None:
    """Nothing, no word, half a surrogate pair; and no text at all."""
    odd = ["", "!?", "goal \ud800 match", "🙂", "\x00", "word " * 5000]
    assert np.isfinite(model.logits(odd)).all()
    assert np.array_equal(model.logits(odd)[0], model.logits(odd)[1])
    assert model.logits([]).shape == (0, 2)


def test_a_text_of_megabytes_is_read_in_part(model: NGramModel) -> None:
    """What lies beyond changes nothing, and takes no time."""
    head = "goal match team " * (READ_CHARACTERS // 16)
    assert len(head) == READ_CHARACTERS
    assert np.array_equal(model.logits([head + "stock " * 10**6]), model.logits([head]))


def test_labels_without_rows_are_never_likely() -> None:
    """Five labels, of which the second and the fourth occur."""
    ids = [1 + 2 * label for label in IDS]
    model = NGramModel.fit(TEXTS, ids, 5)
    logits_NK = model.logits(TEXTS)
    assert logits_NK.shape == (400, 5)
    assert set(logits_NK.argmax(axis=1)) == {1, 3}
    assert (logits_NK[:, [0, 2, 4]] < -40).all()


def test_many_labels_share_the_memory() -> None:
    """The arrays stay small, whatever the number of labels."""
    model = NGramModel.fit(TEXTS, [number % 300 for number in range(400)], 300)
    assert model.weights_KF.shape == (300, LEAST_FEATURES)


def test_one_label_is_refused() -> None:
    """There is nothing to learn."""
    with pytest.raises(DataError, match="two labels or more"):
        NGramModel.fit(TEXTS, [0] * 400, 2)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no file of arrays"])
def test_a_damaged_file_is_refused(content: bytes) -> None:
    """Empty, cut, or of another kind."""
    with pytest.raises(ArtefactError, match="linear model cannot be read") as caught:
        NGramModel.from_bytes(content)
    assert caught.value.exit_code == 8


def test_arrays_that_do_not_fit_are_refused(model: NGramModel) -> None:
    """A bias too few."""
    cut = NGramModel(model.weights_KF, model.biases_K[:1], model.rarity_F)
    with pytest.raises(ArtefactError, match="do not fit together"):
        NGramModel.from_bytes(cut.to_bytes())
