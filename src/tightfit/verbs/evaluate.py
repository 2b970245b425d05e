"""``tightfit evaluate``: what a run is worth on labelled rows, alone or against another.

What can be refused at once is refused here, before scikit-learn and SciPy are imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tightfit.config import MissingText
from tightfit.data.sources import check_source
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run

if TYPE_CHECKING:
    from tightfit.verbs.evaluation import Evaluation


def evaluate(
    run: str | Path,
    data: Any,
    *,
    against: str | Path | None = None,
    also: Sequence[str | Path] = (),
    text_column: Sequence[str] | str | None = None,
    label_column: str | None = None,
    missing_text: MissingText | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a run on labelled rows, with intervals.

    Args:
        run: a run folder.
        data: anything that ``train`` takes.
        against: another run, compared on the same rows by a paired test.
        also: runs that differ from the first in their seed: the means over all of them are told.
        text_column: column, or columns to join with a space.
        label_column: column of the labels.
        missing_text: what a row without a text is; None takes the run's own setting.
        progress: how to speak to people; None speaks on stderr.

    Raises:
        DataError: rows are faulty, or have labels that the run does not know.
        TightfitError: its other subclasses tell what else is wrong.
    """
    loaded, others = Run.open(run), [Run.open(path) for path in also]
    compared = None if against is None else Run.open(against)
    columns = loaded.columns(text_column, label_column, missing_text)
    check_source(data, columns, progress=progress)
    progress = progress or RichProgress()
    from tightfit.verbs.evaluation import evaluated

    return evaluated(loaded, data, columns, against=compared, also=others, progress=progress)
