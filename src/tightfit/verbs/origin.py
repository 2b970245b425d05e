"""Rows and plan of a training, whether it begins anew or goes on from a run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import set_seed

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decision
from tightfit.data.shared_work import once
from tightfit.model.candidates import variants
from tightfit.model.locate import Source, locate
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.tasks import need_one_class
from tightfit.tasks.dataset import Dataset, read_dataset, tell_about, with_pool
from tightfit.tasks.known_rows import KnownRows
from tightfit.tasks.validation_logits import ValidationLogits
from tightfit.training.continued_start import continued_plan
from tightfit.training.encoder_choice import CHOICE_ASIDE, choose_encoder, recorded_encoder
from tightfit.training.importance import decide_plan
from tightfit.training.pooling_choice import decide_pooling
from tightfit.training.request import TrainRequest
from tightfit.training.side_choice import decide_side
from tightfit.training.summary import Continued
from tightfit.training.time_budget import TimeLimit

AS_BEFORE = "as in the run that it goes on from"


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
        rows = [] if kept is None else [i for i, text in enumerate(kept.inputs) if text is not None]
        texts = () if kept is None else tuple(t for t in kept.inputs if t is not None)
        targets = np.zeros(0, dtype=np.int64) if kept is None else kept.targets_N[rows]
        trained = run.data.folds is not None
        known = KnownRows(str(path), run.identity, run.task, texts, targets, trained)
        return cls(run, known)

    def compared(self, dataset: Dataset, found: ValidationLogits) -> Continued:
        """The run before and after, on rows that neither trained on.

        Those that the run kept apart; where there are none, new validation rows of its labels.

        Args:
            dataset: as :meth:`KnownRows.dataset` made it.
            found: what the new classifier says of its validation rows.
        """
        known = self.known
        kept = 0 if known.trained else len(known.texts)
        first = len(dataset.validation_texts) - kept
        chosen_N = found.rows_N >= first if kept else found.targets_N < known.task.outputs
        facts = dataset.facts["continued"]
        told = (tuple(facts["new_labels"]), tuple(facts["labels_gone"]))
        if not chosen_N.any():
            return Continued(known.run, bool(kept), 0, None, None, *told)
        texts = [dataset.validation_texts[row] for row in found.rows_N[chosen_N].tolist()]
        after_NK = found.logits_NK[chosen_N]
        logits = (self.run.predictor.logits(texts), after_NK, after_NK[:, : known.task.outputs])
        before, *after = (
            float(dataset.task.row_scores(each_NK, found.targets_N[chosen_N]).mean())
            for each_NK in logits
        )
        return Continued(known.run, bool(kept), len(texts), before, after[0], *told, after[1])


def origin_of(request: TrainRequest) -> Origin | None:
    """The run that a training goes on from, if any.

    Raises:
        ArtefactError: it is incomplete or damaged.
    """
    return None if request.from_run is None else Origin.of(request.from_run)


def read_rows(request: TrainRequest, origin: Origin | None, progress: Progress) -> Dataset:
    """The rows of a training, and words about them.

    Raises:
        DataError: rows are faulty, or too few.
    """
    rows = (request.config, request.data, request.validation, request.limit)
    if origin is None:
        dataset = read_dataset(*rows, progress=progress)
    else:
        dataset = origin.known.dataset(*rows, progress=progress)
        for sentence in origin.known.about(dataset.facts):
            progress.say(sentence)
    tell_about(dataset, progress)
    return with_pool(dataset, request.config, request.unlabelled)


@dataclass(frozen=True)
class Chosen:
    """What is decided before a classifier is built."""

    source: Source
    plan: Plan
    decisions: Mapping[str, Decision[Any]]
    """Why, by the names in :class:`Decisions`; what is on record already is not among them."""


def choose_plan(
    request: TrainRequest, dataset: Dataset, origin: Origin | None, progress: Progress
) -> Chosen:
    """The encoder, what its head reads, and what trains.

    Raises:
        BudgetError: not even the head fits under the cap.
        ModelError: an encoder cannot be found.
    """
    config, minutes = request.config, request.config.train.minutes
    if origin is not None:
        decided = origin.run.decisions
        source = recorded_encoder(config, decided)
        plan = continued_plan(config, source, origin.run.plan, dataset.task.outputs)
        kept = {"encoder": decided.encoder, "prefix": decided.prefix}
        same: dict[str, Decision[Any]] = {
            name: replace(each, reason=AS_BEFORE) for name, each in kept.items() if each
        }
        if plan.side:
            same["side"] = Decision(plan.side.buckets, AS_BEFORE)
        return Chosen(source, plan, {**same, "pooling": Decision(plan.pooling, AS_BEFORE)})
    limit = None if minutes is None else TimeLimit(minutes, request.started)
    source, decisions = _choose(config, dataset, limit, progress)
    side = decisions.get("side")
    buckets = side.value if side and side.value else "off"
    set_seed(config.seed)  # deciding by importance builds a model
    plan = decide_plan(
        config.with_values({"head.side": buckets}),
        dataset,
        source,
        progress,
        pooling=decisions["pooling"].value,
    )
    return Chosen(source, plan, decisions)


def _choose(
    config: Config, dataset: Dataset, limit: TimeLimit | None, progress: Progress
) -> tuple[Source, Mapping[str, Decision[Any]]]:
    """The encoder, what its head reads, and the size of a side head; where fits share work, once
    for the same rows."""

    def make() -> tuple[Source, Mapping[str, Decision[Any]]]:
        chosen = choose_encoder(config, dataset, limit, progress)
        seconds = None if limit is None else CHOICE_ASIDE * limit.left
        pooling = decide_pooling(chosen.probe, chosen.source, seconds)
        side = decide_side(chosen.probe, chosen.source, pooling.value, seconds)
        beside = {"side": side} if side else {}
        return chosen.source, {**chosen.decisions, "pooling": pooling, **beside}

    def key() -> Hashable:
        task, asked = dataset.task, {"model", "head", "adapters", "budget", "data", "seed"}
        rows = (dataset.facts["train_fingerprint"], task.kind, *task.names)
        encoders = [(locate(name).digest(), prefix) for name, prefix in variants(config.model)]
        return (config.model_dump_json(include=asked), rows, *encoders)

    # How much is compared depends on the time that is left, where there is a limit.
    return make() if limit is not None else once(key, make)
