"""What a run is worth on labelled rows, alone or against another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit import storage
from tightfit.data.sources import Columns, read_table
from tightfit.display import Shown, share_words
from tightfit.errors import DataError, UsageError
from tightfit.metrics.calibration import calibration_error_by_chance
from tightfit.metrics.interval import Interval
from tightfit.metrics.intervals import over_seeds
from tightfit.metrics.paired import Paired, compare_accuracy, compare_macro_f1
from tightfit.metrics.scores import Scores
from tightfit.metrics.thresholds import Goal
from tightfit.progress import Progress
from tightfit.run import Run
from tightfit.tasks.label_thresholds import DERIVED_NAME, ChosenThreshold, choose_thresholds

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

    temperature: float
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
    accuracy: Interval
    macro_f1: Interval
    log_loss: Interval
    ece: Interval


@dataclass(frozen=True, repr=False)
class Evaluation(Shown):
    """Scores of a run, and, where it was compared or combined with others, what came of that."""

    scores: Scores
    calibration: Calibrated
    paired: Paired | None = None
    """Of accuracy."""
    paired_macro_f1: Paired | None = None
    seeds: OverSeeds | None = None
    thresholds: tuple[ChosenThreshold, ...] = ()
    """From which probability on a label is answered, where that was asked for."""

    @property
    def accuracy(self) -> Interval:
        """Share of rows that are right."""
        return self.scores.accuracy

    @property
    def macro_f1(self) -> Interval:
        """Mean F1 of the classes."""
        return self.scores.macro_f1

    def shown(self) -> dict[str, object]:
        """Rows, scores with their intervals, and how it compares."""
        shares = {"accuracy": self.accuracy, "macro_f1": self.macro_f1}
        paired = {} if self.paired is None else {"paired": self.paired.sentence}
        words = {name: share_words(share) for name, share in shares.items()}
        return {"rows": f"{self.scores.n:,}", **words, **paired}

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit evaluate --json`` prints."""
        told = {**self.scores.to_json(), "calibration": asdict(self.calibration)}
        if self.paired is not None and self.paired_macro_f1 is not None:
            told["paired"] = self.paired.to_json()
            told["paired_macro_f1"] = self.paired_macro_f1.to_json()
        if self.seeds is not None:
            told["seeds"] = asdict(self.seeds)
        if self.thresholds:
            told["thresholds"] = [each.to_json() for each in self.thresholds]
        return told


def evaluated(
    run: Run,
    data: Any,
    columns: Columns,
    *,
    goals: Sequence[Goal] = (),
    against: Run | None,
    also: Sequence[Run],
    progress: Progress,
) -> Evaluation:
    """What a run is worth on labelled rows; see :func:`tightfit.verbs.evaluate.evaluate`."""
    if data is None:
        return _on_validation_rows(run, goals)
    table = read_table(data, columns, labelled=True)
    targets_N = run.task.encode(table)
    logits_NK = run.predictor.logits(table.texts, progress)
    scores, calibration = _score(run, logits_NK, targets_N)
    thresholds = _thresholds(run, logits_NK, targets_N, goals)
    paired = paired_macro_f1 = None
    if against is not None:
        ours = run.task.answers(logits_NK)
        theirs = run.task.answers(_alike(against, run).predictor.logits(table.texts, progress))
        paired = compare_accuracy(targets_N, ours, theirs)
        paired_macro_f1 = compare_macro_f1(targets_N, ours, theirs)
    all_scores = [scores]
    for other in also:
        others_NK = _alike(other, run).predictor.logits(table.texts, progress)
        all_scores.append(_score(other, others_NK, targets_N)[0])
    seeds = _over_seeds([run, *also], all_scores) if also else None
    evaluation = Evaluation(scores, calibration, paired, paired_macro_f1, seeds, thresholds)
    _keep(run.folder, evaluation, table.source, table.fingerprint())
    _keep_thresholds(run.folder, thresholds, table.source)
    return evaluation


def _on_validation_rows(run: Run, goals: Sequence[Goal]) -> Evaluation:
    """Thresholds that are chosen on the rows which the run has on record."""
    rows = run.validation
    if rows is None:
        raise UsageError(
            "the run has no validation rows on record to choose thresholds on",
            next_step="give labelled rows with --data",
        )
    thresholds = _thresholds(run, rows.logits_NK, rows.targets_N, goals)
    scores, calibration = _score(run, rows.logits_NK, rows.targets_N)
    _keep_thresholds(run.folder, thresholds, "the run's validation rows")
    return Evaluation(scores, calibration, thresholds=thresholds)


def _thresholds(
    run: Run,
    logits_NK: NDArray[np.float32],
    targets_N: NDArray[np.int64],
    goals: Sequence[Goal],
) -> tuple[ChosenThreshold, ...]:
    if not goals:
        return ()
    probabilities_NK = run.task.probabilities(logits_NK, run.temperature)
    return tuple(choose_thresholds(run.task, probabilities_NK, targets_N, goals))


def _keep_thresholds(
    folder: storage.RunFolder, found: Sequence[ChosenThreshold], source: str
) -> None:
    """For ``predict`` and the report; they replace those of before."""
    if found:
        record = {"data": source, "thresholds": [each.to_json() for each in found]}
        storage.write_derived(folder, DERIVED_NAME, record)


def _score(
    run: Run, logits_NK: NDArray[np.float32], targets_N: NDArray[np.int64]
) -> tuple[Scores, Calibrated]:
    """Scores with the run's temperature, and what it changes."""
    task, temperature = run.task, run.predictor.temperature
    probabilities_NK = task.probabilities(logits_NK, temperature)
    bare = task.score(targets_N, task.probabilities(logits_NK))
    scores = task.score(targets_N, probabilities_NK)
    by_chance = calibration_error_by_chance(task.confidence(probabilities_NK))
    reason = None
    if scores.ece > bare.ece / 2:
        reason = (run.calibration and run.calibration.reason) or _why_not_halved(
            temperature, bare.ece, by_chance
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


def _why_not_halved(temperature: float, before: float, by_chance: float) -> str:
    """In words; a temperature mends confidence that is too high, or too low, throughout."""
    if before <= 2 * by_chance:
        return (
            "there was little to mend: a perfectly calibrated classifier would show "
            f"{by_chance:.1%} on so many rows"
        )
    if abs(math.log(temperature)) < NEAR_ONE:
        return (
            f"the validation rows ask for a temperature near 1 ({temperature:.3g}): confidence is "
            "too high in some places and too low in others, which one temperature cannot mend"
        )
    return (
        f"what the temperature of {temperature:.3g} leaves differs from one confidence to "
        "another, or these rows are unlike the validation rows"
    )


def _alike(other: Run, first: Run) -> Run:
    """Another run, if it has the labels of the first."""
    if other.task.names != first.task.names:
        raise DataError(
            "the two runs have different labels and cannot be compared",
            seen=f"{', '.join(other.task.names)} in {other.path}",
            allowed=", ".join(first.task.names),
            next_step="compare runs that were trained on the same labels",
        )
    return other


def _over_seeds(runs: Sequence[Run], found: Sequence[Scores]) -> OverSeeds:
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
    return OverSeeds(
        runs=names,
        accuracy=over_seeds([each.accuracy.value for each in found]),
        macro_f1=over_seeds([each.macro_f1.value for each in found]),
        log_loss=over_seeds([each.log_loss for each in found], within=(0.0, math.inf)),
        ece=over_seeds([each.ece for each in found]),
    )


def _keep(folder: storage.RunFolder, evaluation: Evaluation, source: str, fingerprint: str) -> None:
    """Remember the evaluation beside the run; the same rows replace their own record."""
    record = {"data": source, "rows_sha256": fingerprint, **evaluation.to_json()}
    storage.write_derived(folder, f"evaluation-{fingerprint[:12]}", record)
