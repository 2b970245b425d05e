"""One short function a verb: the only package that knows the order of things.

These functions are the Python API. Each is loaded when it is first asked for, so that ``plan``
answers without waiting for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tightfit.pipeline.cascading import CascadeResult, make_cascade
    from tightfit.pipeline.checking import audit, doctor
    from tightfit.pipeline.comparing import Comparison, compare
    from tightfit.pipeline.exporting import ExportResult, export
    from tightfit.pipeline.fitting import TrainResult, train
    from tightfit.pipeline.forecasting import Forecast, dry_run
    from tightfit.pipeline.importing import ImportResult, import_adapter
    from tightfit.pipeline.inspecting import CheckResult, check
    from tightfit.pipeline.planning import plan
    from tightfit.pipeline.predicting import PredictResult, Run, predict
    from tightfit.pipeline.reporting import report
    from tightfit.pipeline.scoring import Evaluation, evaluate

__all__ = [
    "CascadeResult",
    "CheckResult",
    "Comparison",
    "Evaluation",
    "ExportResult",
    "Forecast",
    "ImportResult",
    "PredictResult",
    "Run",
    "TrainResult",
    "audit",
    "check",
    "compare",
    "doctor",
    "dry_run",
    "evaluate",
    "export",
    "import_adapter",
    "make_cascade",
    "plan",
    "predict",
    "report",
    "train",
]

_HOMES = {
    "planning": ("plan",),
    "fitting": ("TrainResult", "train"),
    "forecasting": ("Forecast", "dry_run"),
    "scoring": ("Evaluation", "evaluate"),
    "predicting": ("PredictResult", "Run", "predict"),
    "importing": ("ImportResult", "import_adapter"),
    "comparing": ("Comparison", "compare"),
    "exporting": ("ExportResult", "export"),
    "reporting": ("report",),
    "inspecting": ("CheckResult", "check"),
    "cascading": ("CascadeResult", "make_cascade"),
    "checking": ("audit", "doctor"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
