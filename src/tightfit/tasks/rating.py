"""A rating a text: its targets are numbers, its answers numbers with an interval around them.

The head learns standardised ratings, so that one learning rate suits stars and prices alike: logits
are in standard deviations from the mean. :attr:`Task.unit` turns them into ratings.

Shapes: N rows, B rows of a batch, F width of the features that the head reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tightfit.data.table import Table
from tightfit.errors import ArtefactError, DataError, SettingsError
from tightfit.tasks.labelled_rows import LabelledRows
from tightfit.tasks.predictions import LabelFormat, Predictions
from tightfit.tasks.task import Array, Task, Weights

if TYPE_CHECKING:
    import torch

    from tightfit.metrics.calibration import Scale, Temperature
    from tightfit.metrics.ratings import PairedErrors, RatingScores
    from tightfit.tasks.linear_probe import LinearMap, RidgeProblem

NAME = "rating"
"""Of the head's one output."""

BINS = 10
"""Quantiles that a stratified split keeps in proportion, and ranges that rows are counted in."""

CLOSE = 0.01
"""Standard deviations within which two answers are called the same."""


@dataclass(frozen=True)
class Rating(Task):
    """A model that gives each text a number."""

    mean: float
    """Of the ratings that it was made from."""
    scale: float
    """Their standard deviation."""

    kind: ClassVar = "rating"
    problem_type: ClassVar = "regression"
    metric: ClassVar = "r2"
    limits: ClassVar = "Every text gets a rating, whether there is anything in it to rate or not."
    calibrates: ClassVar = False

    @classmethod
    def from_table(cls, table: Table, declared: tuple[str, ...] = ()) -> Rating:
        """The task that rated rows set.

        Raises:
            DataError: no ratings, or all of them are the same.
            SettingsError: labels are declared, which ratings have not.
        """
        if declared:
            raise SettingsError(
                "data.labels names classes, and ratings have none",
                seen=", ".join(declared),
                next_step="leave out data.labels, or data.task=rating",
            )
        ratings_N = _ratings(table)
        if np.ptp(ratings_N) == 0:
            raise DataError(
                "all rows have the same rating, from which nothing can be learned",
                seen=f"{ratings_N[0]:g} in {len(ratings_N):,} rows",
                next_step="choose the column of ratings with --label-column",
            )
        return cls(float(ratings_N.mean()), float(ratings_N.std()))

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Rating:
        """Read what :meth:`to_json` wrote.

        Raises:
            ArtefactError: it is something else.
        """
        mean: Any = saved.get("mean")
        scale: Any = saved.get("scale")
        numbers = isinstance(mean, float) and isinstance(scale, float)
        if not numbers or not isfinite(mean) or not isfinite(scale) or scale <= 0:
            raise ArtefactError("the saved scale of the ratings is damaged", seen=saved)
        return cls(mean, scale)

    def to_json(self) -> dict[str, Any]:
        """What ``labels.json`` keeps."""
        return {
            "task": self.kind,
            "names": list(self.names),
            "mean": self.mean,
            "scale": self.scale,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Of the head's one output."""
        return (NAME,)

    @property
    def unit(self) -> tuple[float, float]:
        """Scale and mean of the ratings."""
        return self.scale, self.mean

    # Targets

    def encode(self, table: Table) -> NDArray[np.float64]:
        """The rating of each row, ``targets_N``, as it was given.

        Raises:
            DataError: there are no ratings.
        """
        return _ratings(table)

    def strata(self, targets_N: NDArray[np.float64]) -> list[int]:
        """The tenth that each rating is in; of few different ratings, each is one."""
        different = np.unique(targets_N)
        if len(different) <= BINS:
            return np.searchsorted(different, targets_N).tolist()
        edges = np.unique(np.quantile(targets_N, np.arange(1, BINS) / BINS))
        return np.searchsorted(edges, targets_N, side="right").tolist()

    def identities(self, targets_N: NDArray[np.float64]) -> list[int]:
        """The place of each among the different ratings."""
        return np.unique(targets_N, return_inverse=True)[1].tolist()

    def counts(self, targets_N: NDArray[np.float64]) -> dict[str, int]:
        """Rows in each of some ranges of equal width."""
        low, high = float(targets_N.min()), float(targets_N.max())
        edges = np.linspace(low, high, BINS + 1)
        inside_N = np.clip(np.searchsorted(edges, targets_N, side="right") - 1, 0, BINS - 1)
        counts = np.bincount(inside_N, minlength=BINS).tolist()
        return {
            f"{start:.3g} to {end:.3g}": count
            for start, end, count in zip(edges, edges[1:], counts, strict=False)
        }

    def words(self, targets_N: NDArray[np.float64]) -> list[str]:
        """Each rating as people write it."""
        return [f"{rating:.6g}" for rating in targets_N.tolist()]

    # Training

    def row_losses(
        self,
        logits_B1: torch.Tensor,
        targets_B: torch.Tensor,
        label_smoothing: float = 0.0,
        weights_K: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The squared error of each row, in standard deviations; nothing is smoothed or weighed."""
        return (logits_B1[:, 0] - self._standardised(targets_B).to(logits_B1.dtype)).square()

    @property
    def chance_loss(self) -> float:
        """The loss of who answers the mean."""
        return 1.0

    def constant_loss(
        self, trained_N: NDArray[np.float64], targets_N: NDArray[np.float64]
    ) -> float:
        """The loss of who answers the mean of the training rows."""
        return float((((targets_N - trained_N.mean()) / self.scale) ** 2).mean())

    def fit_probe(
        self,
        features_NF: NDArray[np.float32],
        rows: LabelledRows,
        *,
        balanced: bool,
    ) -> LinearMap:
        """A ridge, its penalty chosen by leave-one-out."""
        return self.head_problem(features_NF, rows).solve()

    def head_problem(
        self,
        features_NF: NDArray[Any],
        rows: LabelledRows,
        *,
        balanced: bool = False,
    ) -> RidgeProblem:
        """A ridge, as of the probe; ratings have no classes to balance."""
        from tightfit.tasks.linear_probe import RidgeProblem

        return RidgeProblem.of(features_NF, self.wanted(rows.targets), rows.alike_N)

    def row_scores(self, values_N1: Array, targets_N: Array) -> Array:
        """1 less the squared error in standard deviations: the mean is the R2 of these rows against
        the mean of all."""
        return 1.0 - (values_N1[:, 0] - self._standardised(targets_N)) ** 2

    def metric_of(self, mean_score: float, targets_N: NDArray[np.float64]) -> float:
        """R2 of these rows against their own mean, as their other scores have it; where all have
        one rating against the mean of all that the scale was made from."""
        spread = float(np.var(targets_N)) / self.scale**2
        return 1.0 - (1.0 - mean_score) / (spread or 1.0)

    def wanted(self, targets_N: NDArray[np.float64]) -> NDArray[np.float64]:
        """Ratings, standardised, ``(N, 1)``."""
        return self._standardised(targets_N)[:, None]

    def _standardised(self, targets_N: Array) -> Array:
        return (targets_N - self.mean) / self.scale

    # Answers

    def probabilities(self, logits_N1: ArrayLike, temperature: Scale = 1.0) -> NDArray[np.float64]:
        """The logits as they are: a rating has no probability."""
        return np.asarray(logits_N1, dtype=np.float64)

    def values(self, logits_N1: ArrayLike) -> NDArray[np.float64]:
        """Ratings, ``values_N``, in the unit in which they were given."""
        return self.mean + self.scale * self.probabilities(logits_N1)[:, 0]

    def predictions(self, probabilities_NK: NDArray[np.float64], **more: Any) -> RatingPredictions:
        """What users get; ``more`` are the other fields of :class:`Predictions`."""
        return RatingPredictions(self, probabilities_NK, **more)

    def answer_columns(self, label_format: LabelFormat) -> dict[str, type]:
        """The rating, and the ends of its interval."""
        return {"value": float, "low": float, "high": float}

    def spelt(self, label_format: LabelFormat | None) -> tuple[int | str, ...]:
        """None: ratings are no labels."""
        return ()

    # Scores

    def score(
        self,
        targets_N: ArrayLike,
        probabilities_NK: ArrayLike,
        thresholds: Mapping[int, float] | None = None,
        weights_N: Weights = None,
    ) -> RatingScores:
        """All scores, with intervals; see :func:`tightfit.metrics.ratings.score_ratings`."""
        from tightfit.metrics.ratings import score_ratings

        return score_ratings(targets_N, self.values(probabilities_NK))

    def scores_type(self) -> type[RatingScores]:
        """Of :meth:`score`."""
        from tightfit.metrics.ratings import RatingScores

        return RatingScores

    def compare(
        self, targets_N: NDArray[np.float64], ours: Predictions, theirs: Predictions
    ) -> tuple[PairedErrors, ...]:
        """By mean absolute error, and by rank correlation."""
        from tightfit.metrics.ratings import compare_ratings

        # By its own task: a run on other rows has another mean and scale.
        found = (each.task.values(each.probabilities) for each in (ours, theirs))
        return (compare_ratings(targets_N, *found),)

    def agreement(self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any]) -> float:
        """The share of rows rated the same, but for a hundredth of a standard deviation."""
        return float((np.abs(ours_NK - theirs_NK)[:, 0] <= CLOSE).mean())

    def expected_loss(
        self, ours_NK: NDArray[Any], theirs_NK: NDArray[Any], temperature: Scale
    ) -> float:
        """Of R2, where the difference has nothing to do with our errors."""
        return float(((theirs_NK - ours_NK) ** 2).mean())

    def fit_temperature(
        self, logits_N1: ArrayLike, targets_N: ArrayLike, weights_N: Weights = None
    ) -> Temperature[float]:
        """None: only the mean loss is told."""
        from tightfit.metrics.calibration import Temperature

        scores_N = self.row_scores(self.probabilities(logits_N1), np.asarray(targets_N))
        loss = float(1.0 - scores_N.mean())
        return Temperature(1.0, loss, loss, "ratings have no probabilities")

    def calibration_error(
        self,
        targets_N: NDArray[np.float64],
        probabilities_NK: NDArray[Any],
        weights_N: Weights = None,
    ) -> float:
        """None: there is no confidence."""
        return 0.0

    def calibration_error_by_chance(
        self, probabilities_NK: NDArray[Any], weights_N: Weights = None
    ) -> float:
        """Likewise."""
        return 0.0


@dataclass(frozen=True, repr=False)
class RatingPredictions(Predictions):
    """The rating of each text, and the interval that holds the true one in 90% of cases."""

    @property
    def values(self) -> NDArray[np.float64]:
        """Ratings, one a text, in the unit in which they were given."""
        return self.task.values(self.probabilities)

    @property
    def low(self) -> NDArray[np.float64] | None:
        """Lower ends of the intervals, where there are any."""
        return None if self.reach is None else self.values - self.reach

    @property
    def high(self) -> NDArray[np.float64] | None:
        """Upper ends likewise."""
        return None if self.reach is None else self.values + self.reach

    @property
    def confidence(self) -> NDArray[np.float64]:
        """1 throughout: every text is rated, and the interval tells how well."""
        return np.ones(len(self))

    def right(self, targets_N: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether each rating lies in its interval; none does where there are no intervals."""
        reach = -1.0 if self.reach is None else self.reach
        return np.abs(self.values - targets_N) <= reach

    def words(self) -> list[str]:
        """Each rating, to three digits."""
        return [f"{rating:.3g}" for rating in self.told()]

    def told(self, label_format: LabelFormat | None = None) -> list[float]:
        """The ratings."""
        return self.values.tolist()

    def answers(self, label_format: LabelFormat | None = None) -> list[dict[str, Any]]:
        """Rating and interval of each text."""
        reach = self.reach
        return [
            {"value": x, "low": None, "high": None}
            if reach is None
            else {"value": x, "low": x - reach, "high": x + reach}
            for x in self.told()
        ]

    def __repr__(self) -> str:
        if not len(self):
            return "Predictions(0 texts)"
        values = self.values
        middle, low, high = float(np.median(values)), float(values.min()), float(values.max())
        return f"Predictions({len(self):,} texts: {low:.3g} to {high:.3g}, median {middle:.3g})"


def _ratings(table: Table) -> NDArray[np.float64]:
    if not table.labels:
        raise DataError(
            f"{table.source} has no ratings", next_step="choose them with --label-column"
        )
    return np.asarray(table.labels, dtype=np.float64)
