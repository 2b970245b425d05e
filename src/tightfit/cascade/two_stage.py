"""A cascade: a linear model answers the rows that it is sure of, the encoder all others.

Which confidence is enough is proven on the run's validation rows. Only arrays and JSON are kept.
Shapes: N rows, K labels, A rows that the linear model answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit import storage
from tightfit.cascade.ngrams import ANALYSES, COUNTING, READ_CHARACTERS, NGramModel
from tightfit.data.tokens import Tokens
from tightfit.engines.predictor import Predictor
from tightfit.errors import ArtefactError, ProofError, UsageError
from tightfit.metrics.allowed_loss import Handover, hand_over
from tightfit.metrics.intervals import wilson
from tightfit.progress import Progress
from tightfit.storage.files import read_bytes, read_digested, write_digested
from tightfit.tasks import Predictions, SingleLabel, need_one_class
from tightfit.tasks.validation_logits import ValidationLogits

CASCADE = "cascade"
"""The folder, in the run's ``derived/`` or in an export."""
FACTS_FILE = "cascade.json"
ARRAYS_FILE = "linear.npz"

MAX_LOSS = 0.003
"""Share of rows by which accuracy may fall, unless told otherwise."""
CONFIDENCE = 0.95
OFFERED = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05)
"""Losses that are offered where the one asked for cannot be shown."""


@dataclass(frozen=True)
class Cascade:
    """The linear model, and from which confidence on it answers."""

    linear: NGramModel
    threshold: float
    """Of its own confidence, as :meth:`answers` counts it."""
    temperature: float
    """What its logits are divided by, so that the answers' probabilities can be believed."""
    facts: dict[str, Any]
    """What ``cascade.json`` keeps of how it was chosen, with the figures."""

    def answers(
        self, task: SingleLabel, texts: Sequence[str]
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which rows it answers, and ``probabilities_AK`` of those."""
        logits_NK = self.linear.logits(texts)
        answered_N = _confidence(task, logits_NK) >= self.threshold
        return answered_N, task.probabilities(logits_NK[answered_N], self.temperature)

    @property
    def identity(self) -> str:
        """A digest of everything that its answers depend on."""
        numbers = f"{self.threshold!r} {self.temperature!r} {self.facts['arrays_sha256']}"
        return hashlib.sha256(numbers.encode()).hexdigest()


def choose_cascade(
    linear: NGramModel,
    validation_logits: ValidationLogits,
    texts: Sequence[str],
    *,
    max_loss: float = MAX_LOSS,
    confidence: float = CONFIDENCE,
) -> Cascade:
    """Find the confidence from which on the linear model may answer.

    Args:
        linear: never shown the validation rows.
        validation_logits: what the encoder said of them.
        texts: theirs, in the order of the validation_logits.
        max_loss: share of rows by which accuracy may be lower than the encoder's.
        confidence: that it is not lower by more, on rows like these.

    Raises:
        ProofError: these rows cannot show it for any confidence.
        UsageError: a level that does not lie between 0 and 1.
    """
    task = need_one_class(validation_logits.task, "a cascade")
    targets_N = validation_logits.targets_N
    logits_NK = linear.logits(texts)
    sure_N = _confidence(task, logits_NK)
    right_N = task.right(logits_NK, targets_N)
    encoder_N = task.right(validation_logits.logits_NK, targets_N)

    def chosen(loss: float) -> Handover | None:
        return hand_over(sure_N, right_N, encoder_N, max_loss=loss, confidence=confidence)

    found = chosen(max_loss)
    if found is None:
        least = next((loss for loss in OFFERED if loss > max_loss and chosen(loss)), None)
        raise ProofError(
            f"{len(validation_logits):,} validation rows cannot show that a cascade would lose "
            f"at most {max_loss:.2%} of accuracy",
            seen=f"{int(right_N.sum()):,} of them the linear model answers rightly, the encoder "
            f"{int(encoder_N.sum()):,}",
            allowed="no loss" if least is None else f"{least:g} or more",
            next_step="allow more loss, train with more validation rows, or leave out the cascade",
        )
    answered_N = sure_N >= found.threshold
    temperature = task.fit_temperature(logits_NK[answered_N], targets_N[answered_N]).value
    arrays = linear.to_bytes()
    both_N = np.where(answered_N, right_N, encoder_N)
    facts = {
        "arrays_sha256": hashlib.sha256(arrays).hexdigest(),
        "max_loss": max_loss,
        "confidence": confidence,
        "chosen_on": asdict(found),
        "share": found.answered / found.rows,
        "accuracy": {
            name: wilson(int(each_N.sum()), len(each_N)).to_json()
            for name, each_N in (("cascade", both_N), ("encoder", encoder_N), ("linear", right_N))
        },
        "features": {
            "vectorizer": "HashingVectorizer",
            "analyses": [{**each, "ngram_range": [*each["ngram_range"]]} for each in ANALYSES],
            **COUNTING,
            "characters": READ_CHARACTERS,
            "weighting": "(1 + log count) x rarity, rows of length 1",
        },
    }
    return Cascade(linear, found.threshold, temperature, facts)


def write_cascade(folder: Path, cascade: Cascade) -> None:
    """Fill an empty folder: the arrays first, then the facts with their digest.

    Raises:
        MachineError: it cannot be written.
    """
    storage.make_folder(folder)
    storage.write_bytes(folder / ARRAYS_FILE, cascade.linear.to_bytes())
    numbers = {"threshold": cascade.threshold, "temperature": cascade.temperature}
    write_digested(folder / FACTS_FILE, {**numbers, **cascade.facts})


def read_cascade(folder: Path) -> Cascade | None:
    """What :func:`write_cascade` wrote; None where there is none.

    Raises:
        ArtefactError: any byte of it has changed.
    """
    facts = read_cascade_facts(folder)
    if facts is None:
        return None
    arrays = read_bytes(folder / ARRAYS_FILE)
    if hashlib.sha256(arrays).hexdigest() != facts.get("arrays_sha256"):
        raise ArtefactError(
            "the linear model of the cascade has changed",
            seen=folder / ARRAYS_FILE,
            next_step="make it again: tightfit export RUN --cascade",
        )
    threshold, temperature = facts.pop("threshold"), facts.pop("temperature")
    return Cascade(NGramModel.from_bytes(arrays), threshold, temperature, facts)


def cascade_of_run(folder: Path, run: Path, identity: str) -> Cascade:
    """The cascade that was made for a run.

    Raises:
        UsageError: none was made.
        ArtefactError: it is damaged, or belongs to another run.
    """
    found = read_cascade(folder)
    if found is None:
        raise UsageError(
            "the run has no cascade yet",
            seen=folder,
            next_step=f"make one: tightfit export {run} --cascade",
        )
    if found.facts.get("run") != identity:
        raise ArtefactError(
            "the cascade was made for another run",
            seen=folder,
            next_step=f"make one for this run: tightfit export {run} --cascade",
        )
    return found


def read_cascade_facts(folder: Path) -> dict[str, Any] | None:
    """Threshold, temperature and figures alone; None where there is no cascade.

    Raises:
        ArtefactError: any byte of them has changed.
    """
    return read_digested(folder / FACTS_FILE) if folder.is_dir() else None


@dataclass(frozen=True)
class _CascadeTokens(Tokens):
    """The texts that are left to the encoder, and what the linear model said of the others."""

    answered_N: NDArray[np.bool_] = field(kw_only=True)
    probabilities_AK: NDArray[np.float64] = field(kw_only=True)


@dataclass(frozen=True)
class CascadePredictor(Predictor):
    """A predictor that asks the linear model first; whatever computes logits does the rest."""

    cascade: Cascade = field(kw_only=True)

    @classmethod
    def over(cls, predictor: Predictor, cascade: Cascade) -> CascadePredictor:
        """The same predictor, with the cascade in front.

        Raises:
            UsageError: it holds errors down, or has thresholds of labels: what the cascade is
                proven for is the most probable label of every row.
        """
        if predictor.threshold:
            raise UsageError(
                "a cascade and a level of error (max_error) exclude each other",
                next_step="leave one of the two out",
            )
        if predictor.thresholds:
            raise UsageError(
                "a cascade and thresholds of single labels exclude each other",
                seen=", ".join(predictor.task.names[label] for label in predictor.thresholds),
                next_step="leave out the cascade, or the thresholds (--threshold none)",
            )
        own = {each.name: getattr(predictor, each.name) for each in fields(predictor)}
        return cls(**own, cascade=cascade)

    def logits(self, texts: Sequence[str], progress: Progress = Progress()) -> NDArray[np.float32]:
        """``logits_NK`` of the encoder, for all texts."""
        return self._logits(super().tokens(texts, progress), progress)

    def tokens(self, texts: Sequence[str], progress: Progress = Progress()) -> Tokens:
        """What the encoder has to read, beside what is answered already."""
        task = need_one_class(self.task, "a cascade")
        answered_N, probabilities_AK = self.cascade.answers(task, texts)
        own_texts = [texts[i] for i in np.flatnonzero(~answered_N).tolist()]
        rest = super().tokens(own_texts, progress)
        own = {each.name: getattr(rest, each.name) for each in fields(Tokens)}
        return _CascadeTokens(**own, answered_N=answered_N, probabilities_AK=probabilities_AK)

    def predict_tokens(self, tokens: Tokens, progress: Progress = Progress()) -> Predictions:
        """Answers of both, in the order of the texts."""
        assert isinstance(tokens, _CascadeTokens), "these tokens did not come from this predictor"
        probabilities_NK = np.empty((len(tokens.answered_N), self.task.outputs))
        probabilities_NK[tokens.answered_N] = tokens.probabilities_AK
        if len(tokens):
            rest = super().predict_tokens(tokens, progress)
            probabilities_NK[~tokens.answered_N] = rest.probabilities
        return self.task.predictions(
            probabilities_NK,
            truncated=tokens.truncated,
            threshold=self.threshold,
            by_linear=int(tokens.answered_N.sum()),
        )


def _confidence(task: SingleLabel, logits_NK: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest probability, uncalibrated: a threshold chosen on it may not learn from labels."""
    return task.confidence(task.probabilities(logits_NK))
