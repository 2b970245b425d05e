"""What a rating may be, in every format alike."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.test_cell_labels import FORMATS
from tightfit.data.sources import Columns, read_table
from tightfit.errors import DataError

RATED = Columns(task="rating")


def read(ratings: Sequence[Any], **columns: Any) -> list[float]:
    """The ratings of texts in memory."""
    texts = [f"words {i}" for i in range(len(ratings))]
    labels = read_table((texts, list(ratings)), Columns(task="rating", **columns), labelled=True)
    assert labels.labels is not None
    return labels.labels


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_floats(name: str, tmp_path: Path) -> None:
    """Whole numbers are ratings, too."""
    table = read_table(FORMATS[name](tmp_path, [4.5, 2, 1.25]), RATED, labelled=True)
    assert table.labels == [4.5, 2.0, 1.25]
    assert all(type(rating) is float for rating in table.labels)


def test_numbers_of_any_type_are_ratings() -> None:
    """Also as strings, as a data set may have them."""
    found = read([1, 2.5, Decimal("3.5"), np.float32(4), np.int64(5), "-1.5e1", " 7 "])
    assert found == [1.0, 2.5, 3.5, 4.0, 5.0, -15.0, 7.0]


@pytest.mark.parametrize("odd", ["4,5", "45%", "good", "inf", "nan", True, float("inf"), [1.0]])
def test_what_is_no_number_is_refused(odd: object) -> None:
    """With the row, and what is allowed."""
    with pytest.raises(DataError, match=r"a rating is (.|\n)*row 1(.|\n)*finite numbers") as error:
        read([1.0, odd])
    assert error.value.exit_code == 4


def test_decimal_commas_are_told_as_such() -> None:
    """Not where anything else is amiss, too."""
    for odd, told in ((["3,5", "4,25"], True), (["3,5", "good"], False)):
        with pytest.raises(DataError) as caught:
            read(["1", *odd])
        assert ("decimal=','" in str(caught.value.next_step)) == told


@pytest.mark.parametrize("missing", [None, float("nan"), ""])
def test_a_missing_rating_is_refused_or_dropped(missing: object) -> None:
    """As a missing label is."""
    with pytest.raises(DataError, match=r"rows without a rating(.|\n)*missing_label.*drop"):
        read([1.0, missing])
    assert read([1.0, missing, 2.0], missing_label="drop") == [1.0, 2.0]


def test_one_column_of_ratings_is_learnt() -> None:
    """Several are not joined, added or taken for marks."""
    frame = pd.DataFrame({"text": ["a", "b"], "x": [1.0, 0.0], "y": [0.0, 1.0]})
    with pytest.raises(DataError, match="2 columns of ratings"):
        read_table(frame, Columns(label="x,y", task="rating"), labelled=True)


def test_numbers_that_are_not_whole_are_no_ratings_by_themselves() -> None:
    """Both ways out are named; the one that is taken most is the option."""
    with pytest.raises(DataError, match=r"data\.task=rating(.|\n)*data\.task=single") as error:
        read_table((["a", "b"], [1.5, 2.0]), Columns(), labelled=True)
    assert error.value.add == "--set data.task=rating"


def test_no_hint_names_ratings_that_cannot_be_read() -> None:
    """Percentages are no numbers."""
    with pytest.raises(DataError, match="with a decimal point") as error:
        read_table((["a", "b"], ["45%", "12%"]), Columns(), labelled=True)
    assert error.value.add == "--set data.task=single"


def test_whole_numbers_stay_classes_unless_told() -> None:
    """Stars are both; nobody is asked."""
    assert read_table((["a", "b"], [1, 5]), Columns(), labelled=True).labels == [1, 5]
    assert read([1, 5]) == [1.0, 5.0]
