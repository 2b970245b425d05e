"""Columns beside that of the labels: the names of its numbers, and labels that are known."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from tests.data.texts import TEXTS, Told
from tightfit.data.beside_labels import known_beside
from tightfit.data.sources import Columns, check_source, open_rows

NUMBERS = [0, 1, 2, 1, 0, 2, 2, 1, 0, 1]
WORDS = [["joy", "fear", "anger"][number] for number in NUMBERS]


def told(cells: dict[str, list[Any]], columns: Columns = Columns()) -> list[str]:
    """What a look at these columns beside the texts says."""
    progress = Told()
    check_source(pd.DataFrame({"text": TEXTS, **cells}), columns, progress=progress)
    return progress.lines


@pytest.mark.parametrize("name", ["label_name", "Label Names", "label_text", "class_name"])
def test_names_of_numbers_are_pointed_to(name: str) -> None:
    """Once, with the option that takes them."""
    (line,) = told({"label": NUMBERS, name: WORDS, "label_names": WORDS})
    assert f"'label' has numbers, and '{name}' what they are called: --label-column" in line


@pytest.mark.parametrize(
    ("label", "other"),
    [
        (WORDS, WORDS),
        (NUMBERS, ["joy", *WORDS[1:-1], "joy"]),
        (NUMBERS, [str(number + 1) for number in NUMBERS]),
        (NUMBERS, [0.5 if word == "joy" else 1.5 for word in WORDS]),
        ([0] * 10, ["joy"] * 10),
    ],
    ids=["words", "two of a number", "numbers", "fewer", "one alone"],
)
def test_what_is_no_name_is_not(label: list[Any], other: list[Any]) -> None:
    """Nor is a column that is called otherwise, or where numbers are to be learned."""
    assert told({"label": label, "label_name": other}) == []
    named: dict[str, list[Any]] = {"label": NUMBERS, "label_name": WORDS}
    assert told({"label": NUMBERS, "words": WORDS}) == []
    assert told(named, Columns(task="rating")) == []
    assert told(named, Columns().to_answer("single", "")) == []


def test_columns_with_known_labels_alone() -> None:
    """Two or more of them, and nothing else in any row; the label column is left aside."""
    cells = {"label": WORDS, "mood": WORDS, "id": NUMBERS, "one": ["joy"] * 10}
    rows, _ = open_rows(pd.DataFrame({"text": TEXTS, **cells}), Columns())
    assert known_beside(rows, "label", {"joy", "fear", "anger"}) == ("mood",)
    assert known_beside(rows, "label", {"joy", "fear"}) == ()
    assert known_beside(rows, "mood", {"joy", "fear", "anger", "0", "1", "2"}) == ("label", "id")
