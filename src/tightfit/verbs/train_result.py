"""What a finished training is worth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit.display import Shown, score_value
from tightfit.run import Run
from tightfit.training.summary import TrainSummary


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainResult(Shown, TrainSummary):
    """What a finished training is worth, and where it lies."""

    run: Path

    def __fspath__(self) -> str:
        """The run's folder: a result may be given wherever the path of a run is taken."""
        return str(self.run)

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit train --json`` prints; what is as ever goes without saying."""
        return {"run": str(self.run), **self.told()}

    def shown(self) -> dict[str, object]:
        """Where it is, how good and how large it is, and whether each proof holds."""
        holding = sum(proof["ok"] for proof in self.proofs.values())
        name, score = next(iter(self.scores.items()))
        return {
            "run": self.run,
            name: "unknown" if self.source is None else score_value(name, score),
            "parameters": f"{self.total:,}",
            "proofs": f"{holding} of {len(self.proofs)} hold",
        }


def read_result(path: Path) -> TrainResult:
    """The result of a finished run.

    Raises:
        ArtefactError: the run is incomplete or damaged.
    """
    return TrainResult(run=path, **vars(Run.open(path).metrics.train))
