"""The rows of a run: read, named, and split into those that train and those that validate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from tightfit.config import ASKED, Config, Decision
from tightfit.data.balanced import deal
from tightfit.data.checks.quick import quick_warnings
from tightfit.data.sources import Columns, read_table
from tightfit.data.splits import limit_rows, split_rows
from tightfit.data.table import Table
from tightfit.errors import DataError, SettingsError
from tightfit.progress import Progress
from tightfit.tasks import SingleLabel, Task

SHOWN = 60
"""Characters of a text that an error shows."""

FEW_ROWS = 16
"""Rows a class up to which none are held out: a tenth of them would tell nothing, and is missed."""

FEW_FOLDS = 4
"""Parts of a cross-validation that nobody asked for: each costs a training."""


@dataclass(frozen=True)
class Folds:
    """The parts of a cross-validation."""

    parts_N: NDArray[Any]
    """Of each training row, which are the validation rows too."""
    decision: Decision[int]
    """How many there are, and why."""


@dataclass(frozen=True)
class Dataset:
    """The rows of a run: which train, which validate, and what they are called."""

    task: Task
    train_texts: list[str]
    train_targets: NDArray[Any]
    validation_texts: list[str]
    validation_targets: NDArray[Any]
    facts: dict[str, Any]
    """What ``data.json`` keeps."""
    folds: Folds | None = None
    """Where no rows are held out: every row trains, and is scored by trainings without it."""


def read_dataset(config: Config, data: Any, validation: Any, limit: int | None) -> Dataset:
    """Read the rows, name the labels, and hold some rows out.

    Args:
        config: its ``data`` section and seed.
        data: rows to train on, anything that :func:`read_table` takes.
        validation: rows to validate on; None holds out some of ``data``.
        limit: train on a stratified sample of this many rows, drawn after the split.

    Raises:
        DataError: rows are faulty, or too few.
    """
    table = read_table(data, Columns.of(config.data), labelled=True)
    task = SingleLabel.from_table(table, config.data.labels)
    targets = task.encode(table)
    strata = task.strata(targets)
    _check_texts(table.texts)
    rows, held, note, folds = _shared_out(config, table, strata, validation, limit=limit)
    held_targets = task.encode(held)
    train, train_targets = table.select(rows), targets[rows]
    counts = task.counts(train_targets)
    facts = {
        "source": table.source,
        "validation_source": held.source,
        "held_out": validation is None and folds is None,
        "folds": folds.decision.value if folds else None,
        "note": note,
        "rows": len(table),
        "train_rows": len(train),
        "validation_rows": len(held),
        "limit": limit,
        "train_counts": counts,
        "train_fingerprint": train.fingerprint(),
        "validation_fingerprint": held.fingerprint(),
        "warnings": quick_warnings(
            train.texts,
            strata=task.strata(train_targets),
            counts=counts,
            held=[] if folds else held.texts,
        ),
    }
    return Dataset(task, train.texts, train_targets, held.texts, held_targets, facts, folds)


def _shared_out(
    config: Config, table: Table, strata: Sequence[int], validation: Any, *, limit: int | None
) -> tuple[list[int], Table, str | None, Folds | None]:
    """Rows that train, those that validate, what is to be said of it, and parts where they are."""
    folds = _folds(config, table, strata, given=validation is not None)
    rows, held, note = list(range(len(table))), None, None
    if validation is not None:
        held = read_table(validation, Columns.of(config.data), labelled=True)
    elif folds is None:
        split = split_rows(
            strata,
            validation_rows=config.data.validation_rows,
            stratify=config.data.stratify,
            seed=config.seed,
        )
        rows, held, note = split.train, table.select(split.validation), split.note
    if limit is not None:
        rows = limit_rows(rows, strata, limit, config.seed)
    if held is not None:
        return rows, held, note, None
    assert folds is not None
    folds = replace(folds, parts_N=folds.parts_N[rows])
    return rows, table.select(rows), _about(folds), folds


def _folds(config: Config, table: Table, strata: Sequence[int], *, given: bool) -> Folds | None:
    """The parts of a cross-validation, or None where rows are held out or given.

    Raises:
        DataError: no class has two rows.
        SettingsError: parts were asked for, and validation rows given.
    """
    asked = config.train.folds
    if asked and given:
        raise SettingsError(
            "a cross-validation needs no validation rows, and some were given",
            seen=f"train.folds={asked}",
            next_step="leave out one of the two",
        )
    each = len(strata) / len(set(strata))
    if asked == 0 or given or (asked is None and each > FEW_ROWS):
        return None
    distinct = Counter({row: strata[i] for i, row in enumerate(table.texts)}.values())
    if max(distinct.values()) < 2:
        raise DataError(
            "no class has two different texts, so that no row can be scored by the others",
            seen=f"{len(strata):,} rows of {len(set(strata)):,} classes",
            next_step="give two rows or more for a class, or a file of rows with --validation",
        )
    folds = min(asked or FEW_FOLDS, distinct.total())
    reason = ASKED if asked else f"{each:.3g} rows a class are too few to hold any out"
    return Folds(deal(strata, table.texts, folds, config.seed), Decision(folds, reason))


def _about(folds: Folds) -> str:
    decision = folds.decision
    return (
        f"every row trains; scores come from a cross-validation in {decision.value} parts: "
        f"{decision.reason}"
    )


def _check_texts(texts: Sequence[str]) -> None:
    if len(set(texts)) == 1:
        raise DataError(
            "all rows have the same text, which tells no class from another",
            seen=f"{texts[0][:SHOWN]!r} in {len(texts):,} rows",
            next_step="choose the column of texts with --text-column",
        )


def tell_about(dataset: Dataset, progress: Progress) -> None:
    """Say what was decided about the rows, and warn of what looks wrong with them."""
    if dataset.facts["note"]:
        progress.say(dataset.facts["note"])
    for warning in dataset.facts["warnings"]:
        progress.warn(warning)
    if dataset.facts["warnings"]:
        progress.say("'tightfit check' shows such rows, and can write a cleaned copy")
