"""Keeping what the frozen layers make of every row, for as long as a run trains."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from tightfit.model.prefix import store_prefix
from tightfit.progress import Progress
from tightfit.training.setup import Setup
from tightfit.training.signals import StopRequest, interrupted

PREFIX_FOLDER = "prefix"
"""Beside the checkpoints: it goes with the run, and a resumed run finds it."""


def keep_prefix(
    setup: Setup, checkpoints: Path, progress: Progress, stop: StopRequest
) -> tuple[Setup, float]:
    """The setup with the frozen layers' states of all rows beside it, where that was decided.

    Returns the setup, and the seconds that it took.

    Raises:
        Interrupted: a stop was asked for; what is stored already is found again.
    """
    if setup.lean is None or not setup.keeps_prefix:
        return setup, 0.0
    started = time.perf_counter()
    both = (setup.train, setup.eval_subset)
    with progress.track("frozen layers", sum(len(rows.tokens) for rows in both)) as bar:

        def advance(count: int) -> None:
            bar.advance(count)
            if stop.signal:
                raise interrupted(stop.signal, 0, 0, checkpoints)

        store = partial(
            store_prefix,
            setup.lean,
            folder=checkpoints / PREFIX_FOLDER,
            batch=setup.config.train.eval_batch,
            advance=advance,
        )
        try:
            train, eval_subset = (replace(rows, states=store(rows.tokens)) for rows in both)
        except OSError as error:
            drop_prefix(setup, checkpoints)
            progress.warn(
                "what the frozen layers compute could not be stored "
                f"({error.strerror or error}); every epoch computes it again"
            )
        else:
            setup = replace(setup, train=train, eval_subset=eval_subset)
    return setup, time.perf_counter() - started


def drop_prefix(setup: Setup, checkpoints: Path) -> None:
    """Stored states are large, and can be computed again."""
    for rows in (setup.train, setup.eval_subset):
        if rows.states is not None:
            rows.states.close()
    shutil.rmtree(checkpoints / PREFIX_FOLDER, ignore_errors=True)
