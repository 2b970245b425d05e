"""How an export is compared with its run: which batches, which figures, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.toy_setups import TASK
from tightfit.data.batches import Batch
from tightfit.encoder.on_torch import all_logits
from tightfit.engines.parity import (
    Loss,
    Parity,
    compare,
    joined,
    loss_of,
    parity_of,
    probes,
    refuse_difference,
)
from tightfit.errors import ProofError

FORMS = ["padded", "unpadded", "length-1", "maximum-length"]


class Masked:
    """Logits that depend on every token, its place, and the mask."""

    multiple, padded_tokens = 1, 2048

    def __init__(self, uses_mask: bool = True) -> None:
        self.uses_mask = uses_mask

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Two sums over the tokens of each row."""
        ids_BL, mask_BL = batch.ids_BL.numpy(), batch.mask_BL.numpy()
        seen_BL = (ids_BL + 1) * (mask_BL if self.uses_mask else np.ones_like(mask_BL))
        places_L = np.arange(1, ids_BL.shape[1] + 1)
        return np.stack([seen_BL.sum(1), (seen_BL * places_L).sum(1)], 1).astype(np.float32)


def logits(*rows: tuple[float, ...]) -> NDArray[np.float32]:
    """Rows of logits."""
    return np.array(rows, dtype=np.float32)


@pytest.mark.parametrize("max_length", [4, 48, 512])
def test_the_probes_have_the_four_forms(max_length: int) -> None:
    """Rows of unlike and of like length, a single token, and the longest text."""
    batches = probes(vocabulary=25, pad_id=0, max_length=max_length)
    lengths = {name: tokens.lengths.tolist() for name, tokens in batches.items()}
    assert list(lengths) == FORMS
    assert len(set(lengths["padded"])) > 1
    assert len(lengths["unpadded"]) > 1
    assert len(set(lengths["unpadded"])) == 1
    assert lengths["length-1"] == [1]
    assert max(lengths["maximum-length"]) == max_length == max(map(max, lengths.values()))


@pytest.mark.parametrize("pad_id", [0, 7, 24])
def test_the_probes_hold_no_padding_inside(pad_id: int) -> None:
    """RoBERTa numbers its positions by where the pad id is not."""
    for tokens in probes(vocabulary=25, pad_id=pad_id, max_length=300).values():
        assert pad_id not in tokens.ids
        assert 0 <= tokens.ids.min() <= tokens.ids.max() < 25


def test_a_graph_without_a_mask_is_found_out() -> None:
    """And only where there is padding: batches of equal rows would have let it pass."""
    batches = probes(vocabulary=25, pad_id=0, max_length=48)
    found = compare(TASK, Masked(), Masked(uses_mask=False), batches)
    assert [name for name, p in found.items() if p.max_abs_difference] == [FORMS[0], FORMS[3]]
    with pytest.raises(ProofError, match="padded rows: logits off by") as caught:
        refuse_difference(found)
    assert "unpadded" not in str(caught.value)
    assert caught.value.exit_code == 7


def test_equal_engines_pass() -> None:
    """No difference, all labels the same, every row counted."""
    batches = probes(vocabulary=25, pad_id=0, max_length=48)
    found = compare(TASK, Masked(), Masked(), batches)
    refuse_difference(found)
    assert joined(list(found.values())) == Parity(0.0, 1.0, 4 + 3 + 1 + 2)


def test_rows_keep_their_order() -> None:
    """Batches are sorted by length; the answers are not."""
    tokens = probes(vocabulary=25, pad_id=0, max_length=48)["padded"].select([2, 0, 3, 1])
    one_by_one = [all_logits(Masked(), tokens.select([row]))[0] for row in range(4)]
    assert np.array_equal(all_logits(Masked(), tokens, batch=2), np.stack(one_by_one))


def test_figures_of_two_sets_of_logits() -> None:
    """The largest difference of any logit, and the share of equal labels."""
    found = parity_of(TASK, logits((1, 2), (3, 1), (0, 5)), logits((1, 2.5), (1, 3), (0, 5)))
    assert (found.max_abs_difference, found.agreement, found.rows) == (2.0, 2 / 3, 3)
    both = joined([found, Parity(0.25, 1.0, 7)])
    assert (both.max_abs_difference, both.rows) == (2.0, 10)
    assert both.agreement == pytest.approx(0.9)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    """NaN is larger than nothing, so a plain comparison would let it pass; nor is it JSON."""
    found = parity_of(TASK, logits((1, 2)), logits((1, value)))
    assert math.isfinite(found.max_abs_difference)
    with pytest.raises(ProofError):
        refuse_difference({"padded": found})


def test_loss_by_labels() -> None:
    """Two of four right before, one after; a gain is negative."""
    run, export = logits((1, 0), (0, 1), (1, 0), (1, 0)), logits((0, 1), (0, 1), (1, 0), (1, 0))
    assert loss_of(TASK, run, export, np.array([0, 1, 1, 1])) == Loss(0.25, "labels", 4)
    assert loss_of(TASK, export, run, np.array([0, 1, 1, 1])) == Loss(-0.25, "labels", 4)


def test_loss_by_probabilities() -> None:
    """A flip costs what the run believed of its label, less what of the other one."""
    run, flipped = logits((math.log(9), 0), (0, 0.0001)), logits((0, 1), (1, 0))
    loss = loss_of(TASK, run, flipped)
    assert (loss.by, loss.rows) == ("probabilities", 2)
    assert loss.accuracy_loss == pytest.approx((0.9 - 0.1) / 2, abs=1e-4)
    assert loss_of(TASK, run, run).accuracy_loss == 0
    cooled = loss_of(TASK, run, flipped, temperature=2.0)
    assert cooled.accuracy_loss == pytest.approx((0.75 - 0.25) / 2, abs=1e-4)
