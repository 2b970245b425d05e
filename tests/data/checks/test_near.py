"""Near duplicates: the quick search against comparing everything with everything."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.planted import EDITS, edited, sample, with_another_word
from tightfit.data.checks import near
from tightfit.data.checks.near import ALIKE, Match, find_near, likeness, plain_form
from tightfit.progress import Bar, Progress


def compare_all(texts: list[str], held: list[str] | None = None) -> set[int]:
    """Texts that are like an earlier one, or like one of ``held``: the slow and obvious way."""
    forms = [plain_form(text) for text in texts]
    others = None if held is None else [plain_form(text) for text in held]
    return {
        row
        for row, form in enumerate(forms)
        for other in (forms[:row] if others is None else others)
        if form and other and likeness(form, other) >= ALIKE
    }


def versions(seed: int, items: int = 60) -> list[str]:
    """Of each item five versions with up to five words replaced: around the limit on both sides."""
    chance = random.Random(seed)
    texts = {
        with_other_words(text, chance.randint(0, 5), chance)
        for text in chance.sample(sample().texts, items)
        for _ in range(5)
    }
    return sorted(texts, key=lambda _: chance.random())


def with_other_words(text: str, count: int, chance: random.Random) -> str:
    """So many words replaced, one after the other."""
    for _ in range(count):
        text = with_another_word(text, chance)
    return text


@pytest.mark.parametrize("seed", range(3))
def test_the_search_finds_what_comparing_all_finds(seed: int) -> None:
    """A pair just at the limit is missed once in 6,500 times, and few are just there."""
    texts = versions(seed)
    expected = compare_all(texts)
    assert len(texts) / 4 < len(expected) < len(texts) - 60 - 10
    assert set(find_near(texts).earlier) == expected


def test_held_texts_are_compared_with_all_and_not_among_themselves() -> None:
    """Against the obvious way again; positions are those in the list of held texts."""
    texts = versions(seed=5)
    found = find_near(texts[:200], texts[200:])
    assert set(found.held) == compare_all(texts[:200], texts[200:])
    assert set(found.earlier) == compare_all(texts[:200])
    for row, match in found.held.items():
        forms = plain_form(texts[row]), plain_form(texts[200 + match.other])
        assert match.likeness == likeness(*forms) >= ALIKE


@pytest.mark.parametrize("edit", range(len(EDITS)), ids=[edit.__name__ for edit in EDITS])
def test_every_edit_of_every_item_is_found(edit: int) -> None:
    """And traced to its original, whatever the edit."""
    texts = sample().texts
    copies = [edited(text, edit + len(EDITS) * i) for i, text in enumerate(texts)]
    found = find_near([*texts, *copies]).earlier
    assert {row: match.other for row, match in found.items()} == {
        len(texts) + i: i for i in range(len(texts))
    }


def test_case_punctuation_and_markup_make_no_difference() -> None:
    """Such texts are wholly alike."""
    texts = ["It's GREAT - truly!", "it s great truly", "It &#39;s <b>great</b>, truly"]
    found = find_near(texts).earlier
    assert {row: match.likeness for row, match in found.items()} == {1: 1.0, 2: 1.0}


def test_texts_without_letters_are_like_none() -> None:
    """Two emoji, or two rows of dots, have nothing in common to measure."""
    found = find_near(["...", "!!!", "🙂", "🙁", "---"], ["..."])
    assert found.earlier == found.held == {}


def test_short_texts() -> None:
    """A text shorter than a piece is one piece."""
    found = find_near(["no", "yes", "NO!", "ok"]).earlier
    assert list(found) == [2]


def test_scripts_without_spaces() -> None:
    """Pieces are of characters, so that no words are needed."""
    long = "今天天气很好我们一起去公园散步然后回家吃晚饭看电视明天还要早起上班所以不能睡得太晚"
    assert list(
        find_near([long, long.replace("散步", "跑步"), "完全不同的另外一句话"]).earlier
    ) == [1]


@given(st.lists(st.text(max_size=30), unique=True, max_size=12))
@settings(max_examples=40)
def test_matches_are_real(texts: list[str]) -> None:
    """Whatever is found is an earlier text, and as alike as is said."""
    for row, match in find_near(texts).earlier.items():
        assert match.other < row
        assert match.likeness == likeness(*(plain_form(texts[i]) for i in (row, match.other)))


def test_long_texts_are_hashed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts have the signature of the whole."""
    texts = [" ".join(sample().texts), " ".join(sample().texts[3:])]
    whole = find_near(texts)
    monkeypatch.setattr(near, "PIECES_AT_ONCE", 100)
    assert find_near(texts) == whole
    assert list(whole.earlier) == [1]


def test_a_crowd_of_look_alikes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only as many texts as make a crowd are compared with; each later one still finds some."""
    monkeypatch.setattr(near, "CROWD", 5)
    compared: list[int] = []
    closest = near._Search._closest

    def counted(self: near._Search, row: int, candidates: Sequence[int]) -> Match | None:
        compared.append(len(candidates))
        return closest(self, row, candidates)

    monkeypatch.setattr(near._Search, "_closest", counted)
    texts = [f"Dear customer, your order number {i} has been shipped today" for i in range(60)]
    assert len(find_near(texts).earlier) == 59
    # A candidate may come from each of the bands of one index.
    assert max(compared) <= 5 * near.BANDS_AT_ONCE


class Steps(Progress, Bar):
    """A progress, and its one bar: how many steps were announced, and how many done."""

    announced: int | None = None
    done = 0

    @contextmanager
    def track(self, what: str, total: int | None, done: int = 0) -> Iterator[Bar]:
        """Begin to count."""
        self.announced = total
        yield self

    def advance(self, count: int = 1, note: str = "", total: int | None = None) -> None:
        """Count."""
        self.done += count


@pytest.mark.parametrize(("texts", "held"), [(0, 0), (3, 0), (1100, 7)])
def test_progress_adds_up(texts: int, held: int) -> None:
    """All steps that were announced are reported: each text for its signature and each index."""
    steps, rows = Steps(), [f"text {i}" for i in range(texts)]
    find_near(rows, rows[:held], progress=steps)
    assert steps.done == steps.announced == (texts + held) * (1 + near.BANDS // near.BANDS_AT_ONCE)
