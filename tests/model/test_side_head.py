"""The side head: its features against plain arithmetic, its outputs against a dense product."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tightfit.errors import ArtefactError
from tightfit.model.side_head import (
    READ_CHARACTERS,
    SIDE_FILE,
    Ngrams,
    SideHead,
    count_ngrams,
    counted,
)

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


def counts_of(text: str) -> dict[int, int]:
    """How often each n-gram occurs, one at a time."""
    read = unicodedata.normalize("NFC", " ".join(text[:READ_CHARACTERS].split())).lower()
    codes, counts = [ord(c) for c in f" {read} "], dict[int, int]()
    for length in range(1, 6):
        for start in range(len(codes) - length + 1):
            h = mixed(tuple(codes[start : start + length]))
            counts[h] = counts.get(h, 0) + 1
    return counts


def slowly(text: str, known: Sequence[str], width: int) -> list[float]:
    """The features, by the n-grams that most of the known texts have."""
    have = [counts_of(each) for each in known]
    rows = {h: sum(h in each for each in have) for each in have for h in each}
    kept = sorted(sorted(rows, key=lambda h: (-rows[h], h))[:width])
    counts, found = counts_of(text), []
    for h in kept:
        rarity = math.log((1 + len(known)) / (1 + rows[h])) + 1
        found.append((1 + math.log(counts[h])) * rarity if h in counts else 0.0)
    norm = math.sqrt(sum(value**2 for value in found)) or 1.0
    return [value / norm for value in found]


def ngrams(width: int) -> Ngrams:
    """Of all texts but the last."""
    return Ngrams.of([counted(text) for text in TEXTS[:-1]], width)


@pytest.mark.parametrize("width", [7, 64])
@pytest.mark.parametrize("text", TEXTS)
def test_features_are_those_of_plain_arithmetic(text: str, width: int) -> None:
    """Whoever repeats them in another language has nothing but these few lines to write."""
    places_T, values_T = ngrams(width).features(counted(text))
    dense_F = np.zeros(width)
    dense_F[places_T] = values_T
    assert np.abs(dense_F - slowly(text, TEXTS[:-1], width)).max() < 1e-6


def test_a_vocabulary_that_texts_do_not_fill_has_spare_places() -> None:
    """As many as a plan counts; no text has them, not even one with other n-grams."""
    found = Ngrams.of([counted("ab"), counted("b")], 32)
    assert found.width == len(found.rarity_F) == 32
    own = {*counts_of("ab"), *counts_of("b")}
    assert own < set(found.hashes_F.tolist())
    assert len(found.features(counted("ab"))[0]) == len(counts_of("ab"))
    assert len(found.features(counted("xyz"))[0]) == 1  # the blank
    assert [count_ngrams(["ab", "b"], most) for most in (5, 32)] == [5, len(own)]


def test_known_hashes() -> None:
    """Two numbers that must never change: every saved side head rests on them."""
    assert [mixed((ord("a"),)), mixed((ord(" "), ord("世"), ord("界")))] == [3873127206, 3150453568]


def test_both_forms_of_unicode_read_alike() -> None:
    """Letters and marks, in one or apart."""
    one, apart = (counted(form) for form in ("naïve Việt", "nai\u0308ve Vie\u0323\u0302t"))
    assert (one[0] == apart[0]).all()
    assert (one[1] == apart[1]).all()


def some_head() -> SideHead:
    """Of random weights."""
    chance = np.random.default_rng(0)
    weight_FK = chance.normal(size=(64, 3)).astype(np.float32)
    return SideHead(weight_FK, chance.normal(size=3).astype(np.float32), ngrams(64))


def test_outputs_are_a_dense_product() -> None:
    """Of the features with all weights, the bias beside it; a factor multiplies both."""
    head = some_head()
    dense_NF = np.array([slowly(text, TEXTS[:-1], 64) for text in TEXTS])
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
    assert isinstance(again.reader, Ngrams)
    assert (again.logits(TEXTS) == head.logits(TEXTS)).all()
    SideHead(head.weight_FK, head.bias_K[:2], head.reader).write(tmp_path)
    for damage in (lambda: None, lambda: (tmp_path / SIDE_FILE).write_bytes(b"{}")):
        damage()
        with pytest.raises(ArtefactError, match="the side head cannot be read"):
            SideHead.read(tmp_path, 3)
    with pytest.raises(ArtefactError, match="No such file"):
        SideHead.read(tmp_path / "nowhere", 3)


def test_a_file_that_does_not_say_how_long_ngrams_are(tmp_path: Path) -> None:
    """They had three characters at most, whatever a longer one hashes to."""
    head = some_head()
    head.write(tmp_path)
    tensors = load_file(tmp_path / SIDE_FILE)
    del tensors["side.longest"]
    save_file(tensors, tmp_path / SIDE_FILE)
    before = SideHead.read(tmp_path, 3)
    assert isinstance(before.reader, Ngrams)
    assert before.reader.longest == 3
    places_T, values_T = before.reader.features(counted(TEXTS[4], 3))
    wanted_K = values_T @ head.weight_FK[places_T] + head.bias_K
    assert np.abs(before.logits(TEXTS[4:5])[0] - wanted_K).max() < 1e-6
    assert np.abs(head.logits(TEXTS[4:5])[0] - wanted_K).max() > 1e-3
