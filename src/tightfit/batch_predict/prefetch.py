"""Works one item ahead, in a thread: tokenising while the model computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def ahead(items: Iterable[T], work: Callable[[T], U]) -> Generator[U]:
    """``map(work, items)``, with the next result under way while one is used.

    Reading ``items`` happens in the thread too. An error in either comes out where its result
    would have. Useful where the work lets other threads run, as the fast tokenizers do.
    """
    waiting = iter(items)

    def step() -> list[U]:
        """The next result, or nothing where there is no next item."""
        return [work(item) for item in islice(waiting, 1)]

    with ThreadPoolExecutor(1, thread_name_prefix="tightfit-ahead") as pool:
        pending = pool.submit(step)
        while found := pending.result():
            pending = pool.submit(step)
            yield found[0]
