"""Which rows stand in which batch, and in what order; and how much of the batches is padding."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tightfit.data.tokens import Tokens

LENGTH_POOL = 50
"""Batches whose rows are sorted by length together; larger pools pad less and shuffle less."""

LEAST_PADDED_TOKENS = 256
"""Tokens of a part that is computed beside others, at least: fewer are done before Python has
handed them out."""


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
    most = max(1, min(len(order), int(ends[-1]) // LEAST_PADDED_TOKENS))
    parts = min(shares * math.ceil(ends[-1] / (shares * padded_tokens)), most)
    cuts = np.searchsorted(ends, ends[-1] * np.arange(1, parts) / parts)
    return [part.tolist() for part in np.split(order, cuts) if len(part)]


def count_padded_tokens(tokens: Tokens, batches: Sequence[Sequence[int]]) -> int:
    """Tokens in these batches, padding included: what a forward pass computes over."""
    return sum(len(rows) * tokens.padded(rows) for rows in batches)


def padding_share(tokens: Tokens, batches: Sequence[Sequence[int]]) -> float:
    """The share of padded tokens in these batches that hold padding, from 0 to 1."""
    padded_tokens = count_padded_tokens(tokens, batches)
    return 1.0 - float(tokens.lengths.sum()) / padded_tokens if padded_tokens else 0.0


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
