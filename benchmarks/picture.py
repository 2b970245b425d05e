"""The picture of the speed comparison."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.sides import SIDES

OURS, THEIRS = "#1f6f8b", "#b0b7bc"


class Bar(Protocol):
    """What is drawn of a side."""

    @property
    def side(self) -> str:
        """Key in ``SIDES``."""

    @property
    def steady_rows(self) -> float:
        """Rows a second in optimiser steps."""

    @property
    def rows_per_second(self) -> float:
        """Rows a second over the whole run."""


def draw(bars: Sequence[Bar], path: Path) -> None:
    """One bar a side: rows a second in steps, and a mark for the whole run."""
    with mpl.rc_context({"svg.hashsalt": "tightfit", "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 0.6 * len(bars) + 1.2), layout="constrained")
        axes = figure.subplots()
        names = [SIDES[bar.side].name for bar in bars]
        colours = [OURS if name.startswith("tightfit") else THEIRS for name in names]
        drawn = axes.barh(names, [bar.steady_rows for bar in bars], color=colours)
        axes.bar_label(drawn, fmt="{:.1f}", padding=4)
        axes.plot([bar.rows_per_second for bar in bars], names, "k|", markersize=14)
        axes.set_xlabel("rows a second in training steps (line: over the whole run, start-up too)")
        axes.margins(x=0.12)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        # Without the date the same figures give the same file.
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
