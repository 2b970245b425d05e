"""How tables look: numbers whole, words as they are, 80 columns, no need of colour."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tightfit.cli.console import add_row, bar, new_table, shared_path, size, tick
from tightfit.cli.evaluate_command import _class_table
from tightfit.display import percent
from tightfit.metrics.scores import score


def console(width: int = 80, encoding: str = "utf-8") -> Console:
    """A console that keeps what it is given."""
    return Console(file=io.TextIOWrapper(io.BytesIO(), encoding=encoding), width=width)


def shown(console: Console, part: object) -> str:
    """What the console shows of a part."""
    with console.capture() as capture:
        console.print(part)
    return capture.get()


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.0, "░░░░"), (0.001, "█░░░"), (0.5, "██░░"), (1.0, "████"), (1.7, "████")],
)
def test_bars(share: float, expected: str) -> None:
    """Something is never shown as nothing, and too much never runs over."""
    assert bar(share, console(), width=4) == expected


def test_plain_terminals() -> None:
    """Where the encoding has no block characters, others stand for them."""
    plain = console(encoding="ascii")
    assert bar(0.5, plain, width=4) == "##.."
    assert (tick(True, plain), tick(False, plain)) == ("ok", "no")
    assert (tick(True, console()), tick(False, console())) == ("✓", "✗")


def test_numbers_are_never_cut_short() -> None:
    """Words fold where the terminal is narrow; a number without its end would lie."""
    table = new_table("title", "a word", ">number")
    add_row(table, "a.very.long.name.of.a.layer", "124,055,040")
    page = shown(console(width=30), table)
    assert "124,055,040" in page
    assert "…" not in page
    assert max(map(len, page.splitlines())) <= 30


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("体育新闻", "体育新闻"),
        ("体育新闻与比赛报道", "体育新闻与比…"),
        ("a name of many letters", "a name of man…"),
        ("การเงินและธุรกิจ", "การเงินและธุรกิจ"),
    ],
)
def test_names_are_cut_by_the_places_they_take(name: str, told: str) -> None:
    """A character of Chinese takes two, a mark above a letter none."""
    table = _class_table(score([0, 1], [[0.9, 0.1], [0.2, 0.8]], [name, "b"]))
    assert str(next(iter(table.columns[0].cells))) == told


def test_titles_stay_on_one_line() -> None:
    """Also above a narrow table."""
    assert (
        shown(console(), new_table("a title wider than its table", "x")).count("title wider") == 1
    )


def test_labels_are_no_markup() -> None:
    """A label may be called [red]."""
    table = new_table("of [b]runs[/b]", "label")
    add_row(table, "[red]x[/red]")
    page = shown(console(), table)
    assert "[red]x[/red]" in page
    assert "of [b]runs[/b]" in page


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([], ""),
        (["a.b.c"], "a.b."),
        (["a.b.c", "a.b.d"], "a.b."),
        (["a.b.cat", "a.b.car"], "a.b."),
        (["a.b", "a.b.c"], "a."),
        (["x", "y"], ""),
        (["a.b.c", "x.b.c"], ""),
    ],
)
def test_shared_paths(names: list[str], expected: str) -> None:
    """Whole parts only, and never a whole name."""
    assert shared_path(names) == expected


def test_words_for_numbers() -> None:
    """Shares and bytes as people read them."""
    assert percent(0.88125) == "88.1%"
    assert size(3 * 2**29) == "1.5 GiB"
    assert size(100 * 2**20) == "100 MiB"
