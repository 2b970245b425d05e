"""tightfit fine-tunes a text classifier inside a hard trainable-parameter budget and ships it.

import tightfit

result = tightfit.train(frame, budget=100_000)
tightfit.Run.load(result.run).predict(["Stocks fell for a third day"]).labels

Each name is loaded when it is first asked for, so that ``plan`` answers without waiting for torch.
"""

from __future__ import annotations

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

from tightfit.extras import ensure_train, let_threads_sleep
from tightfit.random_states import keep_random_states, take_turn
from tightfit.torch_modes import usual_modes

if TYPE_CHECKING:
    from tightfit.diagnosis import examine as doctor
    from tightfit.estimator import TightfitClassifier, TightfitRegressor
    from tightfit.run import Run
    from tightfit.verbs.audit import audit
    from tightfit.verbs.check import CheckResult, check
    from tightfit.verbs.compare import compare
    from tightfit.verbs.comparison import Comparison
    from tightfit.verbs.dry_run import dry_run
    from tightfit.verbs.evaluate import evaluate
    from tightfit.verbs.evaluation import Evaluation
    from tightfit.verbs.export import export
    from tightfit.verbs.forecast import Forecast
    from tightfit.verbs.import_adapter import import_adapter
    from tightfit.verbs.imported_run import ImportResult
    from tightfit.verbs.make_cascade import CascadeResult, make_cascade
    from tightfit.verbs.plan import plan
    from tightfit.verbs.predict import PredictResult, predict
    from tightfit.verbs.report import report
    from tightfit.verbs.runs import RunList, runs
    from tightfit.verbs.train import train
    from tightfit.verbs.train_result import TrainResult
    from tightfit.verbs.write_export import ExportResult

__version__ = "0.1.0"

let_threads_sleep()

_HOMES = {
    "CascadeResult": "verbs.make_cascade:CascadeResult",
    "CheckResult": "verbs.check:CheckResult",
    "Comparison": "verbs.comparison:Comparison",
    "Evaluation": "verbs.evaluation:Evaluation",
    "ExportResult": "verbs.write_export:ExportResult",
    "Forecast": "verbs.forecast:Forecast",
    "ImportResult": "verbs.imported_run:ImportResult",
    "PredictResult": "verbs.predict:PredictResult",
    "Run": "run:Run",
    "RunList": "verbs.runs:RunList",
    "TightfitClassifier": "estimator:TightfitClassifier",
    "TightfitRegressor": "estimator:TightfitRegressor",
    "TrainResult": "verbs.train_result:TrainResult",
    "audit": "verbs.audit:audit",
    "check": "verbs.check:check",
    "compare": "verbs.compare:compare",
    "doctor": "diagnosis:examine",
    "dry_run": "verbs.dry_run:dry_run",
    "evaluate": "verbs.evaluate:evaluate",
    "export": "verbs.export:export",
    "import_adapter": "verbs.import_adapter:import_adapter",
    "make_cascade": "verbs.make_cascade:make_cascade",
    "plan": "verbs.plan:plan",
    "predict": "verbs.predict:predict",
    "report": "verbs.report:report",
    "runs": "verbs.runs:runs",
    "train": "verbs.train:train",
}
"""Where each public name is defined: ``module:name``."""

_TRAINING = {
    "CascadeResult",
    "Comparison",
    "Evaluation",
    "ExportResult",
    "Forecast",
    "ImportResult",
    "TightfitClassifier",
    "TightfitRegressor",
    "compare",
    "dry_run",
    "evaluate",
    "export",
    "import_adapter",
    "make_cascade",
    "report",
    "train",
}
"""Names that the base install, which reads runs and predicts, cannot give."""

_SEEDING = {"compare", "dry_run", "train"}
"""Those that seed the process's random generators."""

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
    "RunList",
    "TightfitClassifier",
    "TightfitRegressor",
    "TrainResult",
    "__version__",
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
    "runs",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _TRAINING:
        ensure_train(f"tightfit.{name}")
    module, _, attribute = _HOMES[name].partition(":")
    found = getattr(import_module(f"{__name__}.{module}"), attribute)
    if isinstance(found, FunctionType):
        found = (take_turn() if name in _SEEDING else keep_random_states())(usual_modes()(found))
        # Worker processes get a function by the name under which they can look it up.
        found.__module__, found.__qualname__ = __name__, name
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
