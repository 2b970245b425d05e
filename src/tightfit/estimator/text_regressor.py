"""A regressor of texts with scikit-learn's habits: a rating a text, with an interval around it.

Shapes: N texts.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin

from tightfit.data.sklearn_rows import rated_rows
from tightfit.estimator.text_estimator import TextEstimator


class TightfitRegressor(RegressorMixin, TextEstimator):
    """Adapters on a frozen encoder that rate texts, inside a hard budget of trainable parameters.

    ``X`` is what :class:`tightfit.TightfitClassifier` takes, ``y`` a number a text. ``score`` is
    R2, as of all regressors.

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
        random_state: a seed, or a generator to draw one from; None draws another for each fit.
        verbose: above 0, progress is told on standard error.

    Attributes:
        run_: the same :class:`tightfit.Run` as everywhere, with plan, proofs and scores.
        history_: a row for each evaluation while training.
        plan_: what trained, layer by layer.
    """

    __module__ = "tightfit.estimator"  # what pickles and skops name, whatever this file is called

    def fit(self, X: Any, y: Any, **refused: Any) -> Self:
        """Train on texts and their ratings.

        Args:
            X: N texts.
            y: N numbers.
            refused: ``sample_weight``, for which there is no place in this signature, so that
                others which ask for it find none and go another way.

        Raises:
            TypeError: rows have weights.
            ValueError: texts, ratings or parameters cannot be used.
            TightfitError: nothing was wrong with them, but the training failed.
        """
        if refused:
            raise TypeError(
                f"TightfitRegressor.fit takes no {' and no '.join(refused)}; rows may have weights "
                "where each has one class, in TightfitClassifier"
            )
        rows = rated_rows(X, y, text_column=self.text_column, pair=self._asked.pair)
        self._train(rows, X)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The rating of each text, ``values_N``, in the unit of ``y``."""
        return self._predictions(X).values

    def predict_interval(self, X: Any) -> NDArray[np.float64]:
        """Lower and upper end of what holds the true rating in 90% of cases, ``interval_N2``.

        By split-conformal prediction on the validation rows.

        Raises:
            ValueError: they were too few to tell.
        """
        said = self._predictions(X)
        if said.reach is None:
            raise ValueError("validation rows are too few for intervals; at least 9 are needed")
        return np.column_stack([said.low, said.high])

    def answer_frame(self, X: Any) -> Any:
        """A data frame: ``value``, and the ends of its interval, ``low`` and ``high``."""
        return self._predictions(X).to_frame()
