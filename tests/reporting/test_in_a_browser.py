"""The page in a real browser: nothing runs, nothing is fetched, all is seen, nothing sticks out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import BROWSER, DRIVER, Browser, browser
from tests.reports import hostile, with_outcomes
from tightfit import Run, TrainResult
from tightfit.reporting.page import render

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="there is no chromium and chromedriver"),
]

UNSEEN_PICTURES = """
return [...document.querySelectorAll('svg, [role=img]')]
    .filter(each => each.getBoundingClientRect().width < 100
        || each.getBoundingClientRect().height < 5).length"""
PICTURES = "return document.querySelectorAll('svg').length"
OVERFLOW = "return document.documentElement.scrollWidth - window.innerWidth"
SMALLEST_TEXT = """
return Math.min(...[...document.querySelectorAll('svg text')]
    .map(each => parseFloat(getComputedStyle(each).fontSize)
        * each.closest('svg').getBoundingClientRect().width / 400))"""
CONTRAST = """
const channel = value => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = colour => colour.match(/[\\d.]+/g).slice(0, 3)
    .map(each => channel(each / 255)).reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const style = getComputedStyle(document.querySelector(arguments[0] || '.overline'));
const [ink, paper] = [light(style.color), light(getComputedStyle(document.body).backgroundColor)];
return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05)"""
TONES = """
return [1, 2, 3, 4, 5, 6].map(number => {
    const part = document.createElement('i');
    part.className = `tone-${number}`;
    part.style.background = 'var(--tone)';
    document.body.append(part);
    return getComputedStyle(part).backgroundColor;
})"""
WIDEST_CODE = """
return Math.max(...[...document.querySelectorAll('pre')]
    .map(each => each.scrollWidth - each.clientWidth))"""

UNPRINTED = """
return [...document.querySelectorAll('{}')]
    .filter(each => getComputedStyle(each).printColorAdjust !== 'exact').length"""


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(finished: TrainResult, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of a run, of a hostile one, and of one with many long labels."""
    run = Run.open(finished.run)
    render(run)  # reads every part, before a hostile path stands in the place of its own
    names = [f"{'averylongword' * 4}{i}" for i in range(12)]
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "plain": with_outcomes(run, ["money", "sport"], ["a text"]),
        "hostile": hostile(run),
        "wide": with_outcomes(run, names, ["unbroken" * 120]),
    }
    for name, each in made.items():
        (folder / f"{name}.html").write_text(render(each), "utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["plain", "hostile", "wide"])
def test_the_page_is_quiet_and_whole(
    window: Browser, pages: dict[str, Path], name: str, dark: bool, width: int
) -> None:
    """No complaint, no request but for the page, every picture there, no sideways scrolling."""
    window.open(pages[name], width=width, dark=dark)
    assert window.complaints() == []
    assert window.requests() == [pages[name].resolve().as_uri()]
    assert window.run(PICTURES) == 7
    assert window.run(UNSEEN_PICTURES) == 0
    assert window.run(OVERFLOW) == 0


@pytest.mark.parametrize("width", [390, 1400])
def test_words_in_pictures_are_legible(window: Browser, pages: dict[str, Path], width: int) -> None:
    """At least 10 pixels high on a phone and on a desk."""
    window.open(pages["plain"], width=width)
    assert window.run(SMALLEST_TEXT) >= 10


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_softest_words_have_contrast(
    window: Browser, pages: dict[str, Path], dark: bool
) -> None:
    """4.5 to 1, as WCAG 2.1 AA asks."""
    window.open(pages["plain"], dark=dark)
    assert window.run(CONTRAST) >= 4.5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_kinds_of_layers_are_told_apart(
    window: Browser, pages: dict[str, Path], dark: bool
) -> None:
    """Six roles, six colours."""
    window.open(pages["plain"], dark=dark)
    assert len(set(window.run(TONES))) == 6


@pytest.mark.parametrize("width", [390, 1400])
def test_no_command_is_cut(window: Browser, pages: dict[str, Path], width: int) -> None:
    """A line that is too long goes on below; nobody sees that a box could be moved."""
    window.open(pages["plain"], width=width)
    assert window.run(WIDEST_CODE) == 0


def test_on_paper_it_is_light_and_its_bars_are_seen(
    window: Browser, pages: dict[str, Path]
) -> None:
    """Whoever reads in the dark prints in black; a browser leaves backgrounds out unless asked."""
    window.open(pages["plain"], dark=True)
    dark = {"name": "prefers-color-scheme", "value": "dark"}
    window.devtools("Emulation.setEmulatedMedia", {"media": "print", "features": [dark]})
    assert window.run("return getComputedStyle(document.body).color") == "rgb(27, 29, 31)"
    hidden = [window.run(UNPRINTED.format(each)) for each in (".bars i", ".split span", ".band")]
    window.devtools("Emulation.setEmulatedMedia", {"media": "", "features": []})
    assert hidden == [0, 0, 0]


def test_nothing_hostile_ran(window: Browser, pages: dict[str, Path]) -> None:
    """Each of the texts would open a box, which ends every later command with an error."""
    window.open(pages["hostile"])
    assert window.run("return document.querySelectorAll('script, [onerror], [onload]').length") == 0
    assert window.run("return document.title").startswith("title><img src=x")


def test_a_browser_would_have_told(window: Browser, tmp_path: Path) -> None:
    """The means of this file are not blind: a script, a fault, a request and a width all show."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<div style='width:3000px'>x</div><img src='http://127.0.0.1:9/x.png'><script>oops()</script>"
    )
    window.open(page)
    assert any("oops" in each for each in window.complaints())
    assert "http://127.0.0.1:9/x.png" in window.requests()
    assert window.run(OVERFLOW) > 1000
