"""What was asked for: one frozen request, whoever asks (command line, Python, a comparison)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

from tightfit.config import (
    DEFAULT_RECIPE,
    OPTIONS,
    Config,
    Settings,
    load_config,
    nearest_setting,
    setting_names,
)
from tightfit.data.sources import Columns, check_source
from tightfit.errors import SettingsError, did_you_mean
from tightfit.extras import ensure
from tightfit.model.candidates import variants
from tightfit.model.locate import check_model
from tightfit.model.unread_texts import readability_warning
from tightfit.progress import Progress


def is_first_process() -> bool:
    """Whether this process decides, writes and speaks: of those that ``torchrun`` starts, one."""
    return os.environ.get("RANK", "0") == "0"


class TrainOptions(TypedDict, total=False):
    """What may be asked of a training beside its rows; each may be left out.

    Attributes:
        validation: rows to validate on, in any form of the data; None holds some of them out.
        recipe: where the settings start from: a name, or a TOML file such as ``config.toml`` of a
            run that is to be repeated.
        model: Hub name, folder, or an embedded model; of several the one that suits the rows is
            chosen. None takes the recipe's.
        budget: most trainable parameters allowed, such as 100_000 or ``"100k"``; None takes the
            recipe's cap.
        seed: of everything that is drawn at random.
        max_steps: end after so many optimiser steps, and shorten the schedule with them.
        limit: train on a stratified sample of this many rows.
        minutes: fit the whole call into this wall clock, from reading the rows to the sealed run.
        started: when that clock began, by :func:`time.monotonic`; None is now.
        text_column: column, or columns to join with a space.
        label_column: column of the labels.
        settings: typed values by dotted name, or assignments such as ``optim.lr=1e-3``.
    """

    validation: Any
    recipe: str
    model: Sequence[str] | str | None
    budget: int | str | None
    seed: int | None
    max_steps: int | None
    limit: int | None
    minutes: float | None
    started: float | None
    text_column: Sequence[str] | str | None
    label_column: str | None
    settings: Settings


@dataclass(frozen=True)
class TrainRequest:
    """Rows and settings as they were asked for; nothing that a run decides is in here.

    Attributes:
        data: a path, ``hf:NAME``, ``sample``, or rows in memory; None where the names in
            ``data.labels`` are all there is to learn from.
        config: every setting.
        validation: rows to validate on, or None.
        limit: train on so many rows, or None.
        from_run: the run that it goes on from, or None.
        unlabelled: texts without labels, in any form of the data, or None.
        started: when the call began, by :func:`time.monotonic`.
    """

    data: Any
    config: Config
    validation: Any = None
    limit: int | None = None
    from_run: Path | None = None
    unlabelled: Any = None
    started: float = field(default_factory=time.monotonic)

    @classmethod
    def of(cls, data: Any, **options: Unpack[TrainOptions]) -> Self:
        """The request that these options make.

        Raises:
            SettingsError: with every mistake in them.
            TypeError: one of them is none of :class:`TrainOptions`.
        """
        check_options(options)
        named = {name: value for name, value in options.items() if name in OPTIONS}
        config = load_config(
            options.get("recipe", DEFAULT_RECIPE), options.get("settings", ()), **named
        )
        started = options.get("started")
        return cls(
            data,
            config,
            options.get("validation"),
            options.get("limit"),
            started=time.monotonic() if started is None else started,
        )

    def check(self, progress: Progress = Progress()) -> None:
        """Refuse at once what can be seen without torch: paths, columns, and the model's folder.

        Args:
            progress: told what was found out about the form of files, and warned where the encoder
                does not read the texts.

        Raises:
            DataError: a file or column is missing.
            ModelError: the model's folder is not there.
            MachineError: a file may not be read.
            SettingsError: a split was asked for, and validation rows given.
            MissingExtraError: the package of a tracker is not installed.
        """
        if self.validation is not None and self.config.data.split != "random":
            raise SettingsError(
                "rows to validate on are given, so that no split is made",
                seen=f"data.split={self.config.data.split} with --validation",
                next_step="leave out one of the two",
            )
        if (self.config.head.start == "run") != (self.from_run is not None):
            raise SettingsError(
                "a head starts from a run where a training goes on from one",
                seen=f"head.start={self.config.head.start}",
                next_step="name the run with --from, or set head.start=probe",
            )
        tracker = self.config.tracking.to
        if tracker != "none":
            ensure(tracker, f"tracking.to={tracker}")
        columns = Columns.of(self.config.data)
        texts = [] if self.data is None else check_source(self.data, columns, progress=progress)
        if self.validation is not None:
            # Whether two columns are a pair was said of the rows that train.
            check_source(self.validation, replace(columns, answering=True), progress=progress)
        if self.unlabelled is not None:
            pool = check_source(self.unlabelled, columns, labelled=False, progress=progress)
            texts = texts or pool
        names = self.data is None and not texts
        if self.data is None:  # the names of labels, and what is to be told apart by them
            described = self.config.data.label_descriptions
            texts = [*(described.get(name, name) for name in self.config.data.labels), *texts]
        encoders = variants(self.config.model)
        for name in dict(encoders):
            check_model(name)
        # Of several, whoever chooses tells of the one that is chosen.
        if len(encoders) == 1 and texts and self.from_run is None:
            told = readability_warning(encoders[0][0], texts, names=names)
            if told is not None:
                progress.warn(told)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse what Python would if the options stood in a signature: a TypedDict lets all pass.

    Raises:
        TypeError: one of them is none of :class:`TrainOptions`.
    """
    known = sorted(TrainOptions.__annotations__)
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known, cutoff=0.7)
            setting = nearest_setting(name, setting_names())
            hint = hint or (setting and f"among settings={{…}}, {setting}")
            raise TypeError(f"unexpected keyword argument {name!r}" + (f": {hint}" if hint else ""))


def check_same_settings(asked: Config, began: Config) -> None:
    """Whether a run that is to go on is asked for as it was when it began.

    Raises:
        SettingsError: it is not; the message has each value beside that of the run.
    """
    if asked == began:
        return
    names = _differing(asked, began)
    schedule = {"train.max_steps", "train.minutes", "optim.epochs"} & set(names)
    why = "a schedule cannot be made longer or shorter on the way; " if schedule else ""
    raise SettingsError(
        "--resume needs the settings that the run began with",
        seen="; ".join(f"{name} is {now}, the run has {was}" for name, (now, was) in names.items()),
        next_step=f"{why}give the same options, or start anew with --overwrite",
    )


def _differing(one: Config, other: Config) -> dict[str, tuple[object, object]]:
    """Settings that are not alike, each with both values."""
    now, was = one.by_name(), other.by_name()
    return {name: (now[name], was[name]) for name in now if now[name] != was[name]}
