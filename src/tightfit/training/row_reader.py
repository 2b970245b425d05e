"""The rows of a training as tokens with their targets.

Shapes: N rows, W windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tightfit.budget.parts import SidePlan
from tightfit.config import Config, KeptText
from tightfit.data.text_tokenizer import tokenise
from tightfit.data.token_cache import TokenCache
from tightfit.model.locate import Source
from tightfit.model.pair_reader import PairReader
from tightfit.progress import Progress
from tightfit.tasks.dataset import Dataset
from tightfit.tasks.labelled_texts import LabelledTexts
from tightfit.training.label_names import name_texts, why_no_names
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
        data, going_on = self.config.data, self.config.head.start == "run"
        # A training that goes on has these settings from its run, and no use for them.
        if not (names or going_on) and (data.label_names == "on" or data.label_descriptions):
            reason = why_no_names(self.config, dataset)
            progress.warn(f"label names are left out: {reason}")
        texts = dataset.train.texts or names
        count = len(texts) + len(dataset.validation)
        with progress.track("tokenising", count) as bar:
            tokens = encode(texts, long_text=kept, advance=bar.advance)
            if names and dataset.train.texts:  # which are no texts of which some were cut
                both = encode([*texts, *names], long_text=kept)
                tokens = replace(both, truncated=tokens.truncated)
            held = encode(dataset.validation.texts, long_text=kept, advance=bar.advance)
        train, held = (replace(some, multiple=self.multiple) for some in (tokens, held))
        every, apart = dataset.train, dataset.validation
        if names:
            # A sentence is in no part: it is always trained on, and never scored.
            every = every.followed_by(LabelledTexts(np.arange(len(names)), names))
        # To train on, every window is a row; held-out texts are scored as they are predicted.
        own = every.select(train.owners)
        rows = Rows(
            own.targets,
            train.flat,
            weights_N=own.weights_N,
            alike_N=every.groups_N[train.owners],
            parts_N=own.parts_N,
            named_N=train.owners >= len(dataset.train) if names else None,
        )
        weights_N, parts_N = apart.weights_N, apart.parts_N
        return rows, Rows(apart.targets, held, weights_N=weights_N, parts_N=parts_N)

    def pool(self, texts: Sequence[str], kept: KeptText) -> Rows:
        """Texts without a label."""
        tokens = tokenise(self.tokenizer, texts, self.max_length, long_text=kept)
        flat = replace(tokens, multiple=self.multiple).flat
        return Rows(np.zeros(len(flat), dtype=np.int64), flat)
