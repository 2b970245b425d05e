"""scikit-learn's ``check_estimator`` has no texts to give, so its checks are made here, by name.

:data:`THEIRS` need no rows and are called as they are; :data:`OURS` are made on texts; those of
:data:`NOT_MADE` cannot hold, or have no meaning, for the reason given. Together they are all that
scikit-learn asks of a classifier that also transforms.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from tests.toy_estimators import COUNT, TEXTS, TWO, WEIGHTS, toy_estimator
from tightfit import TightfitClassifier

THEIRS = (
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
)

METHODS = ("decision_function", "predict", "predict_proba", "transform")

SHAPE = "X has one dimension, a text a row"
NUMBERS = "X holds texts, not numbers"
DRAW = "which rows validate, and their order in steps, are drawn from other rows then"

NOT_MADE = {
    "check_array_api_input": NUMBERS,
    "check_array_api_mixed_inputs": NUMBERS,
    "check_array_api_same_namespace": NUMBERS,
    "check_class_weight_balanced_linear_classifier": "it is about coef_",
    "check_complex_data": NUMBERS,
    "check_dtype_object": "objects must be strings; test_sklearn_rows has them",
    "check_estimator_sparse_tag": "what is sparse is refused, as the tags say",
    "check_estimators_dtypes": NUMBERS,
    "check_estimators_partial_fit_n_features": "partial_fit is refused by name",
    "check_f_contiguous_array_estimator": SHAPE,
    "check_fit1d": SHAPE,
    "check_fit2d_1feature": "a table of one column is a data frame; an array of it is refused",
    "check_fit2d_1sample": SHAPE,
    "check_fit2d_predict1d": SHAPE,
    "check_n_features_in": SHAPE + ", so that features are not counted",
    "check_n_features_in_after_fitting": SHAPE + ", so that features are not counted",
    "check_non_transformer_estimators_n_iter": "there is no max_iter; run_ tells the steps",
    "check_positive_only_tag_during_fit": NUMBERS,
    "check_sample_weight_equivalence_on_dense_data": f"weight 0 is exact (below); of 2 {DRAW}: "
    "tests/training/test_row_weights.py has loss, head and scores",
    "check_sample_weight_equivalence_on_sparse_data": NUMBERS,
    "check_sparsify_coefficients": "it is about coef_",
    "check_transformer_n_iter": "there is no max_iter; run_ tells the steps",
    "check_transformer_preserve_dtypes": NUMBERS,
}

Check = Callable[[Path, TightfitClassifier], None]
OURS: dict[str, Check] = {}


def check(*names: str) -> Callable[[Check], Check]:
    """Register what makes these checks."""

    def registered(made: Check) -> Check:
        OURS.update(dict.fromkeys(names, made))
        return made

    return registered


def answers(one: TightfitClassifier, texts: Any = TEXTS) -> list[NDArray[Any]]:
    """What all methods say."""
    return [getattr(one, name)(texts) for name in METHODS]


def same(first: TightfitClassifier, second: TightfitClassifier) -> None:
    """Both answer alike, to the last bit."""
    for one, other in zip(answers(first), answers(second), strict=True):
        assert np.array_equal(one, other)


def refused(call: Callable[[], Any], words: str) -> None:
    """With a ValueError of these words."""
    with pytest.raises(ValueError, match=words):
        call()


@check("check_estimators_unfitted", "check_transformers_unfitted", "check_fit_check_is_fitted")
def unfitted(bert: Path, fitted: TightfitClassifier) -> None:
    """Every method says so; a clone of what is fitted is not."""
    for name in METHODS:
        with pytest.raises(NotFittedError):
            getattr(clone(fitted), name)(TEXTS)


@check(
    *("check_dict_unchanged", "check_estimators_pickle", "check_readonly_memmap_input"),
    *("check_decision_proba_consistency", "check_methods_sample_order_invariance"),
    *("check_methods_subset_invariance", "check_classifiers_train"),
)
def answering(bert: Path, fitted: TightfitClassifier) -> None:
    """Changes nothing, is the same after a pickle, in any order, one by one and read-only."""
    before, due = dict(vars(fitted)), answers(fitted)
    same(pickle.loads(pickle.dumps(fitted)), fitted)
    order = np.random.default_rng(0).permutation(COUNT)
    fixed = np.array(TEXTS)
    fixed.flags.writeable = False
    for texts, rows in ((fixed[order], order), (fixed[:1], [0]), (fixed[5:9], [5, 6, 7, 8])):
        for found, whole in zip(answers(fitted, texts), due, strict=True):
            if found.dtype.kind == "f":
                np.testing.assert_allclose(found, whole[rows], rtol=1e-4, atol=1e-4)
            else:
                assert found.tolist() == whole[rows].tolist()
    assert (np.argsort(due[0], kind="stable") == np.argsort(due[2][:, 1], kind="stable")).all()
    assert vars(fitted) == before


@check(
    *("check_fit_idempotent", "check_estimators_fit_returns_self", "check_transformer_general"),
    *("check_estimators_overwrite_params", "check_dont_overwrite_parameters"),
    *("check_fit_score_takes_y", "check_transformer_data_not_an_array"),
    *("check_classifier_data_not_an_array", "check_pipeline_consistency"),
    *("check_sample_weights_list", "check_sample_weights_not_an_array"),
    *("check_sample_weights_pandas_series", "check_sample_weights_not_overwritten"),
)
def fitting_again(bert: Path, fitted: TightfitClassifier) -> None:
    """On other containers, with weights of one, in a pipeline: the same, and nothing is changed."""
    ones = pd.Series(np.ones(COUNT))
    again = toy_estimator(bert)
    given = again.get_params()
    assert again.fit(pd.Series(TEXTS), list(TWO), sample_weight=ones) is again
    same(again, fitted)
    assert again.fit(tuple(TEXTS), TWO, sample_weight=[1] * COUNT) is again
    same(again, fitted)
    assert again.get_params() == given
    added = set(vars(again)) - set(given)
    assert all(name.startswith("_") or name.endswith("_") for name in added)
    assert ones.eq(1).all()
    piped = make_pipeline(toy_estimator(bert)).fit(TEXTS, TWO)
    assert np.array_equal(piped.transform(TEXTS), fitted.transform(TEXTS))
    assert piped.score(TEXTS, TWO) == fitted.score(TEXTS, TWO)


@check("check_classifiers_classes")
def classes(bert: Path, fitted: TightfitClassifier) -> None:
    """Sorted, and the only answers."""
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert set(fitted.predict(TEXTS)) <= {"no", "yes"}


@check("check_class_weight_classifiers")
def class_weights(bert: Path, fitted: TightfitClassifier) -> None:
    """A class that weighs a thousand times as much gets nearly all answers."""
    one = toy_estimator(bert, class_weight={"yes": 1e3, "no": 1e-4}).fit(TEXTS, TWO)
    assert (one.predict(TEXTS) == "yes").mean() > 0.87


@check("check_classifiers_one_label", "check_classifiers_one_label_sample_weights")
def one_class(bert: Path, fitted: TightfitClassifier) -> None:
    """It is refused, with the word "class", also where weights leave one only."""
    one = toy_estimator(bert)
    refused(lambda: one.fit(TEXTS, ["a"] * COUNT), "class")
    refused(lambda: one.fit(TEXTS, TWO, sample_weight=TWO == "yes"), "class")


@check(
    *("check_classifiers_regression_target", "check_supervised_y_no_nan"),
    *("check_requires_y_none", "check_estimators_nan_inf", "check_estimators_empty_data_messages"),
    *("check_estimator_sparse_array", "check_estimator_sparse_matrix"),
    *("check_sample_weights_shape", "check_all_zero_sample_weights_error"),
)
def bad_rows(bert: Path, fitted: TightfitClassifier) -> None:
    """In fit and in what comes after it."""
    one = toy_estimator(bert)
    refused(lambda: one.fit(TEXTS, np.linspace(0, 1, COUNT)), "Unknown label type")
    refused(lambda: one.fit(TEXTS, np.full(COUNT, np.inf)), "infinity")
    refused(lambda: one.fit(TEXTS, None), "requires y to be passed, but the target y is None")
    refused(lambda: one.fit(TEXTS, TWO, sample_weight=WEIGHTS[:, None] * [1, 1]), "1d array")
    refused(lambda: one.fit(TEXTS, TWO, sample_weight=np.zeros(COUNT)), "weight is 0")
    for name in METHODS:
        method = getattr(fitted, name)
        refused(partial(method, [None]), "row 0 is None")
        refused(partial(method, []), r"0 sample\(s\)")
        for kind in (sparse.csr_matrix, sparse.csr_array):
            refused(partial(method, kind(np.eye(3))), "one dimension")


@check("check_supervised_y_2d")
def column_of_classes(bert: Path, fitted: TightfitClassifier) -> None:
    """It is taken, with a warning."""
    with pytest.warns(DataConversionWarning):
        one = toy_estimator(bert).fit(TEXTS, TWO[:, None])
    same(one, fitted)


def test_a_row_of_weight_zero_is_left_out(bert: Path, fitted: TightfitClassifier) -> None:
    """Exactly as if it had not been given."""
    more = [*TEXTS, "goal match"], [*TWO, "no"]
    weights = [*[1.0] * COUNT, 0.0]
    same(toy_estimator(bert).fit(*more, sample_weight=weights), fitted)


@pytest.mark.parametrize("name", THEIRS)
def test_their_checks_without_rows(name: str, bert: Path) -> None:
    """As scikit-learn calls them."""
    getattr(estimator_checks, name)("TightfitClassifier", toy_estimator(bert))


@pytest.mark.parametrize("made", sorted({made.__name__ for made in OURS.values()}))
def test_their_checks_on_texts(made: str, bert: Path, fitted: TightfitClassifier) -> None:
    """The names stand beside each."""
    next(each for each in OURS.values() if each.__name__ == made)(bert, fitted)


def test_no_check_is_forgotten() -> None:
    """Of those that scikit-learn makes of a classifier, and of one that transforms too."""
    asked = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for peer in (LogisticRegression(), LinearDiscriminantAnalysis()):
            found = estimator_checks.estimator_checks_generator(peer, legacy=True)
            asked |= {each.func.__name__ for _, each in found}
    made = [*THEIRS, *OURS, *NOT_MADE]
    assert len(made) == len(set(made))
    assert asked - set(made) == set()
