"""A side head: a linear map beside the classifier, whose outputs are added to the logits.

Of a pair it reads how both texts differ (:mod:`tightfit.model.pair_reader`), of a text its
characters: what an encoder's vocabulary may not have, in any language. Those features are made with
32-bit arithmetic on code points, so that any language can repeat them:

1. The first 8,000 code points are read, composed (NFC) and in lower case (Unicode's full mapping),
   each run of white space as one blank, with a blank before and behind.
2. Each run of n = 1 to 5 code points c (an n-gram) gives ``h = 2166136261 xor n``, then for each
   c ``h = (h xor c) * 16777619`` (FNV-1a, on code points in place of bytes), then the last steps
   of MurmurHash3: ``h ^= h >> 16; h *= 0x85ebca6b; h ^= h >> 13; h *= 0xc2b2ae35;
   h ^= h >> 16``, all modulo 2^32.
3. An h that the head knows and that occurs m times adds ``1 + ln m``, times how rare it is among
   the training texts; others are passed over. The head knows those that most of these texts have.
4. The numbers are divided by their Euclidean length: the features x. The output is ``W x + b``.

Shapes: N texts, L code points, F n-grams, T of them that a text has, K labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from tightfit.budget.parameter_plan import Plan
from tightfit.budget.parts import SIDE_HEAD, SidePlan, SideReads
from tightfit.data.tokens import Tokens
from tightfit.errors import ArtefactError
from tightfit.model.locate import Source
from tightfit.model.pair_reader import PairReader
from tightfit.progress import Progress
from tightfit.storage import write_bytes

SIDE_FILE = "side.safetensors"
"""In the folder of what trained, and in exports."""

WEIGHT, PAIR_WEIGHT, BIAS, NGRAMS, RARITY, LONGEST = (
    f"{SIDE_HEAD}.{name}"
    for name in ("weight", "pair_weight", "bias", "ngrams", "rarity", "longest")
)
VOCABULARY = (NGRAMS, RARITY, LONGEST)
"""Counted in texts or chosen, not trained: no parameters."""

KEPT = "kept"

READ_CHARACTERS = 8_000
"""Of a text; on German news of 2,600 on average, half as many cost a point."""

TEXTS_AT_ONCE = 500
"""Whose n-grams are held at once to be counted."""

MOST_CHARACTERS = 5
"""Of an n-gram. See docs/experiments/side-head.md."""

ONCE_MOST = 3
"""Of an n-gram, where a file does not say it."""

Counted = tuple[NDArray[np.uint32], NDArray[np.float64]]
"""The n-grams of a text by their hashes, each once and in order; and ``1 + ln m`` of each."""


def counted(text: str, longest: int = MOST_CHARACTERS) -> Counted:
    """The n-grams of a text, as the head of this module says, of up to so many characters."""
    hashes, counts = np.unique(_hashes(text, longest), return_counts=True)
    return hashes, 1 + np.log(counts)


def count_ngrams(texts: Sequence[str], most: int) -> int:
    """How many different n-grams the texts have; no more are counted than so many."""
    found = np.empty(0, dtype=np.uint32)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        hashes = [_hashes(text, MOST_CHARACTERS) for text in texts[start : start + TEXTS_AT_ONCE]]
        found = np.union1d(found, np.concatenate(hashes))
        if len(found) >= most:
            return most
    return len(found)


@dataclass(frozen=True, eq=False)
class Ngrams:
    """What a side head knows of characters: a vocabulary that is chosen and not trained."""

    hashes_F: NDArray[np.uint32]
    """In order."""
    rarity_F: NDArray[np.float32]
    """``1 + ln((1 + N) / (1 + texts that have it))``."""
    longest: int = MOST_CHARACTERS
    """Characters of an n-gram, at most."""

    def __post_init__(self) -> None:
        """Raise ValueError where a search would miss some of them."""
        if not 1 <= self.longest <= MOST_CHARACTERS:
            raise ValueError(f"its n-grams are of up to {self.longest} characters")
        ascending = self.hashes_F.ndim == 1 and (self.hashes_F[1:] > self.hashes_F[:-1]).all()
        if not ascending or self.hashes_F.dtype != np.uint32:
            raise ValueError("its n-grams are not in ascending order")
        if self.rarity_F.shape != self.hashes_F.shape:
            raise ValueError("its n-grams have not one rarity each")

    @property
    def width(self) -> int:
        """How many it knows."""
        return len(self.hashes_F)

    @classmethod
    def of(cls, texts_N: Sequence[Counted], width: int, longest: int = MOST_CHARACTERS) -> Ngrams:
        """The n-grams that most texts have; of as many, those of the smaller hashes.

        Where there are fewer, hashes that none of the texts has fill the rest: they get no weight.
        """
        found, counts = np.unique(
            np.concatenate([hashes for hashes, _ in texts_N]), return_counts=True
        )
        first = np.lexsort((found, -counts))[:width]
        spare = np.setdiff1d(np.arange(width, dtype=np.uint32), found)[: width - len(first)]
        hashes_F = np.concatenate([found[first], spare])
        counts_F = np.concatenate([counts[first], np.zeros(len(spare), dtype=counts.dtype)])
        order_F = np.argsort(hashes_F)
        rarity_F = np.log((1 + len(texts_N)) / (1 + counts_F[order_F])) + 1
        return cls(hashes_F[order_F], rarity_F.astype(np.float32), longest)

    def features(self, text: Counted) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The places of a text's n-grams that are known, and their numbers, of length 1."""
        hashes, values = text
        places = np.searchsorted(self.hashes_F, hashes).clip(max=len(self.hashes_F) - 1)
        known = self.hashes_F[places] == hashes
        places_T = places[known]
        values_T = values[known] * self.rarity_F[places_T]
        length = float(np.sqrt(values_T @ values_T)) or 1.0
        return places_T, values_T / length


def _hashes(text: str, longest: int) -> NDArray[np.uint32]:
    read = normalize("NFC", " ".join(text[:READ_CHARACTERS].split())).lower()
    # Half a surrogate pair, as a data frame may hold, is a number like others here.
    codes_L = np.frombuffer(f" {read} ".encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return np.concatenate([_of_length(codes_L, length) for length in range(1, longest + 1)])


def _of_length(codes_L: NDArray[np.uint32], length: int) -> NDArray[np.uint32]:
    count = max(0, len(codes_L) - length + 1)
    hashes = np.full(count, 2166136261 ^ length, dtype=np.uint32)
    for start in range(length):
        hashes = (hashes ^ codes_L[start : start + count]) * np.uint32(16777619)
    hashes ^= hashes >> np.uint32(16)
    hashes *= np.uint32(0x85EBCA6B)
    hashes ^= hashes >> np.uint32(13)
    hashes *= np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


@dataclass(frozen=True, eq=False)
class SideHead:
    """The map, in fp32."""

    weight_FK: NDArray[np.float32]
    bias_K: NDArray[np.float32]
    reader: Ngrams | PairReader
    """What it reads of texts or, where it is a map of those, of pairs."""
    kept: float = 1.0
    """What the classifier's own logits are multiplied by beside it: ratings are a weighted mean."""

    @property
    def portable(self) -> bool:
        """Whether a program that has no frozen encoder can repeat it."""
        return isinstance(self.reader, Ngrams)

    @property
    def plan(self) -> SidePlan:
        """Its size and price."""
        reads: SideReads = "characters" if self.portable else "pairs"
        return SidePlan(len(self.weight_FK), len(self.bias_K), reads)

    def beside(
        self, tokens: Tokens, texts: Sequence[str], progress: Progress = Progress()
    ) -> Tokens:
        """The tokens of these texts, with what it adds to whatever is computed of them."""
        return replace(tokens, added_NK=self.logits(texts, progress), kept=self.kept)

    def logits(self, texts: Sequence[str], progress: Progress = Progress()) -> NDArray[np.float32]:
        """``logits_NK``: what it adds to those of each text."""
        if isinstance(self.reader, PairReader):
            return self.reader.features(texts, progress) @ self.weight_FK + self.bias_K
        found_NK = np.empty((len(texts), len(self.bias_K)), dtype=np.float32)
        for row, text in enumerate(texts):
            places_T, values_T = self.reader.features(counted(text, self.reader.longest))
            found_NK[row] = values_T @ self.weight_FK[places_T] + self.bias_K
        return found_NK

    def times(self, factor: float, *, kept: float = 1.0) -> SideHead:
        """The head that adds this many times as much."""
        weight_FK, bias_K = (
            (each * factor).astype(np.float32) for each in (self.weight_FK, self.bias_K)
        )
        return SideHead(weight_FK, bias_K, self.reader, kept)

    def write(self, folder: Path) -> None:
        """Write its one file.

        Raises:
            MachineError: it cannot be written.
        """
        weight_FK = np.ascontiguousarray(self.weight_FK)
        if isinstance(self.reader, Ngrams):
            own = {WEIGHT: weight_FK, NGRAMS: self.reader.hashes_F, RARITY: self.reader.rarity_F}
            own[LONGEST] = np.array([self.reader.longest], dtype=np.uint32)
        else:
            own = {PAIR_WEIGHT: weight_FK}
        tensors = {**own, BIAS: self.bias_K}
        # What is kept is no tensor, since it is no parameter that trains. Two such words would come
        # in an order of chance.
        write_bytes(folder / SIDE_FILE, save(tensors, {KEPT: repr(self.kept)}))

    @classmethod
    def read(cls, folder: Path, labels: int, pairs: PairReader | None = None) -> SideHead:
        """What :meth:`write` wrote, of a classifier of so many labels.

        Args:
            folder: where it lies.
            labels: K.
            pairs: what reads pairs, of a classifier of those.

        Raises:
            ArtefactError: it is missing or something else.
        """
        try:
            with safe_open(folder / SIDE_FILE, "numpy") as file:
                kept = float((file.metadata() or {}).get(KEPT, "1.0"))
                weight = file.get_tensor(WEIGHT if pairs is None else PAIR_WEIGHT)
                reader = pairs or _read_ngrams(file)
                head = cls(weight, file.get_tensor(BIAS), reader, kept)
            fits = reader.width == len(head.weight_FK)
            if fits and head.weight_FK.shape[1:] == head.bias_K.shape == (labels,):
                return head
            shapes = head.weight_FK.shape, head.bias_K.shape
            seen: object = f"{shapes[0]} and {shapes[1]} for {labels} labels"
        except (OSError, SafetensorError, ValueError) as error:
            seen = error
        raise ArtefactError(
            "the side head cannot be read",
            seen=f"{folder / SIDE_FILE}: {seen}",
            next_step="restore it from a copy, or train again",
        )


def _read_ngrams(file: safe_open) -> Ngrams:
    said = LONGEST in set(file.keys())
    longest = int(file.get_tensor(LONGEST).item()) if said else ONCE_MOST
    return Ngrams(file.get_tensor(NGRAMS), file.get_tensor(RARITY), longest)


def read_side(
    folder: Path, plan: Plan, source: Source, tokens: Callable[[Sequence[str]], Tokens]
) -> SideHead | None:
    """The side head of an artefact, where its plan has one.

    Args:
        folder: of the artefact.
        plan: what trained.
        source: the encoder below it.
        tokens: reads single texts.

    Raises:
        ArtefactError: it cannot be read.
    """
    if plan.side is None:
        return None
    pairs = PairReader.of(source, tokens) if plan.side.reads == "pairs" else None
    return SideHead.read(folder, plan.num_labels, pairs)
