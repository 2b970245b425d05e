"""Work that several fits of one process share: the folds of a search hold the same texts.

Inside :func:`sharing` whatever is tokenised is looked up by its text, and what :func:`once` makes
by its key; both are kept in memory up to a limit. Elsewhere nothing is kept: a file of a million
texts that are read once has no use for it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tightfit.data.tokens import TextTokens

MOST_BYTES = 64_000_000
"""Of all tokens that are kept, some hundred thousand short texts; and of all else again."""

OVERHEAD_BYTES = 300
"""What Python takes for an entry besides its text and its arrays."""

Made = TypeVar("Made")


class BoundedMemory:
    """Values by their keys up to a limit; what was used least recently goes first."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes, self.bytes = most_bytes, 0
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable) -> Any:
        """The value, or None."""
        with self._lock:
            return self._kept.get(key, (None, 0))[0]

    def keep(self, key: Hashable, value: Any, size: int) -> None:
        """Keep a value of so many bytes as the one that was used last."""
        if size > self._most_bytes:
            return
        with self._lock:
            self.bytes += size - self._kept.pop(key, (None, 0))[1]
            self._kept[key] = (value, size)
            while self.bytes > self._most_bytes:
                self.bytes -= self._kept.popitem(last=False)[1][1]


Encode = Callable[[Sequence[str]], list[TextTokens]]


class SharedTokens(BoundedMemory):
    """Tokens by text."""

    def rows(self, way: Hashable, texts: Sequence[str], encode: Encode) -> list[TextTokens]:
        """The tokens of these texts; only those that are not known are encoded, each once.

        Args:
            way: all that tokens depend on besides the text.
            texts: any number of them.
            encode: makes tokens of texts.
        """
        known = {text: self.get((way, text)) for text in texts}
        new = [text for text, tokens in known.items() if tokens is None]
        if new:
            known.update(zip(new, encode(new), strict=True))
        for text in texts:
            self.keep((way, text), known[text], _size(text, known[text]))
        return [known[text] for text in texts]


@dataclass(frozen=True)
class SharedWork:
    """What is shared."""

    tokens: SharedTokens = field(default_factory=SharedTokens)
    results: BoundedMemory = field(default_factory=BoundedMemory)
    """Of :func:`once`."""


_ACTIVE: ContextVar[SharedWork | None] = ContextVar("shared_work", default=None)


@contextmanager
def sharing(work: SharedWork) -> Iterator[None]:
    """Whatever this thread does inside is looked up in ``work``, and kept there."""
    token = _ACTIVE.set(work)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def shared_work() -> SharedWork | None:
    """What is shared at the moment, if anything."""
    return _ACTIVE.get()


def once(key: Callable[[], Hashable], make: Callable[[], Made]) -> Made:
    """What ``make`` gives, or gave before where work is shared; nobody may change it.

    Args:
        key: of all that it depends on; asked only where work is shared.
        make: something that is not None.
    """
    work = _ACTIVE.get()
    if work is None:
        return make()
    known = key()
    found: Made | None = work.results.get(known)
    if found is None:
        found = make()
    work.results.keep(known, found, OVERHEAD_BYTES + int(getattr(found, "nbytes", 0)))
    return found


def _size(text: str, tokens: TextTokens) -> int:
    return OVERHEAD_BYTES + len(text.encode("utf-8", "surrogatepass")) + tokens.ids.nbytes
