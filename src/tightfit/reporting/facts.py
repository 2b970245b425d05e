"""Everything that the page tells, as the run folder has it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tightfit import storage
from tightfit.budget.parameter_plan import Plan
from tightfit.cascade.two_stage import CASCADE, read_cascade_facts
from tightfit.config import Config, Decisions
from tightfit.errors import ArtefactError
from tightfit.tasks import read_task
from tightfit.tasks.calibrate import Calibration, read_calibration
from tightfit.tasks.settings_in import settings_in
from tightfit.tasks.validation_logits import ValidationLogits, read_validation_logits


@dataclass(frozen=True)
class RunFacts:
    """One run, read and parsed; the dictionaries are those of its JSON files."""

    path: str
    """Of the run, as its owner wrote it."""
    config: Config
    decisions: Decisions
    plan: Plan
    labels: tuple[str, ...]
    data: dict[str, Any]
    history: list[dict[str, Any]]
    train: dict[str, Any]
    """What training took."""
    scores: dict[str, Any]
    """On the validation rows."""
    proofs: dict[str, dict[str, Any]]
    validation_logits: ValidationLogits | None
    """Row by row; runs of before this was kept have none."""
    calibration: Calibration | None
    evaluations: list[dict[str, Any]]
    """On other rows, since the run was sealed."""
    versions: dict[str, str]
    base: dict[str, str]
    cascade: dict[str, Any] | None = None
    """Figures of its cascade, where one was made."""

    @property
    def changes(self) -> dict[str, float]:
        """Norm of what each adapter changed in its layer's weight, by layer."""
        found: dict[str, float] = self.proofs.get("movement", {}).get("adapters", {})
        return found

    @property
    def dead(self) -> list[str]:
        """Layers whose adapter never changed anything."""
        return [name for name, change in self.changes.items() if not change > 0]

    @property
    def frozen(self) -> int | None:
        """Parameters that did not train, where that was recorded."""
        found: int | None = self.proofs.get("gates", {}).get("frozen")
        return found


def read_facts(
    folder: storage.RunFolder, versions: Mapping[str, str], base: Mapping[str, str]
) -> RunFacts:
    """Read a run that is complete, sealed or about to be.

    Args:
        folder: the run.
        versions: of the libraries that trained it.
        base: the identity of its base model.

    Raises:
        ArtefactError: a file is missing or damaged.
    """
    metrics, task = storage.read_json(folder.metrics), read_task(storage.read_json(folder.labels))
    config, decisions = settings_in(folder)
    return RunFacts(
        path=str(folder.root),
        config=config,
        decisions=decisions,
        plan=Plan.from_json(storage.read_json(folder.plan)),
        labels=task.names,
        data=storage.read_json(folder.data),
        history=_read_history(folder),
        train=metrics["train"],
        scores=metrics["validation"],
        proofs=storage.read_json(folder.proofs),
        validation_logits=read_validation_logits(folder.validation, task),
        calibration=read_calibration(folder, task),
        evaluations=_read_evaluations(folder),
        versions=dict(versions),
        base=dict(base),
        cascade=read_cascade_facts(folder.derived / CASCADE),
    )


def _read_history(folder: storage.RunFolder) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in folder.history.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise ArtefactError(
            "the history of the run cannot be read", seen=f"{folder.history}: {error}"
        ) from error


def _read_evaluations(folder: storage.RunFolder) -> list[dict[str, Any]]:
    found = sorted(folder.derived.glob("evaluation-*.json"))
    return [storage.read_derived(folder, path.stem) for path in found]
