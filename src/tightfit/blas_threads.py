"""How many threads numpy and scipy multiply with.

Each brings a BLAS of its own, whose threads wait busily for their next product. Solving a head is
hundreds of small products and steps of L-BFGS, which take turns in the two: on two cores the
threads of one keep those of the other waiting, and one thread is 2 to 16 times as fast, from 500
rows to 20,000. A few texts are small products too: beside another program the thread that waits
keeps the core that the other one needs, and an answer takes up to 10 times as long.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from threading import Lock

from threadpoolctl import ThreadpoolController

_lock, _limit, _users = Lock(), ExitStack(), 0


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One thread for numpy and scipy meanwhile; torch keeps its own. Serves as a decorator too.

    Where several threads are inside, the last to leave brings back what was before the first.
    """
    global _users
    with _lock:
        if not _users:
            controller = _controller("scipy.linalg" in sys.modules)
            _limit.enter_context(controller.limit(limits=1, user_api="blas"))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _limit.close()


@cache
def _controller(with_scipy: bool) -> ThreadpoolController:
    """Made once for what is loaded, since it looks through all libraries of the process."""
    return ThreadpoolController()
