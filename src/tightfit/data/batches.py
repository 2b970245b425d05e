"""Texts to tokens, tokens to padded batches. Pad id, longest length and truncation live here.

Shapes: B rows of a batch, L tokens of its longest row.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from tightfit.errors import ModelError

TOKENISE_CHUNK = 1_000
"""Texts handed to the tokenizer at once: enough to keep its threads busy, few enough for memory."""

LENGTH_POOL = 50
"""Batches whose rows are sorted by length together; larger pools pad less and shuffle less."""

CHARACTERS_A_TOKEN = 32
"""More than any usual text has on average, so that its ends give tokens enough."""

SPARE_TOKENS = 512
"""Left between the tokens that are kept of a very long text and the place where it was cut unread:
more than a word has, so that what was cut off cannot change them."""

MOST_WINDOWS = 8
"""Windows that a text is cut into at most; what is longer is cut there."""

BATCH_PADDED_TOKENS, FP32_PADDED_TOKENS = 2048, 1024
"""padded tokens of one pass through an encoder on a CPU; the second for torch in fp32. See
:func:`most_padded_tokens`."""

LEAST_PLACES = 256
"""Tokens of a part that is computed beside others, at least: fewer are done before Python has
handed them out."""

LongText = Literal["head", "head+tail", "windows"]

HISTOGRAM_BINS = 32
"""Bins that a histogram of lengths has at most."""


@dataclass(frozen=True)
class Tokens:
    """Token ids of many texts, ragged: text i is ``ids[offsets[i]:offsets[i + 1]]``."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    truncated: int
    """How many texts were cut at ``max_length``."""
    max_length: int
    pad_id: int
    multiple: int = 1
    """Batches are padded to a length that this divides, as long as ``max_length`` allows it."""
    windows: NDArray[np.int64] | None = None
    """Where texts of several windows are cut: offsets of all windows; None where each has one."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def flat(self) -> Tokens:
        """Each window as a text of its own."""
        return self if self.windows is None else replace(self, offsets=self.windows, windows=None)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The text of each window."""
        return np.searchsorted(self.offsets, self.flat.offsets[:-1], side="right") - 1

    def by_text(self, logits_WK: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits of all windows as those of their texts: means, weighted by tokens."""
        if self.windows is None:
            return logits_WK
        weights_W1 = np.diff(self.windows)[:, None] / self.lengths[self.owners][:, None]
        return np.add.reduceat(logits_WK * weights_W1, _firsts(self.owners)).astype(np.float32)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, special tokens included."""
        return np.diff(self.offsets)

    def select(self, rows: Sequence[int]) -> Tokens:
        """The given texts, in the given order; ``truncated`` still counts the whole."""
        parts = [self.ids[self.offsets[row] : self.offsets[row + 1]] for row in rows]
        chosen = replace(self, ids=_joined(parts), offsets=_offsets(parts))
        if self.windows is None:
            return chosen
        sizes, owners = np.diff(self.windows), self.owners
        own = [sizes[owners == row] for row in rows]
        return replace(chosen, windows=np.cumsum(np.concatenate([[0], *own])).astype(np.int64))

    def padded(self, rows: Sequence[int]) -> int:
        """The length to which a batch of these rows is padded."""
        rows_B = np.asarray(rows)
        longest = int((self.offsets[rows_B + 1] - self.offsets[rows_B]).max())
        return max(longest, min(-(-longest // self.multiple) * self.multiple, self.max_length))


@dataclass(frozen=True)
class Batch:
    """Rows padded to the longest of them."""

    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    """1 for a token, 0 for padding."""
    targets_B: torch.Tensor | None
    rows_B: torch.Tensor
    """Position of each row in the tokens that the batch was made from."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device; the copy does not wait where memory is pinned."""
        targets = None if self.targets_B is None else self.targets_B.to(device, non_blocking=True)
        ids = self.ids_BL.to(device, non_blocking=True)
        mask = self.mask_BL.to(device, non_blocking=True)
        return Batch(ids, mask, targets, self.rows_B)


def tokenise(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    *,
    long_text: LongText = "head",
    advance: Callable[[int], None] | None = None,
) -> Tokens:
    """Turn texts into token ids, at most ``max_length`` of each.

    Args:
        tokenizer: a fast tokenizer (it runs in parallel threads of its own).
        texts: any number of strings; an empty one becomes its special tokens.
        max_length: longest row, special tokens included.
        long_text: what is kept of a longer text: its head, its head and its tail, or all of it in
            windows of ``max_length``.
        advance: told the number of texts done since the last call.

    Raises:
        ModelError: the tokenizer has no padding token, or is not a fast one.
    """
    pad_id = tokenizer.pad_token_id
    if pad_id is None or not tokenizer.is_fast:
        raise ModelError(
            "the model's tokenizer cannot make batches",
            seen="no padding token" if pad_id is None else "no fast tokenizer",
            next_step="choose a model whose folder has a tokenizer.json with a padding token",
        )
    parts: list[NDArray[np.int32]] = []
    sizes: list[int] = []
    truncated = 0
    for start in range(0, len(texts), TOKENISE_CHUNK):
        chunk = list(texts[start : start + TOKENISE_CHUNK])
        if long_text == "windows":
            windows, cut = _windows(tokenizer, chunk, max_length)
            rows = [np.concatenate(own) for own in windows]
            sizes += [len(window) for own in windows for window in own]
        else:
            encode = _heads if long_text == "head" else _heads_and_tails
            rows, cut = encode(tokenizer, chunk, max_length)
        parts += rows
        truncated += cut
        if advance is not None:
            advance(len(chunk))
    tokens = Tokens(_joined(parts), _offsets(parts), truncated, max_length, int(pad_id))
    if len(sizes) <= len(texts):
        return tokens  # no text has a second window
    return replace(tokens, windows=np.cumsum([0, *sizes]).astype(np.int64))


def _heads(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int, reach: int = 0
) -> tuple[list[NDArray[np.int32]], int]:
    """Token ids of each text, and how many texts were cut; ``reach`` characters are read at first.

    A tokenizer reads all of a text before it cuts it: a minute and two gigabytes for ten megabytes.
    """
    reach = reach or CHARACTERS_A_TOKEN * (max_length + SPARE_TOKENS)
    heads = [text[:reach] for text in texts]
    encoded = tokenizer(heads, truncation=True, max_length=max_length)
    # Only a row of full length can have lost anything, and asking the others costs time.
    full = (e for e in encoded.encodings or () if len(e.ids) == max_length)
    cut = sum(bool(encoding.overflowing) for encoding in full)
    rows = [np.asarray(ids, dtype=np.int32) for ids in encoded["input_ids"]]
    for i in [i for i, text in enumerate(texts) if len(text) > reach]:
        encoding = (encoded.encodings or ())[i]
        if sum(len(part.ids) for part in encoding.overflowing) < SPARE_TOKENS:
            # Few tokens in many characters: blanks, or a word without an end.
            (rows[i],), more = _heads(tokenizer, [texts[i]], max_length, 64 * reach)
            cut += more - bool(encoding.overflowing)
    return rows, cut


def _heads_and_tails(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int
) -> tuple[list[NDArray[np.int32]], int]:
    """The same, with a quarter of a cut text's tokens from its head and the rest from its tail.

    That share did best in arXiv:1905.05583, on the texts of which both ends matter.
    """
    # What is far from both ends is dropped unread: a text may have millions of words.
    reach = CHARACTERS_A_TOKEN * max_length
    ends = [t if len(t) <= 2 * reach else f"{t[:reach]} {t[-reach:]}" for t in texts]
    encoded = tokenizer(ends, truncation=False, return_special_tokens_mask=True, verbose=False)
    rows, cut = [], 0
    for ids, special in zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True):
        if len(ids) > max_length:
            before, after = special.index(0), special[::-1].index(0)
            room = max_length - before - after
            head = before + room // 4
            ids = [*ids[:head], *ids[len(ids) - after - (room - room // 4) :]]
            cut += 1
        rows.append(np.asarray(ids, dtype=np.int32))
    return rows, cut


def _windows(
    tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int
) -> tuple[list[list[NDArray[np.int32]]], int]:
    """Token ids of each text's windows, one after the other, and how many texts were cut."""
    reach = CHARACTERS_A_TOKEN * (MOST_WINDOWS * max_length + SPARE_TOKENS)
    encoded = tokenizer([text[:reach] for text in texts], truncation=True, max_length=max_length)
    rows, cut = [], 0
    for text, encoding in zip(texts, encoded.encodings or (), strict=True):
        all_of_it = [encoding, *encoding.overflowing]
        rows.append([np.asarray(each.ids, dtype=np.int32) for each in all_of_it[:MOST_WINDOWS]])
        cut += len(all_of_it) > MOST_WINDOWS or len(text) > reach
    return rows, cut


def collate(tokens: Tokens, rows: Sequence[int], targets: NDArray[Any] | None = None) -> Batch:
    """Pad the given rows to the longest of them.

    Args:
        tokens: all rows.
        rows: positions of the batch's rows.
        targets: of *every* row of ``tokens``, or None.
    """
    length = tokens.padded(rows)
    ids_BL = torch.full((len(rows), length), tokens.pad_id, dtype=torch.long)
    mask_BL = torch.zeros((len(rows), length), dtype=torch.long)
    for i, row in enumerate(rows):
        ids = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]
        ids_BL[i, : len(ids)] = torch.from_numpy(ids.astype(np.int64))
        mask_BL[i, : len(ids)] = 1
    targets_B = None if targets is None else torch.from_numpy(targets[list(rows)])
    return Batch(ids_BL, mask_BL, targets_B, torch.tensor(list(rows)))


def batch_order(
    lengths: NDArray[np.int64],
    *,
    batch: int,
    seed: int,
    epoch: int,
    group_by_length: bool,
    by_tokens: bool = False,
) -> list[list[int]]:
    """The batches of one epoch, as lists of rows: a pure function of its arguments.

    Rows are shuffled; with ``group_by_length`` each pool of ``LENGTH_POOL`` batches is sorted by
    length before it is cut, and then whole batches are shuffled. Every row appears exactly once.

    Args:
        lengths: tokens of each row.
        batch: rows in a batch; with ``by_tokens`` the mean number of them.
        seed: of the shuffling.
        epoch: counted from 0; each has another order, and all have as many batches.
        group_by_length: put rows of like length into one batch.
        by_tokens: cut each pool into as many batches as ever, but of equal padded_tokens, padding
            included: few long rows, or many short ones. No batch then takes more memory than
            another.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    if not group_by_length:
        return [rows.tolist() for rows in np.split(order, range(batch, len(order), batch))]
    batches: list[list[int]] = []
    for pool in np.split(order, range(batch * LENGTH_POOL, len(order), batch * LENGTH_POOL)):
        rows = pool[np.argsort(-lengths[pool], kind="stable")]
        cuts = list(range(batch, len(rows), batch))
        if by_tokens:
            cuts = _equal_cuts(lengths[rows], len(cuts) + 1)
        batches += [part.tolist() for part in np.split(rows, cuts)]
    return [batches[i] for i in random.permutation(len(batches))]


def length_sorted(
    tokens: Tokens, rows: int | None = None, padded_tokens: int | None = None
) -> list[list[int]]:
    """Batches with the least padding, longest first, so that memory runs out at once or never.

    Args:
        tokens: of all rows.
        rows: most of a batch.
        padded_tokens: of a batch at most, padding included; a longer row has its own batch.
    """
    order = np.argsort(-tokens.lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        fitting = len(order) if rows is None else rows
        if padded_tokens is not None:
            fitting = min(fitting, max(1, padded_tokens // tokens.padded([int(order[start])])))
        batches.append(order[start : start + fitting].tolist())
        start += fitting
    return batches


def divided(tokens: Tokens, padded_tokens: int, shares: int) -> list[list[int]]:
    """All rows in parts of about equal size, rows of like length together.

    Args:
        tokens: the rows.
        padded_tokens: tokens of a part at most, give or take a row.
        shares: a multiple of this many parts is made, where they are not too small for that.
    """
    order = np.argsort(-tokens.lengths, kind="stable")
    ends = np.cumsum(tokens.lengths[order])
    most = max(1, min(len(order), int(ends[-1]) // LEAST_PLACES))
    parts = min(shares * math.ceil(ends[-1] / (shares * padded_tokens)), most)
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts)
    return [part.tolist() for part in np.split(order, cuts) if len(part)]


def most_padded_tokens(device: torch.device, dtype: torch.dtype = torch.float32) -> int | None:
    """padded tokens that one pass should have at most; None where more are better.

    More do not make a CPU's products faster, and leave its caches, in fp32 sooner
    (EXPERIMENTS.md has the figures).
    """
    if device.type != "cpu":
        return None
    return FP32_PADDED_TOKENS if dtype == torch.float32 else BATCH_PADDED_TOKENS


def count_padded_tokens(tokens: Tokens, batches: Sequence[Sequence[int]]) -> int:
    """padded tokens in these batches, padding included: what a forward pass computes over."""
    return sum(len(rows) * tokens.padded(rows) for rows in batches)


def padding_share(tokens: Tokens, batches: Sequence[Sequence[int]]) -> float:
    """The share of padded tokens in these batches that hold padding, from 0 to 1."""
    padded_tokens = count_padded_tokens(tokens, batches)
    return 1.0 - float(tokens.lengths.sum()) / padded_tokens if padded_tokens else 0.0


def length_histogram(lengths: NDArray[np.int64]) -> dict[str, list[int]]:
    """How many texts have how many tokens: ``edges`` of the bins, and ``counts`` one fewer.

    The bins have equal widths; each includes its lower edge.
    """
    width = max(1, -(-(int(lengths.max(initial=0)) + 1) // HISTOGRAM_BINS))
    counts_B = np.bincount(lengths // width)
    edges = [width * i for i in range(len(counts_B) + 1)]
    return {"edges": edges, "counts": counts_B.tolist()}


def _firsts(owners_W: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each text's first window stands; every text has one."""
    return np.flatnonzero(np.diff(owners_W, prepend=-1))


def _equal_cuts(lengths: NDArray[np.int64], parts: int) -> list[int]:
    """Where to cut rows, longest first, so that the largest part has the fewest padded tokens."""

    def fits(padded_tokens: int) -> bool:
        last = _cuts(lengths, padded_tokens, parts)[-1:] or [0]
        return int(lengths[last[0]]) * (len(lengths) - last[0]) <= padded_tokens

    most = int(lengths[0]) * len(lengths)
    return _cuts(lengths, bisect_left(range(most), True, key=fits), parts)


def _cuts(lengths: NDArray[np.int64], padded_tokens: int, parts: int) -> list[int]:
    """Each part takes the rows that fit, and leaves one for each part to come."""
    cuts, start = [], 0
    for left in range(parts - 1, 0, -1):
        fitting = max(1, padded_tokens // int(lengths[start]))
        start += min(fitting, len(lengths) - start - left)
        cuts.append(start)
    return cuts


def _joined(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int32)


def _offsets(parts: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    return np.cumsum([0, *(len(part) for part in parts)], dtype=np.int64)
