"""One training step, taken apart: the model's own forward pass, the lean one, number formats,
and two ways to attend.

    python -m benchmarks.step --rows 32 --tokens 53 --rounds 20
    python -m benchmarks.step --threads 1 --processor-time --set adapters.dropout=0.05

Adapters' dropouts act in all of them. The variants take turns, so that a busy moment slows all of
them; medians are shown. The losses must agree, or the times mean nothing.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from statistics import median

import torch
from torch.nn import functional as F

from benchmarks.machine import ceiling
from benchmarks.results import table
from tightfit.config import load_config
from tightfit.data.batches import Batch
from tightfit.encoder.threads import side_by_side
from tightfit.model import lean
from tightfit.model.adapters import adapter_dropouts
from tightfit.model.classifier import Classifier, build
from tightfit.model.dropout import DropoutDraws
from tightfit.model.lean import LeanEncoder
from tightfit.model.locate import locate
from tightfit.tasks import SingleLabel
from tightfit.training.prepare import plan_for

LABELS = ("a", "b", "c", "d")
TOLERANCE = 0.05
"""Losses of bf16 and fp32 differ by less, on random tokens and an untrained head."""

SIDE_BY_SIDE = "lean fp32, parts side by side"

Forward = Callable[[Batch], torch.Tensor]
Attend = Callable[..., torch.Tensor]


def kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Torch's own fused attention."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=bias)


def products(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Two products and a softmax between them."""
    scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    return (scores if bias is None else scores + bias).softmax(-1) @ value


@contextmanager
def attending(attend: Attend) -> Iterator[None]:
    """Make the lean pass attend in this way."""
    before = lean.attend
    lean.attend = attend
    try:
        yield
    finally:
        lean.attend = before


def variants(classifier: Classifier) -> dict[str, Forward]:
    """Every way to the logits, by name."""

    def attended(encoder: LeanEncoder, attend: Attend) -> Forward:
        def forward(batch: Batch) -> torch.Tensor:
            with attending(attend):
                return drawn(encoder, batch)

        return forward

    def drawn(encoder: LeanEncoder, batch: Batch) -> torch.Tensor:
        classifier.module.eval()
        return encoder.logits(batch, DropoutDraws(next(seeds)) if encoder.draws else None)

    def own(batch: Batch, *, frozen_dropout: bool) -> torch.Tensor:
        module.train(frozen_dropout)
        for dropout in adapter_dropouts(module):
            dropout.train()
        return classifier.logits(batch)

    module, seeds = classifier.module, count()
    full, half = (LeanEncoder(module, dtype) for dtype in (torch.float32, torch.bfloat16))
    return {
        "own, frozen dropouts on": partial(own, frozen_dropout=True),
        "own": partial(own, frozen_dropout=False),
        "lean fp32, frozen dropouts on": partial(
            drawn, LeanEncoder(module, torch.float32, frozen_dropout=True)
        ),
        "lean fp32, kernel": attended(full, kernel),
        "lean fp32, products": attended(full, products),
        SIDE_BY_SIDE: partial(drawn, full),
        "lean bf16, kernel": attended(half, kernel),
        "lean bf16, products": attended(half, products),
    }


def step_seconds(
    classifier: Classifier,
    forward: Forward,
    parts: Sequence[Batch],
    *,
    backward: bool = True,
    at_once: bool = False,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Time and mean loss of forward and backward, or of a forward pass that keeps nothing for it.

    Args:
        classifier: what trains in it gets gradients.
        forward: to the logits of one part.
        parts: of a batch, of equal size.
        backward: whether gradients are computed.
        at_once: whether parts are computed side by side, or one after the other.
        clock: tells the time; that of the processor does not count what others take of it.
    """
    trained = [p for p in classifier.module.parameters() if p.requires_grad]

    def compute(part: Batch) -> float:
        with torch.inference_mode(not backward):
            loss = F.cross_entropy(forward(part), part.targets_B)
        if backward:
            torch.autograd.grad(loss, trained, allow_unused=True)
        return float(loss.detach())

    started = clock()
    losses = list(side_by_side(compute, parts) if at_once else map(compute, parts))
    return clock() - started, sum(losses) / len(losses)


def divided(batch: Batch, count: int) -> list[Batch]:
    """Parts of equal size."""
    assert len(batch.rows_B) % count == 0, "--parts must divide --rows"
    assert batch.targets_B is not None
    tensors = (batch.ids_BL, batch.mask_BL, batch.targets_B, batch.rows_B)
    chunks = zip(*(t.chunk(count) for t in tensors), strict=True)
    return [Batch(ids, mask, targets, own, batch.padded) for ids, mask, targets, own in chunks]


def random_batch(vocabulary: int, *, rows: int, tokens: int, padded: bool) -> Batch:
    """Rows of random tokens; with ``padded`` every other row is half as long."""
    ids_BL = torch.randint(5, vocabulary, (rows, tokens))
    mask_BL = torch.ones_like(ids_BL)
    if padded:
        mask_BL[::2, tokens // 2 :] = 0
    return Batch(ids_BL, mask_BL, torch.arange(rows) % len(LABELS), torch.arange(rows), padded)


def main(words: Sequence[str] | None = None) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="all-MiniLM-L6-v2")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=53)
    parser.add_argument("--parts", type=int, default=1, help="of the batch, each a pass of its own")
    parser.add_argument("--padded", action="store_true", help="with padding, and so with a mask")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--processor-time", action="store_true", help="where others compute, too")
    parser.add_argument("--forward-only", action="store_true", help="as evaluations do")
    parser.add_argument("--without", nargs="+", default=[], metavar="WAY", help="such as 'own'")
    parser.add_argument("--set", action="append", default=[], help="a setting, such as a target")
    args = parser.parse_args(words)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    config, source = load_config("tight", args.set, model=args.model), locate(args.model)
    classifier = build(
        source, plan_for(config, source, len(LABELS)), config, SingleLabel.from_names(LABELS)
    )
    size = source.config()["vocab_size"]
    batch = random_batch(size, rows=args.rows, tokens=args.tokens, padded=args.padded)
    parts = divided(batch, args.parts)
    ways = {name: w for name, w in variants(classifier).items() if name not in args.without}
    timed = {
        name: partial(
            step_seconds,
            *(classifier, way, parts),
            backward=not args.forward_only,
            at_once=name == SIDE_BY_SIDE,
            clock=time.process_time if args.processor_time else time.perf_counter,
        )
        for name, way in ways.items()
    }
    losses = {name: run()[1] for name, run in timed.items()}
    assert max(losses.values()) - min(losses.values()) < TOLERANCE, losses
    times: dict[str, list[float]] = {name: [] for name in ways}
    best = 0.0
    for _ in range(args.rounds):
        best = max(best, ceiling())
        for name, run in timed.items():
            times[name].append(run()[0])
    rows = [
        [
            name,
            f"{1e3 * median(each):.0f}",
            f"{1e3 * min(each):.0f}",
            f"{args.rows / median(each):.1f}",
        ]
        for name, each in times.items()
    ]
    print(table(["", "median ms", "best ms", "rows/s"], rows))
    print(f"\nbest square fp32 product: {best / 1e9:,.0f} GFLOP/s")


if __name__ == "__main__":
    main()
