"""Facts about a run for the page's tests: a real toy run's, with parts replaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tightfit import storage
from tightfit.reporting.facts import RunFacts, read_facts
from tightfit.tasks import SingleLabel
from tightfit.tasks.calibrate import calibrate
from tightfit.tasks.validation_logits import ValidationLogits

HOSTILE = (
    "<script>alert(1)</script>",
    "</style></title><img src=x onerror=alert(2)>",
    "\"'><svg onload=alert(3)>",
    "\u202egnp.exe\u202c\u200f {{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "javascript:alert(4)//\x00\x1b\ud800",
)
"""Texts and labels that try to run, to close what they stand in, or to turn the line around."""


def facts_of(run: Path) -> RunFacts:
    """What the page of a sealed run is made from."""
    folder = storage.open_run(run)
    manifest = storage.read_manifest(folder)
    return read_facts(folder, manifest.versions, manifest.base)


def with_outcomes(facts: RunFacts, labels: Sequence[str], texts: Sequence[str]) -> RunFacts:
    """The same run with these label names, every text of it answered wrongly or rightly by turns.

    Args:
        facts: of any run.
        labels: names, two or more.
        texts: the first of them are mistakes, one a label; they are repeated as often as needed.
    """
    task = SingleLabel.from_names(labels)
    rows = max(80, 2 * len(labels))
    true_N = np.arange(rows) % len(labels)
    given_N = np.where(np.arange(rows) < rows // 4, (true_N + 1) % len(labels), true_N)
    logits_NK = np.eye(len(labels), dtype=np.float32)[given_N] * 3
    validation_logits = ValidationLogits.gather(task, logits_NK, true_N, [*texts] * rows)
    scores = task.score(true_N, task.probabilities(logits_NK)).to_json()
    data: dict[str, Any] = {**facts.data, "train_counts": dict.fromkeys(labels, 7)}
    return replace(
        facts,
        labels=tuple(labels),
        validation_logits=validation_logits,
        calibration=calibrate(validation_logits),
        scores=scores,
        data=data,
    )


def hostile(facts: RunFacts) -> RunFacts:
    """The same run with every name and text that a user can choose turned against the page."""
    facts = with_outcomes(facts, HOSTILE, HOSTILE)
    data = {**facts.data, "source": HOSTILE[0], "note": HOSTILE[1], "warnings": list(HOSTILE)}
    evaluation = {**facts.scores, "data": HOSTILE[2]}
    return replace(
        facts,
        path=f"runs/{HOSTILE[1]}",
        data=data,
        base={**facts.base, "public_name": HOSTILE[0]},
        evaluations=[evaluation],
    )
