"""The page of the JSON names every key that commands print."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import tightfit
from tightfit.data.checks.findings import KINDS, Example, Findings
from tightfit.diagnosis import Devices, Finding, Report
from tightfit.engines.leave_one_out import Word
from tightfit.engines.parity import Loss, Parity
from tightfit.experiments.cells import Row
from tightfit.exporting.exported import Int8
from tightfit.exporting.vocabulary import Vocabulary
from tightfit.metrics.allowed_loss import Handover
from tightfit.metrics.label_scores import LabelScores, LabelSetScores
from tightfit.metrics.paired import Paired
from tightfit.metrics.ratings import PairedErrors, RatingScores
from tightfit.metrics.scores import ClassScores, Scores
from tightfit.model.adapter_audit import AdapterState, Audit
from tightfit.tasks.chosen_threshold import ChosenThreshold
from tightfit.training.summary import Continued, TrainSummary
from tightfit.verbs.comparison import Comparison
from tightfit.verbs.evaluation import Calibrated, Evaluation, OverSeeds
from tightfit.verbs.forecast import Forecast
from tightfit.verbs.imported_run import ImportResult
from tightfit.verbs.predict import PredictResult
from tightfit.verbs.runs import ListedRun, Score
from tightfit.verbs.write_export import ExportResult

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "json.md").read_text("utf-8")

RESULTS: dict[str, tuple[type[Any], ...]] = {
    "train": (TrainSummary, Continued, Forecast),
    "evaluate": (
        *(Evaluation, Scores, ClassScores, LabelSetScores, LabelScores, RatingScores),
        *(Calibrated, ChosenThreshold, OverSeeds, Paired, PairedErrors),
    ),
    "predict": (PredictResult, Word),
    "export": (ExportResult, Parity, Loss, Int8, Vocabulary, Handover),
    "audit": (Audit, AdapterState),
    "check": (Findings, Example),
    "compare": (Comparison, Row),
    "runs": (ListedRun, Score),
    "import": (ImportResult,),
    "doctor": (Report, Devices, Finding),
}
"""What each command prints, by the classes whose fields are its keys."""

OTHERWISE = {
    *("scores", "metric", "start"),  # under the names that they have
    *("found", "suspects"),  # by kind
    *("out", "caveats"),  # of exports, for Python
    "text",  # of a word, which is called so
    "without",
}
"""Fields that are no keys, or have another name there."""

RENAMED = {"confusion_at": "confusion_at_thresholds"}


def names_on(command: str) -> set[str]:
    """All words in code in a command's section, or in its row of the table."""
    section = re.search(rf"^### {command}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    row = re.search(rf"^\| `{command}` \|(.*)$", PAGE, re.MULTILINE)
    found = section or row
    assert found is not None, command
    return set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", found[1]))))


@pytest.mark.parametrize("command", RESULTS)
def test_every_field_of_a_result_is_on_the_page(command: str) -> None:
    """A field that is added to a result is a key that the page lacks."""
    keys = {each.name for result in RESULTS[command] for each in fields(result)} - OTHERWISE
    assert sorted({RENAMED.get(key, key) for key in keys} - names_on(command)) == []


def test_kinds_of_faults_are_on_the_page() -> None:
    """Each with its count."""
    assert set(KINDS) <= names_on("check")


@pytest.mark.parametrize("method", ["lora", "vera", "bias", "full", "none"])
def test_keys_of_a_plan_are_on_the_page(method: str) -> None:
    """Whatever trains, with a side head or without."""
    asked = [f"adapters.method={method}", "head.side=1000"]
    told = tightfit.plan("bert-base-uncased", budget="none", settings=asked).to_json()
    inner = [entry for value in told.values() if isinstance(value, list) for entry in value]
    keys = {key for entry in (told, *inner) if isinstance(entry, dict) for key in entry}
    assert sorted(keys - names_on("plan")) == []
