"""What trains no encoder: the most frequent label, and linear models on words or embeddings.

Shapes: B rows, K classes, P classes that occur among the training rows.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from tightfit.blas_threads import one_blas_thread
from tightfit.errors import DataError
from tightfit.experiments.cells import EMBEDDINGS, MAJORITY, RATED, TFIDF, Row
from tightfit.tasks import Task
from tightfit.tasks.dataset import Dataset

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""Gives the mean of a frozen encoder's states over each text, one row a text."""

MAX_ITERATIONS = 1000
"""Of L-BFGS; scikit-learn's own 100 are too few for some thousand rows."""


def tfidf_pipeline(linear: Any = None) -> Pipeline:
    """Words and pairs of words, damped counts, and a linear model at scikit-learn's strength."""
    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        linear or LogisticRegression(max_iter=MAX_ITERATIONS),
    )


def run_baseline(name: str, dataset: Dataset, embed: Embed | None = None) -> Row:
    """Fit a baseline on the training rows and score it on the validation rows.

    Args:
        name: one of ``BASELINES``, or of ``RATED``.
        dataset: the rows.
        embed: for those on embeddings.

    Raises:
        DataError: the training rows have a single class, or no word at all.
    """
    started = time.perf_counter()
    called, name = name, RATED.get(name, name)
    model = _model(name, dataset.task)
    if name != MAJORITY:
        _check_classes(dataset)
    if name == TFIDF:
        _check_words(dataset)
    given = embed if name == EMBEDDINGS else _as_they_are
    assert given is not None
    probabilities_BK = _probabilities(model, dataset, given)
    seconds = time.perf_counter() - started
    scores = dataset.task.score(dataset.validation.targets, probabilities_BK)
    if isinstance(model, _Rated):
        model = model.model
    return Row(
        name=called,
        trainable=0 if name == MAJORITY else _coefficients(model[-1] if name == TFIDF else model),
        scores={name: each for name, each in scores.headline().items() if each},
        seconds=seconds,
        bytes=len(pickle.dumps(model)),
    )


def _model(name: str, task: Task) -> Any:
    if not task.calibrates:
        models = {MAJORITY: DummyRegressor(), TFIDF: tfidf_pipeline(Ridge()), EMBEDDINGS: Ridge()}
        return _Rated(models[name], *task.unit)
    linear = LogisticRegression(max_iter=MAX_ITERATIONS)
    if not task.one_class:
        linear = OneVsRestClassifier(linear)
    if name == MAJORITY:
        # Of several labels a row: each as probable as it is frequent.
        return DummyClassifier(strategy="most_frequent" if task.one_class else "prior")
    return tfidf_pipeline(linear) if name == TFIDF else linear


@dataclass
class _Rated:
    """A regressor that answers as the head for ratings does: one output, in standard deviations."""

    model: Any
    scale: float
    mean: float
    classes_: tuple[int, ...] = (0,)

    def fit(self, inputs: NDArray[Any], targets_N: NDArray[np.float64]) -> None:
        self.model.fit(inputs, targets_N)

    def predict_proba(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        ratings_N: NDArray[np.float64] = self.model.predict(inputs)
        return ((ratings_N - self.mean) / self.scale)[:, None]


def _coefficients(model: Any) -> int:
    """Of a linear model, or of one a label; a label that never varies has none."""
    parts = [each for each in getattr(model, "estimators_", [model]) if hasattr(each, "coef_")]
    return sum(each.coef_.size + np.size(each.intercept_) for each in parts)


def _as_they_are(texts: Sequence[str]) -> NDArray[Any]:
    return np.array(texts, dtype=object)


@one_blas_thread()
def _probabilities(
    model: Any, dataset: Dataset, given: Callable[[Sequence[str]], NDArray[Any]]
) -> NDArray[np.float64]:
    """Of the validation rows; where none are held out, by fits that did not see the row."""
    inputs, outputs, targets_N = (
        given(dataset.train.texts),
        dataset.task.outputs,
        dataset.train.targets,
    )
    parts_N = dataset.train.parts_N
    if parts_N is None:
        model.fit(inputs, targets_N)
        held = given(dataset.validation.texts)
        return _spread(model, held, outputs)
    probabilities_NK = np.zeros((len(inputs), outputs))
    for part in np.unique(parts_N):
        own_N = parts_N == part
        known_N = targets_N[~own_N]
        # Where a class has no row but in this part, one may be left, which linear models refuse.
        single = dataset.task.one_class and len(np.unique(known_N)) < 2
        fitted = DummyClassifier() if single else model
        fitted.fit(inputs[~own_N], known_N)
        probabilities_NK[own_N] = _spread(fitted, inputs[own_N], outputs)
    return probabilities_NK


def _spread(model: Any, inputs: NDArray[Any], outputs: int) -> NDArray[np.float64]:
    """Columns for all classes: one without a training row has no probability."""
    found: Any = model.predict_proba(inputs)
    if isinstance(found, list):
        # Of each label the probabilities of having it not and of having it, where some row does.
        each = zip(found, model.classes_, strict=True)
        return np.stack([shares_BP[:, own_P == 1].sum(axis=1) for shares_BP, own_P in each], axis=1)
    probabilities_BK = np.zeros((len(found), outputs))
    probabilities_BK[:, model.classes_] = found
    return probabilities_BK


def _check_classes(dataset: Dataset) -> None:
    """Refuse what scikit-learn would refuse in words of its own."""
    if dataset.task.one_class and len(set(dataset.train.targets.tolist())) < 2:
        raise DataError(
            "the training rows have a single class, and nothing can be learned from them",
            seen=dataset.task.names[dataset.train.targets[0]],
            next_step="give more rows, or set data.stratify=true",
        )


def _check_words(dataset: Dataset) -> None:
    """Likewise."""
    words = TfidfVectorizer().build_analyzer()
    if not any(words(text) for text in dataset.train.texts):
        raise DataError(
            "the training texts have no word of two letters or more",
            seen=repr(dataset.train.texts[0][:40]),
            next_step="check --text-column",
        )
