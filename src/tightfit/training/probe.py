"""The head's start: a linear classifier on the frozen features, fitted before the first step.

A random head sends random gradients into adapters, which spend their first steps on bending good
features towards it. A head that already fits them (linear probing, then fine-tuning:
arXiv:2202.10054) lets training start where a trained head alone would end.

Shapes: N rows, B rows of a batch, F width of the features that the output layer reads, K labels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tightfit.data.batch_order import length_sorted
from tightfit.data.batches import collate
from tightfit.data.shared_work import once
from tightfit.encoder.threads import side_by_side
from tightfit.model.adapters import output_layer
from tightfit.model.low_rank import LowRankLinear
from tightfit.progress import Progress
from tightfit.tasks.linear_probe import LinearMap
from tightfit.training.frozen_probe import finite
from tightfit.training.setup import Setup


def start_at_probe(setup: Setup, progress: Progress) -> None:
    """Put the solution of a logistic regression on the frozen features into the output layer.

    A pure function of the setup: nothing is drawn from torch's generators.
    """
    count = len(setup.train.targets)
    rows_N = np.random.default_rng(setup.config.seed).permutation(count)[: setup.probe_rows]
    with progress.track("linear probe", len(rows_N)) as bar:
        features_NF = frozen_features(setup, rows_N, bar.advance)
    rows = setup.train.select(rows_N.tolist())
    found = setup.classifier.task.fit_probe(
        features_NF, rows, balanced=setup.config.optim.class_weights == "balanced"
    )
    put_output(setup, found)


def put_output(setup: Setup, found: LinearMap) -> None:
    """Make a map of the features the output layer."""
    layer = output_layer(setup.classifier.module, setup.classifier.plan)
    weight_KF = torch.from_numpy(found.weight_KF)
    with torch.no_grad():
        layer.bias.copy_(torch.from_numpy(found.bias_K))
        if isinstance(layer, LowRankLinear):
            layer.put(weight_KF)
        else:
            layer.weight.copy_(weight_KF)


@contextmanager
def output_inputs(setup: Setup) -> Iterator[list[torch.Tensor]]:
    """A list to which every forward pass appends what the output layer reads."""
    seen: list[torch.Tensor] = []
    layer = output_layer(setup.classifier.module, setup.classifier.plan)
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()


def frozen_features(
    setup: Setup, rows_N: NDArray[np.int64], advance: Callable[[int], None] = lambda count: None
) -> NDArray[np.float32]:
    """What the output layer reads for these training rows, ``features_NF``, in their order.

    Where fits share work, it is computed once for the same rows and weights.

    Raises:
        ModelError: the encoder makes no numbers of them.
    """
    return once(lambda: _digest(setup, rows_N), lambda: _features(setup, rows_N, advance))


def _digest(setup: Setup, rows_N: NDArray[np.int64]) -> bytes:
    """Of all that features depend on: rows, encoder, and what trains but for the output layer."""
    config, classifier, tokens = setup.config, setup.classifier, setup.train.tokens
    own = {*map(id, output_layer(classifier.module, classifier.plan).parameters())}
    asked = config.model_dump_json(include={"model", "adapters", "head", "train", "seed"})
    source, form = setup.source, (setup.precision.format, classifier.plan.pooling)
    found = hashlib.sha256(repr((asked, source.digest(), source.prefix, form)).encode())
    arrays: list[Any] = [rows_N, tokens.ids, tokens.offsets, tokens.windows, tokens.segments]
    weights = [p for p in classifier.trainable().values() if id(p) not in own]
    arrays += [weight.detach().cpu().numpy() for weight in weights]
    for array in arrays:
        found.update(b"" if array is None else repr(array.shape).encode() + array.tobytes())
    return found.digest()


@torch.inference_mode()
def _features(
    setup: Setup, rows_N: NDArray[np.int64], advance: Callable[[int], None]
) -> NDArray[np.float32]:
    classifier, tokens = setup.classifier, setup.train.tokens
    layer = output_layer(classifier.module, classifier.plan)
    features_NF = np.empty((len(rows_N), layer.in_features), dtype=np.float32)
    classifier.module.eval()
    groups = length_sorted(
        tokens.select(rows_N.tolist()), setup.config.train.eval_batch, setup.padded_tokens
    )
    lean = setup.lean

    def forward(group: list[int]) -> torch.Tensor:
        batch = collate(tokens, rows_N[group].tolist()).to(classifier.device)
        with torch.inference_mode():
            return (setup.logits if lean is None else setup.pooled)(batch, setup.train.states)

    found = side_by_side(forward, groups) if lean and lean.spreads else map(forward, groups)
    with output_inputs(setup) as seen:
        for group, pooled in zip(groups, found, strict=True):
            if lean is not None:
                # Here rather than beside others, since all of them share the hook.
                lean.head(pooled)
            features_NF[group] = seen.pop().float().cpu().numpy()
            advance(len(group))
    return finite(features_NF, setup.source)
