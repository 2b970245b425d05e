"""Predictions of a finished classifier, for texts in memory.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tightfit.data.batches import LongText, Tokens, tokenise
from tightfit.engines.engine import Engine, all_logits
from tightfit.errors import SettingsError
from tightfit.model.classifier import Classifier, predict_logits
from tightfit.progress import Progress
from tightfit.tasks import Predictions, Task

PREDICT_BATCH = 64


@dataclass(frozen=True)
class Predictor:
    """A loaded classifier, and the longest text that it reads."""

    classifier: Classifier
    max_length: int
    temperature: float = 1.0
    """What logits are divided by; it changes probabilities and no label."""
    threshold: float = 0.0
    """The confidence from which on an answer counts as one."""
    long_text: LongText = "head"
    """What is kept of a longer text."""
    engine: Engine | None = None
    """What computes; None takes the model's own forward pass."""

    @property
    def task(self) -> Task:
        """What an answer is."""
        return self.classifier.task

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """``logits_NK`` of the texts, in their order."""
        return self._logits(self.tokens(texts), progress)

    def predict(self, texts: Sequence[str], progress: Progress | None = None) -> Predictions:
        """Probabilities and labels of the texts, in their order."""
        return self.predict_tokens(self.tokens(texts), progress)

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """The texts as the classifier reads them."""
        tokenizer = self.classifier.tokenizer
        return tokenise(tokenizer, texts, self.max_length, long_text=self.long_text)

    def predict_tokens(self, tokens: Tokens, progress: Progress | None = None) -> Predictions:
        """Probabilities and labels of texts that :meth:`tokens` has read."""
        logits_NK = self._logits(tokens, progress)
        return self.task.predictions(
            self.task.probabilities(logits_NK, self.temperature),
            truncated=tokens.truncated,
            threshold=self.threshold,
        )

    def _logits(self, tokens: Tokens, progress: Progress | None) -> NDArray[np.float32]:
        with (progress or Progress()).track("predicting", len(tokens.flat)) as bar:
            if self.engine is not None and len(tokens):
                return all_logits(self.engine, tokens, advance=bar.advance)
            return predict_logits(self.classifier, tokens, batch=PREDICT_BATCH, advance=bar.advance)


def check_max_length(asked: int, longest: int | None) -> int:
    """The longest text to read, if the encoder has positions for it.

    Raises:
        SettingsError: it has not.
    """
    if longest is not None and asked > longest:
        raise SettingsError(
            "texts may not be longer than the encoder has positions for",
            seen=f"max_length {asked}",
            allowed=f"4 to {longest}",
            next_step=f"give --max-length {longest} or less",
        )
    return asked
