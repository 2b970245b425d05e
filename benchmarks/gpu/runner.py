"""Runs one part in a process of its own, and keeps what it told however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.gpu.page import Outcome

ROOT = Path(__file__).resolve().parents[2]

RESULT = "RESULT "
"""Begins a line on standard output that holds, as JSON, all that a part knows by then.

Over a pipe and not by a file: a disk that is full cannot lose it.
"""

TAIL = 40
"""Lines that are kept of a part that did not end well."""

GRACE = 20.0
"""Seconds between asking a part to stop and ending it: enough for a checkpoint."""


def tell(result: dict[str, Any]) -> None:
    """In a part's process: all that is known by now; the last call counts."""
    # On a line of its own, whatever was printed before without an end.
    print(f"\n{RESULT}{json.dumps(result)}", flush=True)


def run_part(
    command: Sequence[str],
    environment: dict[str, str],
    limit: float,
    *,
    told: Callable[[Outcome], None],
) -> Outcome:
    """Run a command to its end, or to the end of its time.

    Args:
        command: of the part.
        environment: added to this process's own.
        limit: seconds; then its process group is asked to stop, and ended after ``GRACE``.
        told: called with what is known each time the part tells a result.
    """
    started = time.monotonic()
    outcome = Outcome("running", limit=limit)
    tail: deque[str] = deque(maxlen=TAIL)
    child = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # what it starts ends with it
    )

    def listen() -> None:
        assert child.stdout is not None
        with child.stdout as lines:
            for line in lines:
                if line.startswith(RESULT):
                    outcome.result = json.loads(line.removeprefix(RESULT))
                    outcome.seconds = time.monotonic() - started
                    told(outcome)
                elif line.strip():
                    tail.append(line.rstrip())
                    print(line, end="", file=sys.stderr, flush=True)

    ears = threading.Thread(target=listen, daemon=True)
    ears.start()
    in_time = _wait(child, limit)
    ears.join(timeout=5)
    ended = _verdict(child.returncode, in_time=in_time)
    return replace(
        outcome,
        state=ended.state,
        reason=ended.reason,
        seconds=time.monotonic() - started,
        tail=[] if ended.state == "done" else list(tail),
    )


def _wait(child: subprocess.Popen[str], limit: float) -> bool:
    """Until it has ended, by itself (True) or because its time was up; its group ends with it."""
    try:
        child.wait(limit)
        return True
    except subprocess.TimeoutExpired:
        _signal_group(child, signal.SIGTERM)
        try:
            child.wait(GRACE)
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)
        return False
    finally:
        # Also on Ctrl-C, and where the part was killed and its own children were not.
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return  # all of it has ended


def _verdict(code: int, *, in_time: bool) -> Outcome:
    if not in_time:
        return Outcome("out of time")
    if code < 0:
        return Outcome("failed", reason=f"killed by {signal.Signals(-code).name}")
    return Outcome("failed", reason=f"exit code {code}") if code else Outcome("done")
