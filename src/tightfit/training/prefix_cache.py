"""Keeping what the frozen layers make of every row, for as long as a run trains."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from tightfit.errors import Interrupted
from tightfit.model.prefix import store_prefix
from tightfit.training.job import Job
from tightfit.training.signals import StopRequest
from tightfit.voice import Voice

PREFIX_FOLDER = "prefix"
"""Beside the checkpoints: it goes with the run, and a resumed run finds it."""


def keep_prefix(job: Job, checkpoints: Path, voice: Voice, stop: StopRequest) -> tuple[Job, float]:
    """The job with the frozen layers' states of all rows beside it, where that was decided.

    Returns the job, and the seconds that it took.

    Raises:
        Interrupted: a stop was asked for; what is stored already is found again.
    """
    if job.lean is None or job.config.choices["prefix_cache"].value != "on":
        return job, 0.0
    started = time.perf_counter()
    both = (job.train, job.watched)
    with voice.track("frozen layers", sum(len(rows.tokens) for rows in both)) as bar:

        def advance(count: int) -> None:
            bar.advance(count)
            if stop.signal:
                raise Interrupted(
                    "stopped before the first step of this session",
                    signal_number=stop.signal,
                    next_step="to go on, give the same command with "
                    f"--resume --out {checkpoints.parent}",
                )

        store = partial(
            store_prefix,
            job.lean,
            folder=checkpoints / PREFIX_FOLDER,
            batch=job.config.train.eval_batch,
            advance=advance,
        )
        try:
            train, watched = (replace(rows, states=store(rows.tokens)) for rows in both)
        except OSError as error:
            drop_prefix(job, checkpoints)
            voice.warn(
                "what the frozen layers compute could not be stored "
                f"({error.strerror or error}); every epoch computes it again"
            )
        else:
            job = replace(job, train=train, watched=watched)
    return job, time.perf_counter() - started


def drop_prefix(job: Job, checkpoints: Path) -> None:
    """Stored states are large, and can be computed again."""
    for rows in (job.train, job.watched):
        if rows.states is not None:
            rows.states.close()
    shutil.rmtree(checkpoints / PREFIX_FOLDER, ignore_errors=True)
