"""The side head: its features against plain arithmetic, its outputs against a dense product."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from tightfit.errors import ArtefactError
from tightfit.model.side_head import READ_CHARACTERS, SIDE_FILE, SideHead, hashed

TEXTS = [
    "",
    "Ab  a\tb",
    "您好,世界",
    "İstanbul 🙂🙂",
    "naïve nai\u0308ve",
    "\ud83d half",
    "x" * 9_000,
]


def mixed(codes: tuple[int, ...]) -> int:
    """The hash of a run of code points, in Python's own numbers."""
    h = 2166136261 ^ len(codes)
    for code in codes:
        h = (h ^ code) * 16777619 % 2**32
    h = (h ^ h >> 16) * 0x85EBCA6B % 2**32
    h = (h ^ h >> 13) * 0xC2B2AE35 % 2**32
    return h ^ h >> 16


def slowly(text: str, buckets: int) -> list[float]:
    """The features, a run at a time."""
    read = unicodedata.normalize("NFC", " ".join(text[:READ_CHARACTERS].split())).lower()
    codes = [ord(c) for c in f" {read} "]
    counts: dict[int, int] = {}
    for length in (1, 2, 3):
        for start in range(len(codes) - length + 1):
            h = mixed(tuple(codes[start : start + length]))
            counts[h] = counts.get(h, 0) + 1
    found = [0.0] * buckets
    for h, count in counts.items():
        found[h % buckets] += (1 + math.log(count)) * (-1 if h >= 2**31 else 1)
    norm = math.sqrt(sum(value**2 for value in found)) or 1.0
    return [value / norm for value in found]


@pytest.mark.parametrize("buckets", [7, 1024])
@pytest.mark.parametrize("text", TEXTS)
def test_features_are_those_of_plain_arithmetic(text: str, buckets: int) -> None:
    """Whoever repeats them in another language has nothing but these few lines to write."""
    filled_T, values_T = hashed(text, buckets)
    dense_F = np.zeros(buckets)
    dense_F[filled_T] = values_T
    assert np.abs(dense_F - slowly(text, buckets)).max() < 1e-12


def test_known_hashes() -> None:
    """Two numbers that must never change: every saved side head rests on them."""
    assert [mixed((ord("a"),)), mixed((ord(" "), ord("世"), ord("界")))] == [3873127206, 3150453568]


def test_both_forms_of_unicode_read_alike() -> None:
    """Letters and marks, in one or apart."""
    one, apart = ([hashed(f, 64)] for f in ("naïve Việt", "nai\u0308ve Vie\u0323\u0302t"))
    assert (one[0][0] == apart[0][0]).all()
    assert (one[0][1] == apart[0][1]).all()


def some_head() -> SideHead:
    """Of random weights."""
    chance = np.random.default_rng(0)
    weight_FK = chance.normal(size=(64, 3)).astype(np.float32)
    return SideHead(weight_FK, chance.normal(size=3).astype(np.float32))


def test_outputs_are_a_dense_product() -> None:
    """Of the features with all weights, the bias beside it; a factor multiplies both."""
    head = some_head()
    dense_NF = np.array([slowly(text, 64) for text in TEXTS])
    wanted_NK = dense_NF @ head.weight_FK + head.bias_K
    assert np.abs(head.logits(TEXTS) - wanted_NK).max() < 1e-5
    assert np.abs(head.times(2.5).logits(TEXTS) - 2.5 * wanted_NK).max() < 1e-5
    assert head.logits([]).shape == (0, 3)
    assert head.plan.parameters == 3 * 65 == head.weight_FK.size + head.bias_K.size


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Bit for bit; what is missing, cut or of another form is refused."""
    head = some_head()
    head.write(tmp_path)
    again = SideHead.read(tmp_path, 3)
    assert (again.weight_FK == head.weight_FK).all()
    assert (again.bias_K == head.bias_K).all()
    SideHead(head.weight_FK, head.bias_K[:2]).write(tmp_path)
    for damage in (lambda: None, lambda: (tmp_path / SIDE_FILE).write_bytes(b"{}")):
        damage()
        with pytest.raises(ArtefactError, match="the side head cannot be read"):
            SideHead.read(tmp_path, 3)
    with pytest.raises(ArtefactError, match="No such file"):
        SideHead.read(tmp_path / "nowhere", 3)
