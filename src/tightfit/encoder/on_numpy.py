"""Logits of a few rows in numpy: no padding, adapters unmerged, and nothing slow to import.

Shapes: T tokens of all rows, one behind the other; B rows; L tokens of a row; H hidden width;
N attention heads; D width of one; K labels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tightfit.encoder.activations import ACTIVATIONS
from tightfit.encoder.forward import logits
from tightfit.encoder.network import Array, Linear, Network, Norm
from tightfit.families import Attention

Floats = NDArray[np.float32]

BUCKETS, FARTHEST = 32, 128
"""Of MPNet's distances, as T5's (arXiv:1910.10683): every small one has its own, larger ones share
them in steps of equal ratio, and the last holds all from ``FARTHEST`` on."""


def numpy_logits(
    network: Network,
    rows: list[NDArray[np.int32]],
    segments_T: NDArray[np.int8] | None = None,
) -> Floats:
    """``logits_BK`` of rows of token ids, each with its special tokens.

    Args:
        network: what computes.
        rows: the ids.
        segments_T: of all their tokens, where they are pairs; else all are 0.
    """
    return np.ascontiguousarray(logits(network, _Batch(network, rows, segments_T)))


class _Batch:
    """What :class:`tightfit.encoder.forward.Ops` asks, over rows of any lengths."""

    def __init__(
        self,
        network: Network,
        rows: list[NDArray[np.int32]],
        segments_T: NDArray[np.int8] | None,
    ) -> None:
        ends = np.cumsum([len(row) for row in rows])
        self._first_B = np.concatenate([[0], ends[:-1]])
        self._spans = [slice(int(a), int(b)) for a, b in zip(self._first_B, ends, strict=True)]
        self._ids_T = np.concatenate(rows).astype(np.int64)
        pad = network.encoder.padding_index
        self._places_T = np.concatenate([positions(row, pad) for row in rows])
        self._segments = 0 if segments_T is None else segments_T
        self._encoder, self._table = network.encoder, network.position_bias

    def embedded(self, network: Network) -> Floats:
        x_TH = network.words.rows(self._ids_T)
        if network.segments_SH is not None:
            x_TH = x_TH + network.segments_SH[self._segments]
        return x_TH if network.positions is None else x_TH + network.positions.rows(self._places_T)

    def enter(self, x_TH: Floats) -> Floats:
        return x_TH

    def leave(self, state_BH: Floats) -> Floats:
        return state_BH

    def first(self, x_TH: Floats) -> Floats:
        return x_TH[self._first_B]

    def linear(self, layer: Linear, x_TI: Floats) -> Floats:
        low, factors_O = layer.low_rank, layer.factors_O
        y_TO: Floats = x_TI @ layer.weight_OI.T
        bias_O = 0 if layer.bias_O is None else layer.bias_O
        if factors_O is None:
            y_TO += bias_O
        if low is not None:
            narrow_TR: Floats = x_TI @ low.a_RI.T
            narrow_TR *= low.scale if low.inner_R is None else low.scale * low.inner_R
            change_TO = narrow_TR @ low.b_OR.T
            y_TO += change_TO if low.outer_O is None else low.outer_O * change_TO
        if factors_O is not None:
            y_TO *= factors_O
            y_TO += bias_O
        return y_TO

    def apart(self, x: Floats, parts: int) -> list[Floats]:
        return np.split(x, parts, -1)

    def norm(self, x_TH: Floats, norm: Norm | None) -> Floats:
        centred_TH: Floats = x_TH - x_TH.mean(-1, keepdims=True)
        variance_T = np.einsum("th,th->t", centred_TH, centred_TH) / np.float32(x_TH.shape[-1])
        centred_TH *= (1 / np.sqrt(variance_T + np.float32(self._encoder.eps)))[:, None]
        if norm is not None:
            centred_TH *= norm.weight_H
            centred_TH += 0 if norm.bias_H is None else norm.bias_H
        return centred_TH

    def activation(self, x: Floats, name: str | None = None) -> Floats:
        return ACTIVATIONS[name or self._encoder.activation](x)

    def activated(self, layer: Linear, x_TI: Floats) -> Floats:
        return self.activation(self.linear(layer, x_TI))

    def attention(self, by: Attention, query: Floats, key_TH: Floats, value_TH: Floats) -> Floats:
        out = np.empty(query.shape, query.dtype)
        one_each = len(query) == len(self._spans) < len(key_TH)
        for row, span in enumerate(self._spans):
            own = slice(row, row + 1) if one_each else span
            out[own] = self._row(by, query[own], key_TH[span], value_TH[span])
        return out

    def _row(self, by: Attention, query: Floats, key_LH: Floats, value_LH: Floats) -> Floats:
        width = query.shape[1] // self._encoder.heads
        query_NLD, key_NLD, value_NLD = (
            each.reshape(-1, self._encoder.heads, width).transpose(1, 0, 2)
            for each in (query, key_LH, value_LH)
        )
        if by.rotary_base is not None:
            query_NLD, key_NLD = (_turned(x, by.rotary_base) for x in (query_NLD, key_NLD))
        scores_NLL = query_NLD @ key_NLD.transpose(0, 2, 1)
        scores_NLL *= np.float32(width**-0.5)
        if by.reach is not None:
            scores_NLL[:, ~near(len(key_LH), by.reach)[: len(query)]] = -np.inf
        if self._table is not None:
            scores_NLL += position_bias(self._table, len(key_LH))[:, : len(query)]
        scores_NLL -= scores_NLL.max(-1, keepdims=True)
        np.exp(scores_NLL, out=scores_NLL)
        scores_NLL /= scores_NLL.sum(-1, keepdims=True)
        mixed_NLD: Array = scores_NLL @ value_NLD
        return mixed_NLD.transpose(1, 0, 2).reshape(query.shape)


def _turned(x_NLD: Floats, base: float) -> Floats:
    cos, sin = turns(base, x_NLD.shape[2], x_NLD.shape[1])
    a, b = np.split(x_NLD, 2, -1)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


@lru_cache(maxsize=64)
def turns(base: float, width: int, length: int) -> tuple[Floats, Floats]:
    """Cosine and sine of the angles by which each position turns pairs of numbers, (L, D / 2)."""
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    rates = np.float32(1) / np.float32(base) ** exponents
    angles = np.arange(length, dtype=np.float32)[:, None] * rates
    return np.cos(angles), np.sin(angles)


def near(length: int, reach: int) -> NDArray[np.bool_]:
    """Which pairs of tokens attend to each other, (L, L)."""
    places_L = np.arange(length)
    found: NDArray[np.bool_] = np.abs(places_L[:, None] - places_L) <= reach
    return found


def positions(ids_L: NDArray[np.int32], padding_index: int | None) -> NDArray[np.int64]:
    """The row of the table of positions for each token, as the family counts."""
    if padding_index is None:
        return np.arange(len(ids_L))
    # A pad token in the text itself counts as no position.
    counted_L = ids_L != padding_index
    return np.cumsum(counted_L) * counted_L + padding_index


def position_bias(table: Floats, length: int) -> Floats:
    """What MPNet adds to the scores of a row, (N, L, L), from its table of buckets by heads."""
    return table[buckets(length)].transpose(2, 0, 1)


@lru_cache(maxsize=64)
def buckets(length: int) -> NDArray[np.int64]:
    """The bucket of each pair's distance, (L, L): those behind the query in the lower half."""
    half, exact = BUCKETS // 2, BUCKETS // 4
    behind_LL = np.arange(length)[:, None] - np.arange(length)
    far_LL = np.abs(behind_LL)
    ratio_LL = np.log(np.maximum(far_LL, 1).astype(np.float32) / np.float32(exact))
    steps_LL = ratio_LL / np.float32(np.log(FARTHEST / exact)) * np.float32(half - exact)
    shared_LL = np.minimum(exact + steps_LL.astype(np.int64), half - 1)
    return np.where(far_LL < exact, far_LL, shared_LL) + half * (behind_LL < 0)
