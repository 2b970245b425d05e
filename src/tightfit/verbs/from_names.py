"""``train --label-names``: what is asked for where no row has a label."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tightfit.config import typed
from tightfit.config.value_types import as_list
from tightfit.data.labels import LabelSet
from tightfit.data.name_sentences import sentences
from tightfit.errors import DataError, SettingsError, UsageError
from tightfit.training.request import TrainOptions, TrainRequest

NEED_ROWS = ("validation", "label_column", "limit", "minutes", "max_steps")
"""Options that mean nothing without rows and steps."""


def names_request(
    label_names: Sequence[str] | str,
    data: Any,
    *,
    unlabelled: Any,
    from_run: str | Path | None,
    options: TrainOptions,
) -> TrainRequest:
    """The request for a classifier from the names of its labels.

    Raises:
        UsageError: rows, or what needs rows, are given as well.
        DataError: fewer than two names, one of them twice, or one that says nothing.
        SettingsError: with every mistake in the options, or texts are pairs.
    """
    given = {"data": data, "from": from_run, **{name: options.get(name) for name in NEED_ROWS}}
    beside = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if beside:
        raise UsageError(
            "--label-names makes a classifier without a row that has a label, in no steps",
            seen=f"--label-names with {', '.join(beside)}",
            next_step="leave out one of the two; with --data, names count as they stand in it",
        )
    names = as_list(label_names)
    settings = {**typed(options.get("settings", ())), "data.labels": names}
    if isinstance(names, list | tuple):
        _refuse_twice(names)
    named: TrainOptions = {**options, "settings": settings}
    request = TrainRequest.of(None, **named)
    _check_names(request)
    return replace(request, unlabelled=unlabelled)


def _refuse_twice(names: Sequence[str]) -> None:
    """Names that mean the same, whatever their case."""
    counts = Counter(str(name).casefold() for name in names)
    twice = [str(name) for name in names if counts[str(name).casefold()] > 1]
    if twice:
        raise DataError(
            "a label is named twice, and no text could tell one from the other",
            seen=", ".join(twice),
            next_step="name each label once",
        )


def _check_names(request: TrainRequest) -> None:
    data = request.config.data
    if data.task not in ("auto", "single"):
        raise SettingsError(
            "names of labels make a classifier that gives each text one of them",
            seen=f"--label-names with data.task={data.task}",
            next_step="leave out data.task, or give rows with --data",
        )
    if data.pair:
        raise SettingsError(
            "a name says what a text is about, and nothing of a pair of texts",
            seen="--label-names with data.pair",
            next_step="leave out data.pair, or give rows with --data",
        )
    if data.label_names == "off":
        raise SettingsError(
            "names of labels are all that there is to learn from here",
            seen="--label-names with data.label_names=off",
            next_step="leave out data.label_names, or give rows with --data",
        )
    if request.config.train.folds:
        raise SettingsError(
            "a cross-validation scores rows with labels, and there are none",
            seen=f"--label-names with train.folds={request.config.train.folds}",
            next_step="leave out train.folds",
        )
    labels = LabelSet(data.labels, data.labels)
    if len(labels) < 2:
        alone = labels.names[0] if labels.names else ""
        listed = f'"$(paste -sd, {shlex.quote(alone)})"' if os.path.isfile(alone) else None
        raise DataError(
            "a classifier needs at least 2 labels",
            seen=alone or "no name",
            next_step=f"no file is read: give the names in it, which in a shell are {listed}"
            if listed
            else 'name them all, such as --label-names "sports,business"',
        )
    found = zip(labels.names, sentences(labels.names, data.label_descriptions), strict=True)
    silent = [name for name, sentence in found if sentence is None]
    if silent:
        raise DataError(
            "these names say nothing of what a text is about",
            seen=", ".join(silent),
            allowed="names with a word in them",
            next_step="give words in their place, or sentences with data.label_descriptions",
        )
