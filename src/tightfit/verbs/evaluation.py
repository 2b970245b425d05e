"""What a run is worth on labelled rows, alone or against another."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit import storage
from tightfit.data.beside_labels import known_beside
from tightfit.data.labels import UnknownLabels
from tightfit.data.many_files import Sources
from tightfit.data.sources import Columns, open_rows, read_table
from tightfit.data.table import Table
from tightfit.data.text_digests import read_text_digests, text_digests
from tightfit.display import Shown, score_words
from tightfit.errors import DataError, MachineError, UsageError
from tightfit.metrics.calibration import Scale
from tightfit.metrics.interval import Compared, Interval
from tightfit.metrics.intervals import over_seeds, wilson
from tightfit.metrics.scores import confusion_counts
from tightfit.metrics.thresholds import Goal, answers_at
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.storage.files import only_kept
from tightfit.tasks import Predictions
from tightfit.tasks.calibrate import scale_words
from tightfit.tasks.chosen_threshold import ChosenThreshold
from tightfit.tasks.label_thresholds import (
    OWN_ROWS,
    choose_thresholds,
    keep_chosen,
    threshold_words,
)
from tightfit.verbs.against_run import answers_as, refuse_unlike, tell_unknown

NEAR_ONE = 0.1
"""Temperatures whose logarithm is less than this change hardly anything."""


@dataclass(frozen=True)
class Calibrated:
    """What the run's temperature does to its confidence on these rows.

    Attributes:
        temperature: fitted on the run's validation rows, never on these.
        ece_before: expected calibration error of the bare softmax.
        ece_after: the same with the temperature, as in the scores.
        ece_by_chance: what a perfectly calibrated classifier would show on so many rows.
        log_loss_before: in nats.
        log_loss_after: in nats.
        reason: why the error was not halved; None where it was.
    """

    temperature: Scale
    ece_before: float
    ece_after: float
    ece_by_chance: float
    log_loss_before: float
    log_loss_after: float
    reason: str | None


@dataclass(frozen=True)
class OverSeeds:
    """Means over runs that differ in their seed, on the same rows, with Student's t-intervals."""

    runs: tuple[str, ...]
    scores: Mapping[str, Interval]
    """Those that are told first, and log loss and calibration error where there are any."""

    @property
    def accuracy(self) -> Interval:
        """Of one label a text: the share of rows that are right."""
        return self.scores["accuracy"]

    def to_json(self) -> dict[str, Any]:
        """The runs, and each score under its name."""
        return {"runs": list(self.runs), **{k: x.to_json() for k, x in self.scores.items()}}


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """Scores of a run, and, where it was compared or combined with others, what came of that."""

    scores: Any
    """As the task gives them."""
    calibration: Calibrated | None
    """None where answers have no probabilities."""
    paired: Compared | None = None
    """By the score that counts."""
    paired_macro_f1: Compared | None = None
    seeds: OverSeeds | None = None
    thresholds: tuple[ChosenThreshold, ...] = ()
    """From which probability on a label is answered, where that was asked for."""
    confusion_at: tuple[tuple[int, ...], ...] = ()
    """Rows of each true class by answered class with these thresholds, on the rows that they were
    chosen on; where none were, with those that were kept before."""
    coverage: Interval | None = None
    """Of ratings: the share that lies in the interval of its prediction."""

    @property
    def accuracy(self) -> Interval:
        """Of one label a text: the share of rows that are right."""
        return self.scores.accuracy

    @property
    def macro_f1(self) -> Interval:
        """Of labels: the mean of their F1."""
        return self.scores.macro_f1

    def shown(self) -> dict[str, object]:
        """Rows, scores with their intervals, and how it compares."""
        paired = {} if self.paired is None else {"paired": self.paired.sentence}
        words = {name: score_words(name, x) for name, x in self.scores.headline().items()}
        return {"rows": f"{self.scores.n:,}", **words, **paired}

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit evaluate --json`` prints."""
        told: dict[str, Any] = self.scores.to_json()
        if self.calibration is not None:
            told["calibration"] = asdict(self.calibration)
        for name in ("paired", "paired_macro_f1"):
            if (found := getattr(self, name)) is not None:
                told[name] = found.to_json()
        if self.seeds is not None:
            told["seeds"] = self.seeds.to_json()
        if self.coverage is not None:
            told["coverage"] = self.coverage.to_json()
        if self.thresholds or self.confusion_at:
            told["thresholds"] = [asdict(each) for each in self.thresholds]
            told["confusion_at_thresholds"] = [list(row) for row in self.confusion_at]
        return told


def evaluated(
    run: Run,
    data: Any,
    columns: Columns,
    *,
    goals: Sequence[Goal],
    against: Run | None,
    also: Sequence[Run],
    progress: Progress,
) -> Evaluation:
    """What a run is worth on labelled rows; see :func:`tightfit.verbs.evaluate.evaluate`."""
    if data is None:
        return _on_validation_rows(run, goals, progress)
    for other in filter(None, (against, *also)):
        refuse_unlike(other, run, fewer=other is against)
    table = read_table(data, columns, labelled=True)
    targets = _targets(run, table, data, columns)
    for each in filter(None, (run, against, *also)):
        _tell_trained(each, table, progress)
    logits_NK = run.predictor.logits(table.texts, progress)
    scores, calibration = _score(run, logits_NK, targets)
    thresholds, confusion = _thresholds(run, logits_NK, targets, goals)
    if confusion and not goals:
        progress.warn(_answers_otherwise(run, confusion))
    paired: tuple[Compared, ...] = ()
    if against is not None:
        theirs_NK = against.predictor.logits(table.texts, progress)
        both = _said(run, logits_NK), answers_as(run, _said(against, theirs_NK))
        paired = run.task.compare(targets, *both)
        tell_unknown(run, against, progress)
    all_scores = [scores]
    for other in also:
        others_NK = other.predictor.logits(table.texts, progress)
        all_scores.append(_score(other, others_NK, targets)[0])
    seeds = _over_seeds([run, *also], all_scores) if also else None
    first, second = (*paired, None, None)[:2]
    coverage = _coverage(run, logits_NK, targets)
    found = (scores, calibration, first, second, seeds, thresholds, confusion)
    evaluation = Evaluation(*found, coverage=coverage)
    with only_kept("the scores are", progress.warn):
        _keep(run.folder, evaluation, table.source, table.fingerprint())
    _keep_thresholds(run, thresholds, table.source, progress)
    return evaluation


def _tell_trained(run: Run, table: Table, progress: Progress) -> None:
    """That a run knows some of the rows, so that it looks better than it is."""
    learned = read_text_digests(run.folder.trained)
    if learned is None:
        return
    known = int(np.isin(text_digests(table.texts), learned).sum())
    if known:
        progress.warn(
            f"{known:,} of {len(table):,} rows are among those that {run.path} was trained on: its "
            "scores on new rows are lower"
        )


def _targets(run: Run, table: Table, data: Any, columns: Columns) -> NDArray[Any]:
    """What the rows ask of the run.

    Raises:
        DataError: they have labels that the run does not know; it names a column of which it knows
            all, or else says where the rows seem to be of another task.
    """
    try:
        return run.task.encode(table)
    except UnknownLabels as fault:
        found: tuple[str, ...] = ()
        if not isinstance(data, Table | Sources):
            with suppress(DataError):  # what cannot be read again says nothing of its columns
                rows, where = open_rows(data, columns)
                found = known_beside(rows, where.label, fault.known)
        if found:
            either = " or ".join(map(repr, found))
            right = ": name the right one, as in" if len(found) > 1 else ":"
            fault.next_step = f"every label in {either} is known{right}"
            fault.add = shlex.join(["--label-column", found[0]])
        elif fault.foreign:
            fault.next_step = (
                "the rows seem to be of another task than the run: evaluate it on rows with labels "
                "that it knows, or take a run that was trained on labels such as these"
            )
        raise


def _coverage(run: Run, logits_NK: NDArray[np.float32], targets: NDArray[Any]) -> Interval | None:
    """The share of ratings in the interval of their prediction, where there are intervals."""
    if run.predictor.reach is None:
        return None
    inside_N = _said(run, logits_NK).right(targets)
    return wilson(int(inside_N.sum()), len(inside_N))


def _said(run: Run, logits_NK: NDArray[np.float32]) -> Predictions:
    """A run's answers, by its own temperature and thresholds."""
    probabilities_NK = run.task.probabilities(logits_NK, run.temperature)
    return run.task.predictions(
        probabilities_NK, thresholds=run.thresholds, reach=run.predictor.reach
    )


def _on_validation_rows(run: Run, goals: Sequence[Goal], progress: Progress) -> Evaluation:
    """Thresholds that are chosen on the rows which the run has on record."""
    rows = run.validation
    if rows is None:
        raise UsageError(
            "the run has no validation rows on record to choose thresholds on",
            next_step="give labelled rows with --data",
        )
    thresholds, confusion = _thresholds(run, rows.logits_NK, rows.targets_N, goals)
    scores, calibration = _score(run, rows.logits_NK, rows.targets_N)
    _keep_thresholds(run, thresholds, OWN_ROWS, progress)
    return Evaluation(scores, calibration, thresholds=thresholds, confusion_at=confusion)


def _thresholds(
    run: Run,
    logits_NK: NDArray[np.float32],
    targets: NDArray[Any],
    goals: Sequence[Goal],
) -> tuple[tuple[ChosenThreshold, ...], tuple[tuple[int, ...], ...]]:
    """The thresholds of the goals, and the rows of each true class by the answers with them; with
    those that are kept, where there are no goals."""
    if not goals and not (run.task.one_class and run.thresholds):
        return (), ()
    probabilities_NK = run.task.probabilities(logits_NK, run.temperature)
    found = tuple(choose_thresholds(run.task, probabilities_NK, targets, goals)) if goals else ()
    if not run.task.one_class:
        return found, ()
    chosen = {goal.label: each.threshold for goal, each in zip(goals, found, strict=True)}
    by_id = chosen or run.thresholds
    answers_N = answers_at(probabilities_NK, by_id)
    counts_KK = confusion_counts(targets, answers_N, run.task.outputs)
    return found, tuple(map(tuple, counts_KK.tolist()))


def _answers_otherwise(run: Run, confusion: Sequence[Sequence[int]]) -> str:
    """That scores are not of the answers which thresholds kept before lead to, and what those are
    worth."""
    right = sum(row[label] for label, row in enumerate(confusion)) / sum(map(sum, confusion))
    return (
        "the scores are those of the most probable labels; predict answers by what was kept: "
        f"{threshold_words(run.task, run.thresholds, kept=False)}, so that {right:.1%} of these "
        "rows are right"
    )


def _keep_thresholds(
    run: Run, found: Sequence[ChosenThreshold], source: str, progress: Progress
) -> None:
    """For ``predict`` and the report; they replace those of before."""
    if not found:
        return
    named, before = {each.label for each in found}, run.chosen_thresholds
    if not run.task.one_class:
        # Every label has one: those that nobody asked for stay as they are.
        found = [*(each for each in before if each.label not in named), *found]
        before = tuple(each for each in before if each.label in named)
    if before:
        words = ", ".join(f"{each.label} {each.threshold:.4f}" for each in before)
        progress.warn(f"this replaces what was kept before: {words}")
    try:
        keep_chosen(run.folder, found, source)
    except MachineError as refused:
        values = " ".join(shlex.quote(f"{each.label}={each.threshold}") for each in found)
        refused.next_step = (
            f"predict with what was found (--threshold): {values}; or copy the run to where you "
            "may write"
        )
        raise


def _score(
    run: Run, logits_NK: NDArray[np.float32], targets: NDArray[Any]
) -> tuple[Any, Calibrated | None]:
    """Scores with the run's temperature, and what it changes."""
    task, temperature = run.task, run.predictor.temperature
    probabilities_NK = task.probabilities(logits_NK, temperature)
    scores: Any = task.score(targets, probabilities_NK, run.thresholds)
    if not task.calibrates:
        return scores, None
    bare: Any = task.score(targets, task.probabilities(logits_NK), run.thresholds)
    by_chance = task.calibration_error_by_chance(probabilities_NK)
    reason = None
    if scores.ece > bare.ece / 2:
        reason = (run.calibration and run.calibration.reason) or _why_not_halved(
            temperature, bare.ece, scores.ece, by_chance
        )
    return scores, Calibrated(
        temperature=temperature,
        ece_before=bare.ece,
        ece_after=scores.ece,
        ece_by_chance=by_chance,
        log_loss_before=bare.log_loss,
        log_loss_after=scores.log_loss,
        reason=reason,
    )


def _why_not_halved(temperature: Scale, before: float, after: float, by_chance: float) -> str:
    """In words; a temperature mends confidence that is too high, or too low, throughout."""
    if after > max(before, by_chance):
        return (
            "it is larger with it here: the validation rows, which asked for the temperature "
            f"({scale_words(temperature)}), were few, or are unlike these rows"
        )
    if before <= 2 * by_chance:
        return (
            "there was little to mend: a perfectly calibrated classifier would show "
            f"{by_chance:.1%} on so many rows"
        )
    told = scale_words(temperature)
    if np.abs(np.log(temperature)).max() < NEAR_ONE:
        return (
            f"the validation rows ask for a temperature near 1 ({told}): confidence is "
            "too high in some places and too low in others, which one temperature cannot mend"
        )
    return (
        f"what the temperature ({told}) leaves differs from one confidence to "
        "another, or these rows are unlike the validation rows"
    )


def _over_seeds(runs: Sequence[Run], found: Sequence[Any]) -> OverSeeds:
    """Means and their intervals.

    Raises:
        UsageError: a run is named twice, which would make the interval narrower than it is.
    """
    names = tuple(str(run.path) for run in runs)
    if len({Path(name).resolve() for name in names}) < len(names):
        raise UsageError(
            "a run is named twice, and counts once",
            seen=", ".join(names),
            next_step="give each run once",
        )
    first = found[0].headline()
    told = {name: [each.headline()[name] for each in found] for name in first}
    values = {name: [x.value for x in each] for name, each in told.items() if None not in each}
    if not runs[0].task.calibrates:
        anything = (-math.inf, math.inf)
        return OverSeeds(names, {k: over_seeds(v, within=anything) for k, v in values.items()})
    scores = {name: over_seeds(each) for name, each in values.items()}
    scores["log_loss"] = over_seeds([each.log_loss for each in found], within=(0.0, math.inf))
    scores["ece"] = over_seeds([each.ece for each in found])
    return OverSeeds(names, scores)


def _keep(folder: storage.RunFolder, evaluation: Evaluation, source: str, fingerprint: str) -> None:
    """Remember the evaluation beside the run; the same rows replace their own record."""
    record = {"data": source, "rows_sha256": fingerprint, **evaluation.to_json()}
    storage.write_derived(folder, f"evaluation-{fingerprint[:12]}", record)
