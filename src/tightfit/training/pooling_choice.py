"""``head.pooling=auto``: which state the head reads, by leave-one-out of a linear probe.

Both states come from one pass of the frozen encoder over a sample of the training rows. Where the
probe tells them apart, the better one is taken. Where it cannot, few rows get the mean, with which
few rows were never seen to do worse, and many rows the first token: once adapters have trained on
thousands of rows it was as good, and it saves most of the last layer.

Shapes: N rows of the sample.
"""

from __future__ import annotations

from tightfit.budget.plan_settings import why_not_mean
from tightfit.config import ASKED, Decision
from tightfit.encoder import UnknownInside
from tightfit.families import Pooling, family_of
from tightfit.methods import METHODS
from tightfit.model.locate import Source
from tightfit.training.frozen_probe import (
    LEAST_ROWS,
    FrozenProbe,
    Scores,
    compared_words,
    gain_and_error,
)

MANY_ROWS = 4_000
"""Rows to train on from which the first token is taken where nothing tells the two apart."""


def decide_pooling(
    probe: FrozenProbe, source: Source, seconds: float | None = None
) -> Decision[Pooling]:
    """What the head reads of the encoder's last layer; ``seconds`` are what choosing may take."""
    config, dataset = probe.config, probe.dataset
    if config.head.pooling != "auto":
        return Decision(config.head.pooling, ASKED)
    shapes, own = source.shapes(dataset.task.outputs), source.config()
    if family_of(own).reading(own) != "first":
        return Decision("first", "its configuration says so")  # the stock head's own way
    reason = why_not_mean(shapes, METHODS[config.adapters.method])
    if config.head.kind == "stock" and shapes.stored_head:
        reason = reason or "the stock head's hidden layer was trained on first tokens"
    if reason is not None:
        return Decision("first", reason)
    rows = len(dataset.train)
    if rows < LEAST_ROWS:
        return Decision("mean", f"{rows} rows are too few to compare it with the first token")
    try:
        if seconds is not None:
            probe = probe.within(source, seconds)
        first_N, mean_N = (probe.scores(source, pooling) for pooling in ("first", "mean"))
        return choose_pooling(first_N, mean_N, rows, probe.metric)
    except UnknownInside as error:
        return Decision("first", error.what)


def choose_pooling(
    first_N: Scores, mean_N: Scores, rows: int, metric: str = "accuracy"
) -> Decision[Pooling]:
    """The better one, if the difference is more than its standard error.

    Args:
        first_N: how well the probe on first tokens answered rows that it was not fitted on.
        mean_N: the same of the probe on means.
        rows: to train on in all.
        metric: what the mean of these scores is.
    """
    gain, error = gain_and_error(mean_N, first_N)
    figures = {"mean": mean_N, "first token": first_N}
    told = compared_words(figures, metric)
    if abs(gain) > error:
        return Decision("mean" if gain > 0 else "first", told)
    if rows < MANY_ROWS:
        return Decision("mean", f"{told}; within the error, and few rows are better with the mean")
    return Decision(
        "first", f"{told}; within the error, and with many rows the first costs less time"
    )
