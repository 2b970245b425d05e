"""``--cascade``: a linear model beside a run, and from where on it may answer in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tightfit.cascade.ngrams import NGramModel
from tightfit.cascade.two_stage import (
    CASCADE,
    CONFIDENCE,
    FACTS_FILE,
    MAX_LOSS,
    Cascade,
    choose_cascade,
    write_cascade,
)
from tightfit.display import Shown
from tightfit.errors import DataError, UsageError
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run
from tightfit.storage.whole import whole_folder
from tightfit.tasks.dataset import Dataset, read_dataset


@dataclass(frozen=True, repr=False)
class CascadeResult(Shown):
    """A cascade, and where it lies."""

    out: Path
    cascade: Cascade

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit export --cascade --json`` prints."""
        kept = ("share", "max_loss", "confidence", "accuracy", "chosen_on")
        return {"out": str(self.out), **{name: self.cascade.facts[name] for name in kept}}

    def shown(self) -> dict[str, object]:
        """Where it is, and the share of rows that it answers."""
        return {"out": self.out, "share": f"{self.cascade.facts['share']:.1%}"}


def make_cascade(
    run: str | Path,
    *,
    max_loss: float = MAX_LOSS,
    confidence: float = CONFIDENCE,
    data: Any = None,
    validation: Any = None,
    progress: Progress | None = None,
) -> CascadeResult:
    """Train a linear model on the run's training rows, and prove on its validation rows where it
    may answer in place of the encoder.

    Both go into the run's ``derived/cascade``, in place of one that is there.

    Args:
        run: a run folder.
        max_loss: share of rows by which accuracy may fall.
        confidence: that it does not fall by more, on rows like the validation rows.
        data: the rows that the run was trained on, where they are no longer where they were.
        validation: its validation rows, if they came separately and have moved.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        DataError: the rows are not to be found, or are others than those of the run.
        ProofError: no confidence of the linear model is shown to lose so little.
        TightfitError: its other subclasses tell what else is wrong.
    """
    progress, found = progress or RichProgress(), Run.open(run)
    validation_logits = found.validation
    if validation_logits is None:
        raise UsageError(
            "the run has no validation rows on record, so no loss can be shown to be small",
            seen=found.path,
            next_step="train it with this version, or leave out --cascade",
        )
    dataset = _dataset(found, data, validation)
    progress.say(f"training a linear model on {len(dataset.train_texts):,} rows")
    linear = NGramModel.fit(
        dataset.train_texts, dataset.train_targets.tolist(), dataset.task.outputs
    )
    texts = [dataset.validation_texts[row] for row in validation_logits.rows_N.tolist()]
    cascade = choose_cascade(
        linear, validation_logits, texts, max_loss=max_loss, confidence=confidence
    )
    of_run = {"run": found.identity, "labels": list(dataset.task.names)}
    cascade = replace(cascade, facts={**cascade.facts, **of_run})
    out = found.folder.derived / CASCADE
    with whole_folder(out, overwrite=True, marker=FACTS_FILE) as partial:
        write_cascade(partial, cascade)
    return CascadeResult(out, cascade)


def _dataset(run: Run, data: Any, validation: Any) -> Dataset:
    """The very rows of the run, read again.

    Raises:
        DataError: they cannot be read, or have changed.
    """
    facts = run.data
    if facts.imported:
        raise UsageError(
            "the run was not trained here, so its training rows are not known",
            seen=facts.source,
            next_step="leave out --cascade",
        )
    if facts.folds is not None:
        raise UsageError(
            "every row of the run was trained on, so none can show that a cascade loses little",
            seen=f"scores of a cross-validation in {facts.folds} parts",
            next_step="train with a file of rows as --validation, or leave out --cascade",
        )
    if not facts.held_out and validation is None:
        validation = facts.validation_source
    dataset = _read(run, facts.source if data is None else data, validation)
    kept = {"train": facts.train_fingerprint, "validation": facts.validation_fingerprint}
    for part, fingerprint in kept.items():
        seen = dataset.facts[f"{part}_fingerprint"]
        if seen != fingerprint:
            raise DataError(
                f"the {part} rows are not those of the run",
                seen=f"fingerprint {seen[:16]}…",
                allowed=f"{(fingerprint or '')[:16]}…, as in {run.folder.data}",
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
