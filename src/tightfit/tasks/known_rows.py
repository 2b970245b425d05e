"""The rows of a training that goes on from a run: new ones, and what the run kept of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.config import Config
from tightfit.data.checks.repeats import text_key
from tightfit.data.facts import ContinuedFacts
from tightfit.data.sources import Columns, read_table
from tightfit.data.table import Table
from tightfit.data.text_digests import text_digests
from tightfit.errors import DataError, first_few
from tightfit.progress import Progress
from tightfit.tasks import Task
from tightfit.tasks.dataset import Dataset, read_dataset
from tightfit.tasks.labelled_texts import LabelledTexts

MOST_TIMES = 10
"""A kept row trains at most so often."""

LISTED = 8
"""Labels that are named one by one."""


@dataclass(frozen=True)
class KnownRows:
    """What a run knows.

    Attributes:
        run: its folder, as it was named.
        identity: a digest that stands for all of it.
        task: with its labels, whose ids are kept.
        rows: those that it kept.
        trained: whether it trained on them (its scores are a cross-validation's). Then they train
            again; otherwise they validate, but for some of labels that no new row has.
        learned: digests of all texts that its weights know, in ascending order; None where it kept
            none.
    """

    run: str
    identity: str
    task: Task
    rows: LabelledTexts
    trained: bool
    learned: NDArray[np.uint64] | None = None

    def dataset(
        self, config: Config, data: Any, validation: Any, limit: int | None, *, progress: Progress
    ) -> Dataset:
        """New rows as :func:`read_dataset` splits them, and the run's own beside them.

        Args:
            config: as there, like the other arguments.
            data: rows to train on; those that repeat a kept row are left out.
            validation: rows to validate on, or None; kept rows that are among them are not added.
            limit: of the new rows that train.
            progress: how to speak to people.

        Raises:
            DataError: rows are faulty, too few, or all of them are kept apart.
        """
        table, repeats = self._without_kept(
            read_table(data, Columns.of(config.data), labelled=True)
        )
        task = self.task.extended(table)
        found = read_dataset(config, table, validation, limit, task=task, progress=progress)
        held, seen = len(found.validation), self._learned(found.validation.texts)
        if validation is None and (len(seen) < held or (len(self.rows) and not self.trained)):
            found, seen = _left_out(found, seen), []
        counts = found.facts.train_counts
        gone = tuple(name for name in self.task.names if not counts[name])
        known = self._without(found.validation.texts)
        again = known._again(counts)
        continued = ContinuedFacts(
            self.run,
            self.identity,
            new_labels=task.names[self.task.outputs :],
            labels_gone=gone,
            repeats_left_out=repeats,
            kept_rows=len(known.rows),
            kept_rows_train=self.trained,
            again=len(set(again)),
            learned_left_out=held - len(found.validation),
        )
        warnings = (
            *_strange(self.run, self.task, task, gone),
            *found.facts.warnings,
            *self._scored_again(max(len(seen), self._repeated(known))),
        )
        facts = replace(found.facts, warnings=warnings, continued=continued)
        added = _joined(replace(found, facts=facts, learned=self.learned), known, again)
        for sentence in self._about(continued):
            progress.say(sentence)
        return added

    def _learned(self, texts: Sequence[str]) -> list[int]:
        """Which of the texts its weights know, where that can be told."""
        if self.learned is None:
            return []
        return np.flatnonzero(np.isin(text_digests(texts), self.learned)).tolist()

    def _scored_again(self, rows: int) -> list[str]:
        """What is to be said of so many validation rows that its weights know."""
        if not rows:
            return []
        return [
            f"{rows:,} of the validation rows are among those that {self.run} was trained on: "
            "scores on them say little about new rows"
        ]

    def _again(self, counts: Mapping[str, int]) -> list[int]:
        """Which of the rows train again, some of them repeated.

        A label that is rare in training is rarely answered. So a known one with less than half as
        many new rows as a new label has on average is filled up to that many; without new labels,
        one that no new row has. Half of its kept rows train, and the others validate.

        Args:
            counts: new rows that train, by label.
        """
        if self.trained:
            return list(range(len(self.rows)))
        new = [count for name, count in counts.items() if name not in self.task.names]
        enough = round(float(np.mean(new or [n for n in counts.values() if n])))
        rows: list[int] = []
        for label, name in enumerate(self.task.names):
            rows_N = np.flatnonzero(self.rows.targets == label)[::2]
            if counts[name] < (enough / 2 if new else 1):
                lacking = min(enough - counts[name], MOST_TIMES * len(rows_N))
                rows += np.resize(rows_N, lacking).tolist()
        return rows

    def _without_kept(self, table: Table) -> tuple[Table, int]:
        """The rows whose text is not among those kept, and how many others there were."""
        kept = {text_key(text) for text in self.rows.texts}
        rows = [row for row, text in enumerate(table.texts) if text_key(text) not in kept]
        if not rows:
            raise DataError(
                "every row is among those that the run was scored on",
                seen=f"{len(table):,} rows of {table.source}",
                next_step="give rows that the run has not been scored on",
            )
        return table.select(rows), len(table) - len(rows)

    def _without(self, texts: Sequence[str]) -> KnownRows:
        """What is kept but for these texts, which validate already."""
        held = {text_key(text) for text in texts}
        rows = [row for row, text in enumerate(self.rows.texts) if text_key(text) not in held]
        return replace(self, rows=self.rows.select(rows))

    def _repeated(self, known: KnownRows) -> int:
        """How many rows that trained are kept no more, since they validate."""
        return len(self.rows) - len(known.rows) if self.trained else 0

    def _about(self, facts: ContinuedFacts) -> Iterator[str]:
        """What people should know."""
        new, gone, repeats = facts.new_labels, facts.labels_gone, facts.repeats_left_out
        if new:
            yield f"labels that {self.run} does not know: {_listed(new)}; {len(new):,} in all"
        if gone:
            yield (
                f"no new row has the label{'s' if len(gone) > 1 else ''} {_listed(gone)} of "
                f"{self.run}: kept all the same"
            )
        if facts.again and not self.trained:
            yield (
                f"{facts.again:,} validation rows of {self.run} train, since their labels are "
                "rare in the new rows: else these would hardly be answered any more"
            )
        if repeats:
            yield f"{repeats:,} rows are left out: {self.run} was scored on their texts"
        if facts.learned_left_out:
            yield (
                f"{facts.learned_left_out:,} of the rows held out are left out: {self.run} was "
                "trained on their texts"
            )
        if self.learned is None and not self.trained:
            yield (
                f"{self.run} kept no digests of what it was trained on: rows of it that are among "
                "these may validate"
            )
        if not len(self.rows):
            yield (
                f"{self.run} kept no texts of its validation rows; what is forgotten is seen in "
                "new rows alone"
            )
        elif self.trained:
            yield (
                f"{facts.kept_rows:,} rows that {self.run} trained on train again; to have "
                "every row scored, train anew on the files of both, each with --data"
            )
        else:
            apart = facts.kept_rows - facts.again
            yield f"{apart:,} validation rows of {self.run} stay apart"


def _left_out(found: Dataset, rows: Sequence[int]) -> Dataset:
    """The data set without some of its validation rows."""
    if not rows:
        return found
    held = found.validation.select(sorted({*range(len(found.validation))} - {*rows}))
    facts = replace(
        found.facts, validation_rows=len(held), validation_fingerprint=_fingerprint(held)
    )
    return replace(found, validation=held, facts=facts)


def _strange(run: str, known: Task, task: Task, gone: Sequence[str]) -> list[str]:
    """What is to be said where all labels of the run are gone, and as many new ones have come."""
    if len(gone) < known.outputs or len(task.names) < 2 * known.outputs:
        return []
    return [
        f"no new row has a label that {run} knows: if theirs are the same in other words, such as "
        "ids for names, write them alike; else each becomes a label more"
    ]


def _joined(found: Dataset, known: KnownRows, again: Sequence[int]) -> Dataset:
    """The data set with the run's rows at the end of the side that they belong to.

    Raises:
        DataError: rows of one label are all there is to train on.
    """
    apart = [] if known.trained else sorted({*range(len(known.rows))} - {*again})
    train = found.train.followed_by(known.rows.select(again))
    held = found.validation.followed_by(known.rows.select(apart))
    counts = found.task.counts(train.targets)
    if sum(count > 0 for count in counts.values()) < 2:
        raise DataError(
            "all rows have the same label, and the run kept none of others: from these alone "
            "every text would be taken for one of it",
            seen=f"{len(train):,} rows of {next(n for n in counts if counts[n])!r}",
            next_step="give rows of the labels that the run knows, too",
        )
    facts = replace(
        found.facts,
        train_rows=len(train),
        validation_rows=len(held),
        train_counts=counts,
    )
    if again:
        facts = replace(facts, train_fingerprint=_fingerprint(train))
    if apart:
        facts = replace(facts, validation_fingerprint=_fingerprint(held))
    return replace(found, train=train, validation=held, facts=facts)


def _fingerprint(rows: LabelledTexts) -> str:
    return Table(rows.texts, rows.targets.tolist()).fingerprint()


def _listed(names: Sequence[str]) -> str:
    return first_few(list(map(repr, names)), LISTED)
