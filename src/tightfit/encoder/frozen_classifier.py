"""Logits of a finished classifier, without transformers: numpy for few texts, torch for many.

Shapes: N texts, K labels.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tightfit.blas_threads import one_blas_thread
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.data.tokens import Tokens
from tightfit.encoder.adapter_weights import ADAPTER_CONFIG, HEAD_FILE, AdapterWeights
from tightfit.encoder.frozen import FrozenEncoder
from tightfit.encoder.network import Network, bare_network, put_together
from tightfit.encoder.on_numpy import numpy_logits

if TYPE_CHECKING:
    from tightfit.config import KeptText
    from tightfit.encoder.on_torch import TorchForward

PAYS_FOR_TORCH = 200e9
"""Multiplications from which on torch is faster although it takes 1.5 seconds to import: numpy
needs about a quarter more time (benchmarks/first_answer.py)."""

PAYS_FOR_MERGING = 10e9
"""The same where torch is there already, and only has to merge the adapters."""

ONE_THREAD = 5e9
"""Multiplications up to which numpy takes one thread: a tenth of a second, of products so small
that two threads gain little, and lose much beside another program."""

NUMPY_TOKENS = 1024
"""Tokens of one pass in numpy at most: more leave a processor's caches and are not faster."""


class LogitsOfTexts(Protocol):
    """What predicting asks of a classifier, whoever computes it."""

    @property
    def longest(self) -> int | None:
        """Tokens of a text that it has positions for; None where it has no such limit."""

    def tokens(
        self, texts: Sequence[str], max_length: int, *, long_text: KeptText = "head"
    ) -> Tokens:
        """The texts as it reads them."""

    def logits(
        self, tokens: Tokens, *, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """``logits_NK`` of the texts, in their order."""


@dataclass(frozen=True, eq=False)
class FrozenClassifier:
    """A frozen encoder with an adapter and a head laid over it."""

    encoder: FrozenEncoder
    adapter: AdapterWeights
    tokenizer: TextTokenizer
    padded_tokens: int | None = None
    """Of one pass in torch at most; None takes what suits the device."""
    bare: bool = False
    """Whether it is the encoder alone, whose "logits" are means of states."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what was made of it: another process may have no GPU."""
        given = (self.encoder, self.adapter, self.tokenizer, self.padded_tokens, self.bare)
        return type(self), given

    @property
    def longest(self) -> int | None:
        """Tokens of a text that it has positions for."""
        limits = (self.encoder.longest, self.tokenizer.longest)
        return min((limit for limit in limits if limit is not None), default=None)

    @cached_property
    def network(self) -> Network:
        """Its weights in their order."""
        if self.bare:
            return replace(bare_network(self.encoder), head=())
        return put_together(self.encoder, self.adapter)

    @cached_property
    def embedder(self) -> FrozenClassifier:
        """The same without its output layer: what it computes for a text is its embedding."""
        headless = FrozenClassifier(self.encoder, self.adapter, self.tokenizer, self.padded_tokens)
        vars(headless)["network"] = replace(self.network, head=self.network.head[:-1])
        return headless

    def tokens(
        self, texts: Sequence[str], max_length: int, *, long_text: KeptText = "head"
    ) -> Tokens:
        """The texts as it reads them."""
        return self.tokenizer.tokens(texts, max_length, long_text=long_text)

    def logits(
        self, tokens: Tokens, *, advance: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """``logits_NK`` of the texts, in their order."""
        flat = tokens.flat
        forward = self._forward(len(flat.ids))
        if forward is not None:
            return _torch_side().all_logits(forward, tokens, advance=advance)
        parts = [np.empty((0, self.network.labels), np.float32)]
        few = len(flat.ids) * self.network.multiplications <= ONE_THREAD
        with one_blas_thread() if few else nullcontext():
            for rows, segments_T in _few_at_a_time(flat):
                parts.append(numpy_logits(self.network, rows, segments_T))
                if advance is not None:
                    advance(len(rows))
        return tokens.by_text(np.concatenate(parts))

    def _forward(self, tokens: int) -> TorchForward | None:
        """The way through torch where it pays, as it always does on a GPU; None means numpy."""
        loaded = "torch" in sys.modules
        due = PAYS_FOR_MERGING if loaded else PAYS_FOR_TORCH
        enough = tokens * self.network.multiplications > due
        if not loaded and not (enough and find_spec("torch") is not None):
            return None
        if import_module("tightfit.data.gpu").best_device().type == "cuda":
            return self._on_gpu
        return self.on_torch() if enough else None

    @cached_property
    def _on_gpu(self) -> TorchForward:
        """Kept: bringing weights there takes longer than most answers."""
        return self.on_torch()

    def on_torch(self, **more: Any) -> TorchForward:
        """The way through torch, for whoever has many rows or wants another format or device.

        It holds copies of the weights that the adapter changes, until it is let go.

        Args:
            more: ``dtype`` and ``device``, as :class:`TorchForward` takes them.
        """
        return _torch_side().TorchForward(self.network, padded_tokens=self.padded_tokens, **more)


def open_encoder(folder: Path) -> FrozenClassifier:
    """The encoder alone: its "logits" are the means of each text's states, (N, H).

    Raises:
        UnknownInside: only ``transformers`` knows how to compute it.
        ModelError: the encoder or its tokenizer is damaged.
    """
    encoder = FrozenEncoder.of(folder)
    tokenizer = TextTokenizer.shared(folder)
    bare = FrozenClassifier(encoder, AdapterWeights(), tokenizer, bare=True)
    # What cannot be computed shows here, and not at the first answer.
    _ = bare.network
    return bare


def open_classifier(
    adapter: Path, base: Path, *, padded_tokens: int | None = None
) -> FrozenClassifier:
    """The classifier of a run, from files alone.

    Args:
        adapter: the run's artefact; a whole model folder where every weight trained.
        base: the folder of the encoder below it; unused for a whole model.
        padded_tokens: of one pass in torch at most; None takes what suits the device.

    Raises:
        UnknownInside: only ``transformers`` or ``peft`` know how to compute it.
        ArtefactError: the artefact is damaged.
        ModelError: the encoder or the tokenizer is.
    """
    whole = not any((adapter / name).is_file() for name in (ADAPTER_CONFIG, HEAD_FILE))
    encoder = FrozenEncoder.of(adapter if whole else base)
    weights = AdapterWeights() if whole else AdapterWeights.read(adapter)
    classifier = FrozenClassifier(encoder, weights, TextTokenizer.shared(adapter), padded_tokens)
    # What cannot be computed shows here, and not at the first answer.
    _ = classifier.network
    return classifier


def _torch_side() -> ModuleType:
    return import_module("tightfit.encoder.on_torch")


def _few_at_a_time(
    tokens: Tokens,
) -> Iterator[tuple[list[NDArray[np.int32]], NDArray[np.int8] | None]]:
    """Rows in their order and their segments, as many together as one pass takes."""
    groups: list[list[NDArray[np.int32]]] = []
    room = 0
    for start, end in zip(tokens.offsets[:-1], tokens.offsets[1:], strict=True):
        row = tokens.ids[start:end]
        if len(row) > room or not groups:
            groups.append([])
            room = NUMPY_TOKENS
        groups[-1].append(row)
        room -= len(row)
    done = 0
    for rows in groups:
        size, segments = sum(map(len, rows)), tokens.segments
        yield rows, None if segments is None else segments[done : done + size]
        done += size
