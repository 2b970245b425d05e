"""A comparison as a Markdown table, to paste where results are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tightfit.display import score_name, score_value
from tightfit.experiments.cells import Row
from tightfit.metrics.interval import Interval

USUAL = ("accuracy", "macro_f1")
"""Scores of the headings where there is no row yet."""


def markdown(rows: Sequence[Row], left_out: Mapping[str, str]) -> str:
    """The table, and below it what it lacks.

    Args:
        rows: in the order of the table.
        left_out: names of cells without a row, each with the reason.
    """
    names = list(rows[0].scores) if rows else USUAL
    scores = [f"{score_name(name)} (95% interval)" for name in names]
    headings = ["", "trainable", *scores, "seconds", "kB"]
    lines = [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]
    lines += [_line(_cells(row)) for row in rows]
    if left_out:
        lines += ["", *(f"Left out: {name}: {reason}." for name, reason in left_out.items())]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    return [
        # A setting's value may hold the character that ends a cell.
        row.name.replace("|", "\\|"),
        f"{row.trainable:,}",
        *(_with_ends(name, score) for name, score in row.scores.items()),
        f"{row.seconds:,.1f}",
        f"{row.bytes / 1000:,.1f}",
    ]


def _with_ends(name: str, score: Interval) -> str:
    value, low, high = (score_value(name, x) for x in (score.value, score.low, score.high))
    return f"{value} ({low} to {high})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
