"""What a linear classifier does on frozen encoders, on one sample of the training rows.

Encoders, prefixes and poolings are all chosen by it; each pass is made once.

Shapes: N rows of the sample, B rows of a batch, F width of the features that an output layer reads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.config import Config, KeptText
from tightfit.data.batches import Batch
from tightfit.data.gpu import best_device
from tightfit.data.text_prefix import prefixed
from tightfit.data.text_tokenizer import TextTokenizer
from tightfit.data.tokens import Tokens
from tightfit.display import score_name, score_value
from tightfit.encoder import FrozenEncoder
from tightfit.encoder.network import Network, bare_network
from tightfit.encoder.on_torch import TorchForward, all_logits
from tightfit.errors import ModelError
from tightfit.families import Pooling
from tightfit.model.locate import Source
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.training.precision import decide_precision

COMPARED_ROWS = 512
"""Rows of the sample at most: a difference of some two points then shows beyond its error."""

LEAST_ROWS = 10
"""With fewer there is nothing to compare."""

WARM_UP_ROWS, TIMED_ROWS = 2, 32
"""Rows from which the pace of all is told, after some that load what is needed."""

Scores = NDArray[Any]
"""How well a probe of all other rows answers each row of the sample, by the task's metric."""


class FrozenProbe:
    """The probe on a sample of a training's rows; a pure function of settings and rows.

    Nothing is drawn from torch's generators.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        progress: Progress,
        *,
        rows: int = COMPARED_ROWS,
        max_length: int | None = None,
        long_text: KeptText = "head",
    ) -> None:
        """Draw the sample.

        Args:
            config: the settings.
            dataset: its training rows.
            progress: shows a bar for each pass.
            rows: of the sample at most; fewer are the first ones of the same.
            max_length: where texts are cut, in tokens; None is where training cuts them.
            long_text: what is kept of longer ones.
        """
        self.config, self.dataset, self.progress = config, dataset, progress
        self.max_length = config.data.max_length if max_length is None else max_length
        self.long_text: KeptText = long_text
        every = np.random.default_rng(config.seed).permutation(len(dataset.train))
        self.rows_N = every[:rows]
        self._found: dict[tuple[Path, str], list[NDArray[np.float32]]] = {}
        self._scores: dict[tuple[Path, str, Pooling], Scores] = {}
        self._fitting: dict[tuple[Path, str], FrozenProbe] = {}
        self._tokenizers: dict[Path, TextTokenizer] = {}

    def first(self, rows: int) -> FrozenProbe:
        """The probe on fewer rows of the same sample."""
        few = self._like(rows, self.long_text)
        few._found = {key: [each[:rows] for each in both] for key, both in self._found.items()}
        return few

    def reading(self, long_text: KeptText) -> FrozenProbe:
        """The probe on the same rows, of whose long texts something else is kept."""
        return self if long_text == self.long_text else self._like(len(self.rows_N), long_text)

    @cached_property
    def as_trained(self) -> FrozenProbe:
        """The probe on texts that are cut where training cuts them: encoders are compared on
        shorter ones."""
        if self.max_length == self.config.data.max_length:
            return self
        found = FrozenProbe(self.config, self.dataset, self.progress)
        found._tokenizers = self._tokenizers
        return found

    def _like(self, rows: int, long_text: KeptText) -> FrozenProbe:
        found = FrozenProbe(
            self.config,
            self.dataset,
            self.progress,
            rows=rows,
            max_length=self.max_length,
            long_text=long_text,
        )
        found._tokenizers = self._tokenizers
        return found

    def within(self, source: Source, seconds: float) -> FrozenProbe:
        """The probe on as many rows as an encoder passes over in a time; a few show its pace.

        Raises:
            UnknownInside: only ``transformers`` computes the encoder.
        """
        key = (source.folder, source.prefix)
        if key in self._fitting:
            return self._fitting[key]
        a_row = self.seconds_a_row(source)
        fitting = int(max(0.0, seconds) / a_row) if a_row else len(self.rows_N)
        fits = self if fitting >= len(self.rows_N) else self.first(max(fitting, LEAST_ROWS))
        return self._fitting.setdefault(key, fits)

    def seconds_a_row(self, source: Source) -> float:
        """What a pass of an encoder over a row takes, shown by a few rows.

        Raises:
            UnknownInside: only ``transformers`` computes the encoder.
        """
        self.first(WARM_UP_ROWS).features(source)
        few, began = self.first(TIMED_ROWS), time.monotonic()
        few.features(source)
        return (time.monotonic() - began) / len(few.rows_N)

    @cached_property
    def sample(self) -> LabelledTexts:
        """The rows of the sample; to the probe each counts alike.

        Where they are in parts, these are left out. Of few rows a class, one left out alone is
        missed by its own class most, so that any other is said; parts take as many of each.
        """
        return replace(self.dataset.train.select(self.rows_N), weights_N=None)

    def tokenizer(self, source: Source) -> TextTokenizer:
        """The encoder's own, without its prefix, read once: some take seconds."""
        if source.folder not in self._tokenizers:
            self._tokenizers[source.folder] = TextTokenizer.of(source.folder)
        return self._tokenizers[source.folder]

    def tokens(self, source: Source) -> Tokens:
        """The sample as the encoder reads it, its prefix included."""
        tokenizer = self.tokenizer(source)
        return tokens_of(
            source, tokenizer, self.sample.texts, self.max_length, long_text=self.long_text
        )

    def features(self, source: Source, pooling: Pooling = "mean") -> NDArray[np.float32]:
        """What an output layer would read of the sample, (N, F).

        Raises:
            UnknownInside: only ``transformers`` computes the encoder.
        """
        key = (source.folder, source.prefix)
        if key not in self._found:
            form = decide_precision(self.config.train.precision, best_device())
            self._found[key] = both_features(
                source, self.tokens(source), self.progress, dtype=form.dtype
            )
        return self._found[key][("first", "mean").index(pooling)]

    @property
    def metric(self) -> str:
        """What the mean of the scores is."""
        return self.dataset.task.metric

    def scores(self, source: Source, pooling: Pooling) -> Scores:
        """How well the probe on this encoder answers rows that it was not fitted on.

        Raises:
            UnknownInside: only ``transformers`` computes the encoder.
        """
        key = (source.folder, source.prefix, pooling)
        if key not in self._scores:
            self._scores[key] = self.dataset.task.unseen_scores(
                self.features(source, pooling), self.sample
            )
        return self._scores[key]


def gain_and_error(
    better_N: Scores, than_N: Scores, weights_N: NDArray[np.float64] | None = None
) -> tuple[float, float]:
    """By how much the mean of one probe's scores is above another's, and its standard error; rows
    that have weights count by them."""
    gain_N = better_N.astype(np.float64) - than_N
    if len(gain_N) < 2:
        return float(gain_N.mean()), math.inf
    weights_N = np.ones(len(gain_N)) if weights_N is None else weights_N
    shares_N = weights_N / weights_N.sum()
    gain = float(shares_N @ gain_N)
    error = float(np.linalg.norm(shares_N * (gain_N - gain)))
    error *= (len(gain_N) / (len(gain_N) - 1)) ** 0.5
    # A difference of one row is its own error, and must not be above it by rounding.
    return round(gain, 12), round(error, 12)


def compared_words(found: Mapping[str, Scores], metric: str) -> str:
    """Figures of probes in the order given, after words on what each stood on."""
    told = [
        f"{words} {score_value(metric, float(each_N.mean()))}" for words, each_N in found.items()
    ]
    rows = len(next(iter(found.values())))
    return f"{', '.join(told)}, {score_name(metric)} of a linear probe on {rows:,} unseen rows"


def tokens_of(
    source: Source,
    tokenizer: TextTokenizer,
    texts: Sequence[str],
    max_length: int,
    *,
    long_text: KeptText = "head",
) -> Tokens:
    """Texts as an encoder reads them, its prefix included, cut where its positions end."""
    limits = (max_length, FrozenEncoder.of(source.folder).longest, tokenizer.longest)
    with prefixed(tokenizer.backend, source.prefix):
        length = min(limit for limit in limits if limit is not None)
        return tokenizer.tokens(texts, length, long_text=long_text)


def both_features(
    source: Source, tokens: Tokens, progress: Progress, *, dtype: torch.dtype = torch.float32
) -> list[NDArray[np.float32]]:
    """What an output layer would read of each text, (N, F): of first tokens, and of means.

    Raises:
        UnknownInside: only ``transformers`` computes the encoder.
        ModelError: as :func:`finite`.
    """
    network = network_of(source)
    with progress.track(f"probe of {source.name}", len(tokens)) as bar:
        engine = _BothStates(TorchForward(network, dtype))
        both_N2F = all_logits(engine, tokens, advance=bar.advance)
    return np.split(finite(both_N2F, source), 2, axis=1)


def finite(features_NF: NDArray[np.float32], source: Source) -> NDArray[np.float32]:
    """What an encoder makes of texts, where all of it are numbers.

    Raises:
        ModelError: some are infinite, or none.
    """
    odd = int((~np.isfinite(features_NF).all(axis=1)).sum())
    if odd:
        raise ModelError(
            "the encoder makes numbers of texts that are not finite",
            seen=f"{odd:,} of {len(features_NF):,} texts, by {source.name}",
            next_step="its weights are damaged: fetch it again, or choose another --model",
        )
    return features_NF


def network_of(source: Source) -> Network:
    """The frozen encoder's weights in their order.

    Raises:
        UnknownInside: only ``transformers`` computes the encoder.
    """
    return bare_network(FrozenEncoder.of(source.folder))


@dataclass(frozen=True)
class _BothStates:
    """An engine whose "logits" are the features of both poolings, side by side."""

    forward: TorchForward

    @property
    def multiple(self) -> int:
        return self.forward.multiple

    @property
    def padded_tokens(self) -> int | None:
        return self.forward.padded_tokens

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        return np.concatenate(self.forward.states(batch), axis=1)
