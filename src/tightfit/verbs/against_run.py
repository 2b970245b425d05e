"""Two runs on the same rows: whether they can be compared, and answers under the same ids.

Shapes: N rows, K labels.
"""

from __future__ import annotations

import numpy as np

from tightfit.errors import DataError
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.tasks import Predictions

SHOWN = 5
"""Labels that are named of those that a run does not know."""


def refuse_unlike(other: Run, first: Run, *, fewer: bool) -> None:
    """Before anything is computed: answers of another kind, or other labels, tell nothing.

    With ``fewer`` the other may know some of the labels only.
    """
    kinds = other.task.kind, first.task.kind
    if kinds[0] != kinds[1]:
        raise DataError(
            "the two runs give answers of different kinds and cannot be compared",
            seen=f"data.task={kinds[0]} in {other.path}",
            allowed=f"data.task={kinds[1]}, as in {first.path}",
        )
    theirs, ours = other.task.names, first.task.names
    if theirs == ours or (fewer and set(theirs) <= set(ours)):
        return
    step = "compare runs that were trained on the same labels"
    if fewer and set(ours) < set(theirs):
        step = f"evaluate {other.path} against {first.path}, which knows fewer labels"
    raise DataError(
        "the two runs have different labels and cannot be compared",
        seen=f"{', '.join(theirs)} in {other.path}",
        allowed=f"{', '.join(ours)}, as in {first.path}",
        next_step=step,
    )


def answers_as(run: Run, theirs: Predictions) -> Predictions:
    """Another run's answers under the ids that this one's labels have: a run that others went on
    from knows fewer labels, and ``data.labels`` may give them in another order."""
    ids = {name: label for label, name in enumerate(run.task.names)}
    place_K = [ids[name] for name in theirs.task.names]
    if place_K == [*range(run.task.outputs)] or not place_K:
        return theirs
    probabilities_NK = np.zeros((len(theirs), run.task.outputs))
    probabilities_NK[:, place_K] = theirs.probabilities
    thresholds = {place_K[label]: value for label, value in theirs.thresholds.items()}
    return run.task.predictions(probabilities_NK, thresholds=thresholds)


def tell_unknown(run: Run, against: Run, progress: Progress) -> None:
    """Which labels the other run does not know."""
    unknown = [name for name in run.task.names if name not in against.task.names]
    if unknown:
        names = ", ".join(map(repr, unknown[:SHOWN])) + " …" * (len(unknown) > SHOWN)
        progress.say(f"{against.path} does not know {names}: rows of it are wrong for that run")
