"""The rows that a run was trained and validated on, read again and checked to be the same."""

from __future__ import annotations

from typing import Any

from tightfit.data.many_files import Sources
from tightfit.errors import DataError, UsageError
from tightfit.run import Run
from tightfit.tasks.dataset import Dataset, read_dataset


def rows_of(run: Run, data: Any = None, validation: Any = None) -> Dataset:
    """The very rows of the run, read again.

    Args:
        run: a run that was trained here.
        data: its training rows, where they are no longer where they were.
        validation: its validation rows, if they came separately and have moved.

    Raises:
        DataError: they cannot be read, or have changed.
        UsageError: the run was imported, so that nobody knows its rows, or made of label names.
    """
    facts = run.data
    if facts.imported:
        raise UsageError(
            "the run was not trained here, so its training rows are not known",
            seen=facts.source,
            next_step="give the rows themselves",
        )
    if facts.sentences:
        raise UsageError(
            "the run was made of label names, not of rows with labels",
            seen=run.path,
            next_step="give the rows themselves",
        )
    if not facts.held_out and facts.folds is None and validation is None:
        validation = facts.validation_source
    own = Sources(facts.sources) if facts.sources else facts.source
    dataset = _read(run, own if data is None else data, validation)
    for part in ("train", "validation"):
        kept, seen = facts.fingerprints[part], dataset.facts.fingerprints[part]
        if seen != kept:
            raise DataError(
                f"the {part} rows are not those of the run",
                seen=f"fingerprint {seen[:16]}…",
                allowed=f"{kept[:16]}…, as in {run.folder.data}",
                next_step="give the rows as they were when the run was trained",
            )
    return dataset


def _read(run: Run, data: Any, validation: Any) -> Dataset:
    try:
        return read_dataset(run.config, data, validation, run.data.limit)
    except DataError as error:
        raise DataError(
            f"the rows that the run was trained on cannot be read: {error.what}",
            seen=error.seen,
            allowed=error.allowed,
            next_step="put them back, or say where they are with --training-rows",
        ) from error
