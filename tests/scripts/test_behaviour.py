"""What ``scripts/behaviour.py`` lets pass, and what not; that it sees all of a record."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import behaviour
import pytest
from behaviour import Item, Kind


def worst(kind: Kind, before: Any, after: Any) -> float:
    """The largest difference of one item."""
    return behaviour.differences({"it": Item(kind, before)}, {"it": Item(kind, after)})["it"][0]


def test_a_loss_is_compared_with_itself() -> None:
    """A small one among large ones counts as much as they do."""
    assert worst("loss", [2.0, 0.001], [2.0, 0.001 + 1e-8]) == pytest.approx(1e-5)


def test_logits_are_compared_with_the_largest_of_them() -> None:
    """One that is nearly zero is not to be exact to its own fifth digit; its sign is no matter."""
    assert worst("logits", [[-4.0, 1e-9]], [[-4.0, 4e-9]]) == pytest.approx(7.5e-10)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([1.0, 2.0], [1.0]),
        ([1.0], [1.0, 2.0]),
        ({"a": 1}, {"b": 1}),
        ({"a": None}, {"a": 0.0}),
        ([True], [1]),
        (["x"], ["y"]),
        ([1.0], [math.nan]),
        ([0.0], [1e-300]),
    ],
)
def test_another_shape_or_word_is_never_alike(before: Any, after: Any) -> None:
    """However large the tolerance is."""
    assert worst("score", before, after) == math.inf


def test_what_is_new_is_no_fault_and_what_is_gone_is_one() -> None:
    """Answers may grow keys, and records items."""
    assert worst("exact", {"a": 1}, {"a": 1, "b": 2}) == 0
    item = Item("exact", 1)
    found = behaviour.differences({"old": item}, {"new": item})
    assert found == {"old": (math.inf, "all of it")}


def test_a_report_names_the_place_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """Plans that are the same are only counted."""
    before = {"plan a": Item("exact", [0, {"total": 5}]), "run loss": Item("loss", [1.0, 2.0])}
    after = {"plan a": Item("exact", [0, {"total": 6}]), "run loss": Item("loss", [1.0, 2.0])}
    assert behaviour.report(before, behaviour.differences(before, before))
    assert not behaviour.report(before, behaviour.differences(before, after))
    said = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in said] == ["ok ", "1 o", "BAD", "ok ", "0 o"]
    assert said[2].endswith("plan a  [1].total")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Numbers to their last bit."""
    record = {"it": Item("loss", [0.1 + 0.2, 1e-320])}
    behaviour.write(record, tmp_path / "record.json")
    assert behaviour.read(tmp_path / "record.json") == record
