"""A linear model of words, pairs of words and characters: fast, and sure of the easy rows.

They are hashed, so that there is no vocabulary to keep: the model is three arrays.
Shapes: N rows, F features, K labels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.special import log_expit

from tightfit.errors import ArtefactError, DataError
from tightfit.extras import lazy

if TYPE_CHECKING:
    from sklearn import linear_model, preprocessing
    from sklearn.feature_extraction import text as counting
else:  # which a run that has no cascade does not wait for
    linear_model = lazy("sklearn.linear_model", "a cascade")
    preprocessing = lazy("sklearn.preprocessing", "a cascade")
    counting = lazy("sklearn.feature_extraction.text", "a cascade")

FEATURES = 2**19
"""Hashed features, half of them for words, where there are few labels."""
LEAST_FEATURES = 2**15
MOST_WEIGHTS = 2**22
"""Features times labels, where there are many: 16 MB."""

STRENGTH = 100.0
"""scikit-learn's C. Weakly held weights tell easy rows from hard ones best (docs/experiments)."""
EPOCHS = 20

READ_CHARACTERS = 10_000
"""Of each text: more than an encoder reads, and a text of megabytes takes no longer."""

ANALYSES: tuple[dict[str, Any], ...] = (
    {"analyzer": "word", "ngram_range": (1, 2)},
    {"analyzer": "char_wb", "ngram_range": (4, 4)},
)
"""How scikit-learn's HashingVectorizer cuts a text; each has an equal part of the features."""
COUNTING = {"lowercase": True, "alternate_sign": False, "norm": None}


@dataclass(frozen=True)
class NGramModel:
    """Scores of n-grams, their counts damped and weighted by rarity (sublinear tf-idf)."""

    weights_KF: NDArray[np.float32]
    biases_K: NDArray[np.float32]
    rarity_F: NDArray[np.float32]
    """Inverse document frequency of each feature among the training rows."""

    @classmethod
    def fit(cls, texts: Sequence[str], label_ids: Sequence[int], labels: int) -> NGramModel:
        """Learn one-against-the-rest logistic regressions by stochastic gradients.

        They are fitted in a fraction of a second where L-BFGS takes ten, and are as often right.
        The same rows in the same order give the same model.

        Args:
            texts: the rows.
            label_ids: their labels.
            labels: how many there are, with or without rows.

        Raises:
            DataError: fewer than two labels occur.
        """
        if len(set(label_ids)) < 2:
            raise DataError(
                "a linear model needs training rows of two labels or more",
                seen=f"{len(texts):,} rows of {len(set(label_ids))}",
                next_step="leave out the cascade",
            )
        features = min(FEATURES, max(LEAST_FEATURES, 2 ** int(np.log2(MOST_WEIGHTS / labels))))
        counts_NF = _counts(texts, features)
        rarity_F = counting.TfidfTransformer().fit(counts_NF).idf_.astype(np.float32)
        penalty = 1 / (STRENGTH * len(texts))
        model = linear_model.SGDClassifier(
            loss="log_loss", alpha=penalty, max_iter=EPOCHS, tol=None, random_state=0
        )
        model.fit(_weighted(counts_NF, rarity_F), np.asarray(label_ids))
        return cls(*_of_all_labels(model, labels, features), rarity_F)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """``logits_NK`` of the texts: the log of each label's own probability."""
        if not texts:
            return np.empty((0, len(self.biases_K)))
        features_NF = _weighted(_counts(texts, len(self.rarity_F)), self.rarity_F)
        return log_expit((features_NF @ self.weights_KF.T + self.biases_K).astype(np.float64))

    def to_bytes(self) -> bytes:
        """An ``.npz`` file of the arrays, without pickles."""
        buffer = BytesIO()
        np.savez_compressed(
            buffer, weights=self.weights_KF, biases=self.biases_K, rarity=self.rarity_F
        )
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> NGramModel:
        """Read what :meth:`to_bytes` wrote.

        Raises:
            ArtefactError: it is something else.
        """
        try:
            with np.load(BytesIO(content), allow_pickle=False) as saved:
                model = cls(saved["weights"], saved["biases"], saved["rarity"])
            fits = model.weights_KF.shape == (len(model.biases_K), len(model.rarity_F))
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ArtefactError("the linear model cannot be read", seen=error) from error
        if not fits:
            raise ArtefactError(
                "the arrays of the linear model do not fit together", seen=model.weights_KF.shape
            )
        return model


def _counts(texts: Sequence[str], features: int) -> csr_matrix:
    read = [
        # Half a surrogate pair, as a data frame may hold, cannot be hashed.
        text[:READ_CHARACTERS].encode("utf-8", "replace").decode()
        for text in texts
    ]
    share = features // len(ANALYSES)
    hashers = (
        counting.HashingVectorizer(n_features=share, dtype=np.float32, **analysis, **COUNTING)
        for analysis in ANALYSES
    )
    return hstack([hasher.transform(read) for hasher in hashers], format="csr")


def _weighted(counts_NF: csr_matrix, rarity_F: NDArray[np.float32]) -> csr_matrix:
    """Rows of length 1: ``(1 + log count) x rarity``; one without a word stays all zeros."""
    weighted_NF = counts_NF.copy()
    weighted_NF.data = (1 + np.log(counts_NF.data)) * rarity_F[counts_NF.indices]
    return preprocessing.normalize(weighted_NF, copy=False)


def _of_all_labels(
    model: linear_model.SGDClassifier, labels: int, features: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights and biases with a row for every label; one without training rows is never likely."""
    weights: Any = model.coef_
    biases: Any = model.intercept_
    if len(model.classes_) == 2:  # scikit-learn keeps one score for both
        weights, biases = np.vstack([-weights, weights]), np.concatenate([-biases, biases])
    weights_KF = np.zeros((labels, features), dtype=np.float32)
    biases_K = np.full(labels, -50.0, dtype=np.float32)
    weights_KF[model.classes_], biases_K[model.classes_] = weights, biases
    return weights_KF, biases_K
