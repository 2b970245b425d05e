"""Ctrl-C and SIGTERM: finish the step, write a checkpoint, then go."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether a signal has asked to stop, and which."""

    def __init__(self) -> None:
        """Nothing has asked yet."""
        self.signal: signal.Signals | None = None
        """The one that asked."""


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first Ctrl-C or SIGTERM into a request; a second one acts as usual."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread only; elsewhere there is nothing to catch.
        yield request
        return
    previous = {number: signal.getsignal(number) for number in CAUGHT}

    def ask(number: int, frame: FrameType | None) -> None:
        request.signal = signal.Signals(number)
        for each, handler in previous.items():
            signal.signal(each, handler)

    for number in CAUGHT:
        signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
