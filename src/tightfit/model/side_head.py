"""A side head: a linear map beside the classifier, whose outputs are added to the logits.

Of a pair it reads how both texts differ (:mod:`tightfit.model.pair_reader`), of a text its
characters: what an encoder's vocabulary may not have, in any language. Those features are made with
32-bit arithmetic on code points, so that any language can repeat them:

1. The first 4,000 code points are read, composed (NFC) and in lower case (Unicode's full mapping),
   each run of white space as one blank, with a blank before and behind.
2. Each run of n = 1, 2 and 3 code points c gives ``h = 2166136261 xor n``, then for each c
   ``h = (h xor c) * 16777619`` (FNV-1a, on code points in place of bytes), then the last steps of
   MurmurHash3: ``h ^= h >> 16; h *= 0x85ebca6b; h ^= h >> 13; h *= 0xc2b2ae35; h ^= h >> 16``, all
   modulo 2^32.
3. An h that occurs m times adds ``1 + ln m`` to the bucket ``h mod F``, with a minus where the
   highest bit of h is set (feature hashing: Weinberger et al. 2009, arXiv:0902.2206).
4. The F numbers are divided by their Euclidean length: the features x. The output is ``W x + b``.

Shapes: N texts, L code points, F buckets, T buckets of one text that are not 0, K labels.
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

WEIGHT, PAIR_WEIGHT, BIAS = (f"{SIDE_HEAD}.{name}" for name in ("weight", "pair_weight", "bias"))
KEPT = "kept"

READ_CHARACTERS = 4_000
"""Of a text; on German news of 2,600 on average, half as many cost three points."""

LENGTHS = (1, 2, 3)
"""Of the runs of characters that are counted."""

Hashed = tuple[NDArray[np.int64], NDArray[np.float64]]
"""The buckets of a text that are not 0, and what is in them."""


def hashed(text: str, buckets: int) -> Hashed:
    """The features of a text, as the head of this module says, for so many buckets."""
    hashes, counts = np.unique(_hashes(text), return_counts=True)
    values = (1 + np.log(counts)) * np.where(hashes >> np.uint32(31), -1.0, 1.0)
    filled_T, places = np.unique(hashes % np.uint32(buckets), return_inverse=True)
    sums_T = np.bincount(places, values, minlength=len(filled_T))
    length = float(np.sqrt(sums_T @ sums_T)) or 1.0
    return filled_T.astype(np.int64), sums_T / length


def _hashes(text: str) -> NDArray[np.uint32]:
    read = normalize("NFC", " ".join(text[:READ_CHARACTERS].split())).lower()
    # Half a surrogate pair, as a data frame may hold, is a number like others here.
    codes_L = np.frombuffer(f" {read} ".encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return np.concatenate([_of_length(codes_L, length) for length in LENGTHS])


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
    pairs: PairReader | None = None
    """What reads pairs, where it is a map of those."""
    kept: float = 1.0
    """What the classifier's own logits are multiplied by beside it: ratings are a weighted mean."""

    @property
    def portable(self) -> bool:
        """Whether a program that has no frozen encoder can repeat it."""
        return self.pairs is None

    @property
    def plan(self) -> SidePlan:
        """Its size and price."""
        reads: SideReads = "characters" if self.pairs is None else "pairs"
        return SidePlan(len(self.weight_FK), len(self.bias_K), reads)

    def beside(
        self, tokens: Tokens, texts: Sequence[str], progress: Progress | None = None
    ) -> Tokens:
        """The tokens of these texts, with what it adds to whatever is computed of them."""
        return replace(tokens, added_NK=self.logits(texts, progress), kept=self.kept)

    def logits(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """``logits_NK``: what it adds to those of each text."""
        if self.pairs is not None:
            return self.pairs.features(texts, progress) @ self.weight_FK + self.bias_K
        found_NK = np.empty((len(texts), len(self.bias_K)), dtype=np.float32)
        for row, text in enumerate(texts):
            filled_T, values_T = hashed(text, len(self.weight_FK))
            found_NK[row] = values_T @ self.weight_FK[filled_T] + self.bias_K
        return found_NK

    def times(self, factor: float, *, kept: float = 1.0) -> SideHead:
        """The head that adds this many times as much."""
        weight_FK, bias_K = (
            (each * factor).astype(np.float32) for each in (self.weight_FK, self.bias_K)
        )
        return SideHead(weight_FK, bias_K, self.pairs, kept)

    def write(self, folder: Path) -> None:
        """Write its one file.

        Raises:
            MachineError: it cannot be written.
        """
        weight = WEIGHT if self.pairs is None else PAIR_WEIGHT
        tensors = {weight: np.ascontiguousarray(self.weight_FK), BIAS: self.bias_K}
        # No tensor, since it is no parameter that trains.
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
                head = cls(weight, file.get_tensor(BIAS), pairs, kept)
            fits = pairs is None or pairs.width == len(head.weight_FK)
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
