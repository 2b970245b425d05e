"""What the classifier is worth on rows that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass

from tightfit.display import score_words
from tightfit.metrics.scores import ClassScores, Confusion
from tightfit.reporting.spending import adapter_words
from tightfit.run import Run
from tightfit.training.summary import Evaluated

MATRIX_LABELS = 12
"""A wider confusion matrix cannot be read; its largest confusions are listed instead."""
LISTED = 20
"""Confusions, or labels, that are listed of very many."""
DIM = 0.08
"""Shade of the palest cell that is not empty."""


@dataclass(frozen=True)
class Verdict:
    """The outcome in words and one picture."""

    sentence: str
    """Score, budget and adapters in one line."""
    spent: str
    """Budget and adapters as a sentence."""


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix."""

    count: int
    shade: float
    """Share of its true label's rows, lifted so that 1 row is visible; 0 for none."""
    right: bool


@dataclass(frozen=True)
class Quality:
    """The outcome by label, and what to hold it against."""

    majority: float
    """Accuracy of always giving the most frequent label."""
    majority_label: str
    classes: tuple[ClassScores, ...]
    classes_left_out: int
    matrix: tuple[tuple[str, tuple[Cell, ...]], ...]
    """True label and its row of cells; empty where it would be too wide."""
    confusions: tuple[Confusion, ...]
    confusions_left_out: int


def verdict(run: Run) -> Verdict:
    """The outcome of a run, for the top of the page."""
    plan = run.plan
    cap = "" if plan.budget is None else f" of {plan.budget:,}"
    learned = adapter_words(run)
    # The curves of the page are those of the steps, which know nothing of it.
    reads = {"characters": "reads the characters of texts", "pairs": "compares both texts"}
    beside = f" A side head, solved apart, {reads[plan.side.reads]}." if plan.side else ""
    of_cap = "parameters, with no cap" if plan.budget is None else f"of {plan.budget:,} parameters"
    return Verdict(
        sentence=f"{_scored(run)} · {plan.total:,}{cap} parameters · {learned}",
        spent=f"It trained {plan.total:,} {of_cap}; {learned}.{beside}",
    )


def _scored(run: Run) -> str:
    scores = run.metrics.validation
    if scores is None:
        found = largest_evaluation(run)
        if found is None:
            return "accuracy unknown"
        return f"{score_words('accuracy', found.scores.accuracy)} on {found.scores.n:,} other rows"
    best = score_words(*next(iter(scores.headline().items())))
    how = "" if run.metrics.train.source == "validation" else ", cross-validated"
    sample = "" if run.decisions.scored_rows is None else "a sample of "
    return f"{best} on {sample}{scores.n:,} rows{how}"


def largest_evaluation(run: Run) -> Evaluated | None:
    """The one since on the most rows, which stands for the scores of a run that has none."""
    return max(run.evaluations, key=lambda each: each.scores.n, default=None)


def scored_rows(run: Run) -> str:
    """Which rows the scores are of, and how they were answered."""
    crossed = run.metrics.train.source == "cross_validation"
    rows = "rows, each answered by a training without it," if crossed else "validation rows"
    sample = "" if run.decisions.scored_rows is None else "a sample of "
    return f"{sample}{run.metrics.validation.n:,} {rows}"


def quality(run: Run) -> Quality:
    """The outcome by label, where a row has one of them."""
    scores = run.metrics.validation
    classes = list(scores.per_class)
    many = len(classes) > LISTED
    # Of very many labels the weakest are worth the room.
    shown = sorted(classes, key=lambda row: row.f1.value)[:LISTED] if many else classes
    often, confused = scores.per_class[scores.majority], scores.confusions()
    return Quality(
        majority=often.support / scores.n,
        majority_label=often.name,
        classes=tuple(shown),
        classes_left_out=len(classes) - len(shown),
        matrix=_matrix(run) if len(classes) <= MATRIX_LABELS else (),
        confusions=tuple(confused[:LISTED]),
        confusions_left_out=max(0, len(confused) - LISTED),
    )


def _matrix(run: Run) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    rows = []
    for true, counts in enumerate(run.metrics.validation.confusion):
        whole = sum(counts) or 1
        cells = tuple(
            Cell(count, round(DIM + (1 - DIM) * count / whole, 3) if count else 0.0, true == column)
            for column, count in enumerate(counts)
        )
        rows.append((run.labels[true], cells))
    return tuple(rows)
