"""How the two texts of a pair differ, as a frozen encoder reads each by itself.

An encoder that was trained on single texts knows little of pairs, and much of each text. So a side
head of pairs reads what InferSent (arXiv:1705.02364) and Sentence-BERT (arXiv:1908.10084) classify
pairs by: of the means u and v of both texts' states, divided by their length, ``|u - v|``, ``u v``
and ``u - v``.

Shapes: N pairs, M different texts among them, H hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightfit.data.text_pair import TextPair
from tightfit.data.tokens import Tokens
from tightfit.encoder import FrozenClassifier, open_encoder
from tightfit.model.locate import Source
from tightfit.progress import Progress

FEATURES = 3
"""Numbers of a pair for each of a state."""


@dataclass(frozen=True, eq=False)
class PairReader:
    """A frozen encoder, and how it reads a text."""

    encoder: FrozenClassifier
    """Its "logits" are states."""
    tokens: Callable[[Sequence[str]], Tokens]
    """Of single texts, prefix included."""

    @classmethod
    def of(cls, source: Source, tokens: Callable[[Sequence[str]], Tokens]) -> PairReader:
        """That of an encoder.

        Raises:
            UnknownInside: only ``transformers`` computes it.
        """
        return cls(open_encoder(source.folder), tokens)

    @property
    def width(self) -> int:
        """Features of a pair, 3 H."""
        return FEATURES * self.encoder.encoder.hidden

    @property
    def cosine_F(self) -> NDArray[np.float64]:
        """What features are multiplied by, so that their sum is the cosine of both texts."""
        return np.repeat([0.0, 1.0, 0.0], self.encoder.encoder.hidden)

    def features(
        self, pairs: Sequence[str], progress: Progress = Progress()
    ) -> NDArray[np.float32]:
        """``features_NF`` of the pairs; each different text is computed once."""
        both = [pair for pair in pairs if isinstance(pair, TextPair)]
        assert len(both) == len(pairs), "a text without a second one"
        if not both:
            return np.empty((0, self.width), dtype=np.float32)
        different = dict.fromkeys(text for pair in both for text in (pair.first, pair.second))
        place = {text: i for i, text in enumerate(different)}
        with progress.track("both texts by themselves", len(place)) as bar:
            states_MH = self.encoder.logits(self.tokens(list(place)), advance=bar.advance)
        states_MH /= np.linalg.norm(states_MH, axis=1, keepdims=True)
        first_NH = states_MH[[place[pair.first] for pair in both]]
        second_NH = states_MH[[place[pair.second] for pair in both]]
        apart_NH = first_NH - second_NH
        return np.concatenate([np.abs(apart_NH), first_NH * second_NH, apart_NH], axis=1)
