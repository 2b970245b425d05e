"""Charts as plain geometry: numbers in, positions out; the template turns them into SVG.

Every chart is drawn for the width of a phone and scales up from there, so that its words stay
legible everywhere. Colours are names that the style sheet knows in light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
class Axis:
    """Maps values from ``low`` to ``high`` to places from ``start`` to ``end``."""

    name: str
    """Empty where the title of the chart says it."""
    low: float
    high: float
    start: float
    end: float
    labels: Mapping[float, str]
    """What stands beside it, by value."""

    def __call__(self, value: float) -> float:
        """The place of a value, to a tenth of a unit."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """The labelled places."""
        return tuple(Tick(self(value), label) for value, label in self.labels.items())


@dataclass(frozen=True)
class Chart:
    """One picture: axes, and whatever is drawn between them."""

    title: str
    about: str
    """The picture in words, for those who do not see it."""
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    dots: tuple[Dot, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    """Pairs of a tone and what it stands for."""
    mark: Tick | None = None
    """A vertical line with a word on it."""
    note: str = ""


def nice_range(
    values: Sequence[float], *, floor: float = -math.inf, ceiling: float = math.inf
) -> list[float]:
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


def x_axis(name: str, values: Sequence[float], label: Callable[[float], str] = short) -> Axis:
    """Left to right, within the margins, from the first value to the last; each has a label."""
    return Axis(name, values[0], values[-1], LEFT, WIDTH - RIGHT, _labels(values, label))


def y_axis(name: str, values: Sequence[float], label: Callable[[float], str] = short) -> Axis:
    """The same upwards, as on paper; an SVG counts downwards."""
    return Axis(name, values[0], values[-1], HEIGHT - BOTTOM, TOP, _labels(values, label))


def _labels(values: Sequence[float], label: Callable[[float], str]) -> dict[float, str]:
    return {value: label(value) for value in values}


def histogram(
    x: Axis,
    y: Axis,
    edges: Sequence[float],
    counts: Sequence[int],
    *,
    tone: Callable[[float, float], str],
    hint: Callable[[int, float, float], str],
) -> tuple[Bar, ...]:
    """A bar between each two neighbours of ``edges``, but for those of no height.

    Args:
        x: of the edges.
        y: of the counts, from 0.
        edges: ascending, one more than counts.
        counts: whole numbers.
        tone: of a bar, by its edges.
        hint: to a bar, by its count and its edges.
    """
    return tuple(
        Bar(
            x=x(start) + 0.5,
            y=y(count),
            width=max(round(x(end) - x(start) - 1, 1), 0.5),
            height=round(y(0) - y(count), 1),
            tone=tone(start, end),
            hint=hint(count, start, end),
        )
        for start, end, count in zip(edges, edges[1:], counts, strict=False)
        if count
    )
