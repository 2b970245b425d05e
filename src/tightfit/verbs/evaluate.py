"""``tightfit evaluate``: what a run is worth on labelled rows, alone or against another.

What can be refused at once is refused here, before scikit-learn and SciPy are imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from tightfit.config import MissingText, Settings
from tightfit.data.sources import check_source
from tightfit.errors import UsageError
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run
from tightfit.tasks.label_thresholds import ThresholdGoals

if TYPE_CHECKING:
    from tightfit.verbs.evaluation import Evaluation


def evaluate(
    run: str | PathLike[str],
    data: Any = None,
    *,
    recall: Mapping[str, float] | None = None,
    precision: Mapping[str, float] | None = None,
    cost: Mapping[tuple[str, str], float] | None = None,
    against: str | PathLike[str] | None = None,
    also: Sequence[str | PathLike[str]] = (),
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    missing_text: MissingText | None = None,
    settings: Settings = (),
    progress: Progress | None = None,
) -> Evaluation:
    """Score a run on labelled rows, with intervals; choose thresholds for what matters.

    Args:
        run: a run folder, or a run in one.
        data: anything that ``train`` takes; None takes the run's validation rows, which is for
            thresholds alone.
        recall: find at least this share of a label's rows, such as ``{"spam": 0.95}``: the highest
            probability from which on answering the label does that is kept in the run's
            ``derived/``, and ``predict`` answers by it.
        precision: likewise, let at least this share of the answers of a label be right.
        cost: likewise, keep down the cost of mistakes, such as ``{("spam", "ham"): 5}``, where spam
            that is taken for ham costs 5, and any other mistake 1.
        against: another run, compared on the same rows by a paired test.
        also: runs that differ from the first in their seed: the means over all of them are told.
        text_column: column, or columns to join with a space.
        label_column: column of the labels.
        missing_text: what a row without a text is; None takes the run's own setting.
        settings: how rows are read: ``data.missing_label``, and of a text file ``data.encoding``,
            ``data.delimiter``, ``data.quoting``,
            as assignments or by name; else as in training.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        DataError: rows are faulty, have labels that the run does not know, or are too few.
        UsageError: a threshold is asked for that no rows can have.
        TightfitError: its other subclasses tell what else is wrong.
    """
    loaded, others = Run.open(run), [Run.open(path) for path in also]
    compared = None if against is None else Run.open(against)
    columns = loaded.columns(text_column, label_column, missing_text, settings)
    asked = ThresholdGoals(recall or {}, precision or {}, cost or {})
    goals = asked.goals(loaded.task)
    if data is None and (not goals or against or also):
        raise UsageError("there are no rows to evaluate on", next_step="add --data ROWS")
    progress = progress or RichProgress()
    if data is not None:
        check_source(data, columns, progress=progress)
    from tightfit.verbs.evaluation import evaluated

    return evaluated(
        loaded, data, columns, goals=goals, against=compared, also=others, progress=progress
    )
