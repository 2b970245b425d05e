"""Dropout by its holes: the law of a mask, and the logits and gradients that the mask gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tests.fixtures import Encoders
from tests.model.test_lean import batch_of, busy_classifier, gradients
from tests.toy_setups import TEXTS, toy_job, toy_loop
from tightfit.data.batches import collate
from tightfit.families import COMPUTED
from tightfit.model.classifier import Classifier
from tightfit.model.dropout import DropoutDraws, Holes
from tightfit.model.lean import LeanEncoder
from tightfit.model.projections import AdaptedProduct, FrozenWeight, Part

EVERYWHERE = "adapters.targets=query,key,value,attention-output,mlp-in,mlp-out"


class Recording(DropoutDraws):
    """Keeps the mask of everything that it draws, by part of the network."""

    def enter(self, part: int) -> None:
        """What is drawn a second time takes the place of the first."""
        super().enter(part)
        self.masks: dict[int, list[torch.Tensor]] = getattr(self, "masks", {})
        self.own: list[torch.Tensor] = []
        self.masks[part] = self.own

    def holes(self, like: torch.Tensor, share: float) -> Holes:
        """The mask, scaled, has the shape of what is dropped."""
        found = super().holes(like, share)
        mask = torch.full(like.shape, found.scale)
        mask.view(-1)[found.places] = 0.0
        self.own.append(mask)
        return found

    def replay(self) -> Callable[..., torch.Tensor]:
        """In place of ``F.dropout``: the same masks in the same order; behind them nothing drops.

        Of the last layer the lean pass computes the first token alone, and so draws for it alone.
        """
        masks = iter([mask for part in sorted(self.masks) for mask in self.masks[part]])

        def dropout(x: torch.Tensor, p: float, training: bool, inplace: bool = False) -> Any:
            mask = next(masks, None) if training and p else None
            if mask is None:
                return x
            if mask.numel() == x.numel():
                return x * mask.view(x.shape)
            whole = torch.ones_like(x)
            whole[..., :1, :] = mask.view_as(whole[..., :1, :])
            return x * whole

        return dropout


@contextmanager
def dropping(classifier: Classifier, *, frozen: bool) -> Iterator[None]:
    """The model's own dropouts act, those of the head aside: attention must show its weights."""
    base: Any = classifier.module
    base.get_base_model().config._attn_implementation = "eager"
    classifier.train_mode(frozen_dropout=frozen)
    yield
    classifier.module.eval()


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.9])
def test_holes_are_those_of_a_mask(share: float) -> None:
    """Their number has the binomial mean and variance, and neighbours know nothing of each other.

    Seeded: 5 standard errors would be passed by one seed in a million, and this one is fixed.
    """
    count, turns = 1000, 2000
    drawn, masks = DropoutDraws(7), torch.zeros(turns, count, dtype=torch.double)
    for mask in masks:
        mask[drawn.holes(mask, share).places] = 1.0
    variance = share * (1 - share)
    assert abs(masks.mean() - share) < 5 * (variance / masks.numel()) ** 0.5
    assert (masks.mean(0) - share).abs().max() < 5 * (variance / turns) ** 0.5
    assert masks.sum(1).var() == pytest.approx(count * variance, rel=5 * (2 / turns) ** 0.5)
    both = (masks[:, 1:] - share) * (masks[:, :-1] - share)
    assert abs(both.mean()) < 5 * variance / both.numel() ** 0.5


def test_a_part_draws_the_same_again() -> None:
    """Whatever was drawn between; another part and another seed draw something else."""
    like = torch.empty(400)

    def places(seed: int, part: int) -> list[int]:
        drawn = DropoutDraws(seed)
        drawn.holes(like, 0.3)
        drawn.enter(part)
        return drawn.holes(like, 0.3).places.tolist()

    assert places(1, 2) == places(1, 2)
    assert len({tuple(places(seed, part)) for seed in (1, 2) for part in (1, 2)}) == 4


@pytest.mark.parametrize("share", [1e-12, 0.2])
def test_the_product_has_the_gradients_of_masks(share: float) -> None:
    """Against numerical differences in double precision; two adapters with holes of their own."""
    shapes = [(5, 4), (6, 4), (6,), (3, 4), (2, 2), (3, 1)]
    x, weight, *trained = (torch.randn(s, dtype=torch.double).requires_grad_() for s in shapes)
    weight, drawn = weight.detach(), DropoutDraws(3)
    rows, columns = (slice(0, 2), slice(2, 3)), (slice(0, 2), slice(3, 6))
    parts = [Part(*each, drawn.holes(x, share)) for each in zip(rows, columns, strict=True)]

    def product(x: torch.Tensor, *rest: torch.Tensor) -> Any:
        return AdaptedProduct.apply(x, FrozenWeight(weight), *rest[:2], parts, *rest[2:])

    assert torch.autograd.gradcheck(product, (x, *trained))
    expected = F.linear(x, weight, trained[0])
    for part, b in zip(parts, trained[2:], strict=True):
        assert part.holes is not None
        expected[:, part.columns] += part.holes.drop(x) @ trained[1][part.rows].T @ b.T
    torch.testing.assert_close(product(x, *trained), expected)


@pytest.mark.parametrize("family", COMPUTED)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("recompute", [False, True])
def test_logits_and_gradients_are_those_of_peft_with_the_same_masks(
    family: str, frozen: bool, recompute: bool, encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every adapter, every frozen dropout; padded rows."""
    classifier = busy_classifier(encoders(family), EVERYWHERE, "adapters.dropout=0.2")
    batch, drawn = batch_of(classifier, TEXTS), Recording(5)
    build = partial(LeanEncoder, classifier.module, torch.float32)
    lean = build(frozen_dropout=frozen, recompute=recompute).logits(batch, drawn)
    found = gradients(classifier, lean)
    with dropping(classifier, frozen=frozen), monkeypatch.context() as patched:
        patched.setattr(F, "dropout", drawn.replay())
        own = classifier.logits(batch)
    torch.testing.assert_close(lean, own, atol=1e-6, rtol=1e-5)
    assert (own - classifier.logits(batch)).abs().max() > 1e-3, "nothing was dropped"
    torch.testing.assert_close(found, gradients(classifier, own), atol=1e-6, rtol=1e-4)


def test_bf16_drops_the_same(bert: Path) -> None:
    """Half precision keeps two digits of what fp32 gives with the same holes."""
    classifier = busy_classifier(bert, EVERYWHERE, "adapters.dropout=0.2")
    batch = batch_of(classifier, TEXTS)
    build = partial(LeanEncoder, classifier.module, frozen_dropout=True)
    full, half = (build(d).logits(batch, DropoutDraws(5)) for d in (torch.float32, torch.bfloat16))
    torch.testing.assert_close(half, full, atol=0.03, rtol=0.03)
    grads = gradients(classifier, half)
    assert all(g.dtype == torch.float32 and bool(g.any()) for g in grads.values())


def test_without_a_seed_nothing_drops(bert: Path) -> None:
    """As evaluations are."""
    job = toy_job(bert, "model.frozen_dropout=true", "adapters.dropout=0.5")
    batch = collate(job.train.tokens, [0, 1, 2])
    job.classifier.module.eval()
    torch.testing.assert_close(job.logits(batch), job.classifier.logits(batch))
    assert not torch.allclose(job.logits(batch, seed=1), job.logits(batch, seed=2), atol=1e-4)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Whatever there were before."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_threads_side_by_side_draw_the_same_each_time(bert: Path, tmp_path: Path) -> None:
    """To the bit, whichever part is first."""
    found = []
    for _ in range(3):
        dropouts = ["adapters.dropout=0.3", "model.frozen_dropout=true"]
        job = toy_job(bert, *dropouts, "train.max_steps=6")
        loop = toy_loop(replace(job, most_rows=4), tmp_path)
        loop.fit()
        found.append(loop.setup.classifier.state())
    assert len(loop.setup.parts(range(16))) == 4
    assert all(torch.equal(other[name], found[0][name]) for other in found for name in other)
