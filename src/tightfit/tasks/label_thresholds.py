"""Thresholds of single labels: written by people, chosen on rows, kept in a run's ``derived/``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tightfit import storage
from tightfit.errors import DataError, UsageError, did_you_mean, first_few
from tightfit.metrics.thresholds import (
    Cost,
    Goal,
    Precision,
    Recall,
    cross_fitted,
)
from tightfit.storage.files import parsed
from tightfit.tasks import MultiLabel, Task, need_labels, need_one_class
from tightfit.tasks.chosen_threshold import ChosenThreshold, unreachable

if TYPE_CHECKING:
    from tightfit.tasks.validation_logits import ValidationLogits

LISTED = 5
"""Thresholds that are told of very many."""

OWN_ROWS = "the run's validation rows"
"""What stands for the file of rows, where none was given."""

DERIVED_NAME = "thresholds"
"""The file in the run's ``derived/``."""


@dataclass(frozen=True)
class ThresholdGoals:
    """What thresholds shall bring, by label: shares to reach, and what mistakes cost."""

    recall: Mapping[str, float]
    precision: Mapping[str, float]
    cost: Mapping[tuple[str, str], float]
    """Of taking the first label's rows for the second; any other mistake costs 1."""

    def goals(self, task: Task) -> list[Goal]:
        """One for each label that is named.

        Raises:
            UsageError: an unknown label, a share that is none, a label with two goals, or no label
                left without one.
        """
        if self.recall or self.precision or self.cost:
            need_labels(task, "a threshold")
        goals: list[Goal] = [
            Recall(label_id(task, n), _share(n, x)) for n, x in self.recall.items()
        ]
        goals += [Precision(label_id(task, n), _share(n, x)) for n, x in self.precision.items()]
        costs_KK = 1.0 - np.eye(task.outputs)
        dear = {}
        for (true, taken), cost in self.cost.items():
            pair = label_id(task, true), label_id(task, taken)
            if pair[0] == pair[1] or not 0 < cost < math.inf:
                raise UsageError(
                    "a cost is of taking one label for another, and above 0",
                    seen=f"{true}:{taken}={cost:g}",
                )
            costs_KK[pair] = cost
            dear[pair[0]] = costs_KK
        goals += [Cost(label, costs_KK) for label in dear]
        if dear:
            need_one_class(task, "a cost of mistakes")
        labels = [goal.label for goal in goals]
        if len(set(labels)) < len(labels):
            raise UsageError("a label can have one goal only", next_step="give one of them")
        _leave_one(task, labels)
        return goals


def choose_thresholds(
    task: Task,
    probabilities_NK: NDArray[np.float64],
    targets_N: NDArray[Any],
    goals: Sequence[Goal],
) -> list[ChosenThreshold]:
    """The threshold of each goal, and what it is worth.

    Raises:
        DataError: the rows have too few of a label.
        UsageError: no threshold is so precise.
    """
    if isinstance(task, MultiLabel):
        from tightfit.tasks.label_set_thresholds import thresholds_for

        return thresholds_for(task.names, probabilities_NK, targets_N, goals)
    chosen = []
    for goal in goals:
        value = goal.choose(probabilities_NK, targets_N)
        if value is None:
            raise unreachable(task.names[goal.label], goal, probabilities_NK, targets_N)
        chosen.append(value)
    answers_N = cross_fitted(probabilities_NK, targets_N, list(goals))
    if answers_N is None:
        raise DataError(
            "the rows are too few to choose thresholds on one half and measure them on the other",
            seen=", ".join(
                f"{task.names[goal.label]}: {int((targets_N == goal.label).sum())} rows"
                for goal in goals
            ),
            next_step="evaluate on more rows, or ask for less",
        )
    usual_N = need_one_class(task, "a threshold").answers(probabilities_NK)
    return [
        _chosen(task, goal, value, (targets_N, answers_N, usual_N))
        for goal, value in zip(goals, chosen, strict=True)
    ]


def _chosen(
    task: Task, goal: Goal, threshold: float, rows: tuple[NDArray[np.int64], ...]
) -> ChosenThreshold:
    from tightfit.metrics.intervals import bootstrap
    from tightfit.metrics.scores import confusion_counts

    targets_N, answers_N, usual_N = rows
    found = ChosenThreshold.measured(
        task.names[goal.label],
        targets_N == goal.label,
        answers_N == goal.label,
        goal=type(goal).__name__.lower(),
        least=None if isinstance(goal, Cost) else goal.least,
        threshold=threshold,
    )
    if not isinstance(goal, Cost):
        return found
    costs_C = goal.costs_KK.reshape(-1)
    counts_C = confusion_counts(targets_N, answers_N, task.outputs).reshape(-1)
    mean = bootstrap(lambda counts_RC: counts_RC @ costs_C / len(targets_N), counts_C)
    return replace(found, mean_cost=mean, usual_cost=goal.mean(targets_N, usual_N))


def keep_chosen(folder: storage.RunFolder, found: Sequence[ChosenThreshold], source: str) -> None:
    """Put thresholds on record, in place of those that are there.

    Args:
        folder: of the run.
        found: the thresholds.
        source: the rows that they were chosen on, in words.

    Raises:
        MachineError: they cannot be written.
    """
    record = {"data": source, "thresholds": [asdict(each) for each in found]}
    storage.write_derived(folder, DERIVED_NAME, record)


def keep_usual(folder: storage.RunFolder, rows: ValidationLogits) -> None:
    """Put those on record that a run has from the start, beside the temperature that they go with:
    none, but where a row may have several labels.

    Raises:
        MachineError: they cannot be written.
    """
    if not isinstance(rows.task, MultiLabel):
        return
    from tightfit.tasks.label_set_thresholds import f1_thresholds

    temperature = rows.task.fit_temperature(rows.logits_NK, rows.targets_N).value
    probabilities_NK = rows.task.probabilities(rows.logits_NK, temperature)
    found = f1_thresholds(rows.task.names, probabilities_NK, rows.targets_N)
    keep_chosen(folder, found, OWN_ROWS)


def read_chosen(folder: storage.RunFolder) -> tuple[ChosenThreshold, ...]:
    """Those that were chosen since a run was sealed; none where there are none.

    Raises:
        ArtefactError: they are damaged.
    """
    path = folder.derived / f"{DERIVED_NAME}.json"
    if not path.is_file():
        return ()
    saved = storage.read_derived(folder, DERIVED_NAME)["thresholds"]
    return parsed(tuple[ChosenThreshold, ...], saved, path)


def thresholds_by_id(task: Task, named: Mapping[Any, float]) -> dict[int, float]:
    """Thresholds that somebody wrote, by the id of the label.

    Raises:
        UsageError: an unknown label, a threshold that is no probability, or one for every label.
    """
    if named:
        need_labels(task, "a threshold")
    found = {label_id(task, name): _share(str(name), value) for name, value in named.items()}
    _leave_one(task, list(found))
    return found


def threshold_words(task: Task, thresholds: Mapping[int, float], *, kept: bool) -> str:
    """Which labels are answered from which probability on, and who said so."""
    if not task.one_class:
        each = [f"{task.names[k]} {100 * x:.3g}%" for k, x in thresholds.items()]
        return f"labels are given from these probabilities on: {first_few(each, LISTED)}"
    pairs = (f"{task.names[k]} is answered from {100 * x:.4g}% on" for k, x in thresholds.items())
    why = " (kept by evaluate; --threshold none leaves it out)" if kept else ""
    return ", ".join(pairs) + why


def label_id(task: Task, name: object) -> int:
    """The id of a label that somebody wrote: its name, or the value that stood for it.

    Raises:
        UsageError: there is no such label.
    """
    for spelt in (task.names, tuple(map(str, task.spelt("value")))):
        if str(name) in spelt:
            return spelt.index(str(name))
    raise UsageError(
        "the run has no such label",
        seen=name,
        allowed=", ".join(task.names[:20]),
        next_step=did_you_mean(str(name), task.names),
    )


def _share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise UsageError(
            "a threshold, a recall or a precision is a share above 0, up to 1",
            seen=f"{name}={value:g}",
            next_step=f"did you mean {name}={value / 100:g}?"
            if 2 <= value <= 100
            else f"give a share, such as {name}=0.95",
        )
    return value


def _leave_one(task: Task, labels: Sequence[int]) -> None:
    if task.one_class and len(labels) >= task.outputs:
        raise UsageError(
            "one label at least must be without a threshold: it is answered where none is reached",
            seen=", ".join(task.names[label] for label in labels),
            next_step="leave one of them out",
        )
