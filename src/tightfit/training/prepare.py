"""From settings and rows to a setup that only needs to be run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerBase

from tightfit.budget.allocate import Allocate, largest_that_fits
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.plan_settings import plan_by
from tightfit.config import ASKED, Config, Decision, Decisions, Objective, Use, undecided
from tightfit.data.batch_order import padding_share
from tightfit.data.gpu import best_device
from tightfit.data.tokens import Tokens
from tightfit.families import Pooling, family_of
from tightfit.model.classifier import Classifier, build
from tightfit.model.embedded import is_crowded
from tightfit.model.encoders import longest_text
from tightfit.model.lean import LeanEncoder, why_not_lean
from tightfit.model.locate import Source
from tightfit.model.prefix import prefix_bytes, stored_dtype
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.training.label_names import with_names
from tightfit.training.objective import CONTRASTIVE, decide_class_rows, decide_objective
from tightfit.training.optim import Schedule, epoch_order, make_schedule
from tightfit.training.precision import Precision, autocast_gain, decide_precision
from tightfit.training.row_reader import RowReader
from tightfit.training.setup import Setup

LEAST_EPOCHS, MOST_EPOCHS = 3, 10
"""More epochs over many rows, or over few, were not seen to help."""

MANY_ROWS, ROWS_POWER = 20_000, 0.3
"""From so many rows on the least epochs suffice; below, epochs grow with this power."""

LEAN_REASON = "the same logits with less work"


def plan_for(
    config: Config,
    source: Source,
    num_labels: int,
    allocate: Allocate = largest_that_fits,
    *,
    pooling: Pooling = "first",
) -> Plan:
    """The plan for this very model folder, by :func:`plan_by`: the first gate.

    Raises:
        BudgetError: it does not fit under the cap.
    """
    shapes = source.shapes(num_labels)
    return plan_by(
        config,
        shapes,
        model=source.name,
        num_labels=num_labels,
        allocate=allocate,
        pooling=pooling,
    )


def decide_lengths(
    config: Config, source: Source, tokenizer: PreTrainedTokenizerBase
) -> tuple[Decision[int], Decision[int]]:
    """Longest texts while training and at inference: no more than the encoder has positions for."""
    longest = longest_text(source, tokenizer)

    def within(asked: int) -> Decision[int]:
        if longest is None or asked <= longest:
            return Decision(asked, ASKED)
        return Decision(longest, f"the most that {source.name} has positions for")

    return within(config.data.max_length), within(config.predicted_length)


def prepare(
    config: Config,
    dataset: Dataset,
    source: Source,
    plan: Plan,
    *,
    decided: Decisions | None = None,
    chosen: Mapping[str, Decision[Any]] = MappingProxyType({}),
    progress: Progress,
) -> Setup:
    """Tokenise, build the classifier, and decide what is decided automatically.

    Args:
        config: what was asked for.
        dataset: the rows.
        source: the encoder.
        plan: what trains.
        decided: by the run that is resumed; taken over as it is.
        chosen: what was decided to make the plan, by the names in :class:`Decisions`.
        progress: hears what is decided.
    """
    setup = _opened(
        config, dataset, source, plan, decided=decided, chosen=chosen, progress=progress
    )
    setup = _with_pool(with_names(setup))
    setup, schedule_note = _scheduled(setup)
    lengths = setup.decisions.max_length, setup.decisions.predict_max_length
    for sentence in (_about_lengths(lengths), schedule_note, *_about(setup)):
        if sentence:
            progress.say(sentence)
    order = epoch_order(config, setup.train.tokens.lengths, epoch=0)
    passes = [part for rows in order for part in setup.parts(rows)]
    return replace(setup, padding=padding_share(setup.train.tokens, passes))


def _opened(
    config: Config,
    dataset: Dataset,
    source: Source,
    plan: Plan,
    *,
    decided: Decisions | None,
    chosen: Mapping[str, Decision[Any]],
    progress: Progress,
) -> Setup:
    """The setup before its steps are counted, and names of labels among its rows to train on."""
    with progress.work(f"loading {source.name}"):
        # The side head is solved beside it.
        classifier = build(source, replace(plan, side=None), config, dataset.task)
        classifier.module.to(best_device())
        own_path = _why_own_path(config, classifier)
    lengths = decide_lengths(config, source, classifier.tokenizer)
    step_gain = partial(autocast_gain, classifier, lengths[0].value) if own_path else None
    precision = _precision(config, decided, classifier.device, step_gain)
    multiple = precision.length_multiple(classifier.device)
    chosen = {"long_text": undecided(config).long_text, **chosen}
    decisions = decided or Decisions(*lengths, **chosen)
    kept = decisions.long_text.value
    reader = RowReader(config, classifier.tokenizer, lengths[0].value, multiple)
    train, held = reader.read(dataset, kept, progress)
    decisions = replace(
        decisions,
        precision=Decision(precision.format, precision.reason),
        forward=Decision("own", own_path) if own_path else Decision("lean", LEAN_REASON),
        folds=dataset.folds,
    )
    if decided is None:
        objective = decide_objective(
            config, plan, dataset.task, dataset.train.targets, crowded=is_crowded(source.name)
        )
        decisions = replace(decisions, objective=objective)
    if decisions.objective is not None and decisions.objective.value in CONTRASTIVE:
        # Which a training that an older version began has not on record.
        longest = int(train.tokens.lengths.max())
        rows = decide_class_rows(
            config.contrastive, dataset.train.targets, longest, crowded=is_crowded(source.name)
        )
        decisions = replace(decisions, class_rows=decisions.class_rows or rows)
    return Setup(
        config,
        decisions,
        dataset,
        source,
        classifier,
        train,
        held,
        Schedule(0, 0, 1),
        precision,
        held if dataset.folds else held.sample(config.train.eval_rows, config.seed),
        _lean(config, classifier, precision) if own_path is None else None,
        pool=reader.pool(dataset.pool_texts, kept) if dataset.pool_texts else None,
        side=reader.side(dataset, plan.side, source, progress) if plan.side else None,
    )


def _with_pool(setup: Setup) -> Setup:
    """The setup with the texts without a label where they are of use, and what is to be said."""
    if setup.pool is None:
        return setup
    count = len(setup.dataset.pool_texts)
    shape = "text shapes" if count == 1 else "texts shape"
    decision: Decision[Use] = Decision("used", f"{count:,} {shape} the solved head")
    used = setup.objective == "contrastive" or not len(setup.dataset.train)
    if not used:
        why = "with rows that have labels, only a contrastive training gains by them"
        decision = Decision("left out", why)
    return replace(setup, pool=setup.pool if used else None).with_decisions(unlabelled=decision)


def _scheduled(setup: Setup) -> tuple[Setup, str | None]:
    """The setup with its steps, and what about them people should know."""
    config, decisions, count = setup.config, setup.decisions, len(setup.train.targets)
    if setup.solves:
        schedule, note = _solved_schedule(setup), None
    else:
        epochs = decide_epochs(config, count)
        order = epoch_order(config, setup.train.tokens.lengths, epoch=0)
        schedule, note = make_schedule(config, epochs.value, len(order), lead=setup.lead)
        decisions = replace(decisions, epochs=epochs)
        if setup.lead and not schedule.lead:
            alone: Decision[Objective] = Decision(
                "cross-entropy", "no step is left for both phases"
            )
            decisions = replace(decisions, objective=alone, class_rows=None)
    rows = (setup.train.tokens, setup.eval_subset.tokens)
    cache = decisions.prefix_cache or _prefix_cache(config, setup.lean, schedule, rows)
    decisions = replace(decisions, prefix_cache=cache)
    return replace(setup, schedule=schedule, decisions=decisions), note


def _lean(config: Config, classifier: Classifier, precision: Precision) -> LeanEncoder:
    return LeanEncoder(
        classifier.module,
        precision.dtype,
        classifier.plan.pooling,
        frozen_dropout=config.model.frozen_dropout,
        recompute=config.train.checkpointing == "on",
    )


def _about_lengths(lengths: tuple[Decision[int], Decision[int]]) -> str | None:
    cut = next((each for each in lengths if each.reason != ASKED), None)
    return f"texts are cut at {cut.value} tokens, {cut.reason}" if cut else None


def _about(setup: Setup) -> Iterator[str]:
    """What people should know of the decisions."""
    decisions, precision = setup.decisions, setup.precision
    if decisions.label_names is not None:
        yield f"label names are {decisions.label_names.value}: {decisions.label_names.reason}"
    if decisions.unlabelled is not None:
        yield f"texts without a label are {decisions.unlabelled.value}: " + (
            decisions.unlabelled.reason
        )
    if decisions.objective is not None:
        steps = ""
        if decisions.class_rows is not None:
            steps = f"; {setup.schedule.lead or setup.schedule.total} steps by contrastive.lr, "
            steps += f"with up to {decisions.class_rows.value} rows of a class"
        yield f"objective {decisions.objective.value}: {decisions.objective.reason}{steps}"
    if setup.train.tokens.truncated:
        kept = decisions.long_text
        yield f"of long texts {kept.value} is kept: {kept.reason}"
    yield f"computing in {precision.format}: {precision.reason}"
    if decisions.forward is not None and decisions.forward.value == "own":
        yield f"steps take longer, by the model's own forward pass: {decisions.forward.reason}"
    if decisions.pooling is not None and decisions.pooling.reason != ASKED:
        config, value = setup.source.config(), decisions.pooling.value
        reading = family_of(config).reading(config) if value == "first" else value
        read = "the first token" if reading == "first" else "the mean of all tokens"
        yield f"the head reads {read}: {decisions.pooling.reason}"
    if decisions.side is not None and decisions.side.reason != ASKED:
        size = f"a side head of {decisions.side.value:,} numbers"
        yield f"{size if decisions.side.value else 'no side head'}: {decisions.side.reason}"
    prefix = decisions.prefix_cache
    if prefix is not None and setup.lean is not None and setup.lean.frozen_depth > 0:
        yield f"keeping what the frozen layers compute: {prefix.value}, {prefix.reason}"


def _solved_schedule(setup: Setup) -> Schedule:
    """The schedule before a head that is solved: of a contrastive phase, or no step."""
    if setup.objective == "probe":
        return Schedule(0, 0, 1)
    return setup.contrastive.schedule(setup.train.targets, setup.config.train.max_steps)


def decide_epochs(config: Config, rows: int) -> Decision[float]:
    """Passes over the training rows: many over few, since a step teaches the same in both."""
    if config.optim.epochs is not None:
        return Decision(config.optim.epochs, ASKED)
    epochs = round(LEAST_EPOCHS * (MANY_ROWS / rows) ** ROWS_POWER)
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, epochs))
    return Decision(float(epochs), f"{rows:,} rows to train on")


def _why_own_path(config: Config, classifier: Classifier) -> str | None:
    """The reason to use the model's own forward pass, or None where the lean one serves."""
    if config.train.forward == "own":
        return "asked for"
    if config.train.precision == "fp16" and classifier.device.type != "cpu":
        return "train.precision=fp16 runs under autocast"
    if config.train.checkpointing == "reentrant":
        return "train.checkpointing=reentrant is a fault of the model's own layers"
    return why_not_lean(
        classifier.module,
        frozen_dropout=config.model.frozen_dropout,
        pooling=classifier.plan.pooling,
    )


def _prefix_cache(
    config: Config, lean: LeanEncoder | None, schedule: Schedule, rows: Sequence[Tokens]
) -> Decision[Literal["on", "off"]]:
    """Whether the states below the lowest adapter are kept on disk while training."""
    if config.train.prefix_cache == "off":
        return Decision("off", ASKED)
    if any(tokens.windows is not None for tokens in rows):
        return Decision("off", "texts have several windows")
    if lean is None:
        return Decision("off", "only the lean forward pass can start half-way")
    if lean.prefix_draws:
        return Decision("off", "model.frozen_dropout=true draws them anew")
    if lean.frozen_depth == 0:
        return Decision("off", "the lowest layer has an adapter")
    if schedule.total <= schedule.steps_per_epoch:
        return Decision("off", "no row is seen twice")
    size, limit = sum(prefix_bytes(lean, tokens) for tokens in rows) / 1e9, config.train
    kept = f"{lean.frozen_depth} layers, {size:.3g} GB in {str(stored_dtype(lean))[6:]}"
    if size > limit.prefix_cache_gb:
        excess = f"more than train.prefix_cache_gb={limit.prefix_cache_gb:g}"
        return Decision("off", f"{kept}, {excess}")
    return Decision("on", f"{kept}, computed once")


def _precision(
    config: Config,
    decided: Decisions | None,
    device: torch.device,
    step_gain: Callable[[], float] | None,
) -> Precision:
    """The decision on record where there is one, so that a resumed run computes as it began."""
    if decided is not None and decided.precision is not None:
        return Precision(decided.precision.value, decided.precision.reason)
    return decide_precision(config.train.precision, device, step_gain=step_gain)
