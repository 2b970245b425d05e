"""``tightfit evaluate``: what a run is worth on labelled rows, alone or against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightfit import runs
from tightfit.data.sources import read_table
from tightfit.errors import DataError
from tightfit.metrics.paired import Paired, compare_accuracy
from tightfit.metrics.scores import Scores, score
from tightfit.pipeline.predicting import Run
from tightfit.voice import RichVoice, Voice


@dataclass(frozen=True)
class Evaluation:
    """Scores of a run, and, where it was compared, the paired difference."""

    scores: Scores
    paired: Paired | None

    def to_json(self) -> dict[str, Any]:
        """The object that ``tightfit evaluate --json`` prints."""
        paired = {} if self.paired is None else {"paired": self.paired.to_json()}
        return {**self.scores.to_json(), **paired}


def evaluate(
    run: str | Path,
    data: Any,
    *,
    against: str | Path | None = None,
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    voice: Voice | None = None,
) -> Evaluation:
    """Score a run on labelled rows, with intervals.

    Args:
        run: a run folder.
        data: anything that ``train`` takes.
        against: another run, compared on the same rows by a paired test.
        text_column: column, or columns to join with a space.
        label_column: column of the labels.
        voice: how to speak to people; None speaks on stderr.

    Raises:
        DataError: rows are faulty, or have labels that the run does not know.
        TightfitError: its other subclasses tell what else is wrong.
    """
    voice = voice or RichVoice()
    loaded = Run.load(run)
    table = read_table(data, loaded.columns(text_column, label_column), labelled=True)
    label_ids = loaded.labels.encode(table)
    predictions = loaded.predict(table.texts, voice)
    scores = score(label_ids, predictions.probabilities_NK, loaded.labels.names)
    paired = None
    if against is not None:
        other = Run.load(against)
        if other.labels.names != loaded.labels.names:
            raise DataError(
                "the two runs have different labels and cannot be compared",
                seen=f"{', '.join(other.labels.names)} in {against}",
                allowed=", ".join(loaded.labels.names),
                next_step="compare runs that were trained on the same labels",
            )
        paired = compare_accuracy(label_ids, predictions.ids, other.predict(table.texts, voice).ids)
    evaluation = Evaluation(scores, paired)
    _keep(runs.RunFolder(Path(run)), evaluation, table.source, table.fingerprint())
    return evaluation


def _keep(folder: runs.RunFolder, evaluation: Evaluation, source: str, fingerprint: str) -> None:
    """Remember the evaluation beside the run; the same rows replace their own record."""
    record = {"data": source, "rows_sha256": fingerprint, **evaluation.to_json()}
    runs.write_derived(folder, f"evaluation-{fingerprint[:12]}", record)
