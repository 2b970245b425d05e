"""A text classifier with scikit-learn's habits: it goes where scikit-learn's own estimators go.

Shapes: N texts, K classes, F width of the embeddings.
"""

from __future__ import annotations

import io
import pickle
import secrets
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from tightfit.budget.parameter_plan import Plan
from tightfit.config import DEFAULT_RECIPE
from tightfit.data.given_label_sets import label_sets
from tightfit.data.given_pairs import is_pair, pair_columns
from tightfit.data.table import Table
from tightfit.data.text_pair import TextPair
from tightfit.errors import ArtefactError, BudgetError, DataError, SettingsError, UsageError
from tightfit.progress import Progress, RichProgress
from tightfit.random_states import keep_random_states
from tightfit.run import Run
from tightfit.storage.files import read_bytes, write_bytes
from tightfit.tasks import SingleLabel
from tightfit.verbs.train import train

MOST_SEED = 2**32

RUN = "run"
"""The run's folder within that of the estimator."""


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

    @keep_random_states()
    def fit(self, X: Any, y: Any) -> Self:
        """Train on texts and their classes.

        Args:
            X: N texts.
            y: N classes; or where texts may have several labels N lists of them, or 0 and 1 for
                each, (N, K).

        Raises:
            ValueError: texts, classes or parameters cannot be used.
            TightfitError: nothing was wrong with them, but the training failed.
        """
        texts = self._texts(X)
        sets = label_sets(y)
        if sets is None:
            classes_N = _classes(y)
            check_consistent_length(texts, classes_N)
            classes, ids_N = np.unique(classes_N, return_inverse=True)
            rows = Table(texts, ids_N.tolist(), _names(classes))
        else:
            check_consistent_length(texts, sets.ids)
            classes = sets.classes
            rows = Table(texts, label_names=_names(classes), label_sets=sets.ids)
        if len(classes) < 2:
            raise ValueError(f"two classes or more are needed; y has 1 class: {classes[0]!r}")
        folder = _Folder()
        with _as_value_errors():
            train(
                rows,
                out=folder.path / RUN,
                budget=self.budget,
                recipe=self.recipe,
                minutes=self.minutes,
                model=self.model,
                seed=self._seed(),
                settings=dict(self.settings or {}),
                progress=RichProgress() if self.verbose else Progress(),
            )
        self.__dict__.pop("_run", None)
        self._folder = folder
        self.classes_ = classes
        self._as_lists = sets is not None and sets.as_lists
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
        with _as_value_errors():
            said: Any = self.run_.predict(self._texts(X))
        task = self.run_.task
        if isinstance(task, SingleLabel):
            return self.classes_[task.answers(said.probabilities)]
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
        with _as_value_errors():
            logits_NK = self.run_.predictor.logits(self._texts(X)).astype(np.float64)
        two = len(self.classes_) == 2 and self.run_.task.one_class
        return logits_NK[:, 1] - logits_NK[:, 0] if two else logits_NK

    def transform(self, X: Any) -> NDArray[np.float32]:
        """``embeddings_NF``: what the tuned encoder makes of each text, as the head reads it."""
        check_is_fitted(self)
        with _as_value_errors():
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

    @property
    def run_(self) -> Run:
        """The run, its classifier loaded once."""
        check_is_fitted(self, "_folder")
        run: Run | None = self.__dict__.get("_run")
        if run is None:
            run = self.__dict__["_run"] = Run.load(self._folder.path / RUN)
        return run

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
        state.pop("_run", None)
        folder = state.pop("_folder", None)
        return state if folder is None else {**state, "_archive": _pack(folder.path)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As it was; the run's files lie in a folder of their own again."""
        archive = state.pop("_archive", None)
        super().__setstate__(state)
        if archive is not None:
            self._folder = _unpacked(archive)

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

    def _probabilities(self, X: Any) -> NDArray[np.float64]:
        with _as_value_errors():
            return self.run_.predict(self._texts(X)).probabilities

    def _texts(self, X: Any) -> list[str]:
        """The texts, checked one by one.

        Raises:
            ValueError: they are something else, or there are none.
        """
        if dict(self.settings or {}).get("data.pair"):
            return self._pairs(X)
        if hasattr(X, "columns"):
            X = self._column(X)
        elif isinstance(X, str | bytes) or np.ndim(X) == 0:
            raise ValueError(f"X must be a list of texts, not one {type(X).__name__}; write [X]")
        elif getattr(X, "ndim", 1) != 1:
            raise ValueError(f"X must have one dimension, a text a row; its shape is {X.shape}")
        texts = list(X)
        if not texts:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(f"X must hold texts; row {row} is {text!r}")
        return [str(text) for text in texts]

    def _pairs(self, X: Any) -> list[str]:
        """The pairs of texts.

        Raises:
            ValueError: they are something else, or there are none.
        """
        if hasattr(X, "columns"):
            names = self._column_names(X)
            if len(names) != 2:
                raise ValueError(f"a pair is two columns; text_column is one of {list(X.columns)}")
            X = list(zip(*(X[name] for name in names), strict=True))
        rows = list(X)
        if not rows:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        for row, pair in enumerate(rows):
            if not is_pair(pair) or not all(isinstance(each, str) for each in tuple(pair)):
                raise ValueError(f"X must hold pairs of texts; row {row} is {pair!r}")
        return list(map(TextPair, *pair_columns(rows).values()))

    def _column(self, X: Any) -> list[str]:
        """Texts of a data frame."""
        columns = [list(X[name]) for name in self._column_names(X)]
        if len(columns) == 1:
            return columns[0]
        return [" ".join(map(str, parts)) for parts in zip(*columns, strict=True)]

    def _column_names(self, X: Any) -> list[str]:
        """The columns of the text in a data frame."""
        names = [self.text_column] if isinstance(self.text_column, str) else self.text_column
        if names is None:
            if len(X.columns) != 1:
                raise ValueError(f"name the texts: text_column is one of {list(X.columns)}")
            return list(X.columns)
        missing = [name for name in names if name not in X.columns]
        if missing:
            raise ValueError(f"no column {missing[0]!r} in X; it has {list(X.columns)}")
        return names

    def _seed(self) -> int:
        if self.random_state is None:
            return secrets.randbelow(MOST_SEED)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(MOST_SEED, dtype=np.uint32))


def _classes(y: Any) -> NDArray[Any]:
    """The class of each row, as an array.

    Raises:
        ValueError: there is none, or what is there names no class.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    classes_N = column_or_1d(y)
    if classes_N.dtype == object and any(each is None or each != each for each in classes_N):
        raise ValueError("Input y contains NaN.")
    assert_all_finite(classes_N, input_name="y")
    check_classification_targets(classes_N)
    return classes_N


def _names(classes: NDArray[Any]) -> tuple[str, ...]:
    """Names for people; where two classes would have one, each as Python writes it."""
    names = tuple(str(each) for each in classes.tolist())
    return names if len(set(names)) == len(names) else tuple(map(repr, classes.tolist()))


@contextmanager
def _as_value_errors() -> Iterator[None]:
    """What is wrong with rows and parameters, as scikit-learn expects to hear of it."""
    try:
        yield
    except (DataError, SettingsError, UsageError, BudgetError) as error:
        raise ValueError(str(error)) from error


def _pack(folder: Path) -> bytes:
    """The files below a folder, as one archive: small, since the base model is not among them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


class _Folder:
    """A folder that is gone with the last who refers to it, and at the latest with the program."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="tightfit-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def _unpacked(archive: bytes) -> _Folder:
    folder = _Folder()
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder.path)
    return folder
