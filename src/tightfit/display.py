"""How results show themselves: a line in a terminal, a small table in a notebook."""

from __future__ import annotations

from abc import ABC, abstractmethod
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tightfit.metrics.interval import Interval, TaskScores


class Shown(ABC):
    """Gives a result its ``repr``, and what a notebook shows of it.

    A dataclass that is shown so is declared with ``repr=False``.
    """

    @abstractmethod
    def shown(self) -> dict[str, object]:
        """What is worth a look, by name."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in self.shown().items())})"

    def _repr_html_(self) -> str:
        """The same as a table; names and values are escaped."""
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>"
            for name, value in self.shown().items()
        )
        return f"<table><caption>{type(self).__name__}</caption>{rows}</table>"


NAMES = {"ece": "calibration error", "mae": "MAE", "rmse": "RMSE", "r2": "R2"}
"""Scores that are called otherwise than they are written."""

NUMBERS = ("mae", "r2", "rmse", "spearman", "log_loss", "quadratic_score")
"""Scores that are no shares: in the unit of ratings, up to 1, or in nats."""


def percent(share: float, digits: int = 1) -> str:
    """A share from 0 to 1 as a percentage."""
    return f"{share:.{digits}%}"


def score_name(name: str) -> str:
    """A score as people call it: ``macro F1`` for ``macro_f1``."""
    words = NAMES.get(name, name.replace("_", " "))
    return words.replace("spearman", "Spearman").replace("f1", "F1")


UNDEFINED = "not defined: all ratings are alike"
"""What stands for a score that no rows of that kind have."""


def score_value(name: str, value: float | None) -> str:
    """A score as people read it: a share in percent, others as they are."""
    if value is None:
        return UNDEFINED
    if name not in NUMBERS:
        return f"{value:.1%}"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"


def named_score(name: str, value: float) -> str:
    """A score with its name, but for accuracy, which goes without saying."""
    told = score_value(name, value)
    return told if name == "accuracy" else f"{score_name(name)} {told}"


def score_words(name: str, score: Interval | None) -> str:
    """A score and its interval: ``91.2% (90.1 to 92.1)``, ``0.823 (0.801 to 0.844)``."""
    if score is None:
        return UNDEFINED
    if name not in NUMBERS:
        return share_words(score)
    value, low, high = (score_value(name, x) for x in (score.value, score.low, score.high))
    return f"{value} ({low} to {high})"


def share_words(share: Interval) -> str:
    """A share, 0 to 1, and its interval in percent: ``91.2% (90.1 to 92.1)``."""
    return f"{share.value:.1%} ({100 * share.low:.1f} to {100 * share.high:.1f})"


def weakest_label(scores: TaskScores) -> tuple[Any, list[str]]:
    """The label that is found worst, None where all are always right, and those never found."""
    seen = [each for each in scores.each_label() if each.support and each.f1.value < 1]
    weakest = min(seen, key=lambda each: each.f1.value, default=None)
    return weakest, [each.name for each in seen if not each.recall.value]


def help_words(scores: TaskScores, lost: Sequence[str]) -> str:
    """What may help labels that are never found; to weigh them does only where they are rare."""
    rows = {each.name: each.support for each in scores.each_label()}
    rare = min(rows[name] for name in lost) < sum(rows.values()) / len(rows)
    weights = "more minutes, or --set optim.class_weights=balanced" if rare else "or more minutes,"
    return f"more of its rows, {weights} may help in training"


def found_words(label: Any) -> str:
    """How well one is found: ``F1 88.9%, 80.0% of its 10 rows found``."""
    rows = f"{label.support:,} row{'s' if label.support > 1 else ''}"
    return f"F1 {label.f1.value:.1%}, {label.recall.value:.1%} of its {rows} found"


def constant_words(scores: TaskScores) -> str | None:
    """That nothing shows anything learned, or None."""
    constant = scores.constant_as_good()
    return constant and f"not shown to be better than a constant answer: {constant}"


def remarks(scores: TaskScores) -> list[str]:
    """Whether a constant answer is as good, which label is found worst, and which are never found,
    in a line each."""
    weakest, lost = weakest_label(scores)
    constant = constant_words(scores)
    words = [constant] if constant else []
    words += [f"weakest label: {weakest.name}, {found_words(weakest)}"] if weakest else []
    if lost and not constant:
        more = f" and {len(lost) - 1:,} more labels" if len(lost) > 2 else f" or {lost[-1]}"
        none = f"no row of {lost[0]}{more if len(lost) > 1 else ''} was found"
        words.append(f"{none}: {help_words(scores, lost)}")
    return words
