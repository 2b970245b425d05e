"""Tokens, padding and the order of batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.toys import WORDS, toy_tokenizer
from tightfit.config import KeptText
from tightfit.data.batch_order import batch_order, divided, length_sorted, padding_share
from tightfit.data.batches import collate
from tightfit.data.gpu import gpu_padded_tokens
from tightfit.data.text_tokenizer import TextTokenizer, tokenise
from tightfit.data.tokens import Tokens
from tightfit.errors import ModelError

TEXTS = ["goal match", "stock", "", "the a of in on and for with new after"]


def tokens_of(max_length: int = 8) -> Tokens:
    """The texts above, cut at ``max_length``."""
    return tokenise(toy_tokenizer(), TEXTS, max_length)


def test_tokenise_agrees_with_one_text_at_a_time() -> None:
    """Ragged storage holds what the tokenizer says of each text alone."""
    tokens, tokenizer = tokens_of(), toy_tokenizer()
    for i, text in enumerate(TEXTS):
        alone = tokenizer(text, truncation=True, max_length=8)["input_ids"]
        assert tokens.ids[tokens.offsets[i] : tokens.offsets[i + 1]].tolist() == alone


def test_tokenise_counts_the_texts_it_cut() -> None:
    """Ten words and two marks do not fit into eight padded_tokens, but exactly into twelve."""
    assert tokens_of(8).truncated == 1
    assert tokens_of(12).truncated == 0


def test_head_and_tail_keep_both_ends() -> None:
    """Of 40 words ten padded_tokens hold the marks, the first two and the last six."""
    words = (WORDS * 3)[:40]
    tokens = tokenise(toy_tokenizer(), [" ".join(words), "goal match"], 10, long_text="head+tail")
    kept = toy_tokenizer().convert_ids_to_tokens(tokens.ids[:10].tolist())
    assert kept[1:-1] == words[:2] + words[-6:]
    whole = tokenise(toy_tokenizer(), ["goal match"], 10)
    assert tokens.ids[10:].tolist() == whole.ids.tolist()
    assert (tokens.lengths.tolist(), tokens.truncated) == ([10, 4], 1)


def test_head_and_tail_of_short_texts_are_the_texts() -> None:
    """Nothing is cut, so that both ways give the same tokens."""
    both = tokenise(toy_tokenizer(), TEXTS, 12, long_text="head+tail")
    assert both.ids.tolist() == tokens_of(12).ids.tolist()
    assert both.truncated == 0


@pytest.mark.parametrize("long_text", ["head", "head+tail"])
def test_a_text_of_a_megabyte_is_cut_and_counted(long_text: KeptText) -> None:
    """Long input is no error."""
    tokens = tokenise(toy_tokenizer(), ["goal " * 200_000], 16, long_text=long_text)
    assert (tokens.lengths.tolist(), tokens.truncated) == ([16], 1)


ENDLESS = {
    "words": "goal match in a " * 20_000,
    "blanks first": " " * 300_000 + "goal match " * 9,
    "few words in blanks": ("goal" + " " * 30_000) * 9,
    "one word": "x" * 300_000,
    "words, then one": "goal match " * 2_000 + "x" * 300_000,
    "one word, then words": "x" * 300_000 + " goal match" * 9,
}
"""Texts of many times the characters that are read at first."""


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("max_length", [8, 64])
def test_what_is_left_unread_changes_nothing(name: str, max_length: int) -> None:
    """The same tokens as from the whole text, between neighbours that keep theirs."""
    texts, tokenizer = ["stock", ENDLESS[name], "goal match"], toy_tokenizer()
    whole = tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    alone = tokenizer(texts, truncation=True, max_length=max_length)["input_ids"]
    tokens = tokenise(tokenizer, texts, max_length)
    assert np.split(tokens.ids, tokens.offsets[1:-1])[1].tolist() == alone[1]
    assert tokens.ids.tolist() == [token for ids in alone for token in ids]
    assert tokens.truncated == sum(len(ids) > max_length for ids in whole)


def test_a_long_text_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real tokenizer takes most of a minute, and two gigabytes, for ten megabytes."""
    read: list[int] = []
    encodings = TextTokenizer.encodings

    def count(self: TextTokenizer, texts: list[str], *more: Any) -> Any:
        read.append(sum(map(len, texts)))
        return encodings(self, texts, *more)

    monkeypatch.setattr(TextTokenizer, "encodings", count)
    assert tokenise(toy_tokenizer(), ["goal match " * 10**6], 64).truncated == 1
    assert 0 < sum(read) < 10**5


def test_tokenise_reports_progress_for_every_text() -> None:
    """The counts told add up to the number of texts, over several chunks."""
    told: list[int] = []
    tokenise(toy_tokenizer(), ["goal"] * 2_500, 8, advance=told.append)
    assert sum(told) == 2_500
    assert len(told) == 3


def test_a_tokenizer_without_padding_is_refused() -> None:
    """Batches need a padding token; the message says which file to look for."""
    tokenizer = toy_tokenizer()
    tokenizer.pad_token = None
    with pytest.raises(ModelError, match=r"cannot make batches(.|\n)*no padding token"):
        tokenise(tokenizer, ["goal"], 8)


def test_collate_pads_with_the_pad_id_and_masks_it() -> None:
    """Rows keep their ids; the rest is padding under a zero mask."""
    batch = collate(tokens_of(), [0, 1], targets=np.array([1, 0, 1, 0]))
    assert batch.ids_BL.shape == (2, 4)
    assert batch.ids_BL[1, 3] == 0
    assert batch.mask_BL.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.targets_B is not None
    assert batch.targets_B.tolist() == [1, 0]
    assert batch.rows_B.tolist() == [0, 1]


def test_select_keeps_the_given_rows_in_order() -> None:
    """Selecting rows and collating all is collating those rows."""
    tokens = tokens_of()
    picked = collate(tokens.select([3, 0]), [0, 1])
    assert torch.equal(picked.ids_BL, collate(tokens, [3, 0]).ids_BL)


LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=300)


@given(LENGTHS, st.integers(1, 9), st.booleans())
def test_every_row_is_in_exactly_one_batch(
    lengths: list[int], batch: int, group_by_length: bool
) -> None:
    """An epoch is a partition of the rows into batches of at most ``batch``."""
    order = batch_order(
        np.array(lengths), batch=batch, seed=1, epoch=0, group_by_length=group_by_length
    )
    assert sorted(row for rows in order for row in rows) == list(range(len(lengths)))
    assert max(map(len, order)) <= batch
    assert sum(len(rows) < batch for rows in order) <= 1


@given(LENGTHS, st.integers(1, 9), st.integers(0, 3))
def test_batches_by_tokens_hold_every_row_once_in_as_many_batches(
    lengths: list[int], batch: int, epoch: int
) -> None:
    """Whatever the epoch and however unequal the rows, the schedule stays as it is."""
    ways = [
        batch_order(
            np.array(lengths),
            batch=batch,
            seed=1,
            epoch=epoch,
            group_by_length=True,
            by_tokens=by_tokens,
        )
        for by_tokens in (False, True)
    ]
    assert len(ways[0]) == len(ways[1]) == -(-len(lengths) // batch)
    assert sorted(row for rows in ways[1] for row in rows) == list(range(len(lengths)))
    assert all(ways[1])


def test_batches_by_tokens_are_of_one_size() -> None:
    """By rows the largest batch takes twice the mean; by tokens hardly more than the mean."""
    lengths, largest = random_lengths(), {}
    for by_tokens in (False, True):
        order = batch_order(
            lengths, batch=16, seed=0, epoch=0, group_by_length=True, by_tokens=by_tokens
        )
        padded_tokens = [len(rows) * int(lengths[rows].max()) for rows in order]
        largest[by_tokens] = max(padded_tokens) / np.mean(padded_tokens)
    assert largest[True] < 1.2 < 1.8 < largest[False]


def test_a_row_longer_than_a_batch_has_one_of_its_own() -> None:
    """One text of a thousand tokens among short ones leaves no batch empty and none too full."""
    lengths = np.array([4] * 30 + [1_000] + [4] * 9)
    order = batch_order(lengths, batch=8, seed=0, epoch=0, group_by_length=True, by_tokens=True)
    assert [30] in order
    assert len(order) == 5


def random_lengths() -> NDArray[np.int64]:
    """A thousand texts of 3 to 80 tokens."""
    return np.random.default_rng(0).integers(3, 80, 1_000)


def test_the_order_depends_on_seed_and_epoch_and_nothing_else() -> None:
    """Equal arguments give equal orders; another epoch or seed gives another."""

    def order(seed: int, epoch: int) -> list[list[int]]:
        return batch_order(random_lengths(), batch=8, seed=seed, epoch=epoch, group_by_length=True)

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_grouping_by_length_saves_padding_and_still_shuffles() -> None:
    """Grouped batches pad less than a third of what random ones pad, in no order of length."""
    lengths = random_lengths()
    grouped = batch_order(lengths, batch=8, seed=0, epoch=0, group_by_length=True)
    plain = batch_order(lengths, batch=8, seed=0, epoch=0, group_by_length=False)
    tokens = of_lengths(lengths)
    assert padding_share(tokens, grouped) < padding_share(tokens, plain) / 3
    heads = [int(lengths[rows].max()) for rows in grouped]
    assert heads != sorted(heads, reverse=True)


def test_length_sorted_begins_with_the_longest() -> None:
    """So that memory runs out in the first batch or never."""
    tokens = of_lengths([3, 9, 5, 9])
    assert length_sorted(tokens, 3) == [[1, 3, 2], [0]]
    assert length_sorted(tokens, 3, padded_tokens=18) == [[1, 3], [2, 0]]


@pytest.mark.parametrize("shares", [1, 2, 5])
@pytest.mark.parametrize("padded_tokens", [512, 1024, 10**6])
def test_rows_are_divided_into_parts_of_about_equal_size(shares: int, padded_tokens: int) -> None:
    """Every row once, longest first; no part differs from the mean by more than its rows do."""
    tokens = of_lengths(random_lengths())
    parts = divided(tokens, padded_tokens, shares)
    assert sorted(row for part in parts for row in part) == list(range(len(tokens)))
    sizes, longest = [int(tokens.lengths[part].sum()) for part in parts], int(tokens.lengths.max())
    mean = sum(sizes) / len(sizes)
    assert len(parts) % shares == 0
    assert mean <= padded_tokens
    assert all(abs(size - mean) <= 2 * longest for size in sizes)


def test_small_batches_are_not_divided() -> None:
    """Into fewer parts than there are shares, or not at all."""
    assert divided(of_lengths([9, 3, 5]), 1024, 8) == [[0, 2, 1]]
    assert len(divided(of_lengths([100] * 8), 1024, 8)) == 3


@pytest.mark.parametrize(("free", "places"), [(80e9, 131_072), (4e9, 30_517), (0, 1)])
def test_a_gpu_takes_what_half_of_its_free_memory_holds(free: float, places: int) -> None:
    """Up to what keeps the largest busy, and one place at least."""
    assert gpu_padded_tokens(int(free)) == places


@pytest.mark.parametrize(("rows", "padded"), [([0, 1], True), ([0], False)])
def test_a_batch_knows_its_padding_before_it_travels(rows: list[int], padded: bool) -> None:
    """Looking on a GPU would make Python wait for it."""
    batch = collate(of_lengths([2, 4]), rows)
    assert batch.padded == batch.to(torch.device("cpu")).padded == padded


def test_padding_share_counts_places() -> None:
    """Lengths 2 and 4 in one batch fill 8 padded_tokens with 6 tokens."""
    assert padding_share(of_lengths([2, 4]), [[0, 1]]) == pytest.approx(0.25)


def test_batches_have_few_lengths_where_that_is_asked_for() -> None:
    """Up to the next multiple, or to the longest text allowed where that comes first."""
    tokens = replace(of_lengths([2, 9, 16, 17, 20]), multiple=8, max_length=20)
    padded = [collate(tokens, [row]).ids_BL.shape[1] for row in range(5)]
    assert padded == [8, 16, 16, 20, 20]
    assert collate(tokens, [0]).mask_BL.sum() == 2
    assert padding_share(tokens, [[row] for row in range(5)]) == pytest.approx(1 - 64 / 80)


def of_lengths(lengths: Sequence[int] | NDArray[np.int64]) -> Tokens:
    """Rows of nothing but the same token."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Tokens(np.ones(offsets[-1], dtype=np.int32), offsets, 0, 100, 0)


def test_words_of_the_toy_tokenizer_are_single_tokens() -> None:
    """The toys' premise: lengths are numbers of words plus two."""
    assert tokenise(toy_tokenizer(), [" ".join(WORDS)], 64).lengths.tolist() == [len(WORDS) + 2]
