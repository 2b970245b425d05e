"""The outcome of a training in a few numbers, as ``metrics.json`` keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from tightfit import storage
from tightfit.display import score_words
from tightfit.storage.files import parsed
from tightfit.tasks import Task

ScoreSource = Literal["validation", "cross_validation"]
"""What scores were measured on: rows held out or given, or each row by trainings without it."""


@dataclass(frozen=True)
class Continued:
    """What became of what another run knew.

    Attributes:
        run: that was gone on from.
        kept_apart: whether the rows are that run's own validation rows; otherwise they are new
            validation rows with labels that it knows.
        rows: that both were scored on, and neither trained on.
        before: accuracy of that run on them; None where there are no such rows.
        after: accuracy of this one.
        new_labels: that it did not know.
        labels_gone: that no new row has; they are kept.
        after_known: accuracy of this one where it may answer the labels of that run alone, which is
            the question that that run was asked; earlier versions did not ask.
    """

    run: str
    kept_apart: bool
    rows: int
    before: float | None
    after: float | None
    new_labels: tuple[str, ...] = ()
    labels_gone: tuple[str, ...] = ()
    after_known: float | None = None

    @property
    def words(self) -> str | None:
        """Both accuracies, and of the second what is not due to new labels; None of no rows."""
        if self.before is None:
            return None
        told = f"{self.before:.1%} before → {self.after:.1%} after"
        if not self.new_labels or self.after_known is None:
            return told
        return f"{told}, {self.after_known:.1%} among the labels of before"


@dataclass(frozen=True)
class TrainSummary:
    """What training took, and what came of it.

    Attributes:
        task: what a target is.
        total: trainable parameters.
        scores: on the validation rows, by name: those that are told first of this kind of target;
            None where no row had a label, or where one is not defined on these rows.
        metric: by which the best step was chosen, such as accuracy.
        start: its value before the first step, on the rows that evaluations while training score;
            None where there are none.
        best_step: the step whose weights were kept.
        steps: optimiser steps that were taken.
        epochs: passes over the training rows.
        examples: rows that were trained on, each time counted.
        seconds: of training, evaluations included.
        examples_per_second: in steps alone.
        tokens_per_second: likewise.
        proofs: by name, whether each holds, and whether a failure was declared (``expected``), and
            whether the start was kept (``kept_start``).
        source: of the scores, where there are any.
        continued: of a training that went on from a run, what became of what that knew.
    """

    task: str
    total: int
    scores: Mapping[str, float | None]
    metric: str
    start: float | None
    best_step: int
    steps: int
    epochs: float
    examples: int
    seconds: float
    examples_per_second: float
    tokens_per_second: float
    proofs: Mapping[str, Mapping[str, bool]]
    source: ScoreSource | None = "validation"
    continued: Continued | None = None

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], metric: str, path: Path) -> TrainSummary:
        """Read what :meth:`told` gave, from a file.

        Raises:
            ArtefactError: it is something else.
        """
        start, own = f"start_{metric}", {each.name for each in fields(cls)}
        known = {name: value for name, value in saved.items() if name in own}
        others = {name: value for name, value in saved.items() if name not in {*own, start}}
        found = {**known, "scores": others, "metric": metric, "start": saved.get(start)}
        return parsed(TrainSummary, found, path)

    def told(self) -> dict[str, Any]:
        """Its numbers under the names that the scores have; what is as ever goes without saying."""
        told = {each.name: getattr(self, each.name) for each in fields(TrainSummary)}
        told = {name: told.pop(name) for name in ("task", "total")} | {
            **told.pop("scores"),
            f"start_{told.pop('metric')}": told.pop("start"),
            **told,
        }
        for name, usual in (("continued", None), ("source", "validation")):
            if told[name] == usual:
                del told[name]
        if self.continued is not None:
            told["continued"] = asdict(self.continued)
        return told

    @property
    def accuracy(self) -> float | None:
        """Of one label a text: the share of rows that are right."""
        return self._score("accuracy")

    @property
    def macro_f1(self) -> float | None:
        """Of labels: the mean of their F1."""
        return self._score("macro_f1")

    @property
    def start_accuracy(self) -> float | None:
        """Of one label a text: the accuracy before the first step."""
        if self.metric != "accuracy":
            raise AttributeError(f"the start was measured by {self.metric}")
        return self.start

    def _score(self, name: str) -> float | None:
        if name not in self.scores:
            raise AttributeError(f"targets of this kind have no {name}: {', '.join(self.scores)}")
        return self.scores[name]

    @property
    def kept_start(self) -> bool:
        """Whether no step did better than the start, so that nothing is changed."""
        return self.proofs.get("no_regression", {}).get("kept_start", False)

    @property
    def kept_knowledge(self) -> bool:
        """Whether that start is what another run knew, whose adapters stay as they had learned."""
        return self.kept_start and self.continued is not None


@dataclass(frozen=True)
class Metrics:
    """The outcome of a training."""

    train: TrainSummary
    validation: Any
    """Scores on the validation rows, as the task gives them; None where no row had a label."""

    def shown(self, metric: str) -> dict[str, str]:
        """The score that counts, in words; of no row the metric is unknown."""
        if self.validation is None:
            return {metric: "unknown"}
        name, score = next(iter(self.validation.headline().items()))
        return {name: score_words(name, score)}


@dataclass(frozen=True)
class Evaluated:
    """The outcome on other rows, since the run was sealed."""

    data: str
    """Where the rows came from."""
    scores: Any
    """As the task gives them."""


def read_metrics(path: Path, task: Task, history: Callable[[], list[dict[str, Any]]]) -> Metrics:
    """The metrics of a run; of format 1, with what its ``history`` knows.

    Raises:
        ArtefactError: the file is missing or damaged.
    """
    saved, metric = storage.read_json(path), task.metric
    # Of runs of format 1 some of it is known without having been written.
    known = {"task": task.kind, "source": saved.get("source", "validation")}
    if f"start_{metric}" not in saved["train"]:
        known[f"start_{metric}"] = history()[0][f"eval_{metric}"]
    train = TrainSummary.from_json({**known, **saved["train"]}, metric, path)
    scores = saved["validation"]
    return Metrics(train, None if scores is None else parsed(task.scores_type(), scores, path))


def read_evaluations(folder: storage.RunFolder, task: Task) -> list[Evaluated]:
    """What was kept of each evaluation.

    Raises:
        ArtefactError: one is damaged.
    """
    paths = sorted(folder.derived.glob("evaluation-*.json"))
    saved = [(path, storage.read_derived(folder, path.stem)) for path in paths]
    return [Evaluated(s["data"], parsed(task.scores_type(), s, path)) for path, s in saved]
