"""Paths into cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.toys import write_jsonl
from tightfit.data.nested import changed, is_missing, paths, reach
from tightfit.data.sources import Columns, check_source
from tightfit.errors import DataError

CELL: dict[str, Any] = {
    "a": {"b": [{"c": 1}, {"c": 2}], "d.e": 3, "n": None},
    "one": ["x"],
    "two": ["x", "y"],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.b.1.c", 2),
        ("a.d.e", 3),
        ("a.b.2.c", None),
        ("a.b.x", None),
        ("a.n.m", None),
        ("b", None),
        ("two.1", "y"),
        ("one.0.z", None),
    ],
)
def test_a_path_reaches_what_is_there(path: str, value: object) -> None:
    """And nothing where there is nothing; keys may hold dots themselves."""
    assert reach(CELL, path) == value


def test_a_change_at_a_path_leaves_all_else() -> None:
    """It stands where the path reaches; where that is nothing, nothing changes."""
    for path in ("a.b.1.c", "a.d.e", "two.1"):
        found = changed(CELL, path, lambda value: [value])
        assert reach(found, path) == [reach(CELL, path)]
        assert changed(found, path, lambda value: value[0]) == CELL
    assert changed(CELL, "a.b.2.c", str) == changed(CELL, "b", str) == CELL
    assert changed("x", None, str.upper) == "X"


def test_arrays_are_lists() -> None:
    """As Parquet's lists come out of a data frame."""
    assert reach(np.array(["x", "y"], dtype=object), "1") == "y"
    assert reach("xy", "1") is None


def test_paths_are_those_of_single_values() -> None:
    """Of a list its first item; several single values are no columns."""
    assert paths([None, CELL]) == ("a.b.0.c", "a.d.e", "one.0")
    deep: Any = 1
    for _ in range(50):
        deep = {"x": deep}
    assert paths([deep]) == ()
    assert len(paths([{str(i): 1 for i in range(1000)}])) == 50


def test_an_integer_beyond_floats_is_there(tmp_path: Path) -> None:
    """Also in a column that nobody asked for, and only hints look at."""
    assert is_missing(float("nan"))
    assert not is_missing(10**400)
    rows = write_jsonl(tmp_path / "a.jsonl", [{"body": "a b", "n": 10**400, "label": "x"}] * 2)
    with pytest.raises(DataError, match="no column 'text'"):
        check_source(rows, Columns())
