"""A device that is out of memory: the same step in smaller parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tightfit.errors import MachineError
from tightfit.training.job import Job
from tightfit.voice import Voice


def in_smaller_parts(job: Job, batches: Sequence[Sequence[int]], voice: Voice) -> Job:
    """The job with parts of half as many rows, of which people are told.

    A step's gradient is a sum over its rows, however they are parted: nothing is lost.

    Args:
        job: as it was when memory ran out.
        batches: the rows of each forward pass of the step.
        voice: says so.

    Raises:
        MachineError: a single row does not fit either.
    """
    most = max(len(part) for rows in batches for part in job.parts(rows))
    if most == 1:
        raise MachineError(
            "the device has too little memory for a single row",
            next_step="lower data.max_length, or use train.checkpointing=on or a smaller model",
        )
    voice.warn(
        f"the device is out of memory with {most} rows at once: this step is repeated, and from "
        f"now on at most {most // 2} go through the encoder together"
    )
    return replace(job, most_rows=most // 2)
