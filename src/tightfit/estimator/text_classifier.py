"""A text classifier with scikit-learn's habits: it goes where scikit-learn's own go.

Shapes: N texts, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from tightfit.config import DEFAULT_RECIPE
from tightfit.data.sklearn_label_sets import dense
from tightfit.data.sklearn_rows import labelled_rows
from tightfit.data.table import Table
from tightfit.estimator.text_estimator import TextEstimator, as_scikit_learn
from tightfit.extras import require
from tightfit.tasks import need_one_class


class TightfitClassifier(ClassifierMixin, TextEstimator):
    """Adapters on a frozen encoder, inside a hard budget of trainable parameters.

    ``X`` is a list, an array or a Series of strings, or a data frame whose column
    ``text_column`` holds them; ``y`` whatever scikit-learn takes as classes, or several labels a
    text.

    Args:
        budget: most trainable parameters allowed, such as 100_000 or ``"100k"``; None takes the
            recipe's cap.
        recipe: where the settings start from.
        minutes: wall clock of one fit; None trains to the end of the schedule.
        settings: typed values by dotted name, such as ``{"optim.lr": 5e-4}``. With
            ``{"data.pair": True}`` a text is a pair: two columns, or tuples.
        model: Hub name, folder, or an embedded model; of several the one that suits the rows is
            chosen. None takes the recipe's.
        text_column: column of a data frame, or columns to join with a space.
        class_weight: how much the rows of each class count, or ``"balanced"``: by its inverse
            frequency. In the loss, the head's start and the scores on held-out rows.
        random_state: a seed, or a generator to draw one from; None draws another for each fit.
        verbose: above 0, progress is told on standard error.

    Attributes:
        classes_: the classes, sorted, as ``y`` had them.
        run_: the same :class:`tightfit.Run` as everywhere, with plan, proofs and scores.
        history_: a row for each evaluation while training.
        plan_: what trained, layer by layer.
    """

    __module__ = "tightfit.estimator"  # what pickles and skops name, whatever this file is called

    def __init__(
        self,
        *,
        budget: int | str | None = None,
        recipe: str = DEFAULT_RECIPE,
        minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
        model: str | list[str] | None = None,
        text_column: str | list[str] | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            budget=budget,
            recipe=recipe,
            minutes=minutes,
            settings=settings,
            model=model,
            text_column=text_column,
            random_state=random_state,
            verbose=verbose,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on texts and their classes.

        Args:
            X: N texts.
            y: N classes; or where texts may have several labels N lists of them, or 0 and 1 for
                each, (N, K), sparse or not.
            sample_weight: how much each row counts in the loss, the head's start and the scores:
                one of weight 0 is left out, one of weight 2 is two; None is 1 each.

        Raises:
            ValueError: texts, classes or parameters cannot be used.
            TightfitError: nothing was wrong with them, but the training failed.
        """
        y = dense(y)
        table, classes = labelled_rows(
            X,
            y,
            text_column=self.text_column,
            pair=self._asked.pair,
            sample_weight=sample_weight,
            class_weight=self.class_weight,
        )
        self._check_declared(table)
        self._train(table, X)
        self.classes_ = classes
        self._as_lists = table.label_sets is not None and getattr(y, "ndim", 1) != 2
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each text, of the kind that ``y`` had; of several labels a text 0 and 1 for
        each, ``given_NK``, or a list where ``y`` had lists."""
        said = self._predictions(X)
        if self.run_.task.one_class:
            return self._classes(said.probabilities)
        if not self._as_lists:
            return said.given.astype(np.int64)
        found = np.empty(len(said), dtype=object)
        found[:] = [self.classes_[ids].tolist() for ids in said.ids]
        return found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy; of several labels a text, the share of texts whose labels are all right."""
        check_is_fitted(self)
        y = dense(y)
        if not self._as_lists or getattr(y, "ndim", 1) == 2:
            return super().score(X, y, sample_weight)
        given = self.predict(X)
        check_consistent_length(given, y, sample_weight)
        right_N = [set(own) == set(due) for own, due in zip(given, y, strict=True)]
        return float(np.average(right_N, weights=sample_weight))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """``probabilities_NK``, columns in the order of ``classes_``, calibrated where possible."""
        return self._predictions(X).probabilities

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Logits: ``logits_NK``; of two classes the second's less the first's, N numbers."""
        check_is_fitted(self)
        with as_scikit_learn():
            logits_NK = self.run_.predictor.logits(self._texts(X)).astype(np.float64)
        two = len(self.classes_) == 2 and self.run_.task.one_class
        return logits_NK[:, 1] - logits_NK[:, 0] if two else logits_NK

    def answer_frame(self, X: Any) -> Any:
        """A data frame: ``label``, and the probability of each class in a column of its name."""
        probabilities_NK = self.predict_proba(X)
        names = [f"probability_{name}" for name in self.classes_.tolist()]
        shares = dict(zip(names, probabilities_NK.T, strict=True))
        frame = require("pandas", "a data frame of answers").DataFrame
        return frame({"label": self._classes(probabilities_NK), **shares})

    def _check_declared(self, table: Table) -> None:
        """Refuse ``data.labels`` that would order the run's classes otherwise than ``classes_``.

        Names for the integers from 0 on do not.

        Raises:
            ValueError: they would, or there are others among them.
        """
        declared = self._asked.labels
        own, values = table.label_names or (), table.label_values or ()
        alike = len(declared) == len(own) and not set(declared) & set(own)
        counted = values == tuple(range(len(own))) and type(values[0]) is int
        if not declared or declared == own or (alike and counted):
            return
        raise ValueError(
            f"data.labels is {list(declared)}, but the classes of y are {list(own)}, "
            "in this order; leave it out of the settings"
        )

    def _classes(self, probabilities_NK: NDArray[np.float64]) -> NDArray[Any]:
        with as_scikit_learn():
            task = need_one_class(self.run_.task, "a data frame of answers")
        return self.classes_[task.answers(probabilities_NK)]
