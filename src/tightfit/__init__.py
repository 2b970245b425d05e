"""tightfit fine-tunes a text classifier inside a hard trainable-parameter budget and ships it.

import tightfit

result = tightfit.train(frame, budget=100_000)
tightfit.Run.load(result.run).predict(["Stocks fell for a third day"]).labels
"""

from __future__ import annotations

from typing import Any

from tightfit import pipeline

__version__ = "0.1.0"

__all__ = ["__version__", *pipeline.__all__]


def __getattr__(name: str) -> Any:
    return getattr(pipeline, name)


def __dir__() -> list[str]:
    return sorted(__all__)
