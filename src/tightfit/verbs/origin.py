"""The rows of a training, whether it begins anew or goes on from a run.

They are read before torch is imported: whoever gives faulty rows is told within a second or two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tightfit.budget.plan_settings import plan_by
from tightfit.config import Config
from tightfit.data.facts import DataFacts
from tightfit.data.labels import LabelSet
from tightfit.data.name_sentences import unknown_descriptions
from tightfit.data.table import Table
from tightfit.data.text_digests import read_text_digests
from tightfit.errors import BudgetError
from tightfit.model.candidates import candidate_names
from tightfit.model.locate import shapes_by_name
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.tasks import SingleLabel, need_one_class
from tightfit.tasks.dataset import Dataset, read_dataset, tell_about, with_pool
from tightfit.tasks.known_rows import KnownRows
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.tasks.validation_logits import ValidationLogits
from tightfit.training.request import TrainRequest
from tightfit.training.summary import Continued

SOURCE = "label names"
"""What stands in ``data.json`` as the source of such a run's rows."""


@dataclass(frozen=True)
class Origin:
    """The run that a training goes on from, and the rows that it kept."""

    run: Run
    known: KnownRows

    @classmethod
    def of(cls, path: Path) -> Origin:
        """Open a run to go on from.

        Raises:
            ArtefactError: it is incomplete or damaged.
            UsageError: it answers otherwise than with one label a text.
        """
        run = Run.open(path)
        need_one_class(run.task, "going on from a run")
        kept = run.validation
        rows = LabelledTexts(np.zeros(0, dtype=np.int64), []) if kept is None else kept.whole_rows
        learned = read_text_digests(run.folder.trained)
        trained = run.data.folds is not None
        return cls(run, KnownRows(str(path), run.identity, run.task, rows, trained, learned))

    def compared(self, dataset: Dataset, found: ValidationLogits, max_length: int) -> Continued:
        """The run before and after, on rows that neither trained on.

        Those that the run kept apart; where there are none, new validation rows of its labels.

        Args:
            dataset: as :meth:`KnownRows.dataset` made it.
            found: what the new classifier says of its validation rows.
            max_length: of the texts that it read, in tokens.
        """
        known, facts = self.known, dataset.facts.continued
        assert facts is not None, "the data set was made by the run's known rows"
        kept = facts.kept_rows - facts.again
        first = len(dataset.validation) - kept
        chosen_N = found.rows_N >= first if kept else found.targets_N < known.task.outputs
        told = (facts.new_labels, facts.labels_gone)
        if not chosen_N.any():
            return Continued(known.run, bool(kept), 0, None, None, *told)
        texts = dataset.validation.select(found.rows_N[chosen_N]).texts
        after_NK = found.logits_NK[chosen_N]
        # At the length at which the new classifier was scored, which may not be that of answers.
        predictor = replace(self.run.predictor, max_length=max_length)
        logits = (predictor.logits(texts), after_NK, after_NK[:, : known.task.outputs])
        before, *after = (
            float(dataset.task.row_scores(each_NK, found.targets_N[chosen_N]).mean())
            for each_NK in logits
        )
        return Continued(known.run, bool(kept), len(texts), before, after[0], *told, after[1])


@dataclass(frozen=True)
class ReadRequest:
    """A request whose rows are read."""

    request: TrainRequest
    dataset: Dataset
    origin: Origin | None = None
    """The run that is gone on from, if any."""

    @classmethod
    def read(cls, request: TrainRequest, progress: Progress) -> ReadRequest:
        """Read the rows of a request, and say what there is to say of them.

        Raises:
            DataError: rows are faulty, or too few.
            BudgetError: the cap is too small for so many labels in any of the encoders.
            ArtefactError: the run to go on from is incomplete or damaged.
        """
        origin = None if request.from_run is None else Origin.of(request.from_run)
        dataset = _rows(request, origin, progress)
        if origin is None:
            _check_cap(request.config, dataset.task.outputs)
        described = request.config.data.label_descriptions
        if dataset.task.one_class:
            unknown = unknown_descriptions(dataset.task.names, described)
            if unknown is not None:
                progress.warn(unknown)
        return cls(request, with_pool(dataset, request.config, request.unlabelled), origin)


def _check_cap(config: Config, outputs: int) -> None:
    """Refuse what needs no weights to be refused. The plan of a training may cost more than this
    one, as where its head reads the mean, and never less."""
    refused: list[BudgetError] = []
    for name in candidate_names(config.model):
        try:
            plan_by(config, shapes_by_name(name, outputs), model=name, num_labels=outputs)
        except BudgetError as error:
            refused.append(error)
        else:
            return
    raise refused[0]


def _rows(request: TrainRequest, origin: Origin | None, progress: Progress) -> Dataset:
    if request.data is None:
        return _no_rows(request.config)
    rows = (request.config, request.data, request.validation, request.limit)
    if origin is None:
        dataset = read_dataset(*rows, progress=progress)
    else:
        dataset = origin.known.dataset(*rows, progress=progress)
    tell_about(dataset, progress)
    return dataset


def _no_rows(config: Config) -> Dataset:
    """No row, and what is known of the labels."""
    names, none = config.data.labels, np.zeros(0, dtype=np.int64)
    task, empty = SingleLabel(LabelSet(names, names)), Table([], [])
    facts = DataFacts(
        SOURCE,
        held_out=False,
        train_counts=task.counts(none),
        train_fingerprint=empty.fingerprint(),
        validation_fingerprint=empty.fingerprint(),
    )
    return Dataset(task, LabelledTexts(none, []), LabelledTexts(none, []), facts)
