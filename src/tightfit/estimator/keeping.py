"""Saving a fitted estimator: one file, or a folder that MLflow opens; its run travels within."""

from __future__ import annotations

import io
import os
import pickle
import shutil
import weakref
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, Protocol, Self, TypeVar

from sklearn.base import BaseEstimator

from tightfit.errors import ArtefactError, TightfitError, UsageError
from tightfit.extras import require
from tightfit.storage.files import read_bytes, write_bytes

MLFLOW_FILE = "estimator.pickle"
"""The fitted estimator within an MLflow model."""

Kept = TypeVar("Kept")


class AnswersInFrames(Protocol):
    """What an MLflow model is made of."""

    def answer_frame(self, X: Any) -> Any:
        """A data frame, one row a text."""


def write_pickle(fitted: object, path: Path) -> Path:
    """Write a fitted estimator as one file.

    Raises:
        MachineError: it cannot be written.
    """
    write_bytes(path, pickle.dumps(fitted))
    return path


def read_pickle(path: Path, kind: type[Kept]) -> Kept:
    """What :func:`write_pickle` wrote.

    Raises:
        ArtefactError: the file is something else.
        MachineError: it cannot be read.
    """
    try:
        found = pickle.loads(read_bytes(path))
    except (TightfitError, OSError):
        raise  # of the disk, or of what was read well
    except Exception as error:  # a damaged pickle may raise anything
        raise ArtefactError(
            "no estimator can be read from this file",
            seen=f"{path}: {error}",
            next_step="give a file that save() wrote",
        ) from error
    if not isinstance(found, kind):
        raise ArtefactError("the file holds something else", seen=type(found).__name__)
    return found


def write_mlflow(fitted: AnswersInFrames, path: Path, example: Any) -> Path:
    """Write a folder that ``mlflow.pyfunc.load_model`` opens, with signature and example.

    Raises:
        MissingExtraError: mlflow is not installed.
        UsageError: the folder is there already.
    """
    pyfunc = require("mlflow.pyfunc", "an MLflow model")
    frame = require("pandas", "an MLflow model").DataFrame
    rows = example if hasattr(example, "columns") else frame({"text": example})
    if path.exists():
        raise UsageError("there is something at this path already", seen=path)
    signature = require("mlflow.models", "an MLflow model").infer_signature(
        rows, fitted.answer_frame(rows)
    )
    with TemporaryDirectory() as folder:
        pyfunc.save_model(
            path,
            loader_module=__name__,  # models that were written before name it, too
            data_path=write_pickle(fitted, Path(folder) / MLFLOW_FILE),
            signature=signature,
            input_example=rows,
            pip_requirements=[f"tightfit[mlflow]=={version('tightfit')}"],
        )
    return path


class _MlflowModel:
    """A fitted estimator as MLflow's pyfunc asks it."""

    def __init__(self, fitted: AnswersInFrames) -> None:
        self.fitted = fitted

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The answers as a data frame."""
        return self.fitted.answer_frame(rows)


def _load_pyfunc(path: str) -> _MlflowModel:
    """What MLflow calls to open what :func:`write_mlflow` wrote."""
    return _MlflowModel(read_pickle(Path(path), BaseEstimator))


class TemporaryFolder:
    """A folder that is gone with the last who refers to it, and at the latest with the program.

    A process that was forked from the program, such as a worker of a server, leaves it alone.
    """

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="tightfit-"))
        weakref.finalize(self, _remove_own, self.path, os.getpid())

    def packed(self) -> bytes:
        """The files in it, as one archive."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(self.path.rglob("*")):
                if path.is_file():
                    archive.write(path, path.relative_to(self.path))
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, archive: bytes) -> Self:
        """What :meth:`packed` gave, in a folder of its own again."""
        folder = cls()
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            files.extractall(folder.path)
        return folder


def _remove_own(folder: Path, maker: int) -> None:
    """Remove a folder, in the process that made it."""
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)
