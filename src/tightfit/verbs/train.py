"""``tightfit train``: from rows to a sealed run.

What can be refused at once, or by the rows alone, is refused here, before torch is imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from tightfit import storage
from tightfit.data.output_paths import check_not_input, refuse_inside_run
from tightfit.errors import UsageError
from tightfit.extras import loading_much
from tightfit.model.candidates import candidate_names
from tightfit.progress import Progress, RichProgress
from tightfit.run import Run
from tightfit.training.request import TrainOptions, check_same_settings, is_first_process
from tightfit.verbs.continuing import request_of
from tightfit.verbs.from_names import names_request
from tightfit.verbs.train_result import TrainResult, read_result


def train(
    data: Any = None,
    *,
    label_names: Sequence[str] | str | None = None,
    unlabelled: Any = None,
    from_run: str | Path | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Unpack[TrainOptions],
) -> TrainResult:
    """Train a classifier inside a budget, prove that it learned, and seal the run.

    Args:
        data: a path, ``hf:NAME``, ``sample``, or rows in memory: a frame, a ``datasets.Dataset``,
            ``(texts, labels)``, a dict of columns or a list of dicts; None with ``label_names``.
        label_names: what the labels are called, where no row has one: a classifier is made of the
            names alone, and nothing is known of its scores until ``evaluate``.
        unlabelled: texts of the kind that it is for, in any form of the data, where rows with a
            label are few, or none.
        from_run: a finished run to go on from with new rows: its settings, adapters and head rows
            are kept, and its validation rows are scored before and after.
        out: the run folder; None takes the next ``runs/NNN``.
        resume: go on from the run's newest checkpoint; a finished run is left as it is.
        overwrite: replace a run that is there.
        progress: how to speak to people; None speaks on stderr.
        options: see :class:`~tightfit.training.request.TrainOptions`.

    Returns:
        What the run is worth; of several processes that train together each gets it.

    Raises:
        TightfitError: its subclasses tell what is wrong; nothing half-written is left behind.
    """
    if resume:
        _check_resumable(out, overwrite=overwrite)
    first = is_first_process()
    progress = (progress or RichProgress()) if first else Progress()  # of several, one speaks
    if label_names is not None:
        request = names_request(
            label_names, data, unlabelled=unlabelled, from_run=from_run, options=options
        )
    else:
        request = replace(request_of(data, from_run, options), unlabelled=unlabelled)
    path = Path(out) if out is not None else storage.next_path()
    if resume and storage.RunFolder(path).sealed:
        check_same_settings(request.config, Run(path).config)
        progress.say(f"{path} is complete; nothing to resume")
        return read_result(path)
    refuse_inside_run(path)
    if first and not resume:  # the others come late, when the folder is there
        # First, since --overwrite would not change it.
        check_not_input(
            path,
            *(data, request.validation, request.from_run, request.unlabelled),
            *candidate_names(request.config.model),
        )
        storage.check_may_create(path, overwrite=overwrite)
    request.check(progress)
    progress.say(f"training into {path}")
    from tightfit.verbs.origin import ReadRequest

    read = ReadRequest.read(request, progress)
    with progress.work("loading torch"), loading_much():
        from tightfit.verbs.name_training import train_on_names
        from tightfit.verbs.run_training import run_training
    if label_names is not None:
        return train_on_names(read, path, resume=resume, overwrite=overwrite, progress=progress)
    return run_training(read, path, resume=resume, overwrite=overwrite, progress=progress)


def _check_resumable(out: str | Path | None, *, overwrite: bool) -> None:
    """Refuse to go on with no run in particular, or to do two things with one."""
    if overwrite:
        raise UsageError(
            "--resume goes on with a run and --overwrite replaces it",
            next_step="give one of the two",
        )
    if out is None:
        raise UsageError(
            "--resume needs to know which run to go on with",
            next_step="name it, such as --out runs/001",
        )
