"""Which words an answer hangs on: each is left out in turn, and the text read again.

Occlusion (Zeiler and Fergus 2014, arXiv:1311.2901), of words as Li et al. 2016 (arXiv:1612.08220).
It tells what the classifier reacts to, which need not be why an answer is right.
Shapes: N texts with their words left out, K labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tightfit.data.words import Span, merged, without, words
from tightfit.engines.predictor import Predictor
from tightfit.tasks import Predictions, need_one_class

MOST_WORDS = 200
"""Of a text that are left out one by one; of a longer one, neighbours go together."""

PAGE_TEXTS, PAGE_WORDS = 10, 40
"""Mistakes that the page about a run explains, and most words of each that are left out one by one:
it waits for some hundred short texts."""

SURE = 1e-9
"""Least and most that a probability counts, so that its odds are finite."""


@dataclass(frozen=True)
class Word:
    """A part of a text, and how much the answer hangs on it."""

    text: str
    start: int
    """Where it is, in characters."""
    effect: float
    """By how much the log odds of the answer fall without it, in nats: below 0 it speaks against
    the answer."""
    without: float
    """The probability of the answer without it."""

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "word": self.text,
            "start": self.start,
            "effect": round(self.effect, 6),
            "confidence_without": round(self.without, 6),
        }


def explain(
    predictor: Predictor, texts: Sequence[str], most_words: int = MOST_WORDS
) -> tuple[Predictions, list[tuple[Word, ...]]]:
    """The answers to texts, and the words of each with their effects, in the order of the text.

    All texts with all their words left out are read in one go.

    Raises:
        UsageError: answers are not one label a text.
    """
    parts = [merged(words(text), most_words) for text in texts]
    variants = [
        variant
        for text, spans in zip(texts, parts, strict=True)
        for variant in (text, *(without(text, span) for span in spans))
    ]
    need_one_class(predictor.task, "an explanation")
    found: Any = predictor.predict(variants)
    places = np.cumsum([0, *(1 + len(spans) for spans in parts)])
    whole = found.select(places[:-1].tolist())
    told = []
    for text, spans, place, answer in zip(texts, parts, places[:-1], whole.ids, strict=True):
        shares_N = found.probabilities[place : place + 1 + len(spans), answer]
        told.append(_effects(text, spans, shares_N))
    return whole, told


def _effects(text: str, spans: Sequence[Span], shares_N: NDArray[np.float64]) -> tuple[Word, ...]:
    """``shares_N``: the probability of the answer to the text, then without each span."""
    sure_N = np.clip(shares_N, SURE, 1 - SURE)
    odds_N = np.log(sure_N) - np.log1p(-sure_N)
    return tuple(
        Word(text[start:end], start, float(odds_N[0] - odds), float(share))
        for (start, end), odds, share in zip(spans, odds_N[1:], shares_N[1:], strict=True)
    )


def strongest(found: Sequence[Word], count: int) -> list[Word]:
    """The words that mattered most, either way, the strongest first."""
    return sorted(found, key=lambda word: -abs(word.effect))[:count]
