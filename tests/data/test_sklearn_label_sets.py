"""Several labels a text, in every form that scikit-learn's users have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tightfit.data.sklearn_label_sets import dense
from tightfit.data.sklearn_rows import labelled_rows

OWN = [["b"], ["a", "b"], [], ["c", "a"]] * 3
TEXTS = [f"text {i}" for i in range(len(OWN))]
MARKS = np.array([[int(name in own) for name in "abc"] for own in OWN])

LISTS: dict[str, Any] = {
    "lists": OWN,
    "tuples": tuple(map(tuple, OWN)),
    "sets": list(map(set, OWN)),
    "arrays": [np.array(own, dtype=object) for own in OWN],
    "a series": pd.Series(OWN),
}
MATRICES: dict[str, Any] = {
    "an array": MARKS,
    "sparse": sparse.csr_matrix(MARKS),
    "rows": MARKS.tolist(),
    "rows of booleans": MARKS.astype(bool).tolist(),
    "arrays": list(MARKS),
    "a frame": pd.DataFrame(MARKS),
}


@pytest.mark.parametrize("form", sorted(LISTS))
def test_lists_in_every_form(form: str) -> None:
    """Sorted classes, and each text's places among them."""
    table, classes = labelled_rows(TEXTS, dense(LISTS[form]), text_column=None)
    assert classes.tolist() == ["a", "b", "c"]
    assert [sorted(ids) for ids in table.label_sets or []] == [[1], [0, 1], [], [0, 2]] * 3


@pytest.mark.parametrize("form", sorted(MATRICES))
def test_matrices_in_every_form(form: str) -> None:
    """Rows of 0 and 1 are one, too: they were taken for lists of the labels 0 and 1."""
    table, classes = labelled_rows(TEXTS, dense(MATRICES[form]), text_column=None)
    assert classes.tolist() == [0, 1, 2]
    assert table.label_sets == [(1,), (0, 1), (), (0, 2)] * 3


@pytest.mark.parametrize("own", [[[0, 1], [1], []], [[0], [1], [0]], [[0, 1], [1, 2], [2, 0]]])
def test_lists_of_numbers_stay_lists(own: Any) -> None:
    """Of other lengths, or with other numbers."""
    assert dense(own) is own


@pytest.mark.parametrize(
    ("own", "words"),
    [
        (["b", *OWN[1:]], "'b' in row 0 .counted from 0.; give each text a list"),
        ([[1, "a"], *OWN[1:]], "of one kind; they are of int, str"),
        ([["a", None], *OWN[1:]], "None.*: row 0"),
        ([[" "], *OWN[1:]], "empty string.*: row 0"),
    ],
)
def test_bad_lists(own: Any, words: str) -> None:
    """In words, and with the row."""
    with pytest.raises(ValueError, match=words):
        labelled_rows(TEXTS, own, text_column=None)
