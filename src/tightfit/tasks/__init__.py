"""What a target is, and what an answer is: one file a kind of target.

Another kind is another subclass of :class:`Task`, named in :data:`KINDS`; mypy then tells which
questions it has no answer to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tightfit.config import Config, Data
from tightfit.data.table import Table
from tightfit.errors import ArtefactError, SettingsError, UsageError
from tightfit.tasks.multi_label import LabelSetPredictions, MultiLabel
from tightfit.tasks.predictions import DIGITS, LabelFormat, Predictions
from tightfit.tasks.rating import Rating
from tightfit.tasks.single_label import LabelPredictions, SingleLabel
from tightfit.tasks.task import Task

KINDS: Mapping[str, type[Task]] = {each.kind: each for each in (SingleLabel, MultiLabel, Rating)}
"""By the name under which ``labels.json`` has them; a file without one is of the first kind."""


def read_task(saved: Mapping[str, Any]) -> Task:
    """The task of a run, from its ``labels.json``.

    Raises:
        ArtefactError: it is damaged, or of a kind that this version does not know.
    """
    kind = saved.get("task", SingleLabel.kind)
    if kind not in KINDS:
        what = "the run answers in a way that this version does not know"
        raise ArtefactError(what, seen=kind, allowed=", ".join(KINDS))
    return KINDS[kind].from_json(saved)


def task_for(table: Table, settings: Data) -> Task:
    """The task that labelled rows set.

    Raises:
        DataError: there is nothing to learn in these rows.
    """
    return KINDS[table.kind].from_table(table, settings.labels)


def check_settings(config: Config, task: Task) -> None:
    """Check that no setting asks for what only other kinds of targets have.

    Raises:
        SettingsError: one does.
    """
    asked = {
        "train.metric=macro_f1": config.train.metric == "macro_f1" and not task.one_class,
        "optim.class_weights": config.optim.class_weights != "none" and not task.calibrates,
        "data.label_separator": bool(config.data.label_separator) and task.kind != "multi",
    }
    for setting in (name for name, wrong in asked.items() if wrong):
        raise SettingsError(
            f"{setting} means nothing for labels of this kind",
            seen=f"data.task={task.kind}",
            next_step="leave it out",
        )


def need_labels(task: Task, what: str) -> None:
    """Check that answers are labels, which have probabilities.

    Args:
        task: of any kind.
        what: needs that, such as ``a threshold``.

    Raises:
        UsageError: they are ratings.
    """
    if not task.calibrates:
        raise UsageError(
            f"{what} is offered for labels: a rating has no probability, but an interval",
            seen=f"a run of data.task={task.kind}",
            next_step="leave it out",
        )


def need_one_class(task: Task, what: str) -> SingleLabel:
    """The task, where each row has exactly one class.

    Args:
        task: of any kind.
        what: needs that, such as ``a cascade``.

    Raises:
        UsageError: it is another kind.
    """
    if isinstance(task, SingleLabel):
        return task
    raise UsageError(
        f"{what} is offered for one label a text",
        seen=f"a run of data.task={task.kind}",
        next_step="leave it out",
    )
