"""``tightfit train --dry-run``: everything but the training, and what it would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from tightfit.extras import loading_much
from tightfit.progress import Progress, RichProgress
from tightfit.training.request import TrainOptions
from tightfit.verbs.continuing import request_of

if TYPE_CHECKING:
    from tightfit.verbs.forecast import Forecast


def dry_run(
    data: Any,
    *,
    from_run: str | Path | None = None,
    progress: Progress | None = None,
    **options: Unpack[TrainOptions],
) -> Forecast:
    """What :func:`train` would do with these arguments, measured on a few steps.

    Nothing is written. The arguments, and what is raised, are those of :func:`train`.
    """
    request, progress = request_of(data, from_run, options), progress or RichProgress()
    request.check(progress)
    progress.say("measuring what a training would take")
    from tightfit.verbs.origin import ReadRequest

    read = ReadRequest.read(request, progress)
    with progress.work("loading torch"), loading_much():
        from tightfit.verbs.forecast import forecast

    return forecast(read, progress)
