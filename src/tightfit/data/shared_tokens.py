"""Tokens that several fits of one process share: the folds of a search hold the same texts.

Inside :func:`sharing_tokens` whatever is tokenised is looked up by its text, and kept in memory up
to a limit; what was used least recently goes first. Elsewhere nothing is kept: a file of a million
texts that are read once has no use for it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_BYTES = 64_000_000
"""Of all that is kept: some hundred thousand short texts."""

OVERHEAD_BYTES = 300
"""What Python takes for an entry besides its text and its tokens."""


class TextTokens(NamedTuple):
    """What a tokenizer makes of one text."""

    ids: NDArray[np.int32]
    windows: tuple[int, ...]
    """Tokens of each window; their sum is all of them."""
    cut: bool
    """Whether some of the text is not among them."""
    segments: NDArray[np.int8] | None = None
    """Of a pair: which of the two each token is of."""


Encode = Callable[[Sequence[str]], list[TextTokens]]


class SharedTokens:
    """Tokens by text, for as many texts as the limit allows."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes, self.bytes = most_bytes, 0
        self._found: OrderedDict[tuple[Hashable, str], TextTokens] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._found)

    def rows(self, way: Hashable, texts: Sequence[str], encode: Encode) -> list[TextTokens]:
        """The tokens of these texts; only those that are not known are encoded, each once.

        Args:
            way: all that tokens depend on besides the text.
            texts: any number of them.
            encode: makes tokens of texts.
        """
        with self._lock:
            known = {text: self._found.get((way, text)) for text in texts}
        new = [text for text, tokens in known.items() if tokens is None]
        if new:
            known.update(zip(new, encode(new), strict=True))
        rows = [tokens for text in texts if (tokens := known[text]) is not None]
        with self._lock:
            for text, tokens in zip(texts, rows, strict=True):
                self._keep((way, text), tokens)
        return rows

    def _keep(self, key: tuple[Hashable, str], tokens: TextTokens) -> None:
        """Keep an entry as the one that was used last, and drop the first ones beyond the limit."""
        size = _size(key[1], tokens)
        if size > self._most_bytes:
            return
        if self._found.pop(key, None) is None:
            self.bytes += size
        self._found[key] = tokens
        while self.bytes > self._most_bytes:
            (_, text), gone = self._found.popitem(last=False)
            self.bytes -= _size(text, gone)


_ACTIVE: ContextVar[SharedTokens | None] = ContextVar("shared_tokens", default=None)


@contextmanager
def sharing_tokens(shared: SharedTokens) -> Iterator[None]:
    """Whatever this thread tokenises inside is looked up in ``shared``, and kept there."""
    token = _ACTIVE.set(shared)
    try:
        yield
    finally:
        _ACTIVE.reset(token)


def shared_tokens() -> SharedTokens | None:
    """What is shared at the moment, if anything."""
    return _ACTIVE.get()


def _size(text: str, tokens: TextTokens) -> int:
    return OVERHEAD_BYTES + len(text.encode("utf-8", "surrogatepass")) + tokens.ids.nbytes
