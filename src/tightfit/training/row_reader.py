"""The rows of a training as tokens with their targets.

Shapes: N rows, W windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tightfit.budget.parts import SidePlan
from tightfit.config import Config, KeptText
from tightfit.data.text_tokenizer import tokenise
from tightfit.data.token_cache import TokenCache
from tightfit.model.locate import Source
from tightfit.model.pair_reader import PairReader
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.training.label_names import name_texts
from tightfit.training.setup import Rows
from tightfit.training.side_solver import SideSolver

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class RowReader:
    """Turns the texts of a training into tokens, all in the same way."""

    config: Config
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    multiple: int
    """Batches are padded to a length that this divides."""

    def side(
        self, dataset: Dataset, plan: SidePlan, source: Source, progress: Progress
    ) -> SideSolver:
        """What is to be solved for a side head."""
        read = partial(tokenise, self.tokenizer, max_length=self.max_length)
        pairs = PairReader.of(source, read) if plan.reads == "pairs" else None
        return SideSolver.of(dataset, plan, self.config.seed, pairs=pairs, progress=progress)

    def read(self, dataset: Dataset, kept: KeptText, progress: Progress) -> tuple[Rows, Rows]:
        """Rows to train on and to validate on; ``kept`` is what is kept of long texts.

        The last of the former are sentences with the labels' names, where those may be of use.
        """
        cache = TokenCache(int(self.config.data.token_cache_gb * 1e9), progress.warn)
        encode = partial(cache.tokenise, self.tokenizer, max_length=self.max_length)
        # Last, so that they can be left out.
        names = name_texts(self.config, dataset)
        texts = dataset.train.texts or names
        count = len(texts) + len(dataset.validation)
        with progress.track("tokenising", count) as bar:
            tokens = encode(texts, long_text=kept, advance=bar.advance)
            if names and dataset.train.texts:  # which are no texts of which some were cut
                both = encode([*texts, *names], long_text=kept)
                tokens = replace(both, truncated=tokens.truncated)
            held = encode(dataset.validation.texts, long_text=kept, advance=bar.advance)
        train, held = (replace(some, multiple=self.multiple) for some in (tokens, held))
        # To train on, every window is a row; held-out texts are scored as they are predicted.
        targets = dataset.train.targets
        if names:
            targets = np.concatenate([targets, np.arange(len(names))])
        alike_N = dataset.alike_N
        alike_N = np.concatenate([alike_N, np.arange(len(names)) + alike_N.max(initial=-1) + 1])
        targets, weights_N = targets[train.owners], _spread(dataset.train.weights_N, train.owners)
        named_N = train.owners >= len(dataset.train) if names else None
        rows = Rows(
            train.flat,
            targets,
            weights_N=weights_N,
            alike_N=alike_N[train.owners],
            named_N=named_N,
        )
        held_rows = Rows(held, dataset.validation.targets, weights_N=dataset.validation.weights_N)
        if dataset.folds is not None:
            # A sentence is in no part: it is always trained on, and never scored.
            parts_N = dataset.folds.parts_N
            every_N = np.concatenate([parts_N, np.full(len(names), -1)])[train.owners]
            rows, held_rows = replace(rows, parts_N=every_N), replace(held_rows, parts_N=parts_N)
        return rows, held_rows

    def pool(self, texts: Sequence[str], kept: KeptText) -> Rows:
        """Texts without a label."""
        tokens = tokenise(self.tokenizer, texts, self.max_length, long_text=kept)
        flat = replace(tokens, multiple=self.multiple).flat
        return Rows(flat, np.zeros(len(flat), dtype=np.int64))


def _spread(
    weights_N: NDArray[np.float64] | None, owners_W: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """The weight of each window: its text's; sentences with names count as the mean text does."""
    if weights_N is None:
        return None
    names = max(0, int(owners_W.max(initial=-1)) + 1 - len(weights_N))
    return np.pad(weights_N, (0, names), constant_values=weights_N.mean())[owners_W]
