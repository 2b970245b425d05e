"""From settings and a data set to a setup that only needs to be run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from transformers import PreTrainedTokenizerBase

from tightfit.budget.allocate import Allocate, largest_that_fits
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.plan_settings import plan_by
from tightfit.budget.shapes import LinearShape
from tightfit.budget.targets import targeted
from tightfit.config import Choice, Config
from tightfit.data.batches import Tokens, batch_order, padding_share
from tightfit.data.checks import quick_warnings
from tightfit.data.labels import LabelSet, class_counts
from tightfit.data.sources import Columns, read_table
from tightfit.data.splits import limit_rows, split_rows
from tightfit.data.table import Table
from tightfit.data.token_cache import TokenCache
from tightfit.errors import DataError
from tightfit.model.classifier import Classifier, build
from tightfit.model.encoders import load_tokenizer, longest_text
from tightfit.model.lean import LeanEncoder, why_not_lean
from tightfit.model.locate import Source
from tightfit.model.prefix import prefix_bytes, stored_dtype
from tightfit.progress import Progress
from tightfit.training.optim import Schedule, make_schedule
from tightfit.training.precision import Format, Precision, decide_precision
from tightfit.training.setup import Rows, Setup

MANY_CUT = 0.05
"""Share of training texts that are cut from which on their tails are read as well."""

LEAST_EPOCHS, MOST_EPOCHS = 3, 10
"""More epochs over many rows, or over few, were not seen to help."""

MANY_ROWS, ROWS_POWER = 20_000, 0.3
"""From so many rows on the least epochs suffice; below, epochs grow with this power."""

SHOWN = 60
"""Characters of a text that an error shows."""

LEAN_REASON = "the same logits with less work"


@dataclass(frozen=True)
class Dataset:
    """The rows of a run: which train, which validate, and what they are called."""

    labels: LabelSet
    train_texts: list[str]
    train_ids: list[int]
    validation_texts: list[str]
    validation_ids: list[int]
    facts: dict[str, Any]
    """What ``data.json`` keeps."""


def columns_of(config: Config) -> Columns:
    """Where the settings say that texts and labels are."""
    data = config.data
    return Columns(data.text_column, data.label_column, data.missing_text)


def gather(config: Config, data: Any, validation: Any, limit: int | None) -> Dataset:
    """Read the rows, name the labels, and hold some rows out.

    Args:
        config: its ``data`` section and seed.
        data: rows to train on, anything that :func:`read_table` takes.
        validation: rows to validate on; None holds out some of ``data``.
        limit: train on a stratified sample of this many rows, drawn after the split.

    Raises:
        DataError: rows are faulty, or too few.
    """
    table = read_table(data, columns_of(config), labelled=True)
    labels = LabelSet.from_table(table, config.data.labels)
    ids = labels.encode(table)
    _check_texts(table.texts)
    held: Table | None = None
    note = None
    if validation is None:
        split = split_rows(
            ids,
            validation_rows=config.data.validation_rows,
            stratify=config.data.stratify,
            seed=config.seed,
        )
        rows, note, held = split.train, split.note, table.select(split.validation)
        held_ids = [ids[row] for row in split.validation]
    else:
        rows = list(range(len(table)))
        held = read_table(validation, columns_of(config), labelled=True)
        held_ids = labels.encode(held)
    if limit is not None:
        rows = limit_rows(rows, ids, limit, config.seed)
    train, train_ids = table.select(rows), [ids[row] for row in rows]
    facts = {
        "source": table.source,
        "validation_source": held.source,
        "held_out": validation is None,
        "note": note,
        "rows": len(table),
        "train_rows": len(train),
        "validation_rows": len(held),
        "limit": limit,
        "train_counts": dict(zip(labels.names, class_counts(train_ids, len(labels)), strict=True)),
        "train_fingerprint": train.fingerprint(),
        "validation_fingerprint": held.fingerprint(),
        "warnings": quick_warnings(
            train.texts, label_ids=train_ids, names=labels.names, held=held.texts
        ),
    }
    return Dataset(labels, train.texts, train_ids, held.texts, held_ids, facts)


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


def plan_for(
    config: Config, source: Source, num_labels: int, allocate: Allocate = largest_that_fits
) -> Plan:
    """The plan for this very model folder: the first gate.

    Raises:
        BudgetError: it does not fit under the cap.
    """
    shapes = source.shapes(num_labels)
    return plan_by(config, shapes, model=source.name, num_labels=num_labels, allocate=allocate)


def targeted_layers(config: Config, source: Source, num_labels: int) -> list[LinearShape]:
    """The layers that the settings offer to adapters, or to what else trains in their place."""
    return targeted(source.shapes(num_labels), config.adapters)


def fit_lengths(
    config: Config, source: Source, tokenizer: PreTrainedTokenizerBase
) -> tuple[Config, str | None]:
    """Settings whose text lengths the encoder has positions for, and what was changed."""
    longest = longest_text(source, tokenizer)
    asked = max(config.data.max_length, config.predict.max_length)
    if longest is None or asked <= longest:
        return config, None
    lengths = {
        name: min(length, longest)
        for name, length in (
            ("data.max_length", config.data.max_length),
            ("predict.max_length", config.predict.max_length),
        )
    }
    note = f"texts are cut at {longest} tokens, the most that {source.name} has positions for"
    return config.with_values(lengths), note


def make_setup(
    config: Config, dataset: Dataset, source: Source, plan: Plan, *, progress: Progress
) -> tuple[Setup, dict[str, Any]]:
    """Tokenise, build the classifier, and decide what is decided automatically.

    Returns the setup, and what the tokens are like (for ``data.json``).
    """
    config, note = fit_lengths(config, source, load_tokenizer(source))
    classifier = build(source, plan, config, dataset.labels.names)
    classifier.module.to("cuda" if torch.cuda.is_available() else "cpu")
    own_path = _why_own_path(config, classifier)
    precision = _precision(config, classifier.device, lean=own_path is None)
    lean = LeanEncoder(classifier.module, precision.dtype) if own_path is None else None
    config, train, held = _read(
        config,
        dataset,
        classifier.tokenizer,
        multiple=precision.length_multiple(classifier.device),
        progress=progress,
    )
    order = batch_order(
        train.tokens.lengths,
        batch=config.optim.batch,
        seed=config.seed,
        epoch=0,
        group_by_length=config.train.group_by_length,
        by_tokens=config.train.batch_by == "tokens",
    )
    config = config.with_choice("epochs", decide_epochs(config, len(train.labels)))
    schedule, schedule_note = make_schedule(config, len(order))
    choice = config.choices["long_text"]
    cut_note = f"of long texts {choice.value} is kept: {choice.reason}"
    for sentence in (note, schedule_note, cut_note if train.tokens.truncated else None):
        if sentence:
            progress.say(sentence)
    progress.say(f"computing in {precision.format}: {precision.reason}")
    config = config.with_choice(
        "precision", Choice(value=precision.format, reason=precision.reason)
    )
    path = Choice(value="own" if own_path else "lean", reason=own_path or LEAN_REASON)
    config = config.with_choice("forward", path)
    eval_subset = held.sample(config.train.eval_rows, config.seed)
    prefix = _prefix_cache(config, lean, schedule, (train.tokens, eval_subset.tokens))
    config = config.with_choice("prefix_cache", prefix)
    if lean is not None and lean.frozen_depth > 0:
        progress.say(f"keeping what the frozen layers compute: {prefix.value}, {prefix.reason}")
    setup = Setup(classifier, train, held, config, schedule, precision, eval_subset, lean)
    facts = {
        "tokens": {
            "max_length": train.tokens.max_length,
            "mean": float(train.tokens.lengths.mean()),
            "truncated": train.tokens.truncated,
            "validation_truncated": held.tokens.truncated,
            "padding_share": _padding(setup, order),
        }
    }
    return setup, facts


def _padding(setup: Setup, order: Sequence[Sequence[int]]) -> float:
    """The share of padding in an epoch's forward passes."""
    return padding_share(setup.train.tokens, [part for rows in order for part in setup.parts(rows)])


def _read(
    config: Config,
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    multiple: int,
    progress: Progress,
) -> tuple[Config, Rows, Rows]:
    """All texts as tokens, and what is kept of long ones on record."""
    cache = TokenCache(int(config.data.token_cache_gb * 1e9), progress.warn)
    encode = partial(cache.tokenise, tokenizer, max_length=config.data.max_length)
    with progress.track("tokenising", len(dataset.train_ids) + len(dataset.validation_ids)) as bar:
        tokens = encode(dataset.train_texts, advance=bar.advance)
        config = config.with_choice("long_text", _long_text(config, tokens))
        kept = config.long_text
        if kept != "head":
            tokens = encode(dataset.train_texts, long_text=kept)
        held = encode(dataset.validation_texts, long_text=kept, advance=bar.advance)
    train, held = (replace(some, multiple=multiple) for some in (tokens, held))
    # To train on, every window is a row; held-out texts are scored as they are predicted, whole.
    labels = [dataset.train_ids[text] for text in train.owners]
    return config, Rows(train.flat, labels), Rows(held, dataset.validation_ids)


def _long_text(config: Config, tokens: Tokens) -> Choice:
    """What is kept of texts that are too long, by how many training texts are."""
    if "long_text" in config.choices:
        return config.choices["long_text"]
    if config.data.long_text != "auto":
        return Choice(value=config.data.long_text, reason="asked for")
    share = tokens.truncated / max(1, len(tokens))
    value = "head" if share < MANY_CUT else "head+tail"
    return Choice(value=value, reason=f"{share:.1%} of the training texts are cut")


def decide_epochs(config: Config, rows: int) -> Choice:
    """Passes over the training rows: many over few, since a step teaches the same in both."""
    if config.optim.epochs is not None:
        return Choice(value=f"{config.optim.epochs:g}", reason="asked for")
    epochs = round(LEAST_EPOCHS * (MANY_ROWS / rows) ** ROWS_POWER)
    epochs = min(MOST_EPOCHS, max(LEAST_EPOCHS, epochs))
    return Choice(value=f"{epochs}", reason=f"{rows:,} rows to train on")


def _why_own_path(config: Config, classifier: Classifier) -> str | None:
    """The reason to use the model's own forward pass, or None where the lean one serves."""
    if config.train.forward == "own":
        return "asked for"
    if config.train.precision == "fp16":
        return "train.precision=fp16 runs under autocast"
    return why_not_lean(
        classifier.module,
        frozen_dropout=config.model.frozen_dropout,
        checkpointing=config.train.checkpointing != "off",
    )


def _prefix_cache(
    config: Config, lean: LeanEncoder | None, schedule: Schedule, rows: Sequence[Tokens]
) -> Choice:
    """Whether the states below the lowest adapter are kept on disk while training."""
    if "prefix_cache" in config.choices:
        return config.choices["prefix_cache"]
    if config.train.prefix_cache == "off":
        return Choice(value="off", reason="asked for")
    if any(tokens.windows is not None for tokens in rows):
        return Choice(value="off", reason="texts have several windows")
    if lean is None:
        return Choice(value="off", reason="only the lean forward pass can start half-way")
    if lean.frozen_depth == 0:
        return Choice(value="off", reason="the lowest layer has an adapter")
    if schedule.total <= schedule.steps_per_epoch:
        return Choice(value="off", reason="no row is seen twice")
    size, limit = sum(prefix_bytes(lean, tokens) for tokens in rows) / 1e9, config.train
    kept = f"{lean.frozen_depth} layers, {size:.3g} GB in {str(stored_dtype(lean))[6:]}"
    if size > limit.prefix_cache_gb:
        excess = f"more than train.prefix_cache_gb={limit.prefix_cache_gb:g}"
        return Choice(value="off", reason=f"{kept}, {excess}")
    return Choice(value="on", reason=f"{kept}, computed once")


def _precision(config: Config, device: torch.device, *, lean: bool) -> Precision:
    """The choice on record where there is one, so that a resumed run computes as it began."""
    if "precision" in config.choices:
        choice = config.choices["precision"]
        return Precision(cast(Format, choice.value), choice.reason)
    return decide_precision(config.train.precision, device, lean=lean)
