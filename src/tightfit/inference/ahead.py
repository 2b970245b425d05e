"""Works one item ahead, in a thread: tokenising while the model computes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")

_END = object()


def ahead(items: Iterable[T], work: Callable[[T], U]) -> Generator[U]:
    """``map(work, items)``, with the next result under way while one is used.

    Reading ``items`` happens in the thread too. An error in either comes out where its result
    would have. Useful where the work lets other threads run, as the fast tokenizers do.
    """
    waiting = iter(items)

    def step() -> U | object:
        item = next(waiting, _END)
        # A type checker cannot tell the mark of the end, an object, from an item that is one.
        return _END if item is _END else work(item)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1, thread_name_prefix="tightfit-ahead") as pool:
        pending = pool.submit(step)
        while (result := pending.result()) is not _END:
            pending = pool.submit(step)
            # Nor here, where what is not the mark is a result.
            yield result  # type: ignore[misc]
