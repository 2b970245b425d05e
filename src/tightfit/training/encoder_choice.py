"""``model.name=auto``: the encoder at hand that suits the rows, and whether a prefix helps it.

An encoder that cannot read the texts is out, if another can. Of the others, each with and without
the prefix that it was trained for, the linear probe on means decides. Each takes the place of a
cheaper one only where it is better by more than the error. Where nothing can be compared, it is the
cheapest that reads the texts well. Where rows of a class are few, and classes too, it is the other
way round: the largest one, unless another is better by more than the error. Its steps take seconds
then, and once trained it was better where the probe could not tell; of 20 classes or more it was
worse (docs/experiments/encoder-choice.md).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tightfit.config import Config, Decision, Decisions, Model
from tightfit.data.readability import Readability, readability
from tightfit.encoder import UnknownInside
from tightfit.errors import MachineError
from tightfit.model.candidates import AUTO, candidate_names, prefixes
from tightfit.model.locate import Source, locate
from tightfit.model.unread_texts import warning_of
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.training.frozen_probe import (
    LEAST_ROWS,
    FrozenProbe,
    Scores,
    compared_words,
    gain_and_error,
    network_of,
)
from tightfit.training.time_budget import TimeLimit

COMPARED_TOKENS, MOST_TOKENS = 64, 20_000
"""Where texts are cut to choose between encoders, and tokens of all at most: a pass of each over
them costs seconds."""

CHOICE_ASIDE = 0.1
"""Share of the time left that choosing may take, where the whole command is timed."""

LEAST_COMPARED = 64
"""Rows; with time for fewer nothing is compared."""

FEW_CLASSES = 10
"""Up to so many, a few rows of each are best told apart by the larger encoder: with 2 to 6 classes
it was better or level, with 20 and 77 worse."""

ONLY = "the only one at hand"


@dataclass(frozen=True)
class ChosenEncoder:
    """An encoder with its prefix, why it is this one, and the probe that has seen it."""

    source: Source
    decisions: Mapping[str, Decision[Any]]
    """``encoder`` and ``prefix``, where there was something to decide."""
    probe: FrozenProbe

    @property
    def settings(self) -> dict[str, object]:
        """What asks for the same again, as typed values by dotted name."""
        prefix = {"model.prefix": self.source.prefix or "none"}
        return {"model.name": self.source.name, **(prefix if "prefix" in self.decisions else {})}


def recorded_encoder(config: Config, decisions: Decisions) -> Source:
    """The encoder and prefix that a run decided on, found here.

    Raises:
        ModelError: it cannot be found.
    """
    name = config.model.name if decisions.encoder is None else decisions.encoder.value
    if decisions.prefix is not None:
        return replace(locate(name), prefix=decisions.prefix.value)
    return replace(locate(name), prefix=prefixes(config.model, name)[0])


def sources_at_hand(model: Model, progress: Progress) -> list[Source]:
    """Encoders that a training may stand on, each with every prefix that it may take.

    Of those to choose from, one that the machine does not let be unpacked is left out.

    Raises:
        ModelError: one cannot be found.
        MissingExtraError: an embedded encoder's package is not installed.
        MachineError: none is left.
    """
    sources: list[Source] = []
    refused: dict[str, MachineError] = {}
    for name in candidate_names(model):
        try:
            found = locate(name)
        except MachineError as error:
            refused[name] = error
        else:
            sources += [replace(found, prefix=prefix) for prefix in prefixes(model, name)]
    for name, why in refused.items():
        if not sources:
            raise why
        progress.warn(f"{name} is left out: {why.what} ({why.seen}); {why.next_step}")
    return sources


def choose_encoder(
    config: Config, dataset: Dataset, limit: TimeLimit | None, progress: Progress
) -> ChosenEncoder:
    """Which encoder a training stands on, and what stands before every text.

    Args:
        config: the settings.
        dataset: the rows.
        limit: the wall clock of the whole command, if it has one.
        progress: told what was chosen and why, and warned where nothing reads the texts.

    Raises:
        ModelError: an encoder cannot be found, or cannot take its prefix.
        MissingExtraError: an embedded encoder's package is not installed.
        MachineError: none can be unpacked.
    """
    sources = sources_at_hand(config.model, progress)
    if len(sources) == 1:
        only = {"encoder": Decision(sources[0].name, ONLY)} if config.model.name == AUTO else {}
        return ChosenEncoder(sources[0], only, FrozenProbe(config, dataset, progress))
    began = time.monotonic()
    length = min(config.data.max_length, COMPARED_TOKENS)
    chosen = _Choice(FrozenProbe(config, dataset, progress, max_length=length), limit).of(sources)
    for name, decision in chosen.decisions.items():
        value = repr(decision.value) if name == "prefix" else decision.value
        shown = f"{name} {value}" if decision.value else f"no {name}"
        progress.say(f"{shown}: {decision.reason}")
    progress.say(f"choosing took {time.monotonic() - began:.1f} seconds")
    found = _read(chosen.probe, chosen.source)
    told = warning_of(chosen.source.name, found, chosen="encoder" in chosen.decisions)
    if told is not None:
        progress.warn(told)
    return chosen


def _read(probe: FrozenProbe, source: Source) -> Readability:
    return readability(probe.tokenizer(source), probe.sample.texts)


@dataclass
class _Choice:
    """Chooses between encoders with their prefixes; ``probe`` may lose rows for want of time."""

    probe: FrozenProbe
    limit: TimeLimit | None

    def of(self, variants: Sequence[Source]) -> ChosenEncoder:
        """The best of them, with the reasons."""
        readable, gone = self._readable(variants)
        rows = len(self.probe.dataset.train)
        if len(readable) == 1:
            return self._chosen(readable[0], "it reads the texts", None, gone)
        readable.sort(key=self._size if self._few else self._cost)
        if rows < LEAST_ROWS:
            return self._unseen(readable, f"{rows} rows are too few to compare", gone)
        self.probe = self.probe.first(self._few_tokens(readable))
        affordable = self._affordable(readable)
        if affordable < min(LEAST_COMPARED, len(self.probe.rows_N)):
            return self._unseen(readable, "there is no time to compare", gone)
        self.probe = self.probe.first(affordable)
        best = readable[0]
        for other in readable[1:]:
            gain, error = gain_and_error(self._scores(other), self._scores(best))
            best = other if gain > error else best
        return self._chosen(best, *self._reasons(readable, best), gone)

    def _unseen(self, variants: Sequence[Source], why: str, gone: Sequence[str]) -> ChosenEncoder:
        """The first of them, or of those that read better, where none can be compared."""
        seen = {each.folder: _read(self.probe, each) for each in variants}
        first = seen[variants[0].folder]
        best = min(variants, key=lambda each: seen[each.folder].pieces)
        if first.verdict == "reads" or best.folder == variants[0].folder:
            return self._chosen(variants[0], f"it {self._merit}, and {why}", why, gone)
        words = f"it reads the texts better, and {why}: {seen[best.folder]}, not {first.pieces:.1f}"
        return self._chosen(best, words, why, gone)

    def _readable(self, variants: Sequence[Source]) -> tuple[list[Source], list[str]]:
        """Those that read the texts, or all if none does so well; and words about the others."""
        seen = {source.folder: _read(self.probe, source) for source in variants}
        reads = [each for each in variants if seen[each.folder].verdict != "cannot read"]
        if all(seen[each.folder].verdict != "reads" for each in reads):
            reads = list(variants)
        words = {
            source.name: f"{source.name} cannot read them: {seen[source.folder]}"
            for source in variants
            if source not in reads
        }
        if len({source.folder for source in reads}) > 1:
            for source in list(reads):
                try:
                    network_of(source)
                except UnknownInside as error:
                    reads.remove(source)
                    words[source.name] = f"{source.name} is not compared: {error.what}"
        return reads or list(variants)[:1], list(words.values())

    @property
    def _few(self) -> bool:
        """Whether rows of each of few classes are few, and time is not."""
        dataset = self.probe.dataset
        return self.limit is None and dataset.few and dataset.task.outputs <= FEW_CLASSES

    @property
    def _merit(self) -> str:
        """What the first of several has for it."""
        return "is the largest" if self._few else "costs least"

    def _size(self, source: Source) -> tuple[float, int]:
        """The largest encoder first, as it is before it has a prefix."""
        return -float(network_of(source).multiplications), len(source.prefix)

    def _cost(self, source: Source) -> float:
        """Multiplications of a pass over the sample."""
        tokens = self.probe.tokens(source)
        return float(network_of(source).multiplications) * len(tokens.ids)

    def _few_tokens(self, variants: Sequence[Source]) -> int:
        """Rows whose tokens are not too many, whoever cuts them into the most."""
        most = max(len(self.probe.tokens(source).ids) for source in variants)
        return int(len(self.probe.rows_N) * min(1.0, MOST_TOKENS / most))

    def _affordable(self, variants: Sequence[Source]) -> int:
        """Rows that there is time for; the cheapest of the encoders shows the pace."""
        if self.limit is None:
            return len(self.probe.rows_N)
        a_row, rows = self.probe.seconds_a_row(variants[0]), len(self.probe.rows_N)
        needed = a_row * rows * sum(map(self._cost, variants)) / self._cost(variants[0])
        return int(rows * min(1.0, CHOICE_ASIDE * max(0.0, self.limit.left) / needed))

    def _scores(self, source: Source) -> Scores:
        return self.probe.scores(source, "mean")

    def _reasons(self, variants: Sequence[Source], best: Source) -> tuple[str, str]:
        """Why this encoder, by each one's best figure, and why this prefix, by its own two."""
        of_name = {best.name: self._scores(best)}
        for source in variants:
            if source.name != best.name:
                of_name[source.name] = max(
                    of_name.get(source.name, self._scores(source)),
                    self._scores(source),
                    key=lambda scores_N: float(scores_N.mean()),
                )
        told = compared_words(of_name, self.probe.metric)
        if max(of_name, key=lambda name: float(of_name[name].mean())) != best.name:
            told += f"; within the error, and {best.name} {self._merit}"
        pair = {
            repr(each.prefix) if each.prefix else "no prefix": self._scores(each)
            for each in variants
            if each.folder == best.folder
        }
        return told, compared_words(pair, self.probe.metric)

    def _chosen(
        self, best: Source, why: str, why_prefix: str | None, gone: Sequence[str]
    ) -> ChosenEncoder:
        config = self.probe.config
        decisions: dict[str, Decision[Any]] = {}
        if config.model.name == AUTO:
            decisions["encoder"] = Decision(best.name, "; ".join([why, *gone]))
        if len(prefixes(config.model, best.name)) > 1 and why_prefix is not None:
            decisions["prefix"] = Decision(best.prefix, why_prefix)
        return ChosenEncoder(best, decisions, self.probe)
