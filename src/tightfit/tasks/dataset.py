"""The rows of a run: read, named, and split into those that train and those that validate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tightfit.config import Config
from tightfit.data.checks.quick import quick_warnings
from tightfit.data.sources import Columns, read_table
from tightfit.data.splits import limit_rows, split_rows
from tightfit.data.table import Table
from tightfit.errors import DataError
from tightfit.progress import Progress
from tightfit.tasks import SingleLabel, Task

SHOWN = 60
"""Characters of a text that an error shows."""


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
    held: Table | None = None
    note = None
    if validation is None:
        split = split_rows(
            strata,
            validation_rows=config.data.validation_rows,
            stratify=config.data.stratify,
            seed=config.seed,
        )
        rows, note, held = split.train, split.note, table.select(split.validation)
        held_targets = targets[split.validation]
    else:
        rows = list(range(len(table)))
        held = read_table(validation, Columns.of(config.data), labelled=True)
        held_targets = task.encode(held)
    if limit is not None:
        rows = limit_rows(rows, strata, limit, config.seed)
    train, train_targets = table.select(rows), targets[rows]
    counts = task.counts(train_targets)
    facts = {
        "source": table.source,
        "validation_source": held.source,
        "held_out": validation is None,
        "note": _note(note, table.unlabelled),
        "rows": len(table),
        "train_rows": len(train),
        "validation_rows": len(held),
        "limit": limit,
        "train_counts": counts,
        "train_fingerprint": train.fingerprint(),
        "validation_fingerprint": held.fingerprint(),
        "warnings": quick_warnings(
            train.texts, strata=task.strata(train_targets), counts=counts, held=held.texts
        ),
    }
    return Dataset(task, train.texts, train_targets, held.texts, held_targets, facts)


def _note(split: str | None, unlabelled: int) -> str | None:
    """What is to be said of the rows: those left out, and how the others were split."""
    left = f"{unlabelled:,} rows without a label are left out" if unlabelled else None
    return "; ".join(filter(None, (left, split))) or None


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
