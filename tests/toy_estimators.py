"""Estimators on a toy encoder, which take a fraction of a second to fit, and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.toys import toy_rows
from tightfit import TightfitClassifier, TightfitRegressor

COUNT = 36
ROWS = toy_rows(COUNT)
TEXTS = [row["text"] for row in ROWS]
IDS = np.arange(COUNT) % 3
TWO = np.array(["yes" if row["label"] == "sport" else "no" for row in ROWS])
RATINGS = np.where(TWO == "yes", 4.0, 1.5) + IDS / 8
WEIGHTS = np.arange(COUNT) % 3 + 0.5
SETTINGS = {
    **{"train.max_steps": 2, "optim.batch": 8, "data.validation_rows": 0.1, "train.folds": 0},
    **{"adapters.rank": 2, "adapters.targets": ["query"], "head.pooling": "first"},
    **{"head.side": "off"},
    **{"optim.objective": "cross-entropy", "train.precision": "fp32"},
}
"""What makes a fit short: what is tested is how it is asked for, and kept."""


def toy_estimator(encoder: Path, **more: Any) -> TightfitClassifier:
    """With these parameters over those of all toys; ``settings`` add to :data:`SETTINGS`."""
    return TightfitClassifier(**_given(encoder, more))


def toy_regressor(encoder: Path, **more: Any) -> TightfitRegressor:
    """The same for ratings, with validation rows enough for intervals."""
    settings = {"data.validation_rows": 0.4, **more.pop("settings", {})}
    return TightfitRegressor(**_given(encoder, {**more, "settings": settings}))


def _given(encoder: Path, more: dict[str, Any]) -> dict[str, Any]:
    settings = {**SETTINGS, **more.pop("settings", {})}
    return {"model": str(encoder), "random_state": 1, "settings": settings, **more}
