"""``head.pooling=auto``: which state the head reads, by leave-one-out of a linear probe.

Both states come from one pass of the frozen encoder over a sample of the training rows. Where the
probe tells them apart, the better one is taken. Where it cannot, few rows get the mean, with which
few rows were never seen to do worse, and many rows the first token: once adapters have trained on
thousands of rows it was as good, and it saves most of the last layer.

Shapes: N rows of the sample, B rows of a batch, F width of the features that an output layer reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.budget.plan_settings import why_not_mean
from tightfit.config import ASKED, Config, Decision
from tightfit.data.batches import Batch
from tightfit.data.tokens import TextTokenizer
from tightfit.encoder import FrozenEncoder, UnknownInside
from tightfit.encoder.network import bare_network
from tightfit.encoder.on_torch import TorchForward, all_logits
from tightfit.families import Pooling
from tightfit.methods import METHODS
from tightfit.model.locate import Source
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset

COMPARED_ROWS = 512
"""Rows of the sample at most: a difference of some two points then shows beyond its error."""

FEW_ROWS = 10
"""With fewer there is nothing to compare."""

MANY_ROWS = 4_000
"""Rows to train on from which the first token is taken where nothing tells the two apart."""


def decide_pooling(
    config: Config, dataset: Dataset, source: Source, progress: Progress
) -> Decision[Pooling]:
    """What the head reads of the encoder's last layer.

    A pure function of settings and rows: nothing is drawn from torch's generators.
    """
    if config.head.pooling != "auto":
        return Decision(config.head.pooling, ASKED)
    shapes = source.shapes(dataset.task.outputs)
    reason = why_not_mean(shapes, METHODS[config.adapters.method])
    if config.head.kind == "stock" and shapes.stored_head:
        reason = reason or "the stock head's hidden layer was trained on first tokens"
    if reason is not None:
        return Decision("first", reason)
    rows = len(dataset.train_texts)
    rows_N = np.random.default_rng(config.seed).permutation(rows)[:COMPARED_ROWS]
    if rows < FEW_ROWS:
        return Decision("mean", f"{rows} rows are too few to compare it with the first token")
    try:
        texts = [dataset.train_texts[row] for row in rows_N]
        features = both_features(source.folder, texts, config.data.max_length, progress)
    except UnknownInside as error:
        return Decision("first", error.what)
    targets_N = dataset.train_targets[rows_N]
    first_N, mean_N = (dataset.task.unseen_scores(x_NF, targets_N) for x_NF in features)
    return choose_pooling(first_N, mean_N, rows, dataset.task.metric.replace("_", " "))


def choose_pooling(
    first_N: NDArray[Any], mean_N: NDArray[Any], rows: int, metric: str = "accuracy"
) -> Decision[Pooling]:
    """The better one, if the difference is more than its standard error.

    Args:
        first_N: how well the probe on first tokens answered rows that it was not fitted on.
        mean_N: the same of the probe on means.
        rows: to train on in all.
        metric: what the mean of these scores is.
    """
    gain_N = mean_N.astype(np.float64) - first_N
    gain, error = float(gain_N.mean()), float(gain_N.std(ddof=1) / len(gain_N) ** 0.5)
    told = (
        f"a linear classifier is right on {mean_N.mean():.1%} of {len(gain_N):,} rows that it did "
        f"not see with the mean, and on {first_N.mean():.1%} with the first token"
    )
    if metric != "accuracy":
        told = (
            f"a linear map has a {metric} of {mean_N.mean():.3f} on {len(gain_N):,} rows that it "
            f"did not see with the mean, and of {first_N.mean():.3f} with the first token"
        )
    if abs(gain) > error:
        return Decision("mean" if gain > 0 else "first", told)
    if rows < MANY_ROWS:
        return Decision("mean", f"{told}, within the error; few rows are better with the mean")
    return Decision("first", f"{told}, within the error; with many rows it costs less time")


@dataclass(frozen=True)
class _BothStates:
    """An engine whose "logits" are the features of both poolings, side by side."""

    forward: TorchForward
    multiple: int = 1

    @property
    def padded_tokens(self) -> int | None:
        return self.forward.padded_tokens

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        return np.concatenate(self.forward.states(batch), axis=1)


def both_features(
    folder: Path, texts: Sequence[str], max_length: int, progress: Progress
) -> list[NDArray[np.float32]]:
    """What an output layer would read of each text, (N, F): of first tokens, and of means.

    Raises:
        UnknownInside: only ``transformers`` computes the encoder in this folder.
    """
    network, tokenizer = bare_network(FrozenEncoder.of(folder)), TextTokenizer.of(folder)
    limits = (max_length, network.encoder.longest, tokenizer.longest)
    tokens = tokenizer.tokens(texts, min(limit for limit in limits if limit is not None))
    with progress.track("pooling", len(texts)) as bar:
        both_N2F = all_logits(_BothStates(TorchForward(network)), tokens, advance=bar.advance)
    return np.split(both_N2F, 2, axis=1)
