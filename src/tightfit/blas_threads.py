"""How many threads numpy and scipy multiply with.

Each brings a BLAS of its own, whose threads wait busily for their next product. Solving a head is
hundreds of small products and steps of L-BFGS, which take turns in the two: on two cores the
threads of one keep those of the other waiting, and one thread is 2 to 16 times as fast, from 500
rows to 20,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """One thread for numpy and scipy meanwhile; torch keeps its own. Serves as a decorator too."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _controller() -> ThreadpoolController:
    """Made once, since it looks through all libraries of the process: when both are loaded."""
    return ThreadpoolController()
