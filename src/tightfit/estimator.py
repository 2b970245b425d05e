"""A text classifier with scikit-learn's habits: it goes where scikit-learn's own estimators go.

Shapes: N texts, K classes, F width of the embeddings.
"""

from __future__ import annotations

import os
import pickle
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from importlib.metadata import version
from multiprocessing import parent_process
from numbers import Integral
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import RLock
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from tightfit.budget.parameter_plan import Plan
from tightfit.config import DEFAULT_RECIPE
from tightfit.data.shared_tokens import SharedTokens, sharing_tokens
from tightfit.data.sklearn_rows import labelled_rows, texts_of
from tightfit.errors import ArtefactError, BudgetError, DataError, SettingsError, UsageError
from tightfit.extras import require
from tightfit.progress import Progress, RichProgress
from tightfit.random_states import keep_random_states
from tightfit.run import Run
from tightfit.storage.files import read_bytes, write_bytes
from tightfit.storage.temporary_folder import TemporaryFolder
from tightfit.tasks import need_one_class
from tightfit.verbs.train import train

MOST_SEED = 2**32

RUN = "run"
"""The run's folder within that of the estimator."""

MLFLOW_FILE = "estimator.pickle"
"""The fitted estimator within an MLflow model."""

_TOKENS = SharedTokens()
"""Of all estimators of this process; it has a limit."""

_FITTING = RLock()
"""Random numbers and torch's threads are those of the process: its fits take turns."""


class TightfitClassifier(
    ClassNamePrefixFeaturesOutMixin, ClassifierMixin, TransformerMixin, BaseEstimator
):
    """Adapters on a frozen encoder, inside a hard budget of trainable parameters.

    ``X`` is a list, an array or a Series of strings, or a data frame whose column
    ``text_column`` holds them; ``y`` whatever scikit-learn takes as classes, or several labels a
    text.

    Args:
        budget: most trainable parameters allowed; None takes the recipe's cap.
        recipe: where the settings start from.
        minutes: wall clock of one fit; None trains to the end of the schedule.
        settings: typed values by dotted name, such as ``{"optim.lr": 5e-4}``. With
            ``{"data.pair": True}`` a text is a pair: two columns, or tuples.
        model: Hub name, folder, or an embedded model; of several the one that suits the rows is
            chosen. None takes the recipe's.
        text_column: column of a data frame, or columns to join with a space.
        class_weight: how much the rows of each class count, or ``"balanced"``: by its inverse
            frequency. In the loss, the head's start and the scores on held-out rows.
        random_state: a seed, or a generator to draw one from; None draws another for each fit.
        verbose: above 0, progress is told on standard error.

    Attributes:
        classes_: the classes, sorted, as ``y`` had them.
        run_: the same :class:`tightfit.Run` as everywhere, with plan, proofs and scores.
        history_: a row for each evaluation while training.
        plan_: what trained, layer by layer.
    """

    def __init__(
        self,
        *,
        budget: int | None = None,
        recipe: str = DEFAULT_RECIPE,
        minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
        model: str | list[str] | None = None,
        text_column: str | list[str] | None = None,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.budget = budget
        self.recipe = recipe
        self.minutes = minutes
        self.settings = settings
        self.model = model
        self.text_column = text_column
        self.class_weight = class_weight
        self.random_state = random_state
        self.verbose = verbose

    @keep_random_states()
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on texts and their classes.

        Args:
            X: N texts.
            y: N classes; or where texts may have several labels N lists of them, or 0 and 1 for
                each, (N, K).
            sample_weight: how much each row counts in the loss, the head's start and the scores:
                one of weight 0 is left out, one of weight 2 is two; None is 1 each.

        Raises:
            ValueError: texts, classes or parameters cannot be used.
            TightfitError: nothing was wrong with them, but the training failed.
        """
        table, classes = labelled_rows(
            X,
            y,
            text_column=self.text_column,
            pair=self._pair,
            sample_weight=sample_weight,
            class_weight=self.class_weight,
        )
        folder = _RunFolder()
        if self.verbose:
            _say_threads()
        with _FITTING, _as_scikit_learn():
            train(
                table,
                out=folder.path / RUN,
                budget=self.budget,
                recipe=self.recipe,
                minutes=self.minutes,
                model=self.model,
                seed=self._seed(),
                settings=dict(self.settings or {}),
                progress=RichProgress() if self.verbose else Progress(),
            )
        self._folder = folder
        self.classes_ = classes
        self._as_lists = table.label_sets is not None and getattr(y, "ndim", 1) != 2
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Refused: a budget is spent on all rows at once.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "TightfitClassifier learns from all rows at once; to go on from a run with new rows, "
            "use tightfit.train(rows, from_run=run)"
        )

    def predict(self, X: Any) -> NDArray[Any]:
        """The class of each text, of the kind that ``y`` had; of several labels a text 0 and 1 for
        each, ``given_NK``, or a list where ``y`` had lists."""
        check_is_fitted(self)
        with _as_scikit_learn():
            said: Any = self.run_.predict(self._texts(X))
        if self.run_.task.one_class:
            return self._classes(said.probabilities)
        if not self._as_lists:
            given_NK: NDArray[np.int64] = said.given.astype(np.int64)
            return given_NK
        found = np.empty(len(said), dtype=object)
        found[:] = [self.classes_[ids].tolist() for ids in said.ids]
        return found

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """``probabilities_NK``, columns in the order of ``classes_``, calibrated where possible."""
        check_is_fitted(self)
        return self._probabilities(X)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Logits: ``logits_NK``; of two classes the second's less the first's, N numbers."""
        check_is_fitted(self)
        with _as_scikit_learn():
            logits_NK = self.run_.predictor.logits(self._texts(X)).astype(np.float64)
        two = len(self.classes_) == 2 and self.run_.task.one_class
        return logits_NK[:, 1] - logits_NK[:, 0] if two else logits_NK

    def transform(self, X: Any) -> NDArray[np.float32]:
        """``embeddings_NF``: what the tuned encoder makes of each text, as the head reads it."""
        check_is_fitted(self)
        with _as_scikit_learn():
            return self.run_.predictor.embeddings(self._texts(X))

    def save(self, path: str | Path) -> Path:
        """Write the fitted estimator as one file, without the base model; see :meth:`load`.

        Raises:
            MachineError: it cannot be written.
        """
        check_is_fitted(self)
        out = Path(path)
        write_bytes(out, pickle.dumps(self))
        return out

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What :meth:`save` wrote. It is a pickle: load only what you trust.

        Raises:
            ArtefactError: the file is something else.
            MachineError: it cannot be read.
        """
        try:
            found = pickle.loads(read_bytes(Path(path)))
        except (pickle.UnpicklingError, EOFError, AttributeError, ImportError) as error:
            raise ArtefactError(
                "no estimator can be read from this file",
                seen=f"{path}: {error}",
                next_step="give a file that save() wrote",
            ) from error
        if not isinstance(found, cls):
            raise ArtefactError("the file holds something else", seen=type(found).__name__)
        return found

    def save_mlflow(self, path: str | Path, example: Any) -> Path:
        """Write a folder that ``mlflow.pyfunc.load_model`` opens, with signature and example.

        It needs no training extras to answer: a data frame of texts becomes one with the column
        ``label`` and the probability of each class. The base model is not in it.

        Args:
            path: a folder that is not there yet.
            example: some rows as they will be asked for: a data frame, or a list of texts.

        Raises:
            MissingExtraError: mlflow is not installed.
            UsageError: the folder is there already.
        """
        check_is_fitted(self)
        pyfunc = require("mlflow.pyfunc", "an MLflow model")
        frame = require("pandas", "an MLflow model").DataFrame
        out, rows = Path(path), example if hasattr(example, "columns") else frame({"text": example})
        if out.exists():
            raise UsageError("there is something at this path already", seen=out)
        signature = require("mlflow.models", "an MLflow model").infer_signature(
            rows, _MlflowModel(self).predict(rows)
        )
        with TemporaryDirectory() as folder:
            pyfunc.save_model(
                out,
                loader_module=__name__,
                data_path=self.save(Path(folder) / MLFLOW_FILE),
                signature=signature,
                input_example=rows,
                pip_requirements=[f"tightfit[mlflow]=={version('tightfit')}"],
            )
        return out

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

    def _classes(self, probabilities_NK: NDArray[np.float64]) -> NDArray[Any]:
        with _as_scikit_learn():
            task = need_one_class(self.run_.task, "predict")
        return self.classes_[task.answers(probabilities_NK)]

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        with _as_scikit_learn():
            return self.run_.predict(self._texts(X)).probabilities

    def _texts(self, X: Any) -> list[str]:
        return texts_of(X, self.text_column, pair=self._pair)

    @property
    def _pair(self) -> bool:
        return bool(dict(self.settings or {}).get("data.pair"))

    def _seed(self) -> int:
        if self.random_state is None:
            return secrets.randbelow(MOST_SEED)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(MOST_SEED, dtype=np.uint32))


class _MlflowModel:
    """A fitted estimator as MLflow's pyfunc asks it."""

    def __init__(self, fitted: TightfitClassifier) -> None:
        self.fitted = fitted

    def predict(self, rows: Any, params: Mapping[str, Any] | None = None) -> Any:
        """A data frame: ``label``, and the probability of each class in a column of its name."""
        probabilities_NK = self.fitted.predict_proba(rows)
        names = [f"probability_{name}" for name in self.fitted.classes_.tolist()]
        shares = dict(zip(names, probabilities_NK.T, strict=True))
        frame = require("pandas", "an MLflow model").DataFrame
        return frame({"label": self.fitted._classes(probabilities_NK), **shares})


def _load_pyfunc(path: str) -> _MlflowModel:
    """What MLflow calls to open what :meth:`TightfitClassifier.save_mlflow` wrote."""
    return _MlflowModel(TightfitClassifier.load(path))


@cache
def _say_threads() -> None:
    """Once in a process that joblib started: that the others have the remaining threads."""
    threads = os.environ.get("OMP_NUM_THREADS")
    if parent_process() is not None and threads is not None:
        words = f"fits in this process have {threads} of {os.cpu_count()} threads"
        RichProgress().say(f"{words}; other processes fit at the same time")


@contextmanager
def _as_scikit_learn() -> Iterator[None]:
    """Folds of a search share their tokens, and what is wrong is told as scikit-learn tells it."""
    try:
        with sharing_tokens(_TOKENS):
            yield
    except (DataError, SettingsError, UsageError, BudgetError) as error:
        raise ValueError(str(error)) from error


class _RunFolder(TemporaryFolder):
    @cached_property
    def run(self) -> Run:
        """The run that lies in it, its classifier loaded once."""
        return Run.load(self.path / RUN)
