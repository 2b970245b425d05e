"""An estimator on a toy encoder, which takes a fraction of a second to fit, and its rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.toys import toy_rows
from tightfit import TightfitClassifier

COUNT = 36
ROWS = toy_rows(COUNT)
TEXTS = [row["text"] for row in ROWS]
IDS = np.arange(COUNT) % 3
TWO = np.array(["yes" if row["label"] == "sport" else "no" for row in ROWS])
WEIGHTS = np.arange(COUNT) % 3 + 0.5
SETTINGS = {
    **{"train.max_steps": 2, "optim.batch": 8, "data.validation_rows": 9, "train.folds": 0},
    **{"adapters.rank": 2, "adapters.targets": ["query"], "head.pooling": "first"},
    **{"optim.objective": "cross-entropy", "train.precision": "fp32"},
}
"""What makes a fit short: what is tested is how it is asked for, and kept."""


def toy_estimator(encoder: Path, **more: Any) -> TightfitClassifier:
    """With these parameters over those of all toys; ``settings`` add to :data:`SETTINGS`."""
    settings = {**SETTINGS, **more.pop("settings", {})}
    given = {"model": str(encoder), "random_state": 1, "settings": settings, **more}
    return TightfitClassifier(**given)
