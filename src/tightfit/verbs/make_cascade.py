"""``--cascade``: a linear model beside a run, and from where on it may answer in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
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
from tightfit.errors import UsageError
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run
from tightfit.storage.whole import whole_folder
from tightfit.tasks import need_one_class
from tightfit.verbs.rows_of_run import rows_of


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
    run: str | PathLike[str],
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
        run: a run folder, or a run in one.
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
    need_one_class(found.task, "a cascade")
    validation_logits = found.validation
    if validation_logits is None:
        raise UsageError(
            "the run has no validation rows on record, so no loss can be shown to be small",
            seen=found.path,
            next_step="train it with this version, or leave out --cascade",
        )
    if found.data.folds is not None:
        raise UsageError(
            "every row of the run was trained on, so none can show that a cascade loses little",
            seen=f"scores of a cross-validation in {found.data.folds} parts",
            next_step="train with a file of rows as --validation, or leave out --cascade",
        )
    dataset = rows_of(found, data, validation)
    progress.say(f"training a linear model on {len(dataset.train):,} rows")
    linear = NGramModel.fit(
        dataset.train.texts, dataset.train.targets.tolist(), dataset.task.outputs
    )
    texts = dataset.validation.select(validation_logits.rows_N).texts
    cascade = choose_cascade(
        linear, validation_logits, texts, max_loss=max_loss, confidence=confidence
    )
    of_run = {"run": found.identity, "labels": list(dataset.task.names)}
    cascade = replace(cascade, facts={**cascade.facts, **of_run})
    out = found.folder.derived / CASCADE
    with whole_folder(out, overwrite=True, marker=FACTS_FILE) as partial:
        write_cascade(partial, cascade)
    return CascadeResult(out, cascade)
