"""The rows of a run: read, named, and split into those that train and those that validate."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tightfit.config import ASKED, Config, Decision
from tightfit.data.balanced import deal, different_rows, even_parts
from tightfit.data.checks.quick import quick_warnings
from tightfit.data.facts import DataFacts
from tightfit.data.holding_out import Grouping, HeldOut, group_rows, hold_out, told_of_copies
from tightfit.data.label_strata import Strata, rows_a_class
from tightfit.data.many_files import Sources
from tightfit.data.sources import Columns, read_table
from tightfit.data.splits import Split, limit_rows
from tightfit.data.table import MissingPart, Table
from tightfit.errors import DataError, SettingsError, first_few
from tightfit.progress import Progress
from tightfit.tasks import Task, check_settings, task_for
from tightfit.tasks.labelled_rows import numbered
from tightfit.tasks.labelled_texts import LabelledTexts

SHOWN = 60
"""Characters of a text that an error shows."""

NAMED = 3
"""Labels that a sentence names."""

FEW_ROWS, FEW_IN_ALL = 16, 150
"""Rows a class, and rows in all, up to which none are held out: a tenth of them would tell
nothing. Of the first it is missed besides."""

MOST_POOL = 2_000
"""Texts without a label that are read: each costs a forward pass in every training."""

FEW_FOLDS = 4
"""Parts of a cross-validation that nobody asked for: each costs a training."""


class _Folds(NamedTuple):
    """The parts of a cross-validation."""

    parts_N: NDArray[np.int64]
    """Of each row."""
    decision: Decision[int]


@dataclass(frozen=True)
class Dataset:
    """The rows of a run: which train, which validate, and what they are called."""

    task: Task
    train: LabelledTexts
    validation: LabelledTexts
    facts: DataFacts
    folds: Decision[int] | None = None
    """How many parts of a cross-validation, and why: no rows are held out, every row trains and is
    scored by trainings without it."""
    pool_texts: tuple[str, ...] = ()
    """Texts without a label, for a head that is solved."""
    learned: NDArray[np.uint64] | None = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Digests of texts that runs before this one were trained on, in ascending order; None where
    one of them kept none."""

    @property
    def few(self) -> bool:
        """Whether a class has no more rows on average than :data:`FEW_ROWS`."""
        if not self.task.one_class:
            return False
        return 0 < rows_a_class(self.train.targets.tolist()) <= FEW_ROWS


def read_dataset(
    config: Config,
    data: Any,
    validation: Any,
    limit: int | None,
    *,
    task: Task | None = None,
    progress: Progress = Progress(),
) -> Dataset:
    """Read the rows, name the labels, and hold some rows out.

    Args:
        config: its ``data`` section and seed.
        data: rows to train on, anything that :func:`read_table` takes.
        validation: rows to validate on; None holds out some of ``data``.
        limit: train on a stratified sample of this many rows, drawn after the split.
        task: what the labels are; None finds it out from the rows. Which of the labels given so are
            absent is told by whoever knows them, and no warning here; nor are ratings labels.
        progress: how to show progress.

    Raises:
        DataError: rows are faulty, or too few.
        MissingExtraError: near duplicates are to be grouped, and ``datasketch`` is not installed.
    """
    table = read_table(data, Columns.of(config.data), labelled=True)
    known, task = task is not None, task or task_for(table, config.data)
    check_settings(config, task)
    targets = task.encode(table)
    strata = task.strata(targets)
    _check_texts(table.texts)
    grouping = _grouping(config, table, given=validation is not None, progress=progress)
    shared = _shared_out(config, table, strata, validation, limit=limit, grouping=grouping)
    rows, held, split, folds = shared
    held_targets, train, train_targets = task.encode(held), table.select(rows), targets[rows]
    counts = task.counts(train_targets)
    notes = [split.split.note] if split and split.split.note else []
    notes += _lonely(counts) if folds and task.one_class else []
    facts = DataFacts(
        source=table.source,
        sources=data.names if isinstance(data, Sources) else (),
        validation_source=held.source,
        held_out=validation is None and folds is None,
        folds=folds.decision.value if folds else None,
        note=_note(notes, table.left_out),
        split=split.facts if split else None,
        rows=len(table),
        train_rows=len(train),
        validation_rows=len(held),
        limit=limit,
        train_counts=counts,
        train_fingerprint=train.fingerprint(),
        validation_fingerprint=held.fingerprint(),
        warnings=(
            *quick_warnings(
                train.texts,
                strata=task.identities(train_targets),
                counts={k: n for k, n in counts.items() if task.calibrates and (n or not known)},
                held=[] if folds else held.texts,
            ),
            *(split.warnings if split else ()),
        ),
    )
    parts_N, decision = folds or (None, None)
    alike = [grouping.groups[row] for row in rows] if grouping else train.texts
    own = _labelled(task, train, train_targets, parts_N)
    others = _labelled(task, held, held_targets, parts_N)
    return Dataset(task, replace(own, alike_N=numbered(alike)), others, facts, decision)


def _grouping(config: Config, table: Table, *, given: bool, progress: Progress) -> Grouping | None:
    """The rows that are to stay together, where any are named or looked for."""
    # Of validation rows that are given no near duplicate trains as a rule: nobody looks for any.
    if config.data.split != "group" or (given and table.groups is None):
        return None
    return group_rows(config, table, progress)


def _labelled(
    task: Task, table: Table, targets: NDArray[Any], parts_N: NDArray[np.int64] | None
) -> LabelledTexts:
    if table.weights is not None and not task.one_class:
        raise DataError("rows may have weights where each has one class", seen=task.kind)
    weights_N = None if table.weights is None else np.asarray(table.weights, dtype=np.float64)
    return LabelledTexts(targets, table.texts, weights_N=weights_N, parts_N=parts_N)


def with_pool(dataset: Dataset, config: Config, unlabelled: Any) -> Dataset:
    """The same rows, and texts without a label beside them: a sample, of very many.

    Args:
        dataset: the rows.
        config: its ``data`` section and seed.
        unlabelled: in any form of the data; None is none.

    Raises:
        DataError: they cannot be read.
    """
    if unlabelled is None:
        return dataset
    table = read_table(unlabelled, Columns.of(config.data), labelled=False)
    drawn = np.random.default_rng(config.seed).permutation(len(table))[:MOST_POOL]
    table = table.select(sorted(drawn.tolist()))
    facts = replace(
        dataset.facts, unlabelled=len(table), unlabelled_fingerprint=table.fingerprint()
    )
    return replace(dataset, pool_texts=tuple(table.texts), facts=facts)


def _shared_out(
    config: Config,
    table: Table,
    strata: Strata,
    validation: Any,
    *,
    limit: int | None,
    grouping: Grouping | None,
) -> tuple[list[int], Table, HeldOut | None, _Folds | None]:
    """Rows that train, those that validate, how that came about, and parts where they are."""
    alike = grouping.groups if grouping else table.texts
    wanted = _folds_asked(config, strata, alike, given=validation is not None)
    rows, held, split = list(range(len(table))), None, None
    if wanted is not None:
        folds = _folds(strata, alike, wanted, config.seed)
    elif validation is not None:
        # Where no row happens to have two labels, its file cannot say that rows may.
        columns = Columns.of(config.data)
        if table.label_sets is not None:
            columns = replace(columns, task="multi", separator=table.separator)
        held = read_table(validation, columns, labelled=True)
    else:
        split = hold_out(config, table, strata, grouping)
        rows, held = split.split.train, table.select(split.split.validation)
    if limit is not None:
        rows = limit_rows(rows, strata, limit, config.seed)
    if held is not None:
        return rows, held, split, None
    folds = folds._replace(parts_N=folds.parts_N[rows])
    held = table.select(rows)
    return rows, held, _about_parts(held, folds, grouping, config.seed), folds


def _about_parts(table: Table, folds: _Folds, grouping: Grouping | None, seed: int) -> HeldOut:
    """What is to be said of rows that all train, and are scored in parts."""
    every = list(range(len(table)))
    notes = [_about(folds.decision), *(grouping.notes if grouping else ())]
    split = Split(every, every, "; ".join(notes))
    if grouping is not None:
        return HeldOut(split, grouping.facts)
    # One part stands for all: its rows are as likely as any to have a copy elsewhere.
    first_N = folds.parts_N == folds.parts_N.min()
    others, own = (list(compress(table.texts, some_N)) for some_N in (~first_N, first_N))
    return told_of_copies(split, others, own, seed)


def _folds_asked(
    config: Config, strata: Strata, alike: Sequence[Hashable], *, given: bool
) -> Decision[int] | None:
    """How many parts of a cross-validation are wanted, or None where rows are held out or given.

    Raises:
        SettingsError: parts were asked for, and validation rows given, or the last ones are to
            validate.
    """
    asked = config.train.folds
    if asked and (given or config.data.split == "last"):
        raise SettingsError(
            "a cross-validation needs no validation rows, and some were given",
            seen=f"train.folds={asked}" + ("" if given else " with data.split=last"),
            next_step="leave out one of the two",
        )
    each, rows = rows_a_class(strata), len(strata)
    many = asked is None and each > FEW_ROWS and rows > FEW_IN_ALL
    if asked == 0 or given or config.data.split == "last" or many:
        return None
    if asked:
        return Decision(asked, ASKED)
    if config.data.task == "rating":  # whose strata are ranges of ratings, not classes
        return Decision(FEW_FOLDS, f"{rows:,} rows are too few to hold any out")
    few = f"{each:.3g} rows a class" if each <= FEW_ROWS else f"{rows:,} rows"
    return Decision(even_parts(strata, alike, FEW_FOLDS), f"{few} are too few to hold any out")


def _folds(strata: Strata, alike: Sequence[Hashable], wanted: Decision[int], seed: int) -> _Folds:
    """The parts of a cross-validation; rows of which ``alike`` is the same are in one part.

    Raises:
        DataError: no class has two rows that differ.
    """
    different = different_rows(strata, alike)
    if max(different.values()) < 2:
        raise DataError(
            "no class has two different texts, so that no row can be scored by the others",
            seen=f"{len(strata):,} rows of {len(different):,} classes",
            next_step="give two rows or more for a class, or a file of rows with --validation",
        )
    folds, reason = wanted.value, wanted.reason
    if folds > (most := len(set(alike))):
        folds, reason = most, f"{folds:,} were wanted, and no more than {most:,} rows differ"
    return _Folds(deal(strata, alike, folds, seed), Decision(folds, reason))


def _about(folds: Decision[int]) -> str:
    return (
        f"every row trains; scores come from a cross-validation in {folds.value} parts: "
        f"{folds.reason}"
    )


def _lonely(counts: Mapping[str, int]) -> list[str]:
    """Of labels with one row, where it is scored by trainings without it."""
    lonely = [repr(name) for name, count in counts.items() if count == 1]
    if not lonely:
        return []
    have = "has one row" if len(lonely) == 1 else "have one row each"
    named = first_few(lonely, NAMED)
    none = "none of the class" if len(lonely) == 1 else "none of its class"
    return [f"{named} {have}, which is scored by a training with {none}: give two or more"]


def _note(notes: Sequence[str], left_out: Mapping[MissingPart, int]) -> str | None:
    """What is to be said of the rows: those left out, and how the others were split."""
    left = [
        f"1 row without a {part} is left out"
        if n == 1
        else f"{n:,} rows without a {part} are left out"
        for part, n in left_out.items()
    ]
    return "; ".join([*left, *notes]) or None


def _check_texts(texts: Sequence[str]) -> None:
    if len(set(texts)) == 1:
        raise DataError(
            "all rows have the same text, which tells no class from another",
            seen=f"{texts[0][:SHOWN]!r} in {len(texts):,} rows",
            next_step="choose the column of texts with --text-column",
        )


def tell_about(dataset: Dataset, progress: Progress) -> None:
    """Say what was decided about the rows, and warn of what looks wrong with them."""
    facts = dataset.facts
    counted, held = f"{facts.train_rows:,} rows", f"{facts.validation_rows:,} to validate on"
    progress.say(counted if dataset.folds else f"{counted} to train on, {held}")
    if facts.note:
        progress.say(facts.note)
    for warning in facts.warnings:
        progress.warn(warning)
    if facts.warnings:
        progress.say("'tightfit check' shows such rows, and can write a cleaned copy")
