"""What the classifier is worth on rows that it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tightfit.reporting.drawing import percent
from tightfit.reporting.facts import RunFacts
from tightfit.reporting.spending import adapter_words

MATRIX_LABELS = 12
"""A wider confusion matrix cannot be read; its largest confusions are listed instead."""
LISTED = 20
"""Confusions, or labels, that are listed of very many."""
DIM = 0.08
"""Shade of the palest cell that is not empty."""


@dataclass(frozen=True)
class Measure:
    """A share with its 95% interval, all from 0 to 1."""

    value: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """For people: ``91.2% (90.1 to 92.1)``."""
        return f"{percent(self.value)} ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Verdict:
    """The outcome in words and one picture."""

    accuracy: Measure
    rows: int
    sentence: str
    """Accuracy, budget and adapters in one line."""
    majority: float
    """Accuracy of always giving the most frequent label."""
    majority_label: str
    spent: str
    """Budget and adapters as a sentence."""
    sound: bool
    """Whether every proof holds."""


@dataclass(frozen=True)
class ClassRow:
    """One label's line in the table."""

    name: str
    rows: int
    precision: Measure
    recall: Measure
    f1: Measure


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix."""

    count: int
    shade: float
    """Share of its true label's rows, lifted so that 1 row is visible; 0 for none."""
    right: bool


@dataclass(frozen=True)
class Confusion:
    """Rows of one true label that got another."""

    true: str
    predicted: str
    count: int
    share: float
    """Of the true label's rows."""


@dataclass(frozen=True)
class Evaluated:
    """The outcome on other rows."""

    source: str
    rows: int
    accuracy: Measure
    macro_f1: Measure


@dataclass(frozen=True)
class Quality:
    """Tables of the outcome."""

    macro_f1: Measure
    classes: tuple[ClassRow, ...]
    classes_left_out: int
    matrix: tuple[tuple[str, tuple[Cell, ...]], ...]
    """True label and its row of cells; empty where it would be too wide."""
    confusions: tuple[Confusion, ...]
    evaluations: tuple[Evaluated, ...]


def verdict(facts: RunFacts) -> Verdict:
    """The outcome of a run, for the top of the page."""
    scores, plan = facts.scores, facts.plan
    accuracy = measure(scores["accuracy"])
    cap = "" if plan.budget is None else f" of {plan.budget:,}"
    supports = [each["support"] for each in scores["per_class"]]
    most = max(supports)
    learned = adapter_words(facts)
    of_cap = "parameters, with no cap" if plan.budget is None else f"of {plan.budget:,} parameters"
    return Verdict(
        accuracy=accuracy,
        rows=scores["n"],
        sentence=f"{accuracy.words} on {scores['n']:,} rows · {plan.total:,}{cap} parameters · "
        f"{learned}",
        majority=most / scores["n"],
        majority_label=facts.labels[supports.index(most)],
        spent=f"It trained {plan.total:,} {of_cap}; {learned}.",
        sound=all(proof.get("ok") for proof in facts.proofs.values()),
    )


def quality(facts: RunFacts) -> Quality:
    """The outcome by label."""
    scores = facts.scores
    classes = [_class_row(each) for each in scores["per_class"]]
    many = len(classes) > LISTED
    # Of very many labels the weakest are worth the room.
    shown = sorted(classes, key=lambda row: row.f1.value)[:LISTED] if many else classes
    confusions = _confusions(facts)
    return Quality(
        macro_f1=measure(scores["macro_f1"]),
        classes=tuple(shown),
        classes_left_out=len(classes) - len(shown),
        matrix=_matrix(facts) if len(classes) <= MATRIX_LABELS else (),
        confusions=tuple(confusions[:LISTED]),
        evaluations=tuple(
            Evaluated(each["data"], each["n"], measure(each["accuracy"]), measure(each["macro_f1"]))
            for each in facts.evaluations
        ),
    )


def measure(interval: Mapping[str, float]) -> Measure:
    """An interval as the JSON files have it."""
    return Measure(interval["value"], interval["low"], interval["high"])


def _class_row(each: Mapping[str, Any]) -> ClassRow:
    measures = [measure(each[key]) for key in ("precision", "recall", "f1")]
    return ClassRow(each["name"], each["support"], *measures)


def _matrix(facts: RunFacts) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    rows = []
    for true, counts in enumerate(facts.scores["confusion"]):
        whole = sum(counts) or 1
        cells = tuple(
            Cell(count, round(DIM + (1 - DIM) * count / whole, 3) if count else 0.0, true == column)
            for column, count in enumerate(counts)
        )
        rows.append((facts.labels[true], cells))
    return tuple(rows)


def _confusions(facts: RunFacts) -> list[Confusion]:
    """Every pair of labels that was confused, the most frequent first."""
    found = [
        Confusion(facts.labels[true], facts.labels[predicted], count, count / sum(counts))
        for true, counts in enumerate(facts.scores["confusion"])
        for predicted, count in enumerate(counts)
        if count and true != predicted
    ]
    return sorted(found, key=lambda confusion: -confusion.count)
