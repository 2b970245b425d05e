"""What the classifier and the regressor of texts share: parameters, training, embeddings, keeping.

Shapes: N texts, F width of the embeddings.
"""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from multiprocessing import parent_process
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tightfit.budget.parameter_plan import Plan
from tightfit.config import DEFAULT_RECIPE, Data, load_config
from tightfit.data.shared_work import SharedWork, sharing
from tightfit.data.sklearn_rows import texts_of
from tightfit.data.table import Table
from tightfit.errors import BudgetError, DataError, SettingsError, UsageError
from tightfit.estimator.keeping import TemporaryFolder, read_pickle, write_mlflow, write_pickle
from tightfit.progress import Patient, Progress, RichProgress
from tightfit.random_states import take_turn
from tightfit.run import Run
from tightfit.torch_modes import usual_modes
from tightfit.verbs.train import train

MOST_SEED = 2**32

RUN = "run"
"""The run's folder within that of the estimator."""

_SHARED = SharedWork()
"""By all estimators of this process; it has a limit."""


class TextEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Adapters on a frozen encoder, inside a hard budget of trainable parameters."""

    def __init__(
        self,
        *,
        budget: int | str | None = None,
        recipe: str = DEFAULT_RECIPE,
        minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
        model: str | list[str] | None = None,
        text_column: str | list[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.budget = budget
        self.recipe = recipe
        self.minutes = minutes
        self.settings = settings
        self.model = model
        self.text_column = text_column
        self.random_state = random_state
        self.verbose = verbose

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Refused: a budget is spent on all rows at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            f"{type(self).__name__} learns from all rows at once; to go on from a run with new "
            "rows, use tightfit.train(rows, from_run=run)"
        )

    def transform(self, X: Any) -> NDArray[np.float32]:
        """``embeddings_NF``: what the tuned encoder makes of each text, as the head reads it."""
        check_is_fitted(self)
        with as_scikit_learn():
            return self.run_.predictor.embeddings(self._texts(X))

    def save(self, path: str | Path) -> Path:
        """Write the fitted estimator as one file, without the base model; see :meth:`load`.

        Raises:
            MachineError: it cannot be written.
        """
        check_is_fitted(self)
        return write_pickle(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What :meth:`save` wrote. It is a pickle: load only what you trust.

        Raises:
            ArtefactError: the file is something else.
            MachineError: it cannot be read.
        """
        return read_pickle(Path(path), cls)

    def save_mlflow(self, path: str | Path, example: Any) -> Path:
        """Write a folder that ``mlflow.pyfunc.load_model`` opens, with signature and example.

        It needs no training extras to answer: a data frame of texts becomes that of
        :meth:`answer_frame`. The base model is not in it.

        Args:
            path: a folder that is not there yet.
            example: some rows as they will be asked for: a data frame, or a list of texts.

        Raises:
            MissingExtraError: mlflow is not installed.
            UsageError: the folder is there already.
        """
        check_is_fitted(self)
        return write_mlflow(self, Path(path), example)

    @abstractmethod
    def answer_frame(self, X: Any) -> Any:
        """The answers as a data frame, one row a text.

        Raises:
            MissingExtraError: pandas is not installed.
        """

    @property
    def run_(self) -> Run:
        """The run, its classifier loaded once."""
        check_is_fitted(self, "_folder")
        return self._folder.run

    @property
    def history_(self) -> list[dict[str, Any]]:
        """A row for each evaluation while training."""
        return self.run_.history

    @property
    def plan_(self) -> Plan:
        """What trained, layer by layer."""
        return self.run_.plan

    def __getstate__(self) -> dict[str, Any]:
        """Parameters, classes, and the run's files as one archive."""
        state: dict[str, Any] = {**super().__getstate__()}
        folder = state.pop("_folder", None)
        return state if folder is None else {**state, "_archive": folder.packed()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it was; the run's files lie in a folder of their own again."""
        archive = state.pop("_archive", None)
        super().__setstate__(state)
        if archive is not None:
            self._folder = _RunFolder.unpacked(archive)

    def __sklearn_is_fitted__(self) -> bool:
        return "_folder" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        """Texts are read, one a row."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.non_deterministic = self.random_state is None
        return tags

    @property
    def _n_features_out(self) -> int:
        """Width of the embeddings, for the names that scikit-learn gives to columns."""
        return self.run_.predictor.width

    @take_turn()
    @usual_modes()
    def _train(self, table: Table, X: Any) -> None:
        """Train on these rows, in a temporary folder that goes with the estimator.

        Args:
            table: the rows.
            X: their texts as they were given.
        """
        folder = _RunFolder()
        if self.verbose:
            _say_threads()
        with as_scikit_learn():
            train(
                table,
                out=folder.path / RUN,
                budget=self.budget,
                recipe=self.recipe,
                minutes=self.minutes,
                model=self.model,
                seed=self._seed(),
                settings=dict(self.settings or {}),
                progress=RichProgress() if self.verbose else _quiet(),
            )
        self._folder = folder
        self._columns = list(getattr(X, "columns", []))

    def _predictions(self, X: Any) -> Any:
        """What the run says of these texts: predictions of its own kind."""
        check_is_fitted(self)
        with as_scikit_learn():
            return self.run_.predict(self._texts(X))

    def _texts(self, X: Any) -> list[str]:
        names = self.text_column
        if names is None and hasattr(X, "columns"):
            # The first text of a pair is the column that was the first, wherever it stands now.
            fitted = getattr(self, "_columns", [])
            names = fitted if fitted and all(name in X.columns for name in fitted) else None
        return texts_of(X, names, pair=self.run_.config.data.pair)

    @property
    def _asked(self) -> Data:
        """What the parameters say of rows.

        Raises:
            ValueError: there is a mistake in them.
        """
        own = {"budget": self.budget, "model": self.model, "minutes": self.minutes}
        with as_scikit_learn():
            # All of them: one may be a mistake without another.
            return load_config(self.recipe, self.settings or {}, **own).data

    def _seed(self) -> int:
        if self.random_state is None:
            return secrets.randbelow(MOST_SEED)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(MOST_SEED, dtype=np.uint32))


@cache
def _quiet() -> Progress:
    """For all fits of a process: one line among them, since most are part of a search."""
    return Patient(
        "tightfit is training; verbose=1 tells how far a fit is, minutes=… bounds its time"
    )


@cache
def _say_threads() -> None:
    """Once in a process that joblib started: that the others have the remaining threads."""
    threads = os.environ.get("OMP_NUM_THREADS")
    if parent_process() is not None and threads is not None:
        words = f"fits in this process have {threads} of {os.cpu_count()} threads"
        RichProgress().say(f"{words}; other processes fit at the same time")


@contextmanager
def as_scikit_learn() -> Iterator[None]:
    """Fits of a search share work, and what is wrong is told as scikit-learn tells it."""
    try:
        with sharing(_SHARED):
            yield
    except (DataError, SettingsError, UsageError, BudgetError) as error:
        # What is a column elsewhere is given by itself here.
        raise ValueError(str(error).replace("label_column=…", "y")) from error


class _RunFolder(TemporaryFolder):
    @cached_property
    def run(self) -> Run:
        """The run that lies in it, its classifier loaded once."""
        return Run.load(self.path / RUN)
