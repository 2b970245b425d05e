"""Texts, targets and weights as scikit-learn's users have them, checked as its estimators do.

Shapes: N rows, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length

from tightfit.data.cell_labels import is_blank
from tightfit.data.given_pairs import is_pair, pair_columns
from tightfit.data.nested import is_missing, numbers_of
from tightfit.data.rows import say_places
from tightfit.data.sklearn_label_sets import LabelSets, label_sets
from tightfit.data.table import Table
from tightfit.data.text_pair import TextPair


def labelled_rows(
    X: Any,
    y: Any,
    *,
    text_column: str | list[str] | None,
    pair: bool = False,
    sample_weight: Any = None,
    class_weight: Any = None,
) -> tuple[Table, NDArray[Any]]:
    """The rows that an estimator is fitted on, and their classes, sorted, as ``y`` has them.

    Rows of weight 0 are left out, as if they had not been given.

    Args:
        X: N texts; see :func:`texts_of`.
        y: N classes, of any kind that scikit-learn takes; or N lists of them, or 0 and 1 for each,
            (N, K), where a text may have several.
        text_column: where the texts are in a data frame.
        pair: whether each row is two texts.
        sample_weight: how much each row counts; None is 1 each.
        class_weight: how much the rows of each class count besides: a mapping, or ``"balanced"``.

    Raises:
        ValueError: something of this cannot be used, or one class is all there is.
    """
    texts = texts_of(X, text_column, pair=pair)
    sets = label_sets(y)
    if sets is not None:
        check_consistent_length(texts, sets.ids)
        if sample_weight is not None or class_weight is not None:
            raise ValueError("sample_weight and class_weight are for one class a text")
        return _several(texts, sets), sets.classes
    classes_N = _classes(y)
    check_consistent_length(texts, classes_N, sample_weight)
    weights_N = np.ones(len(texts)) if sample_weight is None else _weights(sample_weight)
    kept = np.flatnonzero(weights_N)
    classes, ids_N = np.unique(classes_N[kept], return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"two classes or more are needed; y has 1 class: {classes.tolist()[0]!r}")
    weights_N = _by_class(class_weight, classes, ids_N, weights_N[kept])
    own = None if (weights_N == 1).all() else weights_N.tolist()
    rows = [texts[row] for row in kept]
    names, values = _names_and_values(classes)
    return Table(rows, ids_N.tolist(), names, label_values=values, weights=own), classes


def _several(texts: list[str], sets: LabelSets) -> Table:
    """Rows that may have several labels.

    Raises:
        ValueError: one label is all there is.
    """
    if len(sets.classes) < 2:
        raise ValueError(f"two classes or more are needed; y has {sets.classes.tolist()}")
    names, values = _names_and_values(sets.classes)
    return Table(texts, label_names=names, label_values=values, label_sets=sets.ids)


def rated_rows(X: Any, y: Any, *, text_column: str | list[str] | None, pair: bool = False) -> Table:
    """The rows that a regressor is fitted on.

    Args:
        X: N texts; see :func:`texts_of`.
        y: N numbers.
        text_column: where the texts are in a data frame.
        pair: whether each row is two texts.

    Raises:
        ValueError: something of this cannot be used.
    """
    texts = texts_of(X, text_column, pair=pair)
    ratings_N = column_or_1d(_given(y), dtype=np.float64, warn=True)
    assert_all_finite(ratings_N, input_name="y")
    check_consistent_length(texts, ratings_N)
    return Table(texts, ratings_N.tolist())


def texts_of(
    X: Any, text_column: str | list[str] | None = None, *, pair: bool = False
) -> list[str]:
    """The texts of a list, array, Series or data frame, checked one by one.

    Args:
        X: N texts; a column of Arrow, too.
        text_column: where they are in a data frame; several columns are joined with a space.
        pair: whether each row is two texts: two columns, or two strings.

    Raises:
        ValueError: they are something else, or there are none.
    """
    if pair:
        return _pairs(X, text_column)
    if hasattr(X, "columns"):
        X = _column(X, text_column)
    elif isinstance(X, str | bytes) or np.ndim(X) == 0:
        raise ValueError(f"X must be a list of texts, not one {type(X).__name__}; write [X]")
    elif getattr(X, "ndim", 1) != 1:
        raise ValueError(f"X must have one dimension, a text a row; its shape is {X.shape}")
    texts = X.to_pylist() if hasattr(X, "to_pylist") else list(X)  # of Arrow
    if not texts:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            hint = "; pairs of texts need settings={'data.pair': True}" if is_pair(text) else ""
            hint = "; give it an empty text, or leave the row out" if is_missing(text) else hint
            raise ValueError(f"X must hold texts; row {row} is {text!r}{hint}")
    return [str(text) for text in texts]


def _pairs(X: Any, text_column: str | list[str] | None) -> list[str]:
    """The pairs of texts.

    Raises:
        ValueError: they are something else, or there are none.
    """
    if hasattr(X, "columns"):
        names = _column_names(X, text_column, wanted=2)
        if len(names) != 2:
            raise ValueError(f"a pair is two columns; text_column is two of {list(X.columns)}")
        X = list(zip(*(X[name] for name in names), strict=True))
    rows = list(X)
    if not rows:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    for row, pair in enumerate(rows):
        if not is_pair(pair) or not all(isinstance(each, str) for each in tuple(pair)):
            raise ValueError(f"X must hold pairs of texts; row {row} is {pair!r}")
    return list(map(TextPair, *pair_columns(rows).values()))


def _column(X: Any, text_column: str | list[str] | None) -> list[str]:
    """Texts of a data frame."""
    names = _column_names(X, text_column)
    columns = [list(X[name]) for name in names]
    if len(columns) == 1:
        return columns[0]
    for name, column in zip(names, columns, strict=True):
        if missing := [row for row, part in enumerate(column) if is_missing(part)]:
            raise ValueError(f"X must hold texts; row {missing[0]} of column {name!r} has none")
    return [" ".join(map(str, parts)) for parts in zip(*columns, strict=True)]


def _column_names(X: Any, text_column: str | list[str] | None, wanted: int = 1) -> list[str]:
    """The columns of the text in a data frame; unnamed, all of it where they are as many."""
    if text_column is None:
        if len(X.columns) != wanted:
            which = "two" if wanted == 2 else "one"
            raise ValueError(f"name the texts: text_column is {which} of {list(X.columns)}")
        return list(X.columns)
    # The name of a column need not be a string.
    names = text_column if isinstance(text_column, list | tuple) else [text_column]
    for name in names:
        if name not in X.columns:
            raise ValueError(f"no column {name!r} in X; it has {list(X.columns)}")
    return list(names)


def _classes(y: Any) -> NDArray[Any]:
    """The class of each row, as an array.

    Raises:
        ValueError: there is none, or what is there names no class.
    """
    # As objects first: beside strings, NumPy would make the word "nan" of what is missing.
    given_N = column_or_1d(np.asarray(_given(y), dtype=object), warn=True)
    if missing := [row for row, each in enumerate(given_N) if is_blank(each)]:
        where = say_places(missing, "row")
        raise ValueError(
            f"Input y contains NaN, None or an empty string, which is no class: {where}; "
            "label these rows, or leave them out"
        )
    classes_N = column_or_1d(y)
    assert_all_finite(classes_N, input_name="y")
    check_classification_targets(classes_N)
    return classes_N


def _given(y: Any) -> Any:
    """The targets themselves, without a tensor around them.

    Raises:
        ValueError: there are none.
    """
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None")
    return numbers_of(y)


def _weights(sample_weight: Any) -> NDArray[np.float64]:
    """The weight of each row.

    Raises:
        ValueError: one is below 0 or no number, or all of them are 0.
    """
    weights_N = np.asarray(column_or_1d(sample_weight), dtype=np.float64)
    assert_all_finite(weights_N, input_name="sample_weight")
    if (weights_N < 0).any():
        raise ValueError(f"Negative values in data passed to `sample_weight`: {weights_N.min()}")
    if not weights_N.any():
        raise ValueError("every sample_weight is 0, so that no row is left to train on")
    return weights_N


def _by_class(
    class_weight: Any,
    classes: NDArray[Any],
    ids_N: NDArray[np.int64],
    weights_N: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The weight of each row, by its class too.

    Raises:
        ValueError: the weights of classes are something else than asked for.
    """
    if class_weight is None:
        return weights_N
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts_K = np.bincount(ids_N, weights_N)
        return weights_N * (counts_K.sum() / (len(classes) * counts_K))[ids_N]
    if not isinstance(class_weight, Mapping):
        raise ValueError(f"class_weight is 'balanced' or a dict, not {class_weight!r}")
    unknown = [each for each in class_weight if each not in classes.tolist()]
    if unknown:
        raise ValueError(f"class_weight has {unknown}, and y only {classes.tolist()}")
    weights_K = np.array([float(class_weight.get(each, 1.0)) for each in classes.tolist()])
    if not (np.isfinite(weights_K) & (weights_K > 0)).all():
        raise ValueError(f"a class's weight must be above 0 and finite, not {class_weight!r}")
    return weights_N * weights_K[ids_N]


def _names_and_values(
    classes: NDArray[Any],
) -> tuple[tuple[str, ...], tuple[int | str, ...]]:
    """Names for people, and what the run answers: integers and booleans as they are.

    Whole numbers of another type are integers, as a data frame of them is read. Where two classes
    would have one name, each is as Python writes it.
    """
    plain = [int(x) if isinstance(x, float) and x.is_integer() else x for x in classes.tolist()]
    names = tuple(map(str, plain))
    if len(set(names)) < len(names):
        names = tuple(map(repr, plain))
    pairs = zip(plain, names, strict=True)
    return names, tuple(x if isinstance(x, int) else name for x, name in pairs)
