"""The regressor in scikit-learn's places; what it shares with the classifier is tested there."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_regressor
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import estimator_checks, get_tags

from tests.estimator.test_sklearn_checks import THEIRS
from tests.toy_estimators import COUNT, RATINGS, SETTINGS, TEXTS, TWO, toy_regressor
from tightfit import TightfitClassifier, TightfitRegressor
from tightfit.errors import ArtefactError
from tightfit.estimator import keeping

# Two steps on a toy teach it little, and its texts are alike.
pytestmark = pytest.mark.filterwarnings(
    "ignore:no step did better than the start:UserWarning",
    "ignore:.* have a near copy:UserWarning",
)

Make = Callable[..., TightfitRegressor]

FRAME = pd.DataFrame({"n": range(COUNT), "words": TEXTS})


@pytest.fixture
def make(bert: Path) -> Make:
    """A regressor on a toy encoder."""
    return partial(toy_regressor, bert)


@pytest.fixture(scope="module")
def rated(bert: Path) -> TightfitRegressor:
    """Fitted once; not to be changed."""
    return toy_regressor(bert).fit(TEXTS, RATINGS)


def test_it_answers_in_the_unit_of_the_ratings(rated: TightfitRegressor) -> None:
    """And tells what was learnt, by the scores of ratings."""
    values_N = rated.predict(TEXTS)
    assert values_N.shape == (COUNT,)
    assert values_N.dtype == np.float64
    assert 0 < values_N.mean() < 6
    assert rated.score(TEXTS, RATINGS) == r2_score(RATINGS, values_N)
    assert rated.run_.task.kind == "rating"
    assert "eval_r2" in rated.history_[0]
    assert rated.plan_.num_labels == 1


def test_intervals_are_those_of_the_run(rated: TightfitRegressor) -> None:
    """The value in the middle, as wide as the validation rows make them."""
    interval_N2 = rated.predict_interval(TEXTS)
    assert np.allclose(interval_N2.mean(1), rated.predict(TEXTS))
    reach = rated.run_.predictor.reach
    assert reach is not None
    assert np.allclose(np.diff(interval_N2), 2 * reach)


def test_too_few_rows_for_intervals(make: Make) -> None:
    """In words; ratings there are."""
    one = make(settings={"data.validation_rows": 6}).fit(TEXTS, RATINGS)
    assert np.isfinite(one.predict(TEXTS)).all()
    with pytest.raises(ValueError, match="at least 9"):
        one.predict_interval(TEXTS)


def test_the_embeddings_are_what_the_head_reads(rated: TightfitRegressor) -> None:
    """The output layer over them gives the standardised ratings."""
    layer = rated.run_.model.network.head[-1].linear  # type: ignore[attr-defined]  # BERT's, known
    logits_N = (rated.transform(TEXTS) @ layer.weight_OI.T + layer.bias_O)[:, 0]
    scale, mean = rated.run_.task.unit
    assert np.allclose(mean + scale * logits_N, rated.predict(TEXTS), atol=1e-4)


FORMS: dict[str, Any] = {
    "integers": (np.round(RATINGS).astype(int), np.round(RATINGS)),
    "list": (RATINGS.tolist(), RATINGS),
    "series": (pd.Series(RATINGS), RATINGS),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_ratings_in_every_form(form: str, make: Make) -> None:
    """With texts of a frame: the same as floats in an array."""
    given, plain = FORMS[form]
    found = make(text_column="words").fit(FRAME, given)
    assert np.array_equal(found.predict(FRAME), make().fit(TEXTS, plain).predict(TEXTS))


def test_a_column_of_ratings_is_taken_with_a_warning(make: Make, rated: TightfitRegressor) -> None:
    """As in scikit-learn."""
    with pytest.warns(DataConversionWarning):
        one = make().fit(TEXTS, RATINGS[:, None])
    assert np.array_equal(one.predict(TEXTS), rated.predict(TEXTS))


FAULTS: dict[str, tuple[Any, str]] = {
    "infinite": (np.full(COUNT, np.inf), "infinity"),
    "missing": (np.where(TWO == "yes", np.nan, 1.0), "NaN"),
    "none": (None, "requires y to be passed"),
    "of another length": (RATINGS[1:], "inconsistent numbers"),
    "one rating": (np.ones(COUNT), "all rows have the same rating"),
    "several columns": (np.ones((COUNT, 2)), "1d array"),
    "words": (TWO, "could not convert string"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_bad_ratings(fault: str, make: Make) -> None:
    """scikit-learn's kind of error."""
    ratings, words = FAULTS[fault]
    with pytest.raises(ValueError, match=words):
        make().fit(TEXTS, ratings)


def test_weights_are_refused_in_words(make: Make) -> None:
    """And not in the signature: who looks for them there goes on without."""
    with pytest.raises(TypeError, match="takes no sample_weight; rows may have weights where each"):
        make().fit(TEXTS, RATINGS, sample_weight=np.ones(COUNT))
    assert "sample_weight" not in inspect.signature(make().fit).parameters
    with pytest.raises(NotImplementedError, match="TightfitRegressor learns from all rows"):
        make().partial_fit(TEXTS, RATINGS)


def test_not_fitted(make: Make, rated: TightfitRegressor) -> None:
    """Nor is a clone of what is fitted."""
    for name in ("predict", "predict_interval", "transform"):
        with pytest.raises(NotFittedError):
            getattr(clone(rated), name)(TEXTS)


def test_its_tags(make: Make) -> None:
    """A regressor, of texts."""
    tags = get_tags(make())
    assert is_regressor(make())
    assert tags.input_tags.string
    assert tags.target_tags.required


@pytest.mark.parametrize("name", THEIRS)
def test_their_checks_without_rows(name: str, bert: Path) -> None:
    """As scikit-learn calls them."""
    getattr(estimator_checks, name)("TightfitRegressor", toy_regressor(bert))


@pytest.mark.parametrize("kept", ["file", "pickle"])
def test_it_is_kept_with_its_run(kept: str, rated: TightfitRegressor, tmp_path: Path) -> None:
    """Under the public name, which skops is to trust; it is no classifier."""
    if kept == "file":
        other = TightfitRegressor.load(rated.save(tmp_path / "kept"))
    else:
        other = pickle.loads(pickle.dumps(rated))
    assert np.array_equal(other.predict_interval(TEXTS), rated.predict_interval(TEXTS))
    assert (
        f"{type(other).__module__}.{type(other).__name__}" == "tightfit.estimator.TightfitRegressor"
    )
    with pytest.raises(ArtefactError, match="holds something else"):
        TightfitClassifier.load(rated.save(tmp_path / "rated"))


def test_skops_needs_one_trusted_type(rated: TightfitRegressor) -> None:
    """The estimator itself."""
    skops: Any = pytest.importorskip("skops.io", reason="skops is not installed")
    kept = skops.dumps(rated)
    trusted = ["tightfit.estimator.TightfitRegressor"]
    assert skops.get_untrusted_types(data=kept) == trusted
    assert np.array_equal(skops.loads(kept, trusted=trusted).predict(TEXTS), rated.predict(TEXTS))


def test_what_mlflow_opens_answers_in_frames(rated: TightfitRegressor, tmp_path: Path) -> None:
    """Value and interval."""
    path = rated.save(tmp_path / keeping.MLFLOW_FILE)
    found = keeping._load_pyfunc(str(path)).predict(pd.DataFrame({"text": TEXTS}))
    assert list(found.columns) == ["value", "low", "high"]
    assert np.array_equal(found["value"], rated.predict(TEXTS))
    assert np.allclose(found[["low", "high"]], rated.predict_interval(TEXTS))


META: dict[str, Callable[[TightfitRegressor], Any]] = {
    "logarithms": lambda one: TransformedTargetRegressor(
        one, func=np.log, inverse_func=np.exp, check_inverse=False
    ),
    "pipeline": lambda one: make_pipeline(FunctionTransformer(list), one),
    "search": lambda one: GridSearchCV(
        one, {"settings": [{**SETTINGS, "optim.lr": lr} for lr in (1e-3, 1e-2)]}, cv=2
    ),
    "stacking": lambda one: StackingRegressor([("a", one)], Ridge(), cv=2),
    "voting": lambda one: VotingRegressor([("a", one), ("b", clone(one))]),
}


@pytest.mark.parametrize("name", sorted(META))
def test_in_other_estimators(name: str, make: Make) -> None:
    """Those that take regressors and fit them anew."""
    found = META[name](make()).fit(TEXTS, RATINGS).predict(TEXTS)
    assert found.shape == (COUNT,)
    assert np.isfinite(found).all()


def test_beside_numbers(make: Make) -> None:
    """Its embeddings and a scaled column, under a ridge; every row answered by a fit without it."""
    columns = ColumnTransformer(
        [("text", make(), "words"), ("number", StandardScaler(), ["n"])]
    ).set_output(transform="pandas")
    assert "text__tightfitregressor0" in columns.fit(FRAME, RATINGS).get_feature_names_out()
    found = cross_val_predict(make_pipeline(columns, Ridge()), FRAME, RATINGS, cv=2)
    assert found.shape == (COUNT,)


def test_pairs_of_texts(make: Make) -> None:
    """Rated as two columns of a frame and as tuples alike."""
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    frame = pd.DataFrame(pairs, columns=["one", "other"])
    paired = {"data.pair": True}
    first = make(settings=paired, text_column=["one", "other"]).fit(frame, RATINGS)
    again = make(settings=paired).fit(pairs, RATINGS)
    assert np.array_equal(first.predict(frame), again.predict(pairs))


def test_a_recipe_may_say_that_texts_are_pairs(make: Make, tmp_path: Path) -> None:
    """A file of settings, such as that of a run; they were refused, with the setting to add."""
    recipe = tmp_path / "paired.toml"
    recipe.write_text("[data]\npair = true\n")
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    fitted = make(recipe=str(recipe)).fit(pairs, RATINGS)
    due = make(settings={"data.pair": True}).fit(pairs, RATINGS)
    assert np.array_equal(fitted.predict(pairs), due.predict(pairs))
    assert fitted.run_.config.data.pair


def test_a_recipe_may_need_another_parameter(make: Make, tmp_path: Path) -> None:
    """A file without a cap, for one: before the rows are read it was looked at without it."""
    recipe = tmp_path / "spent.toml"
    recipe.write_text('[budget]\ncap = "none"\nallocation = "importance"\n')
    free = {"adapters.rank": "auto"}
    asked = make(recipe=str(recipe), budget=3, settings=free)
    with pytest.raises(ValueError, match="parameters would train"):  # else that there is no cap
        asked.fit(TEXTS, RATINGS)


def test_columns_are_known_again(make: Make) -> None:
    """In another order, and beside others; the texts of a pair would change places."""
    frame = pd.DataFrame({"one": TEXTS, "other": TEXTS[::-1]})
    fitted = make(settings={"data.pair": True}).fit(frame, RATINGS)
    kept = pickle.loads(pickle.dumps(fitted))
    due = fitted.predict(frame)
    assert np.array_equal(kept.predict(frame[["other", "one"]].assign(more="x")), due)
    assert np.array_equal(fitted.predict(frame.set_axis(["a", "b"], axis=1)), due)
