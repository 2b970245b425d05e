"""The encoder and the plan of a training, chosen on its rows or taken from the run before."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from accelerate.utils import set_seed

from tightfit.budget.parameter_plan import Plan
from tightfit.config import Config, Decision
from tightfit.data.shared_work import once
from tightfit.model.locate import Source
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.training.continued_start import continued_plan
from tightfit.training.encoder_choice import (
    CHOICE_ASIDE,
    choose_encoder,
    recorded_encoder,
    sources_at_hand,
)
from tightfit.training.importance import decide_plan
from tightfit.training.long_text_choice import decide_long_text
from tightfit.training.pooling_choice import decide_pooling
from tightfit.training.side_choice import decide_side
from tightfit.training.time_budget import TimeLimit
from tightfit.verbs.origin import ReadRequest

AS_BEFORE = "as in the run that it goes on from"


@dataclass(frozen=True)
class Chosen:
    """What is decided before a classifier is built."""

    source: Source
    plan: Plan
    decisions: Mapping[str, Decision[Any]]
    """Why, by the names in :class:`Decisions`; what is on record already is not among them."""


def choose_plan(read: ReadRequest, progress: Progress) -> Chosen:
    """The encoder, what its head reads, and what trains.

    Raises:
        BudgetError: not even the head fits under the cap.
        ModelError: an encoder cannot be found.
    """
    request, dataset, origin = read.request, read.dataset, read.origin
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
            same["side"] = Decision(plan.side.width, AS_BEFORE)
        if config.data.long_text == "auto":
            same["long_text"] = replace(decided.long_text, reason=AS_BEFORE)
        return Chosen(source, plan, {**same, "pooling": Decision(plan.pooling, AS_BEFORE)})
    limit = None if minutes is None else TimeLimit(minutes, request.started)
    source, decisions = _choose(config, dataset, limit, progress)
    side = decisions.get("side")
    width = side.value if side and side.value else "off"
    set_seed(config.seed)  # deciding by importance builds a model
    plan = decide_plan(
        config.with_values({"head.side": width}),
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
        long_text = decide_long_text(chosen.probe, chosen.source, seconds)
        side = decide_side(chosen.probe, chosen.source, pooling.value, seconds)
        beside = {"side": side} if side else {}
        decided = {**chosen.decisions, "pooling": pooling, "long_text": long_text, **beside}
        return chosen.source, decided

    def key() -> Hashable:
        task, asked = dataset.task, {"model", "head", "adapters", "budget", "data", "seed"}
        rows = (dataset.facts.train_fingerprint, task.kind, *task.names)
        at_hand = sources_at_hand(config.model, Progress())  # what is left out is told by make
        encoders = [(each.digest(), each.prefix) for each in at_hand]
        # Probes compute in the number format of the training.
        settings = config.model_dump_json(include=asked), config.train.precision
        return (*settings, rows, *encoders)

    # How much is compared depends on the time that is left, where there is a limit.
    return make() if limit is not None else once(key, make)
