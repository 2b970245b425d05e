"""Charts as plain geometry: numbers in, positions out; the template turns them into SVG.

Every chart is drawn for the width of a phone and scales up from there, so that its words stay
legible everywhere. Colours are names that the style sheet knows in light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 400.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 12.0, 40.0
MOST_POINTS = 400
"""Points of one line; more than that no screen can show."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Line:
    """A line through points of the drawing, and a word on each that is worth one."""

    name: str
    tone: str
    points: tuple[Point, ...]
    closing: bool = True
    """Whether its last point is marked with a dot."""


@dataclass(frozen=True)
class Bar:
    """A filled rectangle with a hint for the pointer."""

    x: float
    y: float
    width: float
    height: float
    tone: str
    hint: str


@dataclass(frozen=True)
class Dot:
    """A disc, with the height from which a stem leads to it."""

    x: float
    y: float
    radius: float
    stem_from: float
    hint: str


@dataclass(frozen=True)
class Chart:
    """One picture: axes, and whatever is drawn between them."""

    title: str
    about: str
    """The picture in words, for those who do not see it."""
    x_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    """Pairs of a tone and what it stands for."""
    mark: Tick | None = None
    """A vertical line with a word on it."""
    note: str = ""
    y_name: str = ""
    """Above the axis; empty where the title says it."""


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` to places from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value, to a tenth of a unit."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def x_scale(low: float, high: float) -> Scale:
    """Left to right, within the margins."""
    return Scale(low, high, LEFT, WIDTH - RIGHT)


def y_scale(low: float, high: float) -> Scale:
    """Upwards, as on paper; an SVG counts downwards."""
    return Scale(low, high, HEIGHT - BOTTOM, TOP)


def nice_range(values: Sequence[float], *, floor: float, ceiling: float) -> list[float]:
    """Round numbers, 4 to 7 of them, from below the least value to above the greatest.

    Args:
        values: at least one finite number.
        floor: nothing below it is shown.
        ceiling: nothing above it is shown.
    """
    low, high = min(values), max(values)
    span = high - low or abs(high) or 1.0
    rough = span / 4
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    places = [round(i * step, 10) for i in range(first, max(last, first + 1) + 1)]
    return [min(max(place, floor), ceiling) for place in places if floor - step < place] or [floor]


def ticks(scale: Scale, places: Sequence[float], label: Callable[[float], str]) -> tuple[Tick, ...]:
    """A labelled tick at each of the places."""
    return tuple(Tick(scale(place), label(place)) for place in places)


def thinned(points: Sequence[Point]) -> list[Point]:
    """The points, or so many of them that a line keeps its shape and the page its size."""
    step = -(-len(points) // MOST_POINTS)
    kept = list(points[::step]) if step else []
    return [*kept, points[-1]] if kept and kept[-1] != points[-1] else kept


def percent_tick(share: float) -> str:
    """A share for an axis, in as many digits as it has: neighbours never read alike."""
    return f"{100 * share:.4g}%"


def short(value: float) -> str:
    """A number for an axis: 1,200 as 1.2k, no needless zeros."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    if abs(value) >= 1e4 or (abs(value) >= 1e3 and value % 100 == 0):
        return f"{value / 1e3:.3g}k"
    return f"{value:.4g}"
