"""Ctrl-C and SIGTERM: finish the step, write a checkpoint, then go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tightfit.errors import Interrupted

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a signal has asked to stop, and which."""

    def __init__(self) -> None:
        """Nothing has asked yet."""
        self.signal: signal.Signals | None = None
        """The one that asked."""


def interrupted(number: int, step: int, total: int, checkpoints: Path | None) -> Interrupted:
    """The error that ends a training which was asked to stop.

    Args:
        number: of the signal.
        step: the last one that was taken.
        total: steps of the whole schedule.
        checkpoints: the folder of those in the run, or None where none are kept.
    """
    begun = step > 0
    where = f"after step {step} of {total}" if begun else "before the first step of this session"
    if checkpoints is None:
        return Interrupted(
            f"stopped {where}", signal_number=number, next_step="train again from the start"
        )
    return Interrupted(
        f"stopped {where}, with a checkpoint" if begun else f"stopped {where}",
        signal_number=number,
        next_step=to_go_on(checkpoints.parent),
    )


def to_go_on(run: Path) -> str:
    """What continues a training that has its folder."""
    return f"to go on, do the same with --resume --out {run}"


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one acts as usual."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread only; elsewhere there is nothing to catch.
        yield request
        return
    found = {number: signal.getsignal(number) for number in CAUGHT}
    # None is a handler that is not Python's, which Python could not put back.
    previous = {number: handler for number, handler in found.items() if handler is not None}

    def ask(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        for each, handler in previous.items():
            signal.signal(each, handler)

    for number in previous:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
