"""Several batches at once on a CPU, each on threads of its own.

Threads that share a product wait for each other at its end, a hundred times in a forward pass;
threads with a batch each wait once. benchmarks/step.py measures the difference.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(compute: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result]:
    """``map(compute, items)``, with torch's threads divided among as many items as there are.

    An item's result does not depend on the others; ``compute`` may draw nothing at random, since
    which thread is first is left to chance.

    Args:
        compute: called in other threads, which know nothing of this one's ``inference_mode``.
        items: such as batches of about equal size.
    """
    threads = torch.get_num_threads()
    workers = min(threads, len(items))
    if workers < 2:
        yield from map(compute, items)
        return

    def work(item: Item) -> Result:
        # A number that torch keeps for each thread, and for those that begin later.
        torch.set_num_threads(threads // workers)
        return compute(item)

    pool, pending = _pool(workers), deque[Future[Result]]()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            # No more results than these lie in memory at a time.
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        torch.set_num_threads(threads)


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Kept, since what torch's libraries remember of a thread would be lost with it."""
    return ThreadPoolExecutor(workers, thread_name_prefix="tightfit-batch")


def _begin_alone() -> None:
    """A forked process has none of the threads that torch and we remember, and would wait for them
    for ever; torch computes with one from here on."""
    _pool.cache_clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_alone)
