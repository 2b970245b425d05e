"""``--cascade``: a linear model beside a run, and from where on it may answer in its place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tightfit import storage
from tightfit.cascade.ngrams import NGramModel
from tightfit.cascade.two_stage import (
    CASCADE,
    CONFIDENCE,
    FACTS_FILE,
    MAX_LOSS,
    Cascade,
    choose_cascade,
    read_cascade,
    write_cascade,
)
from tightfit.config import Config
from tightfit.errors import ArtefactError, DataError, UsageError
from tightfit.model.locate import file_sha256
from tightfit.progress import Progress, RichProgress
from tightfit.storage.whole import whole_folder
from tightfit.tasks import read_task
from tightfit.tasks.dataset import Dataset, read_dataset
from tightfit.tasks.settings_in import settings_in
from tightfit.tasks.validation_logits import read_validation_logits


@dataclass(frozen=True)
class CascadeResult:
    """A cascade, and where it lies."""

    out: Path
    cascade: Cascade

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit export --cascade --json`` prints."""
        return {"out": str(self.out), **figures(self.cascade)}


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
    progress, folder = progress or RichProgress(), storage.open_run(Path(run))
    validation_logits = read_validation_logits(
        folder.validation, read_task(storage.read_json(folder.labels))
    )
    if validation_logits is None:
        raise UsageError(
            "the run has no validation rows on record, so no loss can be shown to be small",
            seen=folder.root,
            next_step="train it with this version, or leave out --cascade",
        )
    dataset = _dataset(folder, data, validation)
    progress.say(f"training a linear model on {len(dataset.train_texts):,} rows")
    linear = NGramModel.fit(
        dataset.train_texts, dataset.train_targets.tolist(), dataset.task.outputs
    )
    texts = [dataset.validation_texts[row] for row in validation_logits.rows_N.tolist()]
    cascade = choose_cascade(
        linear, validation_logits, texts, max_loss=max_loss, confidence=confidence
    )
    of_run = {"run": file_sha256(folder.manifest), "labels": list(dataset.task.names)}
    cascade = replace(cascade, facts={**cascade.facts, **of_run})
    out = folder.derived / CASCADE
    with whole_folder(out, overwrite=True, marker=FACTS_FILE) as partial:
        write_cascade(partial, cascade)
    return CascadeResult(out, cascade)


def cascade_of(folder: storage.RunFolder) -> Cascade:
    """The cascade that was made for a run.

    Raises:
        UsageError: there is none.
        ArtefactError: it is damaged, or belongs to another run.
    """
    found = read_cascade(folder.derived / CASCADE)
    if found is None:
        raise UsageError(
            "the run has no cascade yet",
            seen=folder.derived / CASCADE,
            next_step=f"make one: tightfit export {folder.root} --cascade",
        )
    if found.facts.get("run") != file_sha256(folder.manifest):
        raise ArtefactError(
            "the cascade was made for another run",
            seen=folder.derived / CASCADE,
            next_step=f"make one for this run: tightfit export {folder.root} --cascade",
        )
    return found


def figures(cascade: Cascade) -> dict[str, Any]:
    """What a cascade answers and costs, for people and programs."""
    kept = ("share", "max_loss", "confidence", "accuracy", "chosen_on")
    return {name: cascade.facts[name] for name in kept}


def _dataset(folder: storage.RunFolder, data: Any, validation: Any) -> Dataset:
    """The very rows of the run, read again.

    Raises:
        DataError: they cannot be read, or have changed.
    """
    facts = storage.read_json(folder.data)
    config, _ = settings_in(folder)
    if "train_fingerprint" not in facts:
        raise UsageError(
            "the run was not trained here, so its training rows are not known",
            seen=facts["source"],
            next_step="leave out --cascade",
        )
    if not facts["held_out"] and validation is None:
        validation = facts["validation_source"]
    dataset = _read(config, facts, facts["source"] if data is None else data, validation)
    for part in ("train", "validation"):
        key = f"{part}_fingerprint"
        if dataset.facts[key] != facts[key]:
            raise DataError(
                f"the {part} rows are not those of the run",
                seen=f"fingerprint {dataset.facts[key][:16]}…",
                allowed=f"{facts[key][:16]}…, as in {folder.data}",
                next_step="give the rows as they were when the run was trained",
            )
    return dataset


def _read(config: Config, facts: dict[str, Any], data: Any, validation: Any) -> Dataset:
    try:
        return read_dataset(config, data, validation, facts["limit"])
    except DataError as error:
        raise DataError(
            f"the rows that the run was trained on cannot be read: {error.what}",
            seen=error.seen,
            allowed=error.allowed,
            next_step="put them back, or say where they are with --training-rows",
        ) from error
