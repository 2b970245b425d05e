"""Where a training starts that goes on from a run: its adapters, its head, and rows for new labels.

Shapes: N rows, F width of the features that the output layer reads, K labels, M of them new,
O and I widths of a layer out and in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy, linear

from tightfit.budget.allocate import Allocate, Allocation, largest_that_fits
from tightfit.budget.parameter_plan import Plan
from tightfit.budget.shapes import LinearShape
from tightfit.config import Config
from tightfit.methods import AdapterKind
from tightfit.model.adapters import AdapterPair, adapter_pairs, output_layer
from tightfit.model.classifier import Classifier
from tightfit.model.locate import Source
from tightfit.progress import Progress
from tightfit.tasks.linear_probe import LinearMap
from tightfit.training.prepare import plan_for
from tightfit.training.probe import frozen_features, put_output
from tightfit.training.setup import Setup

STRENGTH = 10.0
"""Inverse strength of the penalty on the weights of new labels, on features of mean length 1."""

MOST_ITERATIONS = 200
"""Of L-BFGS; some dozens suffice."""


def continued_plan(config: Config, source: Source, began: Plan, num_labels: int) -> Plan:
    """The plan of a training that goes on from another, counted anew for so many labels.

    Ranks are those of the run where the cap pays for them beside a larger head; otherwise the
    largest that fit, and the adapters are rounded to them.

    Raises:
        BudgetError: not even the head fits under the cap, or ranks are set and do not.
    """

    def allocate(
        layers: Sequence[LinearShape], *, head: int, cap: int | None, kind: AdapterKind
    ) -> Allocation:
        spent = sum(layer.parameters for layer in began.layers)
        if began.layers and (cap is None or head + spent <= cap):
            return Allocation(began.layers, "the ranks of the run that it goes on from")
        return largest_that_fits(layers, head=head, cap=cap, kind=kind)

    if began.side and config.head.side == "auto":
        config = config.with_values({"head.side": began.side.width})
    chosen: Allocate = allocate
    return plan_for(config, source, num_labels, chosen, pooling=began.pooling)


def start_from(setup: Setup, began: Classifier, progress: Progress) -> None:
    """Put what a run learned into the classifier of a setup.

    Args:
        setup: its classifier is written; its labels begin with those of the run, in their order.
        began: the run's classifier.
        progress: how to show progress.
    """
    _put_encoder(setup.classifier, began)
    old = output_layer(began.module, began.plan)
    weight_KF, bias_K = (
        tensor.detach().cpu().double().numpy() for tensor in (old.weight, old.bias)
    )
    known = LinearMap(weight_KF, bias_K)
    if setup.classifier.task.outputs > len(bias_K):
        rows_N = np.arange(len(setup.train.targets))
        with progress.track("head rows of new labels", len(rows_N)) as bar:
            features_NF = frozen_features(setup, rows_N, bar.advance)
        known = with_new_labels(
            known, features_NF, setup.train.targets, setup.classifier.task.outputs
        )
    put_output(setup, known)


def _put_encoder(classifier: Classifier, began: Classifier) -> None:
    """All that trained but the output layer; adapters that the run had not stay as they are."""
    output = f"{classifier.plan.head_layers[-1].name}."
    pairs = {pair.name: pair for pair in adapter_pairs(began.module)}
    learned = began.trainable()
    with torch.no_grad():
        for pair in adapter_pairs(classifier.module):
            if pair.name in pairs:
                _put_pair(pair, pairs[pair.name])
        for name, tensor in classifier.trainable().items():
            factor = name.endswith((".lora_A.weight", ".lora_B.weight"))
            if name in learned and not factor and not name.startswith(output):
                tensor.copy_(learned[name])


def _put_pair(pair: AdapterPair, learned: AdapterPair) -> None:
    """The same change of the weight, or at a lower rank the nearest to it."""
    if pair.a_RI.shape == learned.a_RI.shape and pair.scale == learned.scale:
        pair.a_RI.copy_(learned.a_RI)
        pair.b_OR.copy_(learned.b_OR)
        return
    change_OI = learned.scale / pair.scale * (learned.b_OR.double() @ learned.a_RI.double())
    left, values, right = torch.linalg.svd(change_OI.to(pair.a_RI.device), full_matrices=False)
    rank = len(pair.a_RI)
    pair.b_OR.copy_(left[:, :rank] * values[:rank].sqrt())
    pair.a_RI.copy_(values[:rank].sqrt()[:, None] * right[:rank])


def with_new_labels(
    known: LinearMap,
    features_NF: NDArray[np.float32],
    targets_N: NDArray[np.int64],
    num_labels: int,
) -> LinearMap:
    """A map with rows for new labels, solved on rows with the known ones standing still.

    What is minimised is the cross-entropy over all labels, and an L2 penalty on the new weights.

    Args:
        known: of the first labels.
        features_NF: what the layer reads.
        targets_N: label ids.
        num_labels: K, more than ``known`` has.
    """
    length = float(np.linalg.norm(features_NF, axis=1).mean()) or 1.0
    x_NF = torch.from_numpy(features_NF.astype(np.float64) / length)
    targets = torch.from_numpy(targets_N)
    weight_KF, bias_K = torch.from_numpy(known.weight_KF), torch.from_numpy(known.bias_K)
    known_NK = linear(x_NF, weight_KF * length, bias_K)
    count = num_labels - len(bias_K)
    weight_MF = torch.zeros(count, x_NF.shape[1], dtype=torch.double, requires_grad=True)
    bias_M = torch.full((count,), float(bias_K.min()), dtype=torch.double, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight_MF, bias_M], max_iter=MOST_ITERATIONS, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        solver.zero_grad()
        logits_NK = torch.cat([known_NK, linear(x_NF, weight_MF, bias_M)], 1)
        penalty = weight_MF.square().sum() / (2 * STRENGTH * len(targets))
        total = cross_entropy(logits_NK, targets) + penalty
        total.backward()
        return total

    solver.step(loss)
    return LinearMap(
        np.concatenate([known.weight_KF, weight_MF.detach().numpy() / length]),
        np.concatenate([known.bias_K, bias_M.detach().numpy()]),
    )
