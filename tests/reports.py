"""Runs for the page's tests: a real toy run, with parts replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tightfit.metrics.scores import Scores
from tightfit.run import Run
from tightfit.tasks import SingleLabel
from tightfit.tasks.calibrate import calibrate
from tightfit.tasks.validation_logits import ValidationLogits
from tightfit.training.summary import Evaluated

HOSTILE = (
    "<script>alert(1)</script>",
    "</style></title><img src=x onerror=alert(2)>",
    "\"'><svg onload=alert(3)>",
    "\u202egnp.exe\u202c\u200f {{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "javascript:alert(4)//\x00\x1b\ud800",
)
"""Texts and labels that try to run, to close what they stand in, or to turn the line around."""


def scores_of(run: Run) -> Scores:
    """On its validation rows, which a run from label names has not."""
    assert run.metrics.validation is not None
    return run.metrics.validation


def with_outcomes(run: Run, labels: Sequence[str], texts: Sequence[str]) -> Run:
    """The same run with these label names, every text of it answered wrongly or rightly by turns.

    Args:
        run: any.
        labels: names, two or more.
        texts: the first of them are mistakes, one a label; they are repeated as often as needed.
    """
    task = SingleLabel.from_names(labels)
    rows = max(80, 2 * len(labels))
    true_N = np.arange(rows) % len(labels)
    given_N = np.where(np.arange(rows) < rows // 4, (true_N + 1) % len(labels), true_N)
    logits_NK = np.eye(len(labels), dtype=np.float32)[given_N] * 3
    validation_logits = ValidationLogits.gather(task, logits_NK, true_N, [*texts] * rows)
    scores = task.score(true_N, task.probabilities(logits_NK))
    return run.with_parts(
        task=task,
        validation=validation_logits,
        calibration=calibrate(validation_logits),
        metrics=replace(run.metrics, validation=scores),
        data=replace(run.data, train_counts=dict.fromkeys(labels, 7)),
    )


def hostile(run: Run) -> Run:
    """The same run with every name and text that a user can choose turned against the page."""
    run = with_outcomes(run, HOSTILE, HOSTILE)
    base = {**run.manifest.base, "public_name": HOSTILE[0]}
    return run.with_parts(
        _path=Path(f"runs/{HOSTILE[1]}"),
        data=replace(run.data, source=HOSTILE[0], note=HOSTILE[1], warnings=HOSTILE),
        manifest=run.manifest.model_copy(update={"base": base}),
        evaluations=[Evaluated(HOSTILE[2], scores_of(run))],
    )
