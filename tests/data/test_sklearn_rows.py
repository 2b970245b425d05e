"""Texts, classes and weights as scikit-learn's users give them, and what is no such thing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tightfit.data.sklearn_rows import labelled_rows, texts_of
from tightfit.data.text_pair import TextPair

TEXTS = [f"text {i}" for i in range(12)]
IDS = np.arange(12) % 3
TWO = np.array(["yes", "no"] * 6)
FRAME = pd.DataFrame({"n": range(12), "words": TEXTS})

FORMS: dict[str, Any] = {
    "array": np.array(TEXTS),
    "arrow": pa.chunked_array([TEXTS[:5], TEXTS[5:]]),
    "frame": FRAME,
    "objects": np.array(TEXTS, dtype=object),
    "series": pd.Series(TEXTS),
    "tuple": tuple(TEXTS),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_texts_in_every_form(form: str) -> None:
    """The same as the list, each a plain string."""
    found = texts_of(FORMS[form], "words")
    assert found == TEXTS
    assert {type(text) for text in found} == {str}


def test_columns_are_joined() -> None:
    """With a space, as everywhere; numbers as they are written."""
    assert texts_of(FRAME, ["words", "n"])[3] == "text 3 3"
    assert texts_of(FRAME[["words"]]) == TEXTS


def test_a_column_may_be_named_by_a_number() -> None:
    """As those of a frame without a header are."""
    bare = FRAME[["n", "words"]].set_axis([0, 1], axis=1)
    assert texts_of(bare, 1) == TEXTS  # type: ignore[arg-type]
    assert texts_of(bare, [1, 0])[3] == "text 3 3"  # type: ignore[list-item]


@pytest.mark.parametrize(
    "labels",
    [IDS, IDS - 1, IDS == 0, TWO, TWO.astype(object), IDS.astype(float), pd.Series(TWO), list(TWO)],
    ids=["integers", "negative", "booleans", "strings", "objects", "floats", "series", "list"],
)
def test_classes_of_every_kind(labels: Any) -> None:
    """Sorted, of the kind that they had; the table has their positions."""
    table, classes = labelled_rows(TEXTS, labels, text_column=None)
    given = np.asarray(labels)
    assert classes.tolist() == sorted(set(given.tolist()))
    assert classes.dtype == given.dtype
    assert classes[np.asarray(table.labels)].tolist() == given.tolist()
    assert table.weights is None


def test_a_row_of_weight_zero_is_left_out() -> None:
    """As if it had not been given, and with it a class that has no other row."""
    weights = np.where(IDS == 2, 0.0, 2.0)
    table, classes = labelled_rows(TEXTS, IDS, text_column=None, sample_weight=weights)
    again, _ = labelled_rows(
        [text for text, id_ in zip(TEXTS, IDS, strict=True) if id_ < 2],
        IDS[IDS < 2],
        text_column=None,
        sample_weight=np.full(8, 2.0),
    )
    assert table == again
    assert classes.tolist() == [0, 1]


def test_weights_of_one_are_none() -> None:
    """They say nothing."""
    plain = labelled_rows(TEXTS, IDS, text_column=None)[0]
    for weights in (np.ones(12), [1] * 12):
        assert labelled_rows(TEXTS, IDS, text_column=None, sample_weight=weights)[0] == plain


@pytest.mark.parametrize(
    ("class_weight", "due"),
    [
        ({"yes": 3.0}, np.where(TWO == "yes", 3.0, 1.0)),
        ("balanced", np.where(np.arange(12) < 10, 0.6, 3.0)),
    ],
)
def test_weights_by_class(class_weight: Any, due: Any) -> None:
    """A mapping, or by inverse frequency; times the weights of rows."""
    labels = TWO if class_weight != "balanced" else np.where(np.arange(12) < 10, "a", "b")
    weights = np.arange(1.0, 13.0) if class_weight != "balanced" else np.ones(12)
    found = labelled_rows(
        TEXTS, labels, text_column=None, sample_weight=weights, class_weight=class_weight
    )[0]
    np.testing.assert_allclose(np.asarray(found.weights), weights * due)


def test_balanced_counts_rows_by_their_weights() -> None:
    """Every class then weighs the same."""
    weights = np.arange(1.0, 13.0)
    table, _ = labelled_rows(
        TEXTS, IDS, text_column=None, sample_weight=weights, class_weight="balanced"
    )
    np.testing.assert_allclose(np.bincount(IDS, table.weights), [weights.sum() / 3] * 3)


FAULTS: dict[str, tuple[Any, Any, str]] = {
    "a missing text": ([None, *TEXTS[1:]], TWO, "row 0 is None; give it an empty text"),
    "a number": ([*TEXTS[:11], 3], TWO, "row 11 is 3"),
    "bytes": ([b"x", *TEXTS[1:]], TWO, "row 0 is b'x'"),
    "pairs that are not asked for": ([("a", "b")] * 12, TWO, "settings={'data.pair': True}"),
    "one text": ("goal", TWO, "not one str"),
    "two dimensions": (np.array(TEXTS).reshape(6, 2), TWO, "one dimension"),
    "no texts": ([], [], "0 sample"),
    "other lengths": (TEXTS, TWO[:-1], "inconsistent numbers of samples"),
    "one class": (TEXTS, ["a"] * 12, "1 class"),
    "no class": (TEXTS, [np.nan, *([1.0] * 11)], "NaN"),
    "a missing class": (TEXTS, [None, *(["a", "b"] * 6)[1:]], "NaN.*: row 0 "),
    "NaN among names": (TEXTS, ["a", np.nan, *(["b", "a"] * 5)], "NaN.*: row 1 "),
    "a sign of pandas": (TEXTS, pd.Series(["a", pd.NA, *(["b", "a"] * 5)]), "NaN.*: row 1 "),
    "empty names": (TEXTS, ["a", "", *(["b", "a"] * 4), "b", " "], "empty.*: rows 1, 11 "),
    "no classes": (TEXTS, None, "requires y"),
    "ratings": (TEXTS, np.linspace(0, 1, 12), "continuous"),
    "classes of two kinds": (TEXTS, np.array([1, "1"] * 6, dtype=object), "Unknown label type"),
    "a frame without its column": (FRAME, TWO, "text_column is one of"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_bad_rows(fault: str) -> None:
    """scikit-learn's kind of error, with words."""
    texts, labels, words = FAULTS[fault]
    with pytest.raises(ValueError, match=words):
        labelled_rows(texts, labels, text_column=None)


@pytest.mark.parametrize("dtype", ["object", "string"])
def test_a_missing_part_of_a_text(dtype: str) -> None:
    """It is not the word "nan"; the sign of newer columns is neither equal to itself nor not."""
    frame = pd.DataFrame({"a": ["x", None], "b": ["y", "z"]}, dtype=dtype)
    with pytest.raises(ValueError, match="row 1 of column 'a' has none"):
        texts_of(frame, ["a", "b"])


def test_a_frame_of_two_columns_is_pairs() -> None:
    """Where pairs are wanted; of three columns two are to be named."""
    frame = pd.DataFrame({"a": ["x", "y"], "b": ["z", "w"]})
    assert texts_of(frame, None, pair=True) == [TextPair("x", "z"), TextPair("y", "w")]
    with pytest.raises(ValueError, match="text_column is two of"):
        texts_of(frame.assign(c="v"), None, pair=True)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"sample_weight": [-1.0] * 12}, "Negative values"),
        ({"sample_weight": [np.nan] * 12}, "NaN"),
        ({"sample_weight": [0.0] * 12}, "no row is left"),
        ({"sample_weight": [1.0] * 11}, "inconsistent numbers"),
        ({"class_weight": "even"}, "'balanced' or a dict"),
        ({"class_weight": {"maybe": 1.0}}, r"has \['maybe'\]"),
        ({"class_weight": {"yes": 0.0}}, "above 0"),
    ],
)
def test_bad_weights(more: dict[str, Any], words: str) -> None:
    """The same."""
    with pytest.raises(ValueError, match=words):
        labelled_rows(TEXTS, TWO, text_column=None, **more)
