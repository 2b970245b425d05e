"""Likely label errors: labels that a simple classifier, trained on the other rows, speaks against.

Confident learning (Northcutt, Jiang and Chuang 2021, arXiv:1911.00068) as ``cleanlab`` has it, on
out-of-fold probabilities of TF-IDF and logistic regression. Shapes: B rows, K classes.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from tightfit.blas_threads import one_blas_thread
from tightfit.data.checks.findings import Suspected
from tightfit.extras import require

FOLDS = 5

_WORD = re.compile(r"\w+")
"""scikit-learn's own pattern leaves out words of one character, and so whole scripts."""

ODDS = 2.0
"""How many times as probable as the given class another must be. On few rows, or on texts whose
words say little, the classifier sways between classes; its guesses are no evidence then. Where it
is sure, as on thousands of rows of news, this drops nothing."""

MOST_ROUNDS = 1000
"""Of the solver; it needs about 30."""


def find_suspects(
    texts: Sequence[str], label_ids: Sequence[int], names: Sequence[str]
) -> list[Suspected]:
    """Rows whose label is likely wrong, the most suspect first.

    Nothing can be learnt of texts without a word, or of classes with fewer rows than ``FOLDS``:
    both are left out. Without two other classes there are no suspects.

    Args:
        texts: no two of them the same, since a copy in another fold would give the label away.
        label_ids: class id of each text.
        names: by class id.

    Raises:
        MissingExtraError: ``cleanlab`` is not installed.
    """
    with warnings.catch_warnings():  # importing it silences every warning of the program
        cleanlab = require("cleanlab.filter", "the search for label errors")
    rows_B = judgeable_rows(texts, label_ids)
    if not rows_B.size:
        return []
    classes_K, labels_B = np.unique(np.asarray(label_ids)[rows_B], return_inverse=True)
    probabilities_BK = _out_of_fold([texts[row] for row in rows_B], labels_B)
    # Both of the paper's ways to prune must agree: the more precise choice.
    worst = cleanlab.find_label_issues(
        labels_B,
        probabilities_BK,
        filter_by="both",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    likely_B, confidence_B = probabilities_BK.argmax(axis=1), probabilities_BK.max(axis=1)
    given_B = probabilities_BK[np.arange(len(labels_B)), labels_B]
    names_K = [names[label] for label in classes_K]
    return [
        Suspected(
            int(rows_B[i]), names_K[labels_B[i]], names_K[likely_B[i]], float(confidence_B[i])
        )
        for i in worst
        if confidence_B[i] >= ODDS * given_B[i]
    ]


def judgeable_rows(texts: Sequence[str], label_ids: Sequence[int]) -> NDArray[np.int64]:
    """Rows with a word, of classes with such a row for each fold; none without two such classes."""
    rows_B = np.array([row for row, text in enumerate(texts) if _WORD.search(text)], dtype=np.int64)
    ids_B = np.asarray(label_ids, dtype=np.int64)[rows_B]
    classes_K, counts_K = np.unique(ids_B, return_counts=True)
    large_K = classes_K[counts_K >= FOLDS]
    return rows_B[np.isin(ids_B, large_K if len(large_K) > 1 else [])]


@one_blas_thread()
def _out_of_fold(texts: Sequence[str], labels_B: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probabilities of each class for each row, by models that did not see the row."""
    model = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, token_pattern=_WORD.pattern, dtype=np.float32),
        LogisticRegression(max_iter=MOST_ROUNDS),
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return np.asarray(
        cross_val_predict(model, texts, labels_B, cv=folds, method="predict_proba"),
        dtype=np.float64,
    )
