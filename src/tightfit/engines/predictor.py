"""Predictions of a finished classifier, for texts in memory.

Shapes: N rows, K labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from tightfit.data.tokens import Tokens
from tightfit.encoder import FrozenClassifier, LogitsOfTexts
from tightfit.errors import SettingsError, UsageError
from tightfit.families import COMPUTED
from tightfit.progress import Progress
from tightfit.tasks import Predictions, Task
from tightfit.torch_modes import usual_modes

if TYPE_CHECKING:
    from tightfit.config import KeptText
    from tightfit.metrics.calibration import Scale
    from tightfit.model.side_head import SideHead


class AnswerOptions(TypedDict, total=False):
    """How a run shall answer; see :class:`tightfit.run.Run`."""

    max_length: int | None
    max_error: float | None
    thresholds: Mapping[Any, float] | None


@dataclass(frozen=True)
class Predictor:
    """A classifier that is ready to answer, and the longest text that it reads."""

    model: LogitsOfTexts
    """What reads texts and computes logits."""
    task: Task
    """What an answer is."""
    max_length: int
    temperature: Scale = 1.0
    """What logits are divided by; it changes probabilities and no label."""
    threshold: float = 0.0
    """The confidence from which on an answer counts as one."""
    long_text: KeptText = "head"
    """What is kept of a longer text."""
    thresholds: Mapping[int, float] = field(default_factory=dict)
    """From which probability on a label is answered, by its id."""
    reach: float | None = None
    """How far the intervals of ratings reach to either side."""
    side: SideHead | None = None
    """What reads the texts beside the model."""

    @usual_modes()
    def logits(self, texts: Sequence[str], progress: Progress = Progress()) -> NDArray[np.float32]:
        """``logits_NK`` of the texts, in their order."""
        return self._logits(self.tokens(texts, progress), progress)

    @usual_modes()
    def predict(self, texts: Sequence[str], progress: Progress = Progress()) -> Predictions:
        """Probabilities and labels of the texts, in their order."""
        return self.predict_tokens(self.tokens(texts, progress), progress)

    @usual_modes()
    def embeddings(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """``embeddings_NF`` of the texts, in their order: what the output layer reads.

        Raises:
            UsageError: only ``transformers`` knows how to compute the encoder.
        """
        return self._embedder.logits(self._read(texts))

    @property
    def width(self) -> int:
        """Of the embeddings."""
        return self._embedder.network.labels

    @property
    def _embedder(self) -> FrozenClassifier:
        if not isinstance(self.model, FrozenClassifier):
            raise UsageError(
                "embeddings are not available for this family of encoders",
                allowed=", ".join(COMPUTED),
                next_step="use a model of one of these families",
            )
        return self.model.embedder

    def tokens(self, texts: Sequence[str], progress: Progress = Progress()) -> Tokens:
        """The texts as the classifier reads them."""
        read = self._read(texts)
        return read if self.side is None else self.side.beside(read, texts, progress)

    def _read(self, texts: Sequence[str]) -> Tokens:
        return self.model.tokens(texts, self.max_length, long_text=self.long_text)

    @usual_modes()
    def predict_tokens(self, tokens: Tokens, progress: Progress = Progress()) -> Predictions:
        """Probabilities and labels of texts that :meth:`tokens` has read."""
        logits_NK = self._logits(tokens, progress)
        return self.task.predictions(
            self.task.probabilities(logits_NK, self.temperature),
            truncated=tokens.truncated,
            threshold=self.threshold,
            thresholds=self.thresholds,
            reach=self.reach,
        )

    def _logits(self, tokens: Tokens, progress: Progress) -> NDArray[np.float32]:
        with progress.track("predicting", len(tokens.flat)) as bar:
            if not len(tokens):
                return np.empty((0, self.task.outputs), dtype=np.float32)
            return self.model.logits(tokens, advance=bar.advance)


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
