"""Suspect labels: planted errors are found, and what cannot be judged is left alone."""

from __future__ import annotations

import random
import subprocess
import sys

import numpy as np
import pytest

from tests.toys import MONEY, SPORT
from tightfit import extras
from tightfit.data.checks.suspects import FOLDS, find_suspects, judgeable_rows
from tightfit.errors import MissingExtraError

NAMES = "ABCDEFGHIJ"
"""By class id."""


def toy_ids(count: int) -> tuple[list[str], list[int]]:
    """Different texts of four words, which tell the class without fail."""
    chance = random.Random(0)
    texts = [" ".join(chance.sample(SPORT if i % 2 else MONEY, 4)) for i in range(count)]
    return [f"{text} {i}" for i, text in enumerate(texts)], [i % 2 for i in range(count)]


def test_planted_errors_are_found_and_nothing_else() -> None:
    """Where words tell the class, every turned label stands out; the likely one is the true one."""
    texts, ids = toy_ids(400)
    wrong = sorted(random.Random(0).sample(range(len(ids)), len(ids) // 20))
    planted = [1 - each if row in wrong else each for row, each in enumerate(ids)]
    suspects = find_suspects(texts, planted, NAMES)
    assert sorted(suspect.row for suspect in suspects) == wrong
    assert all(suspect.given == NAMES[planted[suspect.row]] for suspect in suspects)
    assert all(suspect.suggested == NAMES[ids[suspect.row]] for suspect in suspects)


def test_the_worst_come_first() -> None:
    """By the probability of the given label; with two classes that is one less the other."""
    texts, ids = toy_ids(400)
    planted = [1 - each if row < 3 else each for row, each in enumerate(ids)]
    suspects = find_suspects(texts, planted, NAMES)
    confidences = [suspect.confidence for suspect in suspects]
    assert confidences == sorted(confidences, reverse=True)
    assert len(confidences) == 3


def test_the_seed_decides_everything() -> None:
    """The same folds, the same suspects."""
    texts, ids = toy_ids(200)
    planted = [1 - ids[0], *ids[1:]]
    first, second = (find_suspects(texts, planted, NAMES) for _ in range(2))
    assert first == second != []


@pytest.mark.parametrize(
    ("texts", "ids", "rows"),
    [
        ([], [], []),
        (["a"] * 9, [0] * 9, []),
        (["a"] * 9, [0] * 5 + [1] * 4, []),
        (["a"] * 10, [0] * 5 + [7] * 5, list(range(10))),
        (["a"] * 10 + ["!"], [0] * 5 + [7] * 5 + [0], list(range(10))),
        (["a"] * 12, [0] * 5 + [1] * 2 + [2] * 5, [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]),
    ],
)
def test_what_can_be_judged(texts: list[str], ids: list[int], rows: list[int]) -> None:
    """Rows with a word, of classes with a row for each fold, if two classes are left."""
    assert FOLDS == 5
    assert judgeable_rows(texts, ids).tolist() == rows
    if not rows:
        assert find_suspects(texts, ids, NAMES) == []


def test_small_classes_do_not_stop_the_others() -> None:
    """Rows are counted in the whole list, ids are those that came in."""
    texts, ids = toy_ids(300)
    planted = [9 * (1 - each if row < 10 else each) for row, each in enumerate(ids)]
    suspects = find_suspects(["a rare one", "🙂", *texts], [4, 0, *planted], NAMES)
    suggested = {suspect.row: suspect.suggested for suspect in suspects}
    assert suggested == {row + 2: NAMES[9 * ids[row]] for row in range(10)}


def test_scripts_of_single_characters() -> None:
    """Words of one character count: scikit-learn's own pattern would find no word at all here."""
    texts = [f"{'甲' if row % 2 else '乙'} {chr(0x4E00 + row)}" for row in range(60)]
    ids = np.arange(60) % 2
    ids[7] = 0
    assert [suspect.row for suspect in find_suspects(texts, ids.tolist(), NAMES)] == [7]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    monkeypatch.setattr(extras, "available", lambda name: name != "cleanlab")
    with pytest.raises(MissingExtraError, match=r"label errors .*\n.*\n.*tightfit\[checks\]"):
        find_suspects(["a"], [0], NAMES)


ALL_SILENT = """
import warnings
from tightfit.data.checks.suspects import find_suspects
find_suspects(["a"], [0], ["x"])
print(("ignore", None, Warning, None, 0) in warnings.filters)
"""


def test_the_program_still_hears_warnings() -> None:
    """``cleanlab`` silences all of them as it is imported, which happens once in a process."""
    done = subprocess.run([sys.executable, "-c", ALL_SILENT], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "False"
